"""Token events: each token once, in order, with the text that it adds."""

from relayllm.relay.detokenizer import Detokenizer
from relayllm.relay.events import Event, EventEmitter
from relayllm.relay.trace import Author
from tests.support.plain_relay import COMMANDS, ByteTokenizer, new_row


def listen(stop=()) -> tuple[EventEmitter, list[Event]]:
    events: list[Event] = []
    return EventEmitter(events.append, Detokenizer(ByteTokenizer(), COMMANDS, stop)), events


def test_events_tell_each_token_once_however_often_one_looks():
    row, (emitter, events) = new_row(), listen()
    for token in "aé".encode():
        row.student_wrote(token, None, False)
        emitter.emit(row)
        emitter.emit(row)
    assert [event.position for event in events] == [0, 1, 2]
    assert [event.text for event in events] == ["a", "", "é"]


def test_events_of_a_command_read_as_it_is_written():
    row, (emitter, events) = new_row(), listen()
    for token in COMMANDS.write(12):
        row.student_wrote(token, None, False)
    emitter.emit(row)
    assert [event.text for event in events] == ["<call>", "1", "2", "</call>"]
    assert {event.author for event in events} == {Author.COMMAND}


def test_events_text_held_back_as_a_stop_string_comes_at_the_end():
    row, (emitter, events) = new_row(stop=("abc",)), listen(("abc",))
    for token in b"xab":
        row.student_wrote(token, None, False)
        emitter.emit(row)
    assert "".join(event.text for event in events) == "x"
    emitter.close(row)
    assert "".join(event.text for event in events) == "xab"

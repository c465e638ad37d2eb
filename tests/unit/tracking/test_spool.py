"""What a stage logs while the tracking server is away is kept, and sent in order later."""

from dataclasses import replace

import pytest

from relayllm.settings import current_settings
from relayllm.tracking.spool import MESSAGES, Spool, send_all, unsent
from relayllm.tracking.writer import Forwarder

START = {"kind": "start", "stage": "warmup", "variant": "", "params": {}, "time": 1}
END = {"kind": "end", "status": "FINISHED", "time": 9}


class Away(Exception):
    """Nobody answers."""


class Refused(Exception):
    """The server answers, and says no."""

    error_code = "INVALID_PARAMETER_VALUE"


class FakeSink:
    """Takes messages until it is away, which is at the message with this number."""

    def __init__(self, lasts=99, refuses=()):
        self.taken, self.lasts, self.refuses = [], lasts, refuses

    def write(self, message):
        if message["kind"] in self.refuses:
            raise Refused
        if len(self.taken) >= self.lasts:
            raise Away
        self.taken.append(message)

    def position(self):
        return {"kind": "resume", "run": "r", "parent": "p"} if self.taken else None


@pytest.fixture
def place(tmp_path):
    (tmp_path / "params.yaml").write_text("profile: tiny\n")
    return replace(current_settings(), root=tmp_path, params=tmp_path / "params.yaml", runs=tmp_path / "runs",
                   tracking_uri="http://127.0.0.1:9")


def metric(step):
    return {"kind": "metrics", "values": {"loss": 1.0}, "step": step, "time": 2}


def log(place, sink, *messages):
    """A stage's life; `sink` is what connecting gives, or raises."""
    def connect():
        if isinstance(sink, Exception):
            raise sink
        return sink

    forwarder = Forwarder(place, connect)
    for message in messages:
        forwarder.take(message)
    forwarder.close()


def kinds(messages):
    return [message["kind"] for message in messages]


def test_forwarder_server_there_keeps_nothing(place):
    sink = FakeSink()
    log(place, sink, START, metric(1), END)
    assert kinds(sink.taken) == ["start", "metrics", "end"]
    assert unsent(place) == []


def test_forwarder_server_away_keeps_all_and_sends_it_later(place):
    log(place, Away(), START, metric(1), metric(2), END)
    sink = FakeSink()
    assert len(list(send_all(place, lambda: sink))) == 1
    assert kinds(sink.taken) == ["start", "metrics", "metrics", "end"]
    assert [message["step"] for message in sink.taken if message["kind"] == "metrics"] == [1, 2]
    assert sink.taken[0]["tags"]["profile"] == "tiny"
    assert unsent(place) == []


@pytest.mark.parametrize("lasts", [1, 2, 3])
def test_forwarder_server_that_goes_away_leaves_the_rest_to_go_on_with_the_same_run(place, lasts):
    first, second = FakeSink(lasts), FakeSink()
    log(place, first, START, metric(1), metric(2), END)
    list(send_all(place, lambda: second))
    assert second.taken[0] == {"kind": "resume", "run": "r", "parent": "p"}
    assert kinds(first.taken + second.taken[1:]) == ["start", "metrics", "metrics", "end"]


def test_forwarder_origin_is_that_of_the_run_and_not_of_the_sending(place):
    log(place, Away(), START, END)
    (place.root / "params.yaml").write_text("profile: other\n")
    sink = FakeSink()
    list(send_all(place, lambda: sink))
    assert sink.taken[0]["tags"]["profile"] == "tiny"


def test_forwarder_killed_stage_is_told_as_killed(place):
    log(place, Away(), START, metric(1))
    sink = FakeSink()
    list(send_all(place, lambda: sink))
    assert sink.taken[-1]["status"] == "KILLED"


def test_forwarder_message_that_is_refused_is_left_out_and_the_others_go_on(place):
    sink = FakeSink(refuses=("table",))
    log(place, sink, START, {"kind": "table", "name": "x", "rows": []}, metric(1), END)
    assert kinds(sink.taken) == ["start", "metrics", "end"]
    assert unsent(place) == []


def test_spool_keeps_artifacts_as_they_were(place, tmp_path):
    report = tmp_path / "report"
    report.mkdir()
    (report / "a.txt").write_text("then")
    log(place, Away(), START, {"kind": "artifact", "path": str(report), "folder": None}, END)
    (report / "a.txt").write_text("since")
    read = []

    class Reading(FakeSink):
        def write(self, message):
            super().write(message)
            if message["kind"] == "artifact":
                read.append(((tmp_path / message["path"]).name, (tmp_path / message["path"] / "a.txt").read_text()))

    list(send_all(place, Reading))
    assert read == [("report", "then")]


def test_send_all_that_fails_keeps_what_is_left(place):
    log(place, Away(), START, metric(1), metric(2), END)
    with pytest.raises(Away):
        list(send_all(place, lambda: FakeSink(2)))
    sink = FakeSink()
    list(send_all(place, lambda: sink))
    assert kinds(sink.taken) == ["resume", "metrics", "end"]


def test_send_all_leaves_a_stage_that_runs_alone(place):
    spool = Spool(place, "warmup")
    spool.keep(metric(1))
    assert list(send_all(place, FakeSink)) == []
    assert unsent(place) == [spool.folder]


def test_send_all_takes_no_half_line_of_a_stage_that_was_killed(place):
    log(place, Away(), START, metric(1), END)
    [folder] = unsent(place)
    with (folder / MESSAGES).open("a") as lines:
        lines.write('{"kind": "metr')
    sink = FakeSink()
    list(send_all(place, lambda: sink))
    assert kinds(sink.taken) == ["start", "metrics", "end"]

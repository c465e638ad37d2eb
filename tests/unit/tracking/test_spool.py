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
def settings(tmp_path):
    (tmp_path / "params.yaml").write_text("profile: tiny\n")
    return replace(current_settings(), root=tmp_path, params=tmp_path / "params.yaml", runs=tmp_path / "runs",
                   tracking_uri="http://127.0.0.1:9")


def metric(step):
    return {"kind": "metrics", "values": {"loss": 1.0}, "step": step, "time": 2}


def log(settings, sink, *messages):
    """A stage's life; `sink` is what connecting gives, or raises."""
    def connect():
        if isinstance(sink, Exception):
            raise sink
        return sink

    forwarder = Forwarder(settings, connect)
    for message in messages:
        forwarder.take(message)
    forwarder.close()


def kinds(messages):
    return [message["kind"] for message in messages]


def test_forwarder_server_there_keeps_nothing(settings):
    sink = FakeSink()
    log(settings, sink, START, metric(1), END)
    assert kinds(sink.taken) == ["start", "metrics", "end"]
    assert unsent(settings) == []


def test_forwarder_server_away_keeps_all_and_sends_it_later(settings):
    log(settings, Away(), START, metric(1), metric(2), END)
    sink = FakeSink()
    assert len(list(send_all(settings, lambda: sink))) == 1
    assert kinds(sink.taken) == ["start", "metrics", "metrics", "end"]
    assert [message["step"] for message in sink.taken if message["kind"] == "metrics"] == [1, 2]
    assert sink.taken[0]["tags"]["profile"] == "tiny"
    assert unsent(settings) == []


@pytest.mark.parametrize("lasts", [1, 2, 3])
def test_forwarder_server_that_goes_away_leaves_the_rest_to_go_on_with_the_same_run(settings, lasts):
    first, second = FakeSink(lasts), FakeSink()
    log(settings, first, START, metric(1), metric(2), END)
    list(send_all(settings, lambda: second))
    assert second.taken[0] == {"kind": "resume", "run": "r", "parent": "p"}
    assert kinds(first.taken + second.taken[1:]) == ["start", "metrics", "metrics", "end"]


def test_forwarder_origin_is_that_of_the_run_and_not_of_the_sending(settings):
    log(settings, Away(), START, END)
    (settings.root / "params.yaml").write_text("profile: other\n")
    sink = FakeSink()
    list(send_all(settings, lambda: sink))
    assert sink.taken[0]["tags"]["profile"] == "tiny"


def test_forwarder_killed_stage_is_told_as_killed(settings):
    log(settings, Away(), START, metric(1))
    sink = FakeSink()
    list(send_all(settings, lambda: sink))
    assert sink.taken[-1]["status"] == "KILLED"


def test_forwarder_message_that_is_refused_is_left_out_and_the_others_go_on(settings):
    sink = FakeSink(refuses=("table",))
    log(settings, sink, START, {"kind": "table", "name": "x", "rows": []}, metric(1), END)
    assert kinds(sink.taken) == ["start", "metrics", "end"]
    assert unsent(settings) == []


def test_spool_keeps_artifacts_as_they_were(settings, tmp_path):
    report = tmp_path / "report"
    report.mkdir()
    (report / "a.txt").write_text("then")
    log(settings, Away(), START, {"kind": "artifact", "path": str(report), "folder": None}, END)
    (report / "a.txt").write_text("since")
    read = []

    class Reading(FakeSink):
        def write(self, message):
            super().write(message)
            if message["kind"] == "artifact":
                read.append(((tmp_path / message["path"]).name, (tmp_path / message["path"] / "a.txt").read_text()))

    list(send_all(settings, Reading))
    assert read == [("report", "then")]


def test_send_all_that_fails_keeps_what_is_left(settings):
    log(settings, Away(), START, metric(1), metric(2), END)
    with pytest.raises(Away):
        list(send_all(settings, lambda: FakeSink(2)))
    sink = FakeSink()
    list(send_all(settings, lambda: sink))
    assert kinds(sink.taken) == ["resume", "metrics", "end"]


def test_send_all_leaves_a_stage_that_runs_alone(settings):
    spool = Spool(settings, "warmup")
    spool.keep(metric(1))
    assert list(send_all(settings, FakeSink)) == []
    assert unsent(settings) == [spool.folder]


def test_send_all_takes_no_half_line_of_a_stage_that_was_killed(settings):
    log(settings, Away(), START, metric(1), END)
    [folder] = unsent(settings)
    with (folder / MESSAGES).open("a") as lines:
        lines.write('{"kind": "metr')
    sink = FakeSink()
    list(send_all(settings, lambda: sink))
    assert kinds(sink.taken) == ["start", "metrics", "end"]

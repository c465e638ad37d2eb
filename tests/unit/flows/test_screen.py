"""The screen of `make pipeline`, from the records that Prefect's loggers are told."""

from __future__ import annotations

import io
import logging

import pytest

from flows.screen import EVERY_SECONDS, Screen, duration, plain


class Clock:
    """Seconds that pass when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def record(text: str, task: str = "filter", level: int = logging.INFO, fault: bool = False, logger: str = "task_runs"):
    """As Prefect makes it."""
    raised = (ValueError, ValueError(), None) if fault else None
    made = logging.LogRecord(f"prefect.{logger}", level, "", 0, text, (), raised)
    made.task_run_name = task
    return made


def screen() -> tuple[Screen, Clock, io.StringIO]:
    clock, out = Clock(), io.StringIO()
    return Screen({}, plain(out, clock), clock), clock, out


def test_stage_is_a_few_lines_however_much_it_says():
    shown, clock, out = screen()
    for second in range(100):
        clock.now = float(second)
        shown.emit(record(f"filter: {second}/100"))
    shown.emit(record("Finished in state Completed('ran for 100 s')"))
    assert out.getvalue().splitlines() == [
        *[f"  filter: filter: {second}/100" for second in range(0, 100, int(EVERY_SECONDS))], "✓ filter: 99 s"]


def test_stage_with_nothing_to_do_is_one_line():
    shown, _, out = screen()
    shown.emit(record("Finished in state Cached('up to date')", "ingest-0af"))
    assert out.getvalue() == "✓ ingest: up to date\n"


def test_failed_stage_has_a_cross():
    shown, clock, out = screen()
    shown.emit(record("filter: 1/100"))
    clock.now = 200.0
    shown.emit(record("Finished in state Failed('StageError: filter failed')", level=logging.ERROR))
    assert out.getvalue().splitlines()[-1] == "✗ filter: failed after 3 min 20 s"


def test_warnings_stay_and_what_prefect_says_of_itself_does_not():
    shown, _, out = screen()
    shown.emit(record("Beginning flow run", "", logger="flow_runs"))
    shown.emit(record("Starting temporary server", "", logger=""))
    shown.emit(record("Task run failed with exception", level=logging.ERROR, fault=True))
    shown.emit(record("warning: a teacher that is smaller seldom helps", "base_models"))
    shown.emit(record("no room", "", level=logging.WARNING, logger="flow_runs"))
    assert out.getvalue().splitlines() == [
        "  filter: failed, and tried again", "base_models: warning: a teacher that is smaller seldom helps",
        "warning: no room"]


@pytest.mark.parametrize(("seconds", "read"), [(0.2, "0 s"), (99.4, "99 s"), (104, "1 min 44 s"), (119.6, "2 min 00 s"),
                                               (200, "3 min 20 s"), (3599.7, "60 min 00 s")])
def test_duration_is_read_in_whole_minutes_and_their_rest(seconds, read):
    assert duration(seconds) == read

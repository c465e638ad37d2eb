"""The screen of `make pipeline`: a line per stage, one that moves for what runs, plain lines where nobody watches.

It reads what Prefect's loggers are told. All of that, and what libraries print, is in `runs/logs/flows.log`;
what stages print is in a log each.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from relayllm.progress import Clock

EVERY_SECONDS = 30.0
"""Between two plain lines of one stage; its log has them all."""
FINISHED = re.compile(r"Finished in state (\w+)\((.*)\)")
ENDS = ("Completed", "Cached", "Failed", "Crashed", "Cancelled")
TASKS = "prefect.task_runs"
ALWAYS = ("warning:", "note:")
"""Beginnings of lines that stay on the screen."""
WIDEST = 400
"""Characters of a line that stays."""


@dataclass(slots=True)
class Line:
    """What is shown of one stage."""

    started: float
    text: str = ""
    end: str = ""
    seconds: float = 0.0
    printed: float = field(default=float("-inf"))

    @property
    def mark(self) -> str:
        """A tick, a cross, or nothing while it runs."""
        return {"": " ", "Completed": "✓", "Cached": "✓"}.get(self.end, "✗")

    @property
    def summary(self) -> str:
        """How the stage ended, and after how long."""
        if self.end == "Cached":
            return "up to date"
        taken = duration(self.seconds)
        return taken if self.end == "Completed" else f"{self.end.lower()} after {taken}"


Show = Callable[[str, Line, str], None]
"""Told the stage's name, its line, and what of it should stay on the screen."""


class Screen(logging.Handler):
    """Turns the records of Prefect's task runs into lines."""

    def __init__(self, lines: dict[str, Line], show: Show, clock: Clock = time.monotonic) -> None:
        super().__init__(logging.INFO)
        self._lines, self._show, self._clock = lines, show, clock

    def emit(self, record: logging.LogRecord) -> None:
        """Show what a task says, and how it ends; of other loggers their warnings."""
        name, text = getattr(record, "task_run_name", ""), record.getMessage()
        if not record.name.startswith(TASKS) or not name:
            if record.levelno == logging.WARNING:
                self._show("", Line(0.0), f"warning: {text[:WIDEST]}")
            return
        name = re.sub(r"-[0-9a-f]{3}$", "", name)
        line = self._lines.setdefault(name, Line(self._clock()))
        finished = FINISHED.match(text)
        if finished:
            line.end, line.seconds = finished[1], self._clock() - line.started
        elif record.exc_info:
            line.text = "failed, and tried again"
        else:
            line.text = text
        kept = text.startswith(ALWAYS) or record.levelno == logging.WARNING
        self._show(name, line, text[:WIDEST] if kept else "")


def duration(seconds: float) -> str:
    """Seconds as a column of them is read."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{round(seconds)} s" if seconds < 100 else f"{minutes} min {rest:02} s"


def plain(out: TextIO, clock: Clock = time.monotonic) -> Show:
    """Lines for a pipe or a file: how each stage ends, and now and then how far it is."""
    def show(name: str, line: Line, kept: str) -> None:
        now = clock()
        if kept:
            print(f"{name}: {kept}".removeprefix(": "), file=out, flush=True)
        elif line.end:
            print(f"{line.mark} {name}: {line.summary}", file=out, flush=True)
        elif now - line.printed >= EVERY_SECONDS:
            line.printed = now
            print(f"  {name}: {line.text}", file=out, flush=True)

    return show


@contextmanager
def shown(logs: Path) -> Iterator[None]:
    """While the block, the flows' screen is standard output; standard error is a log."""
    logger, lines = logging.getLogger("prefect"), dict[str, Line]()
    with _standard_error_in(logs / "flows.log"), _view(lines) as show:
        screen = Screen(lines, show)
        logger.addHandler(screen)
        try:
            yield
        finally:
            logger.removeHandler(screen)
            logger.setLevel(logging.WARNING)  # that its temporary server stops is told at exit


@contextmanager
def _view(lines: dict[str, Line]) -> Iterator[Show]:
    """A table that moves on a terminal, plain lines elsewhere."""
    if not sys.stdout.isatty():
        yield plain(sys.stdout)
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(file=sys.stdout)
    with Live(console=console, get_renderable=lambda: _table(lines), refresh_per_second=4,
              redirect_stderr=False) as live:  # it is a log
        def show(name: str, line: Line, kept: str) -> None:
            if kept:
                live.console.print(f"{name}: {kept}".removeprefix(": "), markup=False, highlight=False, style="yellow")

        yield show


def _table(lines: dict[str, Line]) -> Any:
    """A row per stage: the mark, its name, and how it ended or how far it is."""
    from rich.spinner import Spinner
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for name, line in [*lines.items()]:
        if line.end:
            good = line.mark == "✓"
            table.add_row(Text(line.mark, style="green" if good else "red"), name,
                          Text(line.summary, style="dim" if good else "red"))
        else:
            table.add_row(SPINNERS.setdefault(name, Spinner("dots")), Text(name, style="bold"),
                          Text(line.text.removeprefix(f"{name}: ")))
    return table


SPINNERS: dict[str, Any] = {}
"""One per stage: a spinner that is made anew does not turn."""


@contextmanager
def _standard_error_in(path: Path) -> Iterator[None]:
    """Let what Prefect and libraries write to standard error go into a file; what the block raises is not theirs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    before = os.dup(2)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        os.dup2(before, 2)
        os.close(before)

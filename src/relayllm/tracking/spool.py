"""Messages of stages that reached no tracking server: kept in `runs/unsent` until `relay sync` sends them.

A folder per stage that ran: `messages.jsonl`, from the first message that was not sent on, and `files/` with the
artifacts as they were.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from relayllm.files import atomic_write
from relayllm.settings import Settings

MESSAGES, FILES = "messages.jsonl", "files"
WriterMessage = Mapping[str, Any]


class Sink(Protocol):
    """What sends messages to a tracking server."""

    def write(self, message: WriterMessage) -> None:
        """Send one; raises what the server's client raises."""

    def position(self) -> WriterMessage | None:
        """The message that lets another sink go on with the same run; None before there is one."""


class Spool:
    """Keeps the messages of one stage in a folder of its own."""

    def __init__(self, settings: Settings, stage: str) -> None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        self.folder = folder_of_unsent(settings) / f"{stamp}-{stage}-{os.getpid()}"
        (self.folder / FILES).mkdir(parents=True)
        self._lines = (self.folder / MESSAGES).open("a", encoding="utf-8")
        fcntl.flock(self._lines, fcntl.LOCK_EX)  # held while the stage runs: nobody sends half of it
        self._copies = 0

    def keep(self, message: WriterMessage) -> None:
        """Append a message; an artifact is copied, for the next run writes over it."""
        if message["kind"] == "artifact":
            message = {**message, "path": str(self._copy(Path(message["path"])))}
        self._lines.write(json.dumps(message) + "\n")
        self._lines.flush()

    def close(self) -> None:
        """Release the spool, so that `send_all` may send it."""
        self._lines.close()

    def _copy(self, source: Path) -> Path:
        self._copies += 1
        target = self.folder / FILES / str(self._copies) / source.name
        target.parent.mkdir()
        if source.is_dir():
            shutil.copytree(source, target)
        elif source.is_file():
            shutil.copyfile(source, target)
        return target


def folder_of_unsent(settings: Settings) -> Path:
    """The folder in which the spools lie."""
    return settings.runs / "unsent"


def unsent(settings: Settings) -> list[Path]:
    """The spools there are, the oldest first."""
    return sorted(path.parent for path in folder_of_unsent(settings).glob(f"*/{MESSAGES}"))


def send_all(settings: Settings, connect: Callable[[], Sink]) -> Iterator[Path]:
    """Send every spool of a stage that is over and remove it; yields those that were sent.

    What was not sent when one fails is kept, and the failure is raised as it is.
    """
    for folder in unsent(settings):
        with (folder / MESSAGES).open(encoding="utf-8") as lines:
            try:
                fcntl.flock(lines, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue  # its stage runs
            _send(folder, [json.loads(line) for line in lines if line.endswith("\n")], connect())
        shutil.rmtree(folder)
        yield folder


def _send(folder: Path, messages: Iterable[WriterMessage], sink: Sink) -> None:
    rest = list(messages)
    try:
        while rest:
            sink.write(rest[0])
            rest.pop(0)
    except Exception:
        where = sink.position()
        with atomic_write(folder / MESSAGES) as part:
            part.write_text("".join(json.dumps(message) + "\n" for message in [*([where] if where else []), *rest]),
                            encoding="utf-8")
        raise

"""Answer cache: what was decoded or judged once, kept on disk by the content of what made it.

A stage that was killed, or that failed in its last step, finds its answers again; so does a run with one method or
benchmark more. The cache is no output of a stage: without it everything is decoded anew, to the same answers.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel

import relayllm
from relayllm.errors import DataError

FILE = "answers.sqlite"
COMMIT_SECONDS = 1.0
"""What a kill can cost at most, beside the answers that are being written."""
MOST_BYTES = 4 * 2**30
"""Kept at most; what was longest not asked for goes first."""
MADE_BY_CODE = ("relay", "engines/prompts.py", "engines/commands.py")
"""Our own source that decides what an answer is: another version of it makes other keys. The engines are held to a
reference, token for token, by tests, so a faster one costs nobody an answer."""


class AnswerCache:
    """Bytes by key, in one SQLite file: a kill at any moment leaves it whole."""

    def __init__(self, path: Path, *, most_bytes: int = MOST_BYTES) -> None:
        """Open the file, or make it.

        Raises:
            DataError: it is no cache, or damaged, or the system refuses to open or to write it.
        """
        self._path, self._most_bytes = path, most_bytes
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._base = sqlite3.connect(path, timeout=60.0)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=NORMAL")
            self._base.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value BLOB, used REAL)")
        except sqlite3.OperationalError as error:  # the system's fault: what it keeps is whole
            raise DataError(f"{path} cannot be opened ({error}): see that its disk has room and that it can be "
                            "written; then run the same command again") from error
        except sqlite3.DatabaseError as error:
            raise DataError(f"{path} cannot be read ({error}): remove it; what it kept is decoded anew") from error
        self._committed, self._pending = time.monotonic(), dict[str, bytes]()

    def __len__(self) -> int:
        """How many are on disk."""
        return int(self._base.execute("SELECT count(*) FROM answers").fetchone()[0])

    def get(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The values of those keys that the cache has."""
        found: dict[str, bytes] = {}
        for start in range(0, len(keys), 500):
            part = keys[start:start + 500]
            marks = ",".join("?" * len(part))
            found |= dict(self._base.execute(f"SELECT key, value FROM answers WHERE key IN ({marks})", part))
            with self._base:
                self._base.execute(f"UPDATE answers SET used = ? WHERE key IN ({marks})", [time.time(), *part])
        return found | {key: self._pending[key] for key in keys if key in self._pending}

    def put(self, key: str, value: bytes) -> None:
        """Keep a value; what comes in quick succession is written together, at the latest at the next `commit`."""
        self._pending[key] = value
        if time.monotonic() - self._committed > COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Let nothing that was put be lost any more. Locks the file for the moment of writing only."""
        rows = [(key, value, time.time()) for key, value in self._pending.items()]
        with self._base:
            self._base.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", rows)
        self._pending.clear()
        self._committed = time.monotonic()

    def close(self) -> None:
        """Commit, and remove the oldest values if the cache is too large."""
        self.commit()
        sizes = self._base.execute("SELECT key, length(value) FROM answers ORDER BY used DESC, rowid DESC").fetchall()
        total = accumulate(size for _, size in sizes)
        with self._base:
            self._base.executemany("DELETE FROM answers WHERE key = ?", [
                (key,) for (key, _), kept in zip(sizes, total, strict=True) if kept > self._most_bytes])
        self._base.close()


@contextmanager
def answer_cache(runs: Path) -> Iterator[AnswerCache]:
    """The cache of a folder for what is resumable, closed whatever happens."""
    with closing(AnswerCache(runs / FILE)) as opened:
        yield opened


def key_of(**parts: object) -> str:
    """A key that changes with every part: what JSON holds, sections of params, dataclasses, sets, mappings."""
    return hashlib.sha256(orjson.dumps(_plain(parts), option=orjson.OPT_SORT_KEYS)).hexdigest()


@cache
def code_digest() -> str:
    """Changes with every byte of the source that decodes."""
    digest = hashlib.sha256()
    for folder in relayllm.__path__:
        parts = [Path(folder) / name for name in MADE_BY_CODE]
        for file in sorted(file for part in parts for file in (part.rglob("*.py") if part.is_dir() else [part])):
            digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def model_digest(folder: Path) -> str:
    """Changes with every byte of a model folder: weights, tokenizer, chat template and generation config."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    stamp = tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    return _digest_of(folder, stamp)


@cache
def _digest_of(folder: Path, stamp: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for name, _, _ in stamp:
        with open(name, "rb") as stream:
            digest.update(f"{Path(name).relative_to(folder)}\0".encode())
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return [type(value).__name__, {field.name: _plain(getattr(value, field.name)) for field in fields(value)}]
    if isinstance(value, BaseModel):
        return [type(value).__name__, value.model_dump()]
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(_plain(one) for one in value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value

"""Write a file or folder whole or not at all: nobody ever sees half of one."""

from __future__ import annotations

import errno
import glob
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relayllm.processes import started

FULL_NUMBERS = (errno.ENOSPC, errno.EDQUOT)
FULL = (*map(os.strerror, FULL_NUMBERS), "database or disk is full")
"""What the kernel and SQLite call a disk that is full."""

REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST,
            errno.ENOTEMPTY, errno.ENAMETOOLONG, errno.ELOOP)
"""What the system says of a path that cannot be used as it is meant."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a sibling path to write (a file, or a folder to make); rename it over `path` on success.

    Raises:
        OSError: the path cannot be written; a folder in which the command runs, or that a file would replace, stays.
    """
    if path.is_dir() and Path.cwd().is_relative_to(path.resolve()):
        raise OSError(errno.ENOTEMPTY, "this command runs inside that folder, which would be replaced", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    part, old = _free_sibling(path, "new"), _free_sibling(path, "old")
    try:
        yield part
        if path.is_dir() and not part.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if path.is_dir():  # a folder is no target for a rename unless it is empty; removing it file by file would show
            os.replace(path, old)
        os.replace(part, path)
    except OSError as error:
        if error.errno in FULL_NUMBERS or os.fsdecode(error.filename or "").startswith(str(part)):
            error.filename, error.filename2 = str(path), None  # it knows no name, or that of a part that is gone
        raise
    finally:
        _remove(part)
        _remove(old)
        _sweep(path)  # again: who was being killed when this began is gone by now


def refused_path(error: BaseException) -> str | None:
    """One line for a path that the system refuses to open or to write; None for any other error."""
    if not isinstance(error, OSError) or error.errno not in REFUSALS or not error.filename:
        return None
    return f"{os.fsdecode(error.filename)}: {error.strerror}: name another path, or change what lies there"


@contextmanager
def scratch_beside(path: Path) -> Iterator[Path]:
    """Yield a folder on the same disk as `path` that is gone afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    folder = _free_sibling(path, "scratch")
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def write_json(path: Path, value: object) -> None:
    """Write JSON that people can read and git can diff: sorted keys, two spaces, a final newline."""
    with atomic_write(path) as part:
        part.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or one behind it, says that a disk or a quota is full; libraries say it in words of theirs."""
    return any(getattr(one, "errno", None) in FULL_NUMBERS or names_full_disk(str(one)) for one in _chain(error))


def names_full_disk(text: str) -> bool:
    """Whether a text holds the words of the kernel or of SQLite for a disk that is full."""
    return any(words in text for words in FULL)


def disk_full_message(error: BaseException) -> str:
    """One line for whoever must make room: the file that did not fit where that is known, else what was said."""
    names = [os.fsdecode(one.filename) for one in _chain(error) if isinstance(one, OSError) and one.filename]
    where = f"for {names[0]}" if names else f"({str(error).splitlines()[0]})"
    return f"no space left on the disk {where}: free some and run the same command again"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those behind it."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _free_sibling(path: Path, kind: str) -> Path:
    sibling = path.with_name(f".{path.name}.{_writer(os.getpid())}.{kind}.part")
    _remove(sibling)
    return sibling


def _sweep(path: Path) -> None:
    """Remove what processes that were killed in the middle left beside a path."""
    prefix = f".{path.name}."
    for left in path.parent.glob(f"{glob.escape(prefix)}*.part"):
        writer = left.name.removeprefix(prefix).partition(".")[0]
        process = writer.partition("-")[0]
        if process.isdecimal() and _writer(int(process)) != writer:
            _remove(left)


def _writer(process: int) -> str:
    """The name of a running process; "" when it is gone."""
    begun = started(process)
    return f"{process}-{begun}" if begun else ""


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

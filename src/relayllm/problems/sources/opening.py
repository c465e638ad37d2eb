"""The bytes of a file of problems: unpacked where it is compressed, refused where they are those of something else."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from relayllm.errors import DataError

BLOCK = 1 << 20
HEAD = 64
"""Bytes at the beginning that say what a file is."""


def open_bytes(path: Path) -> IO[bytes]:
    """The bytes of a file of text, unpacked where it is compressed, as a stream.

    Raises:
        DataError: the first bytes are those of another kind of file, or of text that is not UTF-8.
    """
    file = io.BufferedReader(PACKED.get(path.suffix.lower(), open_plain)(path), BLOCK)
    try:
        head = file.peek(HEAD)[:HEAD]
        refuse_other(path, head)
        if b"\0" in head[:4]:
            raise DataError(f"{path}: this is text in UTF-16 or no text: save it as UTF-8")
    except BaseException:
        file.close()
        raise
    return file


def refuse_other(path: Path, head: bytes) -> None:
    """Stop at the first bytes of a file that is not what its ending says.

    Raises:
        DataError: names what it is, and what to do.
    """
    start = head.lstrip().lower()
    other = next((what for mark, what in OTHER.items() if head.startswith(mark) or start.startswith(mark)), None)
    if other is not None:
        raise DataError(f"{path}: this is {other}")


def open_plain(path: Path) -> Any:
    """The bytes as they are."""
    return path.open("rb", buffering=0)


def _open_zstd(path: Path) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")


PACKED: Mapping[str, Callable[[Path], Any]] = {".gz": gzip.open, ".zst": _open_zstd, ".xz": lzma.open, ".bz2": bz2.open}
WEB_PAGE = "a web page: download the file itself (on GitHub and the hub by its link `raw` or `download`)"
OTHER = {b"\xff\xfe": "text in UTF-16: save it as UTF-8", b"\xfe\xff": "text in UTF-16: save it as UTF-8",
         b"\x1f\x8b": "packed by gzip: end its name in .gz", b"(\xb5/\xfd": "packed by zstd: end its name in .zst",
         b"\xfd7zX": "packed by xz: end its name in .xz", b"PAR1": "Parquet: end its name in .parquet",
         b"PK\x03\x04": "a ZIP archive, as a workbook is, too: save its table as .csv, or unpack it",
         b"\xd0\xcf\x11\xe0": "a workbook of an old Excel: save its table as .csv",
         b"version https://git-lfs": "what git-lfs has in the file's place: fetch it with `git lfs pull`",
         b"<!doctype html": WEB_PAGE, b"<html": WEB_PAGE}
"""First bytes of files that are not what their ending says -> what they are, and what to do."""

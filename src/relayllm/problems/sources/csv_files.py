"""CSV and TSV files as programs write them: which mark separates their columns, and their rows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TextIO

from relayllm.errors import DataError
from relayllm.problems.sources.opening import open_bytes

LONGEST_CELL = 1 << 24
"""Characters of a cell; Python's own limit is 131,072."""
MARKS = ";\t|,"
"""What separates columns where the usual mark of the ending does not: Excel writes semicolons in half of Europe."""
NAMED_MARK = re.compile(r'"?sep=(.)"?[\r\n]*', re.IGNORECASE)
"""A first line that tells Excel the mark."""
DECIMAL_COMMA = re.compile(r"\s*[+-]?[\d.]*\d,\d+\s*")

NumberedCells = tuple[int, list[str]]


def csv_rows(path: Path, usual: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Rows under the header, each with the line it begins on; `usual` is the mark that the file's ending says.

    A line without any text is no row.

    Raises:
        DataError: not CSV, a column twice, a row with more or fewer cells than the header, or a number with a comma
            between semicolons, which may be a decimal or a thousand.
    """
    with closing(open_bytes(path)) as binary:
        text = io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")
        begun, mark = _mark(text, usual)
        header = list[str]()
        for line, cells in _records(path, begun, text, mark):
            place = f"{path}:{line}"
            if header:
                yield line, _named(place, header, cells, mark)
            else:
                header = distinct(place, _without_empty_end([name.strip() for name in cells], 0))


def distinct(place: str | Path, names: list[str]) -> list[str]:
    """Names of columns, of which none is there twice.

    Raises:
        DataError: one is.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        shown = ", ".join(name or "without a name" for name in twice)
        raise DataError(f"{place}: column {shown} is there twice: rename or remove one")
    return names


def _mark(text: TextIO, usual: str) -> tuple[list[str], str]:
    """The first lines that were read, and the mark: the one that is named, else one that parts the header.

    The header decides alone: a row that it does not fit is refused, never read into other columns.
    """
    begun = list[str]()
    for line in text:
        named = NAMED_MARK.fullmatch(line) if not begun else None
        if named:
            return ["\n"], named[1]
        begun.append(line)
        if line.strip():
            return begun, next((mark for mark in (usual, *MARKS) if _parts(line, mark) > 1), usual)
    return begun, usual


def _parts(line: str, mark: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=mark, strict=True)))
    except csv.Error:  # a header over several lines, too: then the usual mark is taken
        return 0


def _records(path: Path, begun: list[str], text: TextIO, mark: str) -> Iterator[NumberedCells]:
    csv.field_size_limit(LONGEST_CELL)
    reader, start = csv.reader(chain(begun, text), strict=True, delimiter=mark), 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield start, cells
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{start}: not CSV ({error}): a cell that begins with a quote ends with one, and "
                        "quotes in it are doubled") from error


def _without_empty_end(cells: list[str], kept: int) -> list[str]:
    """Without the empty cells that separators at a line's end make, of which `kept` cells are none."""
    end = len(cells)
    while end > kept and not cells[end - 1].strip():
        end -= 1
    return cells[:end]


def _named(place: str, header: list[str], cells: list[str], mark: str) -> Mapping[str, str]:
    cells = _without_empty_end(cells, len(header))
    if len(cells) != len(header):
        shown = {"\t": "tabs", ",": "commas"}.get(mark, repr(mark))
        raise DataError(f"{place}: {len(cells)} cells, the header has {len(header)}: quote cells that hold {shown}")
    row = dict(zip(header, cells, strict=True))
    comma = next((name for name, cell in row.items() if mark == ";" and DECIMAL_COMMA.fullmatch(cell)), None)
    if comma is not None:
        raise DataError(f"{place}: {comma} is {row[comma]!r}, in a file with semicolons a decimal or a thousand: write "
                        "decimals with a point and thousands without a mark (and a pair as `(1, 2)`)")
    return row

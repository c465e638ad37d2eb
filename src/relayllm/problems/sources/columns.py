"""Columns of a user's file as fields of a problem: mapped by params.yaml, checked, named when they do not fit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from relayllm.errors import DataError
from relayllm.problems.catalogue import own_name
from relayllm.problems.problem import Problem
from relayllm.problems.sources.records import SourceRow
from relayllm.problems.sources.values import as_json, is_nothing, readable, written_out
from relayllm.problems.sources.worked import MARK, split_worked

Columns = Mapping[str, str | Sequence[str]]
"""Field of a problem -> column, path into a nested column (`messages.0.content`), or several that are joined."""

NEEDED = ("question", "answer")
FIELDS = ("id", "question", "answer", "family", "solution", "meta")
KINDS = ("math", "choice", "text")
MISSING_TEXT = ("nan", "<na>", "nat")
"""What pandas writes where a value is missing."""
WORDS_FOR_NOTHING = ("None", "null", "NULL")
"""What other programs write there; in an answer that is graded as text they may be meant."""

TURNS = ("messages", "conversations", "conversation")
"""Columns of whole conversations."""
USUAL = {"question": ("problem", "prompt", "query", "input", "instruction"),
         "answer": ("target", "final_answer", "label", "expected_answer", "gold", "ground_truth",
                    "reward_model", "output", "solution")}


def problem_of(record: SourceRow, name: str, key: str, columns: Columns, *, grading: str = "") -> Problem:
    """A row of a user's file as a problem of the set `name`; `key` is its id where the row has none.

    `grading` stands before what the row says.

    Raises:
        DataError: a column is missing, empty or of a type that is no text; names file, line, column and type.
    """
    cells = {column: readable(cell) for column, cell in mapped(record, name, columns).items() if not is_nothing(cell)}
    cells |= {"grading": grading} if grading else {}
    question, answer = (_text(record, name, cells, field, columns) for field in NEEDED)
    meta = _meta(record, cells)
    solution = _optional(record, cells, "solution")
    if meta.get("grading", "math") == "math":
        _refuse_nothing(record, answer)
        worked, answer = _split(record, answer)
        solution = solution or worked
    problem = Problem(id=f"{name}-{_optional(record, cells, 'id') or key}", question=question, answer=answer,
                      family=own_name(_optional(record, cells, "family") or name), solution=solution, meta=meta)
    _refuse_half_characters(record, problem)
    return problem


def mapped(record: SourceRow, name: str, columns: Columns) -> dict[str, Any]:
    """The cells of a row by field: what `columns` maps under its field's name, the rest under their own."""
    sources = {field: [source] if isinstance(source, str) else list(source) for field, source in columns.items()}
    used = {path if path in record.cells else path.partition(".")[0] for paths in sources.values() for path in paths}
    cells = {column: cell for column, cell in record.cells.items() if column not in used and column not in sources}
    for field, paths in sources.items():
        found = [_at(record, name, field, path) for path in paths]
        cells[field] = found[0] if len(found) == 1 else " ".join(str(cell).strip() for cell in found
                                                                 if not is_nothing(cell))
    return cells


def _at(record: SourceRow, name: str, field: str, path: str) -> Any:
    """The cell at a path: a column of that name, else a walk into objects and lists."""
    if path in record.cells:
        return record.cells[path]
    cell: Any = record.cells
    for step in path.split("."):
        try:
            cell = cell[int(step)] if isinstance(cell, list) else cell[step]
        except (KeyError, IndexError, ValueError, TypeError):
            raise DataError(f"{record.place}: ingest.columns maps {field} of {name} to {path!r}, which this row does "
                            f"not have; its columns are {_listed(record)}") from None
    return cell


def _text(record: SourceRow, name: str, cells: Mapping[str, Any], field: str, columns: Columns) -> str:
    if field not in cells:
        given = mapped(record, name, columns)
        raise DataError(_absent(record, name, field) if field not in given else
                        f"{record.place}: {field} is {_shown(given[field])}, it must be text that is not empty")
    cell = cells[field]
    if not _is_text(cell):
        source = columns.get(field, field)
        part = _part(str(source), cell, NEEDED.index(field)) if isinstance(source, str) else None
        raise DataError(f"{record.place}: {field} is {_shown(cell)}, a {type(cell).__name__}; it must be text: convert "
                        "the column" + (f", or map a part of it (`{field}: {part}`)" if part else ""))
    if isinstance(cell, float | Decimal) and not math.isfinite(cell):
        raise DataError(f"{record.place}: {field} is {_shown(cell)}, it must be text or a finite number")
    text = _plain(cell)
    if not text or text.casefold() in MISSING_TEXT:
        raise DataError(f"{record.place}: {field} is {_shown(cell)}, it must be text that is not empty")
    return text


def _absent(record: SourceRow, name: str, field: str) -> str:
    """No such column: which there are, and the lines of params.yaml that would map them."""
    guess = {need: _guess(record, need) for need in NEEDED if need not in record.cells}
    lines = ", ".join(f"{need}: {column}" for need, column in guess.items())
    endings = record.path.name.lower()
    return (f"{record.place}: no {field}; its columns are {_listed(record)}. Map them in params.yaml: `ingest.columns: "
            f"{{{name}: {{{lines}}}}}` (a nested column by its path, as messages.0.content)"
            + "; the first line names the columns" * (".csv" in endings or ".tsv" in endings))


def _guess(record: SourceRow, need: str) -> str:
    """The column that most probably holds what is needed, with the path to the text in it."""
    place = NEEDED.index(need)
    usual = next((column for name in (need, *USUAL[need]) for column in record.cells
                  if str(column).casefold() == name), None)
    if usual is not None:
        return _part(usual, record.cells[usual], place) or usual
    parts = (_part(column, record.cells.get(column), place) for column in TURNS)
    return next(filter(None, parts), "COLUMN")


def _part(column: str, cell: Any, place: int) -> str | None:
    """Path to a text in a nested cell: of a conversation the question, or the turn behind; None: it has no parts."""
    if isinstance(cell, Mapping):
        return next((f"{column}.{name}" for name, inner in cell.items() if _is_text(inner)), None)
    if not isinstance(cell, list) or not cell:
        return None
    if not isinstance(cell[0], Mapping):
        return f"{column}.0"
    users = [index for index, turn in enumerate(cell) if {turn.get("role"), turn.get("from")} & {"user", "human"}]
    text = "content" if "content" in cell[0] else "value"
    return f"{column}.{(users or [0])[0] + place}.{text}"


def _optional(record: SourceRow, cells: Mapping[str, Any], field: str) -> str:
    """A field that a row may leave out, as text; empty where it does."""
    if field not in cells:
        return ""
    cell = cells[field]
    if field == "solution" and isinstance(cell, list) and all(isinstance(part, str) for part in cell):
        return "\n\n".join(cell)
    if not _is_text(cell) or (isinstance(cell, float | Decimal) and not math.isfinite(cell)):
        raise DataError(f"{record.place}: {field} is {_shown(cell)}, a {type(cell).__name__}; it must be text: convert "
                        "the column, rename it or leave it out")
    return _plain(cell)


def _meta(record: SourceRow, cells: Mapping[str, Any]) -> dict[str, Any]:
    """Everything else the row says, under its own names; a column `meta` that is an object is spread."""
    given = cells.get("meta", {})
    inner = given if isinstance(given, dict) else {"meta": given}
    rest = {column: cell for column, cell in cells.items() if column not in FIELDS}
    meta = {column: as_json(cell) for column, cell in {**inner, **rest}.items()}
    for column, cell in meta.items():
        try:
            json.dumps(cell, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise DataError(f"{record.place}: column {column} is {_shown(cell)}, a {type(cell).__name__}, which JSON "
                            f"cannot hold ({error}): make it text or leave it out") from error
    if "choices" in meta:
        meta["choices"] = _choices(record, meta["choices"])
        meta.setdefault("grading", "choice")
    if meta.get("grading", "math") not in KINDS:
        raise DataError(f"{record.place}: grading is {meta['grading']!r}, it must be one of {', '.join(KINDS)}")
    if not isinstance(meta.get("instruction", ""), str):
        raise DataError(f"{record.place}: instruction is {_shown(meta['instruction'])}, it must be text: what stands "
                        "behind the question and says in which form to answer")
    if "tolerance" in meta:
        meta["tolerance"] = _tolerance(record, meta["tolerance"])
    return meta


def _choices(record: SourceRow, choices: Any) -> list[str]:
    try:
        read = json.loads(choices) if isinstance(choices, str) else choices
    except json.JSONDecodeError:
        read = None
    if not isinstance(read, list) or len(read) < 2:
        inside = next((name for name, cell in choices.items() if isinstance(cell, list)), "") if isinstance(
            choices, Mapping) else ""
        raise DataError(f"{record.place}: choices is {choices!r:.80}, it must be a JSON list of at least two options"
                        + (f": map a part of it (`choices: choices.{inside}`)" if inside else ""))
    return [str(option) for option in read]


def _tolerance(record: SourceRow, given: Any) -> float:
    try:
        tolerance = float(given)
    except (TypeError, ValueError):
        tolerance = math.nan
    if not 0 <= tolerance < 1:
        raise DataError(f"{record.place}: tolerance is {given!r:.80}, it must be a share of the gold number from 0 to "
                        "1 (rename the column if it means something else)")
    return tolerance


def _refuse_half_characters(record: SourceRow, problem: Problem) -> None:
    """JSON can spell half of an emoji, which no file of text can hold."""
    try:
        json.dumps(asdict(problem), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):x}"
        raise DataError(f"{record.place}: a character is cut in two ({half} alone): write the text anew from its "
                        "source") from error


def _refuse_nothing(record: SourceRow, answer: str) -> None:
    if answer in WORDS_FOR_NOTHING:
        raise DataError(f"{record.place}: answer is {answer!r}, which programs write for a missing value; where it is "
                        "meant, add a column grading that says text")


def _split(record: SourceRow, answer: str) -> tuple[str, str]:
    try:
        return split_worked(answer)
    except ValueError as error:
        raise DataError(f"{record.place}: {error}: GSM8K's own file ends each answer in `{MARK} 18`") from error


def _is_text(cell: Any) -> bool:
    return isinstance(cell, str | int | float | Decimal) and not isinstance(cell, bool)


def _plain(cell: str | int | float | Decimal) -> str:
    return written_out(cell) if isinstance(cell, float | Decimal) else str(cell).strip()


def _shown(cell: Any) -> str:
    return f"{cell!r:.80}"


def _listed(record: SourceRow) -> str:
    return ", ".join(map(str, record.cells)) or "none"

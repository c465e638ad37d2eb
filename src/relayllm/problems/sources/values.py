"""Values of tables as text and as JSON, where there is one way to write them: decimals, dates, text held as bytes."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def readable(cell: object) -> object:
    """A cell with text that a table holds as bytes decoded; bytes that are no text stay bytes."""
    if not isinstance(cell, bytes):
        return cell
    try:
        return cell.decode("utf-8")
    except UnicodeDecodeError:
        return cell


def is_nothing(cell: object) -> bool:
    """Whether a cell holds no value: None, empty text, or not a number."""
    return cell is None or cell == "" or (isinstance(cell, float | Decimal) and math.isnan(cell))


def written_out(number: float | Decimal) -> str:
    """A finite number with all its digits and no exponent: 18.0 is 18, 1e-07 is 0.0000001."""
    exact = number if isinstance(number, Decimal) else Decimal(repr(number))
    return "0" if exact == 0 else f"{exact.normalize():f}"


def as_json(cell: object) -> object:
    """What JSON holds of a value: times as ISO 8601, decimals as numbers; anything else is returned as it is."""
    cell = readable(cell)
    if isinstance(cell, Mapping):
        return {name: as_json(each) for name, each in cell.items()}
    if isinstance(cell, list | tuple):
        return [as_json(each) for each in cell]
    if isinstance(cell, Decimal) and cell.is_finite():
        return int(cell) if cell == cell.to_integral_value() else float(cell)
    return cell.isoformat() if isinstance(cell, datetime.date | datetime.time) else cell


def shortest_floats(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch in which a float32 0.1 is 0.1, and not the 0.10000000149011612 that widening makes of it."""
    import pyarrow as pa

    narrow = (pa.float32(), pa.float16())
    columns = [column.cast(pa.string()).cast(pa.float64()) if column.type in narrow else column
               for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)

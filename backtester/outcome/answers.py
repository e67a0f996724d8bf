"""Answers as CSV, JSON and Parquet: for machines, every row, instants in UTC.

Place in the flow: `bt sql` and `bt query` write what `ask` answers. Rows pass through a batch at a time. Never rounds a number.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from backtester.atomic import commit
from backtester.errors import OutputError, UsageError
from backtester.outcome.ask import Answer

INSTANT = "%Y-%m-%dT%H:%M:%S%.f"
_NESTED = (pl.List, pl.Array, pl.Struct, pl.Object)


def limited(answer: Answer, limit: int | None) -> Iterator[pl.DataFrame]:
    """The answer's frames up to `limit` rows in all; every row where it is None."""
    left = limit
    for rows in answer:
        yield rows if left is None else rows.head(left)
        left = None if left is None else left - rows.height
        if left is not None and left <= 0:
            return


def write_csv(answer: Answer, write: Callable[[str], object], limit: int | None = None) -> None:
    """A line of names, then a line a row: nothing for null, instants as 2025-07-02T13:30:00Z, lists and structs as JSON."""
    write(texts(pl.DataFrame(schema=answer.schema)).write_csv())
    for rows in limited(answer, limit):
        write(texts(rows).write_csv(include_header=False))


def write_json(answer: Answer, write: Callable[[str], object], limit: int | None = None) -> None:
    """A list of objects, one a line, in ASCII: null also for a number that is none (NaN, infinite), instants as in CSV."""
    before = "[\n  "
    for rows in limited(answer, limit):
        for row in rows.with_columns(_instants(rows)).iter_rows(named=True):
            write(before + json.dumps(_plain(row), allow_nan=False))
            before = ",\n  "
    write("[]\n" if before.startswith("[") else "\n]\n")


def write_parquet(answer: Answer, path: Path, *, force: bool = False, limit: int | None = None) -> int:
    """A Parquet file, whole or not at all; returns its rows. OutputError where it stands already and not `force`, or cannot be written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = path.expanduser()
    if place.is_dir():
        raise OutputError("the file's place is a folder", where=str(path), action="choose another name")
    if place.exists() and not force:
        raise OutputError("the file stands already", where=str(path), action="choose another name, or use --force")
    if not place.absolute().parent.is_dir():
        raise OutputError("the file's folder does not exist", where=str(place.parent), action="make it first")
    written = 0

    def write(temporary: Path) -> None:
        nonlocal written
        schema = pl.DataFrame(schema=answer.schema).to_arrow().schema
        with pq.ParquetWriter(temporary, schema, compression="zstd") as file:
            for rows in limited(answer, limit):
                file.write_table(rows.to_arrow().cast(schema))
                written += rows.height

    try:
        commit(place.absolute(), write)
    except pa.ArrowException as error:
        raise UsageError("Parquet has no such kind of values", value=str(error).splitlines()[0], action="cast the column") from error
    return written


def texts(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows as CSV holds them."""
    nested = [name for name, dtype in rows.schema.items() if isinstance(dtype, _NESTED)]
    binary = [name for name, dtype in rows.schema.items() if dtype == pl.Binary]
    made = rows.with_columns(_instants(rows)).with_columns(pl.col(name).bin.encode("hex") for name in binary)
    words = (pl.Series(name, [None if v is None else json.dumps(_plain(v)) for v in made[name].to_list()], pl.String) for name in nested)
    return made.with_columns(words)


def _instants(rows: pl.DataFrame) -> list[pl.Expr]:
    """Columns of instants as ISO text: those of a time zone in UTC with a Z, others as they stand."""
    return [
        (pl.col(name).dt.convert_time_zone("UTC").dt.strftime(INSTANT + "Z") if dtype.time_zone else pl.col(name).dt.strftime(INSTANT))
        for name, dtype in rows.schema.items()
        if isinstance(dtype, pl.Datetime)
    ]


def _plain(value: Any) -> Any:
    """A value as JSON holds it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, pl.Series)):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z") if value.tzinfo else value.isoformat()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)

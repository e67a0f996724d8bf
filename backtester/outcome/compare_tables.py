"""Two tables of one kind beside each other: which rows only one has, which differ, and the first of them with what stands before it.

Place in the flow: compare.py calls it for tables whose digests differ. Never knows what a stage is, nor where a table came from.

Rows are paired by what they are about (time, strategy, symbol, ...; see KEYS), the n-th of equal ones with the n-th, so that one row
more in the middle is one row more, and not a difference in every row after it. Ids only count where all else is equal: they follow
from the rows before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from backtester.outcome.compare_cells import Given, of_column
from backtester.table import Table

KEYS = {
    "orders": ("ts", "strategy", "symbol", "side", "type"),
    "fills": ("ts", "strategy", "symbol", "side", "type"),
    "ambiguity": ("ts", "strategy", "symbol", "type"),
    "trades": ("entry_ts", "strategy", "symbol", "direction"),
}
"""What pairs the rows of a table, where it is not the table's own key."""
IDS = ("order_id", "trade_id")
BEFORE = 3
"""Rows of context before the first that differs."""
_ROW, _NTH, _B = "row nr", "nth", " of b"


@dataclass(frozen=True)
class FirstRow:
    """The first row that differs: `columns` hold other values (none where a side lacks the row); moved: both have it, in another order.

    row_a, row_b: its number in each table, from 0, None where the side lacks it; before_a, before_b: the rows before it.
    """

    columns: tuple[str, ...]
    row_a: int | None
    row_b: int | None
    a: dict[str, Any] | None
    b: dict[str, Any] | None
    before_a: list[dict[str, Any]] = field(default_factory=list)
    before_b: list[dict[str, Any]] = field(default_factory=list)
    moved: bool = False


@dataclass(frozen=True)
class TableDifference:
    """How two tables differ; `largest` holds of each column that differs within its tolerance how far it does at most.

    foreign_a, foreign_b: columns that only this side has, or that hold another kind of value on the other.
    """

    table: str
    rows_a: int
    rows_b: int
    only_a: int
    only_b: int
    changed: int
    first: FirstRow | None
    largest: dict[str, float] = field(default_factory=dict)
    foreign_a: tuple[str, ...] = ()
    foreign_b: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """True where nothing differs beyond its tolerance."""
        return self.first is None and not self.foreign_a and not self.foreign_b


def compare_tables(table: Table, a: pl.DataFrame, b: pl.DataFrame, given: Given, *, count_ids: bool = True) -> TableDifference:
    """Both sides' rows paired and compared, in the order of the tables. Timings are left out, and ids where they do not count."""
    foreign = tuple(
        tuple(name for name, dtype in one.items() if other.get(name) != dtype)
        for one, other in ((a.schema, b.schema), (b.schema, a.schema))
    )
    names = [name for name in table.digested if name in a.columns and name not in foreign[0]]
    keys = [name for name in KEYS.get(table.name, table.key) if name in names]
    values = [name for name in names if name not in keys]
    joined = _paired(a.select(names), b.select(names), keys)
    differs = {name: ~of_column(table, table.column(name), given).cells(name, name + _B) for name in values}
    both = pl.col(_ROW).is_not_null() & pl.col(_ROW + _B).is_not_null()
    marks = joined.with_columns(**{name: both & differs[name] for name in values}, missing=~both)
    ids = [name for name in values if name in IDS]
    rest = marks.filter(pl.any_horizontal("missing", *[name for name in values if name not in ids]))
    by_ids = count_ids and not len(rest) and bool(ids)
    rest = marks.filter(pl.any_horizontal(ids)) if by_ids else rest.with_columns(pl.lit(False).alias(name) for name in ids)
    first = _first(rest, joined, values, a, b) if len(rest) else _moved(joined, a, b)
    return TableDifference(
        table.name, len(a), len(b),
        int(rest[_ROW + _B].null_count()), int(rest[_ROW].null_count()), int((~rest["missing"]).sum()), first,
        {} if first else _largest(table, joined.filter(both), values), *foreign,
    )  # fmt: skip


def _paired(a: pl.DataFrame, b: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """One row a pair, or a row that only one side has, in the order in which they stand; b's columns end in ` of b`."""
    if len(a) == len(b) and a.select(keys).equals(b.select(keys)):
        other = b.drop(keys).rename(lambda name: name + _B)
        rows = [pl.int_range(len(a), eager=True, dtype=pl.UInt32).alias(name) for name in (_ROW, _ROW + _B)]
        return a.hstack(other).hstack(rows).with_columns(place=rows[0].cast(pl.Float64))
    twice = any(side.select(keys).is_duplicated().any() for side in (a, b))
    nth = (pl.int_range(pl.len()).over(keys) if twice else pl.lit(0)).cast(pl.Int64).alias(_NTH)
    left, right = (side.with_row_index(_ROW).with_columns(nth) for side in (a, b))
    joined = left.join(right, on=[*keys, _NTH], how="full", suffix=_B, nulls_equal=True, maintain_order="left_right")
    # A row that only b has stands where b's rows before it stand in a.
    beside = joined.sort(_ROW + _B, nulls_last=True, maintain_order=True).with_columns(
        place=pl.when(pl.col(_ROW).is_not_null()).then(pl.col(_ROW)).otherwise(pl.col(_ROW).cum_max().forward_fill() + 0.5).fill_null(-1.0)
    )
    return beside.sort("place", _ROW + _B, nulls_last=True, maintain_order=True)


def _first(rest: pl.DataFrame, joined: pl.DataFrame, values: Sequence[str], a: pl.DataFrame, b: pl.DataFrame) -> FirstRow:
    """The first row that differs; where each side has one that the other lacks at the same place, both are shown."""
    row = rest.row(0, named=True)
    at_a, at_b = row[_ROW], row[_ROW + _B]
    if at_a is None or at_b is None:
        lacking = rest.filter(pl.col(_ROW if at_b is None else _ROW + _B).is_null())
        if len(lacking) and lacking["place"][0] < row["place"] + 1:
            at_a, at_b = (at_a, lacking[_ROW + _B][0]) if at_b is None else (lacking[_ROW][0], at_b)
    earlier = joined.filter(pl.col("place") < row["place"])
    columns = tuple(name for name in values if row[name])
    return FirstRow(columns, at_a, at_b, _row(a, at_a), _row(b, at_b), _before(a, earlier[_ROW]), _before(b, earlier[_ROW + _B]))


def _moved(joined: pl.DataFrame, a: pl.DataFrame, b: pl.DataFrame) -> FirstRow | None:
    """The first row that stands elsewhere in b, where both have the same rows; None where all stand in the same order."""
    moved = joined.filter(pl.col(_ROW) != pl.col(_ROW + _B))
    if not len(moved):
        return None
    at = int(moved[_ROW][0])
    before = joined[_ROW].filter(joined[_ROW] < at)
    return FirstRow((), at, at, _row(a, at), _row(b, at), _before(a, before), _before(b, before), moved=True)


def _row(side: pl.DataFrame, at: int | None) -> dict[str, Any] | None:
    return None if at is None else side.row(at, named=True)


def _before(side: pl.DataFrame, earlier: pl.Series) -> list[dict[str, Any]]:
    """The last of a side's rows of these numbers, in order."""
    end = int(earlier.max()) + 1 if earlier.count() else 0  # type: ignore[arg-type]  # a row's number
    return side.slice(max(0, end - BEFORE), min(BEFORE, end)).to_dicts()


def _largest(table: Table, pairs: pl.DataFrame, values: Sequence[str]) -> dict[str, float]:
    """How far the numbers of each column are apart at most, where they are at all."""
    numbers = [name for name in values if table.column(name).dtype == pl.Float64]
    if not numbers or not len(pairs):
        return {}
    apart = pairs.select((pl.col(name) - pl.col(name + _B)).abs().fill_nan(None).max() for name in numbers).row(0, named=True)
    return {name: far for name, far in apart.items() if far}

"""Explain: the first session that differs, made again on both sides, down to interval, symbol, bar and column.

Place in the flow: `bt diff --explain`, after the folders themselves were compared: of bars, indicators and signals these hold digests
and no rows. Where a session does not come out as it did in its run (files, sources or the program have changed since), that is said.
Never compares what the folders hold, and never writes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from backtester import schema
from backtester.errors import BacktesterError
from backtester.outcome.compare import Comparison, Side
from backtester.outcome.compare_tables import TableDifference, compare_tables
from backtester.outcome.compare_text import difference, jsonable, row_lines
from backtester.recompute import Recomputed, recompute
from backtester.seen import FORM
from backtester.table import Column, Table

SEEN = Table(
    "seen",
    "one value that a strategy saw on a bar of an input",
    ("strategy", "input", "symbol", "ts", "kind", "name"),
    tuple(Column(name, dtype, name, empty=name == "value") for name, dtype in FORM.items()),
)


@dataclass(frozen=True)
class Explanation:
    """What came out; reason: why nothing was made again, "" where it was.

    tables: (what of, how it differs), as one follows from another.
    """

    session: str | None
    reason: str = ""
    warnings: tuple[str, ...] = ()
    tables: tuple[tuple[str, TableDifference], ...] = ()

    def lines(self) -> list[str]:
        """In words."""
        if self.reason:
            return [f"not made again: {self.reason}"]
        said = [f"made again on both sides: session {self.session}", *(f"  note: {sentence}" for sentence in self.warnings)]
        for name, table in self.tables:
            said += ["", f"{name}: {difference(table).partition(': ')[2]}"]
            said += [] if table.first is None else row_lines(table.table, table.first, "")
        if not self.tables:
            said.append("  made by this program from what is there now, both sides have the same columns: the difference came from what "
                        "is not there any more, or from the program")  # fmt: skip
        return said

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        found: dict[str, Any] = jsonable(asdict(self) | {"tables": [{"of": name, **asdict(table)} for name, table in self.tables]})
        return found


def explain(found: Comparison) -> Explanation:
    """Make the first session that differs before any decision again; what cannot be made again is a reason, not an error."""
    stage, session = _place(found)
    if session is None:
        return Explanation(None, stage)
    sides: list[Recomputed] = []
    for name, side in (("a", found.a), ("b", found.b)):
        assert side.run is not None
        try:
            sides.append(recompute(side.run, dt.date.fromisoformat(session)))
        except BacktesterError as error:
            return Explanation(session, f"session {session} of {name}: {error.message()}")
    a, b = sides
    warnings = tuple(f"{name}: {sentence}" for name, side in (("a", a), ("b", b)) for sentence in side.warnings)
    tables = tuple((name, table) for name, table in _tables(found, a, b) if not table.same)
    return Explanation(session, "", warnings, tables)


def _place(found: Comparison) -> tuple[str, str | None]:
    """The first session that both runs have and whose stages before the decisions differ; else None, and why there is none."""
    if found.first is None:
        return "nothing differs", None
    both = set.intersection(*({str(row[0]) for row in side.manifest["calendar"]["rows"]} for side in (found.a, found.b)))
    for stage in (stage for stage in found.stages if stage.name in schema.STAGES):
        common = [label for label in stage.sessions if label in both]
        if common:
            return stage.name, min(common)
    if found.first.name == "calendar":
        return "the sessions that both runs have are the same up to the signals", None
    return "up to the signals both runs are the same; the rows above are all that is behind them", None


def _tables(found: Comparison, a: Recomputed, b: Recomputed) -> Iterator[tuple[str, TableDifference]]:
    """Bars by interval, quality, indicators, what each strategy saw, signals."""
    intervals = dict.fromkeys([*a.bars["interval"].unique(maintain_order=True), *b.bars["interval"].unique(maintain_order=True)])
    base = {a.setup.needs.base, b.setup.needs.base}
    for interval in sorted(intervals, key=lambda name: name not in base):
        one, other = (_common(found, side.bars.filter(pl.col("interval") == interval)) for side in (a, b))
        yield f"bars of {interval}", compare_tables(schema.KEPT_BARS, one, other, {})
    for name, table, frames in (
        ("quality", schema.QUALITY, (a.quality, b.quality)),
        ("indicators", schema.KEPT_INDICATORS, (a.indicators, b.indicators)),
        *((f"what {name} saw", SEEN, (a.seen(name), b.seen(name))) for name in a.setup.names if name in b.setup.names),
        ("signals", schema.KEPT_SIGNALS, (a.signals, b.signals)),
    ):
        yield name, compare_tables(table, _common(found, frames[0]), _common(found, frames[1]), {})


def _common(found: Comparison, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of symbols and strategies that both runs have; all where they have none in common."""
    for column, names in (("symbol", _symbols), ("strategy", _strategies)):
        both = names(found.a) & names(found.b)
        if column in rows.columns and both:
            rows = rows.filter(pl.col(column).cast(pl.String).is_in(sorted(both)))
    texts = [name for name, dtype in rows.schema.items() if dtype == pl.Enum]
    return rows.with_columns(pl.col(texts).cast(pl.String))


def _symbols(side: Side) -> set[str]:
    return set(side.manifest["config"]["resolved"]["session_data_config"]["symbols"])


def _strategies(side: Side) -> set[str]:
    return {str(one["name"]) for one in side.manifest["strategies"]}

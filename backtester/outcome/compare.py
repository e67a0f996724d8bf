"""Two runs beside each other: the first stage that differs, the first session and row there, and what can be the cause.

Place in the flow: `bt diff` and the checks of baselines call `compare`. Knows only the folders of finished runs, their tables and
manifests; never runs anything.

    calendar                        the manifests' rows                     -> the first session that differs
    bars ... signals                the table `digests`, one a session      -> the first session; a row where both runs kept the columns
    decisions ... equity            the tables themselves                   -> the first row, with the rows before it
    metrics                         metrics.json, figure by figure
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from backtester.outcome.compare_causes import STAGES as STAGES
from backtester.outcome.compare_causes import Cause, causes, flat
from backtester.outcome.compare_cells import Given, equal, of_figure
from backtester.outcome.compare_tables import TableDifference, compare_tables
from backtester.outcome.run import Run
from backtester.schema import KEPT_TABLES, RUN_TABLES
from backtester.schema import STAGES as HASHED

TABLES_OF = {
    "quality": ("quality", "gaps", "findings"),
    "decisions": ("decisions",),
    "orders": ("orders",),
    "fills": ("fills", "ambiguity"),
    "trades": ("trades",),
    "equity": ("equity", "sessions", "rolling"),
}
"""The tables that show a stage."""
KEPT_OF = {"bars": "bars", "derived": "bars", "indicators": "indicators", "signals": "signals"}
"""The tables that show a stage where both runs kept them."""


@dataclass(frozen=True)
class Stage:
    """One stage of both runs. sessions: labels of those that differ; tables: those that were compared and differ, or nearly do.

    figures: of the metrics, (name, a, b) where they differ.
    """

    name: str
    same: bool
    sessions: tuple[str, ...] = ()
    tables: tuple[TableDifference, ...] = ()
    figures: tuple[tuple[str, Any, Any], ...] = ()

    @property
    def first_session(self) -> str | None:
        """The first session that differs."""
        return min(self.sessions, default=None)

    @property
    def first_table(self) -> TableDifference | None:
        """The table with the first row that differs."""
        return next((table for table in self.tables if not table.same), None)


@dataclass(frozen=True)
class Side:
    """One of the two that are compared: where it is, its key, what it came from as a manifest says it; its run, where it has a folder."""

    place: str
    result_key: str
    manifest: Mapping[str, Any]
    run: Run | None = None

    @classmethod
    def of(cls, run: Run) -> Side:
        """A run as a side."""
        return cls(str(run.folder), run.result_key, run.manifest, run)


@dataclass(frozen=True)
class Comparison:
    """What was found; `scope` says of what the rows were compared, where the runs trade different symbols or strategies."""

    a: Side
    b: Side
    stages: tuple[Stage, ...]
    causes: tuple[Cause, ...]
    scope: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def same(self) -> bool:
        """True where no stage differs."""
        return all(stage.same for stage in self.stages)

    @property
    def first(self) -> Stage | None:
        """The first stage that differs."""
        return next((stage for stage in self.stages if not stage.same), None)

    @property
    def with_row(self) -> Stage | None:
        """The first stage of which a row that differs is known."""
        return next((stage for stage in self.stages if stage.first_table is not None), None)


@dataclass(frozen=True)
class _Pair:
    """Two runs, and what both of them have: None where they have the same, or nothing in common."""

    a: Run
    b: Run
    given: Given
    symbols: frozenset[str] | None
    strategies: frozenset[str] | None
    sessions: frozenset[str] | None

    @property
    def both(self) -> tuple[Run, Run]:
        return self.a, self.b


def compare(a: Run, b: Run, given: Given, idle: Sequence[tuple[str, ...]] = ()) -> Comparison:
    """Compare two runs stage by stage. `given` are tolerances, `idle` the config's keys that cannot influence a result.

    Raises DataError where a table cannot be read.
    """
    pair = _Pair(a, b, given, *(_common(*(names(side) for side in (a, b))) for names in (_symbols, _strategies, _sessions)))
    digests = [run.table("digests").with_columns(pl.col("session").cast(pl.String)) for run in (a, b)]
    stages = [calendar_stage(a.manifest, b.manifest)]
    stages += [_hashed(pair, name, digests) for name in HASHED]
    stages += [_stored(pair, name) for name in TABLES_OF if name not in HASHED]
    stages.append(metrics_stage(a.metrics, b.metrics, given))
    first = next((stage.name for stage in stages if not stage.same), None)
    found = tuple(causes(a.manifest, b.manifest, idle, first))
    return Comparison(Side.of(a), Side.of(b), tuple(stages), found, _scope(pair), tuple(_notes(pair)))


def _symbols(run: Run) -> frozenset[str]:
    return frozenset(run.manifest["config"]["resolved"]["session_data_config"]["symbols"])


def _strategies(run: Run) -> frozenset[str]:
    return frozenset(str(one["name"]) for one in run.manifest["strategies"])


def _sessions(run: Run) -> frozenset[str]:
    return frozenset(str(row[0]) for row in run.manifest["calendar"]["rows"])


def _common(a: frozenset[str], b: frozenset[str]) -> frozenset[str] | None:
    """What both have; None where they have the same, or nothing in common: then all rows are compared."""
    return None if a == b else a & b or None


def _scope(pair: _Pair) -> str:
    """What rows are compared of, in words; "" where both runs trade the same."""
    said = []
    for noun, common, names in (("symbols", pair.symbols, _symbols), ("strategies", pair.strategies, _strategies)):
        if common is not None:
            only = [", ".join(sorted(names(side) - common)) or "none" for side in pair.both]
            said.append(f"the {noun} of both runs: {', '.join(sorted(common))} (only in a: {only[0]}; only in b: {only[1]})")
    if pair.sessions is not None:
        counts = [len(_sessions(side) - pair.sessions) for side in pair.both]
        said.append(f"the {len(pair.sessions)} sessions of both runs ({counts[0]} only in a, {counts[1]} only in b)")
    return " and ".join(said)


def _notes(pair: _Pair) -> Iterator[str]:
    """What a reader should know before the rest: a run that is incomplete, a table that only one side has."""
    for name, run, other in (("a", pair.a, pair.b), ("b", pair.b, pair.a)):
        yield from (f"{name}: {text}" for text in run.manifest["execution"].get("warnings", ()) if text.startswith("incomplete"))
        yield from (f"{name} has no table {table}, which is not compared" for table in other.tables
                    if table in RUN_TABLES and table not in run.tables)  # fmt: skip


def calendar_stage(one: Mapping[str, Any], other: Mapping[str, Any]) -> Stage:
    """Sessions of two manifests by label; breaks and early marks are in the digest alone."""
    a, b = one["calendar"], other["calendar"]
    left, right = ({str(row[0]): row[1:] for row in side["rows"]} for side in (a, b))
    differ = tuple(label for label in sorted({*left, *right}) if left.get(label) != right.get(label))
    return Stage("calendar", not differ and a["digest"] == b["digest"], differ)


def _hashed(pair: _Pair, name: str, digests: Sequence[pl.DataFrame]) -> Stage:
    """A stage by its digests, and by rows where there are tables of it: rows within tolerance make up for a digest."""
    left, right = (dict(frame.filter(pl.col("stage") == name).select("session", "digest").iter_rows()) for frame in digests)
    labels = pair.sessions or {*left, *right}
    differ = tuple(label for label in sorted(labels) if left.get(label) != right.get(label))
    names = TABLES_OF.get(name, ()) + ((KEPT_OF[name],) if name in KEPT_OF and differ else ())
    tables = _tables(pair, names, _interval(pair, name))
    kept = name in KEPT_OF and tables and not _lacking(pair, KEPT_OF[name])
    nearly = bool(kept) and all(table.same for table in tables)
    return Stage(name, (not differ or nearly) and all(table.same for table in tables), () if nearly else differ, tables)


def _lacking(pair: _Pair, table: str) -> list[str]:
    return [name for name, run in zip("ab", pair.both, strict=True) if table not in run.tables]


def _interval(pair: _Pair, stage: str) -> pl.Expr | None:
    """Of the kept bars those of the base, or those derived from it."""
    if stage not in ("bars", "derived"):
        return None
    base = next((stream["stream"] for stream in pair.a.manifest["data"]["streams"] if stream["mark"] == "STREAMED"), "1m")
    return pl.col("interval") == base if stage == "bars" else pl.col("interval") != base


def _stored(pair: _Pair, name: str) -> Stage:
    """A stage by its tables."""
    tables = _tables(pair, TABLES_OF[name], None)
    first = next((table.first for table in tables if table.first is not None), None)
    row = None if first is None else _earlier(pair, first.a, first.b)
    return Stage(name, all(table.same for table in tables), () if row is None else (row,), tables)


def _tables(pair: _Pair, names: Sequence[str], only: pl.Expr | None) -> tuple[TableDifference, ...]:
    """The tables of these names that differ, or differ within tolerance."""
    found = []
    for name in names:
        if _lacking(pair, name):
            continue
        digests = [run.manifest["results"]["tables"][name]["digest"] for run in pair.both]
        if digests[0] == digests[1]:
            continue
        sides = [_scoped(run.table(name), pair, only) for run in pair.both]
        one = compare_tables((RUN_TABLES | KEPT_TABLES)[name], sides[0], sides[1], pair.given, count_ids=not _scope(pair))
        if not one.same or one.largest:
            found.append(one)
    return tuple(found)


def _scoped(rows: pl.DataFrame, pair: _Pair, only: pl.Expr | None) -> pl.DataFrame:
    """The rows of what both runs have; of trades those that were entered in a session of both."""
    for column, common in (("symbol", pair.symbols), ("strategy", pair.strategies)):
        if common is not None and column in rows.columns:
            rows = rows.filter(pl.col(column).is_in(sorted(common)))
    if pair.sessions is not None:
        labels = rows["session"].cast(pl.String) if "session" in rows.columns else labels_of(rows, pair.a.manifest, pair.b.manifest)
        rows = rows.filter(labels.is_in(sorted(pair.sessions)))
    return rows if only is None else rows.filter(only)


def labels_of(rows: pl.DataFrame, *manifests: Mapping[str, Any]) -> pl.Series:
    """The session of each row of a table without such a column, by `entry_ts`, else by `ts`: the last that had opened by then."""
    calendar = sorted({(str(opened), str(label)) for manifest in manifests for label, opened, _ in manifest["calendar"]["rows"]})
    opens = pl.Series([opened for opened, _ in calendar], dtype=pl.String).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us")
    instants = rows["entry_ts" if "entry_ts" in rows.columns else "ts"].dt.replace_time_zone(None)
    place = np.searchsorted(opens.to_numpy(), instants.to_numpy(), side="right") - 1
    return pl.Series([calendar[number][1] for number in place.tolist()], dtype=pl.String)


def _earlier(pair: _Pair, *rows: dict[str, Any] | None) -> str | None:
    """The earlier session of two rows; of a trade that of its entry."""
    found = []
    for row, run in zip(rows, pair.both, strict=True):
        if row is not None:
            found.append(str(row["session"]) if "session" in row else str(labels_of(pl.DataFrame([row], orient="row"), run.manifest)[0]))
    return min(found, default=None)


def metrics_stage(one: Mapping[str, Any], other: Mapping[str, Any], given: Given) -> Stage:
    """Figures that differ beyond their tolerance; one that only one side has is null on the other."""
    left, right = dict(flat(one)), dict(flat(other))
    differ = []
    for name in dict.fromkeys([*left, *right]):
        a, b = left.get(name), right.get(name)
        if not equal(a, b, of_figure(name, given)):
            differ.append((name.removeprefix("/"), a, b))
    return Stage("metrics", not differ, figures=tuple(differ))

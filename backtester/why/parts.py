"""Parts: a whole run's base bars, signals and decisions, some sessions at a time: kept by the run, else computed again.

Place in the flow: under the passes over a run. Memory holds one part. Never trades.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from backtester import keeping
from backtester.outcome.run import Run
from backtester.planning import MOST_SESSIONS_A_PART
from backtester.recompute import Whole, recompute_all
from backtester.why.moment import base_of


@dataclass(frozen=True)
class Part:
    """Some sessions in a row: their bars of the base interval, signals and decisions, in the form of schema.py."""

    bars: pl.DataFrame
    signals: pl.DataFrame
    decisions: pl.DataFrame


@dataclass
class Parts:
    """All parts of a run, in order; go over them once. warnings: complete after that. again: None where the run kept what is needed."""

    run: Run
    again: Whole | None
    warnings: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Part]:
        yield from self._kept() if self.again is None else self._again(self.again)

    def _kept(self) -> Iterator[Part]:
        sessions = self.run.table("sessions")["session"].to_list()
        base = pl.col("interval") == base_of(self.run)
        for first in range(0, len(sessions), MOST_SESSIONS_A_PART):
            span = sessions[first : first + MOST_SESSIONS_A_PART]
            yield Part(*(self._read(name, span, base if name == "bars" else None) for name in ("bars", "signals", "decisions")))

    def _again(self, whole: Whole) -> Iterator[Part]:
        differ: dict[str, dt.date] = {}
        for part in whole:
            for stage, session in part.digests.filter(~pl.col("equal")).select("stage", "session").iter_rows():
                differ.setdefault(stage, session)
            span = part.prepared.sessions.label.astype("datetime64[D]").tolist()
            bars = keeping.bars_of(part.prepared, [whole.setup.needs.base])
            yield Part(_as_text(bars), _as_text(part.signals), self._read("decisions", span))
        self.warnings += [
            f"computed again, {stage} differ from the run's own digests from session {day} on" for stage, day in differ.items()
        ]

    def _read(self, table: str, span: list[dt.date], which: pl.Expr | None = None) -> pl.DataFrame:
        rows = pl.scan_parquet(self.run.folder / f"{table}.parquet", glob=False).filter(pl.col("session").is_between(span[0], span[-1]))
        return (rows if which is None else rows.filter(which)).collect(engine="in-memory")


def _as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """With words as text, as a table that was read has them."""
    return frame.with_columns(pl.col(name).cast(pl.String) for name, dtype in frame.schema.items() if dtype == pl.Enum)


def parts_of(run: Run, lake: Path | None) -> Parts:
    """The parts of a run. Raises what stands in the way where the run kept no columns and they cannot be computed again."""
    if {"bars", "signals"} <= set(run.tables):
        return Parts(run, None)
    again = recompute_all(run, lake)
    return Parts(run, again, list(again.changes))

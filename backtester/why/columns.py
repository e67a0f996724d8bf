"""Columns: a session's bars, signals and what strategies saw: those that the run kept, else computed again.

Place in the flow: between a finished run and its explanations. What the run kept is believed; what it did not is computed again,
once, and where that cannot be done the kept tables must do. Never trades.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from backtester.errors import BacktesterError
from backtester.outcome.run import Run
from backtester.planning import setup
from backtester.recompute import Recomputed, config_of, recompute
from backtester.schema import KEPT_TABLES, empty


@dataclass(frozen=True)
class Columns:
    """The columns of one session. again: the session computed again, None where it cannot be; sources: where each table is from."""

    bars: pl.DataFrame
    signals: pl.DataFrame
    indicators: pl.DataFrame
    again: Recomputed | None
    warnings: tuple[str, ...]
    sources: dict[str, str]


def columns_of(run: Run, session: dt.date, lake: Path | None) -> Columns:
    """A session's columns. Raises what stands in the way of computing them where the run did not keep its bars and signals."""
    kept = [name for name in ("bars", "signals", "indicators") if name in run.tables]
    again: Recomputed | None = None
    warnings: tuple[str, ...]
    try:
        again = recompute(run, session, lake)
        warnings = tuple(again.warnings)
    except BacktesterError as error:
        if not {"bars", "signals"} <= set(kept):
            raise
        warnings = (f"the session cannot be computed again, so what strategies saw is not known: {error.message()}",)
    frames: dict[str, pl.DataFrame] = {}
    for name in ("bars", "signals", "indicators"):
        if name in kept:
            frames[name] = kept_of(run, name, session)
        elif again is not None:
            frames[name] = getattr(again, name)
        else:
            frames[name] = empty(KEPT_TABLES[name])
    sources: dict[str, str] = {name: "kept" if name in kept else "computed again" if again is not None else "not known" for name in frames}
    return Columns(**frames, again=again, warnings=warnings, sources=sources)


def bars_around(run: Run, session: dt.date, reach: int, lake: Path | None) -> pl.DataFrame:
    """The bars of a session, and of so many before and after it, in order: kept, else computed again. Raises as `columns_of` does."""
    every = run.table("sessions")["session"].to_list()
    place = every.index(session)
    near = every[max(place - reach, 0) : place + reach + 1]
    kept = "bars" in run.tables
    frames = [kept_of(run, "bars", day) if kept else recompute(run, day, lake).bars for day in near]
    return pl.concat([frame.with_columns(pl.col("symbol", "interval").cast(pl.String)) for frame in frames])


def acting_of(run: Run, lake: Path | None) -> pl.DataFrame | None:
    """The splits and dividends that changed the run's positions; None where there were none, or where they are not known any more."""
    if run.manifest["policies"].get("actions") is None:
        return None
    try:
        return setup(config_of(run, lake)).acting
    except BacktesterError:
        return None


def kept_of(run: Run, table: str, session: dt.date) -> pl.DataFrame:
    """One session of a table, without reading the rest of it."""
    rows = pl.scan_parquet(run.folder / f"{table}.parquet", glob=False).filter(pl.col("session") == session)
    return rows.collect(engine="in-memory")

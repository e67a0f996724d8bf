"""Doubts: what looks wrong in imported bars although every row is possible.

Place in the flow: an import asks and reports the sentences; nothing is changed or stopped. Never the judge of a run's data,
which quality.py is.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from backtester.columns import Sessions
from backtester.intervals import Interval
from backtester.market.filing import sessions_around
from backtester.schema import OUT_OF_SESSION

SPLITS = (2, 3, 4, 5, 7, 10, 15, 20)
NEAR = 0.04
JUMP = 3.0
MOSTLY = 0.9
LISTED = 3
FEW = 20


def doubts(filed: pl.DataFrame, interval: str, calendar: str, overrides: Path | None) -> list[str]:
    """Sentences on filed bars (symbol, ts, session, flags, prices), sorted by (symbol, ts); none where nothing is odd."""
    inside = filed.filter((pl.col("flags") & OUT_OF_SESSION) == 0)
    found = _splits(inside) + _jumps(inside)
    if interval != "1d":
        found += _spacing(filed, Interval.parse(interval).step_us, interval)
        found += _stamps(filed, interval, sessions_around(filed["session"], calendar, overrides))
    return found


def _spacing(filed: pl.DataFrame, step: int, interval: str) -> list[str]:
    """Bars that stand too close together for their interval, or never as close as it."""
    apart = filed.select(pl.col("ts").diff().over("symbol", "session").dt.total_microseconds())["ts"].drop_nulls()
    if len(apart) < FEW:
        return []
    if (apart < step).mean() > 0.5:  # type: ignore[operator]
        return [f"most bars stand less than {interval} apart: is their interval right? --interval"]
    nearest = int(apart.min())  # type: ignore[arg-type]
    if nearest > step:
        return [f"no two bars stand less than {nearest / 1e6:g} seconds apart: is their interval {interval}? --interval"]
    return []


def _splits(inside: pl.DataFrame) -> list[str]:
    """Sessions that open near a whole multiple or fraction of the last close."""
    before = inside.with_columns(was=pl.col("close").shift().over("symbol"), day=pl.col("session").shift().over("symbol"))
    ratio = pl.max_horizontal(pl.col("open") / pl.col("was"), pl.col("was") / pl.col("open"))
    near = pl.any_horizontal(*((ratio / split - 1).abs() < NEAR for split in SPLITS))
    rows = before.filter((pl.col("session") != pl.col("day")) & near)
    return _listed(rows, "unadjusted_split? {symbol} {session} opens at {open:g} after a close of {was:g}", "such openings")


def _jumps(inside: pl.DataFrame) -> list[str]:
    """Bars whose high or low is far from the close before, inside a session."""
    before = inside.with_columns(was=pl.col("close").shift().over("symbol", "session"))
    rows = before.filter((pl.col("high") > JUMP * pl.col("was")) | (pl.col("low") * JUMP < pl.col("was")))
    return _listed(rows, "bad tick? {symbol} {ts:%Y-%m-%dT%H:%MZ} lies between {low:g} and {high:g} after a close of {was:g}", "such bars")


def _stamps(filed: pl.DataFrame, interval: str, sessions: Sessions) -> list[str]:
    """Bars that stand one interval too late or too early in nearly every session."""
    step = Interval.parse(interval).step_us
    hours = pl.DataFrame({"session": sessions.label.astype("datetime64[D]"), "opens": sessions.open, "closes": sessions.close})
    ts = pl.col("ts").dt.epoch("us")
    days = (
        filed.join(hours, on="session")
        .group_by("symbol", "session")
        .agg(
            first=(ts == pl.col("opens")).any(),
            past=(ts == pl.col("closes")).any(),
            early=(ts == pl.col("opens") - step).any(),
            last=(ts == pl.col("closes") - step).any(),
        )
    )
    if not len(days):
        return []
    share = {name: float(days[name].mean() or 0.0) for name in ("first", "past", "early", "last")}  # type: ignore[arg-type]
    if share["past"] >= MOSTLY and share["first"] <= 1 - MOSTLY:
        return ["bars stand at the close and none at the open: are they stamped at their close? --stamp close"]
    if share["early"] >= MOSTLY and share["last"] <= 1 - MOSTLY:
        return ["bars stand just before the open and none at the end: are they stamped at their open? --stamp open"]
    return []


def _listed(rows: pl.DataFrame, sentence: str, noun: str) -> list[str]:
    """A sentence each for the first rows, and one for how many more there are."""
    found = [sentence.format(**row) for row in rows.head(LISTED).iter_rows(named=True)]
    return found + ([f"... and {len(rows) - LISTED} more {noun}"] if len(rows) > LISTED else [])

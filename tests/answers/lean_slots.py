"""SPY's minutes and quotes of Lean's own Data folder as a scene's slots."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from tests.scene import Bar, Quote, Slot

MINUTE = 60_000_000
QUOTED = ("bid_open", "bid_close", "ask_open", "ask_close", "bid_high", "bid_low", "ask_high", "ask_low")


def micros(day: dt.date, hour: int, minute: int) -> int:
    """An hour of a day, UTC, in microseconds since 1970."""
    return int(dt.datetime.combine(day, dt.time(hour, minute), dt.UTC).timestamp()) * 1_000_000


def slots_of(lake: Path, days: Sequence[dt.date]) -> list[Slot]:
    """SPY's regular minutes of some days of October 2013 with their quotes."""
    tables = {kind: pl.concat([pl.read_parquet(lake / kind / "1m" / f"{day}.parquet") for day in days]) for kind in ("bars", "quotes")}
    rows = tables["bars"].join(tables["quotes"], on="ts").with_columns(start=pl.col("ts").dt.epoch("us")).sort("ts")
    slots = []
    for row in rows.iter_rows(named=True):
        session = days.index(row["ts"].date())
        opens, closes = micros(days[session], 13, 30), micros(days[session], 20, 0)
        if opens <= row["start"] < closes:
            bar = Bar(*(row[name] for name in ("open", "high", "low", "close", "volume")))
            quote = Quote(*(row[name] for name in QUOTED))
            slots.append(Slot(row["start"], row["start"] + MINUTE, session, closes, {"SPY": bar}, {"SPY": quote}))
    return slots

"""Lean's SetHoldingsRegressionAlgorithm: four weights, one after the other, on the first bar. No config can say that; a scene can.

Figures of Lean on the minute bars and quotes of SPY in its own Data folder, 2013-10-07 and 08, prices times the factor file's 0.8646266:
four orders, fees 5.41, end equity 98822.71.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from tests.properties.engine import play
from tests.scene import Bar, Quote, Rules, Scene, Signal, Slot
from tests.simulator import simulate

DAYS = (dt.date(2013, 10, 7), dt.date(2013, 10, 8))
MINUTE = 60_000_000
SLACK = 0.9975
"""Lean keeps a quarter of a percent of the equity back."""


def micros(day: dt.date, hour: int, minute: int) -> int:
    """An hour of a day, UTC, in microseconds since 1970."""
    return int(dt.datetime.combine(day, dt.time(hour, minute), dt.UTC).timestamp()) * 1_000_000


def slots_of(lake: Path) -> list[Slot]:
    """SPY's regular minutes of both days with their quotes."""
    tables = {kind: pl.concat([pl.read_parquet(lake / kind / "1m" / f"{day}.parquet") for day in DAYS]) for kind in ("bars", "quotes")}
    rows = tables["bars"].join(tables["quotes"], on="ts").with_columns(start=pl.col("ts").dt.epoch("us")).sort("ts")
    slots = []
    for row in rows.iter_rows(named=True):
        session = DAYS.index(row["ts"].date())
        opens, closes = micros(DAYS[session], 13, 30), micros(DAYS[session], 20, 0)
        if opens <= row["start"] < closes:
            bar = Bar(*(row[name] for name in ("open", "high", "low", "close", "volume")))
            quote = Quote(*(row[name] for name in ("bid_open", "bid_close", "ask_open", "ask_close")))
            slots.append(Slot(row["start"], row["start"] + MINUTE, session, closes, {"SPY": bar}, {"SPY": quote}))
    return slots


@pytest.fixture(scope="module")
def weighed(lean_raw: Path) -> Scene:
    slots = slots_of(lean_raw)
    seen = slots[0].bars["SPY"].close
    signals = [Signal(0, "s", "SPY", "target", seen, target=weight * SLACK) for weight in (0.1, 0.2, 0.3, 1.0)]
    rules = Rules(fill="same_close", price="quote", per_share=0.005, minimum=1.0, cap_bps=100.0)
    return Scene(("SPY",), ("s",), tuple(slots), tuple(signals), rules)


def test_weights_one_after_the_other_end_as_in_lean(weighed: Scene) -> None:
    got = play(weighed)
    assert len(weighed.slots) == 780
    assert got["fills"].height == 4
    assert round(got["fills"]["fee"].sum(), 2) == 5.41
    assert round(got["equity"]["equity"][-1], 2) == 98822.71


def test_the_slow_simulator_ends_as_lean_too(weighed: Scene) -> None:
    result = simulate(weighed)
    assert len(result.fills) == 4
    assert round(sum(fill["fee"] for fill in result.fills) / 1e6, 2) == 5.41
    assert round(result.equity[-1]["equity"] / 1e6, 2) == 98822.71

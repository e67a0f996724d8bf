"""Views and bars of made-up markets, as tests of strategies need them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from backtester.columns import OHLCV, Sessions, Tape
from backtester.market.grid import Grid, Strays, clock_of, tape_of
from backtester.market.resample import DerivedSettings, buckets_of, derive
from backtester.signals.bars import Bars
from backtester.signals.batch import View, rows
from backtester.splits import Splits

ANY = DerivedSettings(min_completeness=1e-9)


def market(days: Sessions, lines: int, share: float, random: np.random.Generator) -> Grid:
    """A grid of random bars of which `share` are missing; whole prices from 5 to 60."""
    clock = clock_of(days, "1m")
    present = random.random((lines, len(clock.ts))) >= share
    low = random.integers(5, 50, present.shape).astype(float)
    high = low + random.integers(0, 10, present.shape)
    columns = {
        "open": low + random.integers(0, 1_000, present.shape) % (high - low + 1),
        "high": high,
        "low": low,
        "close": low + random.integers(0, 1_000, present.shape) % (high - low + 1),
        "volume": random.integers(0, 1_000, present.shape).astype(float),
    }
    return grid_of(days, {name: np.where(present, values, np.nan) for name, values in columns.items()})


def grid_of(days: Sessions, columns: Mapping[str, np.ndarray]) -> Grid:
    """A grid of these columns, shape (symbols, slots), NaN where there is no bar."""
    clock = clock_of(days, "1m")
    present = ~np.isnan(columns["close"])
    bounds = zip(clock.offset[:-1], clock.offset[1:], strict=True)
    count = np.stack([present[:, low:high].sum(axis=1) for low, high in bounds]).astype(np.int32)
    none = np.zeros(0, np.int64)
    names = tuple(chr(ord("A") + line) for line in range(len(present)))
    return Grid(clock=clock, symbols=names, present=present, count=count, strays=Strays(none, none, none, none.astype(np.int8)), **columns)


def tape_as(grid: Grid, interval: str, settings: DerivedSettings = ANY) -> Tape:
    """The grid's tape in an interval."""
    base = tape_of(grid)
    return base if interval == "1m" else derive(base, interval, settings)[0]


def view_of(live: Tape, first: int, back: int | np.ndarray, seen: Tape | None = None, look_back: bool = True) -> View:
    """The view of a tape whose chunk begins with session `first`, each session seeing `back` sessions before it."""
    buckets = buckets_of(live.sessions, live.interval, "1m")
    shape = (len(live.sessions) - first, len(live.symbols))
    return View(live, live if seen is None else seen, first, buckets.count, buckets.base_slot, np.broadcast_to(back, shape), look_back)


def splits_on(days: Sessions, *rows: tuple[int, int, float]) -> Splits:
    """Splits of (session on whose morning it acts, index of the symbol, new shares for one old); one past the last is after all."""
    ordered = sorted(rows, key=lambda row: row[0])
    labels = np.append(days.label, days.label[-1] + 1)
    symbol, value = np.array([row[1] for row in ordered], np.int64), np.array([row[2] for row in ordered], np.float64)
    return Splits(labels[[row[0] for row in ordered]], symbol, value)


def bars_of(interval: str = "1m", lookback: int = 0, **columns: list[list[float]] | np.ndarray) -> Bars:
    """Bars of literal columns, each a list of rows; what is not given follows from the close."""
    close = np.array(columns["close"], np.float64)
    made = {name: np.array(columns.get(name, close), np.float64) for name in OHLCV}
    there = ~np.isnan(close)
    column = np.arange(close.shape[-1])
    slot = np.where(there, np.where(column < lookback, column, column - lookback), -1)
    made |= {
        "slot": slot,
        "base_slot": slot,
        "minutes_from_open": np.where(there, slot + 1.0, np.nan),
        "complete": there.copy(),
        "valid": there.copy(),
    }
    made |= {name: np.array(values) for name, values in columns.items() if name not in OHLCV}
    names = np.array([chr(ord("A") + row) for row in range(len(close))], dtype=object)[:, None]
    labels = np.full((len(close), 1), np.datetime64("2024-01-01", "D"))
    return Bars(interval, lookback, close.shape, lambda name: made[name].copy(), names, labels)


def whole(view: View, lookback: int = 0, historical: Mapping[str, np.ndarray] | None = None) -> Bars:
    """The bars of all symbols of a view."""
    return rows(view, np.arange(len(view.live.symbols)), lookback, historical or {}).bars

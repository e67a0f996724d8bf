"""Simulate: a market that never was, the same to the last bit on every machine.

Place in the flow: `bt data simulate` writes it into a lake for examples and benchmarks. Each value depends on seed, symbol and
session alone: another symbol, another start or a rate of missing bars changes none of the others. Never uses exp, log or a
random distribution, whose last bits differ between machines: prices come from whole numbers, sums, products and one rounding.

A price is base * g(x), with g(x) = (1 + x / 16) ** 16 (nearly exp) and x a whole number of 2**-30, made of

    level   shocks of the market and of the symbol over the 365 days before, one over night and one by day, so that it
            wanders and stays near its base
    path    from the session's opening level to its closing level, with shocks of market and symbol that are larger at
            both ends of the day
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtester.columns import NO_BREAK, Bools, Floats, Ints, Sessions
from backtester.errors import CalendarError
from backtester.intervals import Interval
from backtester.market.calendar_overrides import OVERRIDES_FILE
from backtester.market.change import Counts, changing
from backtester.market.sessions import sessions_between

MARKET = ""
PATH, VOLUME, MISSING, SIZES, LEVEL = range(5)
POINTS = 4
"""Points of the path in each bar; the first is its open, the last its close."""
WINDOW_DAYS = 365
FIRST_DAY = -(2**20)
SHOCKS_OF_DAY = (110, 170)
"""Sizes of a night's and a day's shock, in 37,837 (the spread of `_shocks`) of 2**-30: 0.4 % and 0.6 %."""
SHOCKS_OF_BAR = {"1m": 96, "1s": 12}
"""Size of a point's shock, in 1/16 of the same."""
BATCH_SESSIONS = 16


@dataclass(frozen=True)
class Simulation:
    """What to make; missing is the chance of each bar to be left out, in [0, 1)."""

    symbols: tuple[str, ...]
    start: dt.date
    end: dt.date
    seed: int
    interval: Literal["1s", "1m", "1d"] = "1m"
    missing: float = 0.0
    quotes: bool = False
    calendar: str = "XNYS"


@dataclass(frozen=True)
class _Traits:
    """What a symbol is like: base price in cents, weights of market and own shocks in 1/256, shares a minute, spread in cents."""

    base: int
    beta: int
    own: int
    shares: int
    spread: int


def simulate(root: Path, simulation: Simulation, *, replace: bool = False, progress: Callable[[int, int], None] | None = None) -> Counts:
    """Write the simulated sessions into the lake at `root`, all or none; progress gets (sessions done, sessions in all).

    Raises CalendarError where no session lies between the dates, DataError where the lake holds different bars.
    """
    overrides = root / OVERRIDES_FILE if (root / OVERRIDES_FILE).is_file() else None
    sessions = sessions_between(simulation.calendar, simulation.start, simulation.end, overrides)
    if not len(sessions):
        raise CalendarError(
            "no session to simulate", where=f"calendar {simulation.calendar}", value=f"{simulation.start} to {simulation.end}"
        )
    levels = {symbol: _levels(simulation.seed, symbol, sessions) for symbol in (MARKET, *simulation.symbols)}
    counts = Counts()
    with changing(root, replace=replace) as change, ThreadPoolExecutor(2) as pool:
        for start in range(0, len(sessions), BATCH_SESSIONS):
            part = range(start, min(start + BATCH_SESSIONS, len(sessions)))
            days = list(pool.map(lambda row: session_frames(simulation, sessions, row, levels), part))
            counts += change.add("bars", simulation.interval, pl.concat([bars for bars, _ in days]))
            if simulation.quotes:
                counts += change.add("quotes", simulation.interval, pl.concat([quotes for _, quotes in days if quotes is not None]))
            if progress is not None:
                progress(part.stop, len(sessions))
    return counts


def session_frames(
    simulation: Simulation, sessions: Sessions, row: int, levels: dict[str, Ints]
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Bars and quotes of all symbols in one session, as the lake takes them; `levels` come from `_levels`."""
    daily = simulation.interval == "1d"
    ts = _slot_times(sessions, row, Interval.parse("1m" if daily else simulation.interval).step_us)
    day = int(sessions.label[row].astype(np.int64))
    names = sorted(simulation.symbols)
    ticks = np.stack([_ticks(simulation, name, day, len(ts), levels[MARKET][row], levels[name][row]) for name in names])
    volume = np.stack([_volume(simulation, name, day, len(ts)) for name in names])
    ohlc = [ticks[:, :, 0], ticks.max(axis=2), ticks.min(axis=2), ticks[:, :, -1]]
    if daily:
        ohlc = [ohlc[0][:, :1], ohlc[1].max(axis=1, keepdims=True), ohlc[2].min(axis=1, keepdims=True), ohlc[3][:, -1:]]
        volume, ts = volume.sum(axis=1, keepdims=True), sessions.open[row : row + 1]
    present = np.stack([_present(simulation, name, day, len(ts)) for name in names])
    whole = np.ones_like(present)
    label = sessions.label[row]
    bars = _frame(simulation, names, ts, label, present, {
        **{name: values / 100.0 for name, values in zip(("open", "high", "low", "close"), ohlc, strict=True)},
        "volume": volume.astype(np.float64),
    })  # fmt: skip
    return bars, _frame(simulation, names, ts, label, whole, _quotes(simulation, names, day, ohlc)) if simulation.quotes else None


def _levels(seed: int, symbol: str, sessions: Sessions) -> Ints:
    """The symbol's own part of x at each session's open and close, shape (sessions, 2): a sum of the shocks of 365 days."""
    days = sessions.label.astype(np.int64)
    start = (int(days[0]) - WINDOW_DAYS - FIRST_DAY) // 2 * 2
    count = int(days[-1]) - FIRST_DAY - start + 1
    # Four numbers a counter: two days.
    shocks = _shocks(_draws(seed, symbol, LEVEL, 0, 2 * (count + count % 2), start // 2)).reshape(-1, 2) * np.array(SHOCKS_OF_DAY)
    sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(shocks.ravel())])
    opening = 2 * (days - FIRST_DAY - start) + 1
    ends = np.stack([opening, opening + 1], axis=1)
    levels: Ints = sums[ends] - sums[ends - 2 * WINDOW_DAYS]
    return levels


def _ticks(simulation: Simulation, symbol: str, day: int, bars: int, market: Ints, own: Ints) -> Ints:
    """Prices in cents along a session, shape (bars, POINTS)."""
    seed, traits = simulation.seed, _traits(simulation.seed, symbol)
    points = bars * POINTS
    size = SHOCKS_OF_BAR.get(simulation.interval, SHOCKS_OF_BAR["1m"])
    shocks = [_shocks(_draws(seed, name, PATH, day, points)) * size >> 4 for name in (MARKET, symbol)]
    steps = _mixed(traits, *shocks) * np.repeat(_smile(bars), POINTS) >> 8
    walk = np.cumsum(steps)
    opening, closing = (int(_mixed(traits, market[end], own[end])) for end in (0, 1))
    share = np.arange(points, dtype=np.int64)
    # Pinned at both ends: what the walk would miss the closing level by is taken off bit by bit.
    x = opening + (walk - walk[0]) + (closing - opening - int(walk[-1] - walk[0])) * share // (points - 1)
    growth: Floats = 1.0 + x * 2.0**-34
    for _ in range(4):
        growth = growth * growth
    ticks: Ints = np.maximum(np.rint(growth * float(traits.base)), 1.0).astype(np.int64)
    return ticks.reshape(bars, POINTS)


def _volume(simulation: Simulation, symbol: str, day: int, bars: int) -> Ints:
    """Shares traded in each bar, shape (bars,): a smile over the day, and noise from a half to three halves."""
    shares = _traits(simulation.seed, symbol).shares
    noise = (_draws(simulation.seed, symbol, VOLUME, day, bars) >> np.uint64(56)).astype(np.int64) + 128
    volume: Ints = (shares * _smile(bars) * noise >> 16) // (60 if simulation.interval == "1s" else 1) + 1
    return volume


def _present(simulation: Simulation, symbol: str, day: int, bars: int) -> Bools:
    """Which bars there are, shape (bars,)."""
    if not simulation.missing:
        return np.ones(bars, np.bool_)
    draws = (_draws(simulation.seed, symbol, MISSING, day, bars) >> np.uint64(11)).astype(np.int64)
    present: Bools = draws >= int(simulation.missing * 2**53)
    return present


def _quotes(simulation: Simulation, names: list[str], day: int, ohlc: list[Ints]) -> dict[str, Floats]:
    """Bid and ask around the trades of each bar, each of shape (symbols, bars)."""
    spread = np.array([[_traits(simulation.seed, name).spread] for name in names])
    bars = ohlc[0].shape[1]
    raw = np.stack([_draws(simulation.seed, name, SIZES, day, bars) for name in names])
    columns: dict[str, Floats] = {}
    for side, shift, bits in (("bid", -(spread // 2), 0), ("ask", spread - spread // 2, 32)):
        for part, values in zip(("open", "high", "low", "close"), ohlc, strict=True):
            columns[f"{side}_{part}"] = np.maximum(values + shift, 1).astype(np.float64) / 100.0
        columns[f"{side}_size"] = 100.0 * (1 + (raw >> np.uint64(bits)).astype(np.uint32) % 20).astype(np.float64)
    return columns


def _frame(simulation: Simulation, names: list[str], ts: Ints, label: np.datetime64, present: Bools,
           columns: dict[str, Floats]) -> pl.DataFrame:  # fmt: skip
    """Columns of shape (symbols, bars) as rows sorted by (symbol, ts), where present."""
    keep = None if present.all() else np.flatnonzero(present)
    line, slot = np.divmod(np.arange(present.size) if keep is None else keep, present.shape[1])
    values = {name: column.ravel() if keep is None else column.ravel()[keep] for name, column in columns.items()}
    instants = pl.Series("ts", ts[slot]).cast(pl.Datetime("us", "UTC"))
    symbol = pl.Series("symbol", names, pl.String).gather(line)
    return pl.DataFrame([symbol, instants, *(pl.Series(name, column) for name, column in values.items())]).with_columns(
        session=pl.lit(label.astype(object), pl.Date),
        source=pl.lit(f"simulated:seed {simulation.seed}"),
        flags=pl.lit(0, pl.Int32),
    )


def _slot_times(sessions: Sessions, row: int, step: int) -> Ints:
    """Open times of all slots of a session, shape (slots,)."""
    opened, closed, pause, resume = (int(part[row]) for part in (sessions.open, sessions.close, sessions.break_start, sessions.break_end))
    if pause == NO_BREAK:
        return np.arange(opened, closed, step, dtype=np.int64)
    return np.concatenate([np.arange(opened, pause, step, dtype=np.int64), np.arange(resume, closed, step, dtype=np.int64)])


@lru_cache(maxsize=512)
def _smile(bars: int) -> Ints:
    """Weights over a session in 1/256, 160 in its middle and 416 at both ends; shape (bars,)."""
    place = 2 * np.arange(bars, dtype=np.int64) - (bars - 1)
    weights: Ints = 160 + 256 * place * place // max((bars - 1) ** 2, 1)
    return weights


def _mixed(traits: _Traits, market: Any, own: Any) -> Any:
    """Market and own shocks as this symbol feels them."""
    return (traits.beta * market + traits.own * own) >> 8


def _shocks(draws: NDArray[np.uint64]) -> Ints:
    """Whole numbers around 0 with a spread of 37,837, near a normal distribution: sums of four uniform numbers."""
    lanes = draws.astype("<u8").view("<u2").reshape(-1, 4)
    shocks: Ints = lanes[:, 0].astype(np.int64) + lanes[:, 1] + lanes[:, 2] + lanes[:, 3] - 131_070
    return shocks


def _draws(seed: int, symbol: str, role: int, day: int, count: int, counter: int = 0) -> NDArray[np.uint64]:
    """Raw numbers of a stream of their own for (seed, symbol, role, day), from the counter on (four a step)."""
    # numpy promises the raw numbers of a bit generator for ever, but not those of its distributions.
    generator = np.random.Philox(key=_key(seed, symbol), counter=[counter, day - FIRST_DAY, role, 0])
    raw: NDArray[np.uint64] = generator.random_raw(count)
    return raw


@lru_cache(maxsize=65_536)
def _key(seed: int, symbol: str) -> int:
    """The key of a symbol's streams."""
    return int.from_bytes(hashlib.sha256(f"backtester market 1\n{seed}\n{symbol}".encode()).digest()[:16], "little")


@lru_cache(maxsize=65_536)
def _traits(seed: int, symbol: str) -> _Traits:
    """A symbol's traits, drawn from its name."""
    words = np.frombuffer(hashlib.sha256(f"backtester traits 1\n{seed}\n{symbol}".encode()).digest(), "<u4").astype(np.int64)
    base, beta, own, shares, spread = (int(word) for word in words[:5])
    return _Traits(2_000 + base % 38_001, 128 + beta % 257, 160 + own % 257, 1_500 + shares % 60_001, 1 + spread % 3)

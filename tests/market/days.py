"""Sessions and tapes of made-up days, as tests need them."""

from __future__ import annotations

import numpy as np

from backtester.columns import NO_BREAK, Sessions, Tape
from backtester.market.grid import Grid, Strays, clock_of, tape_of

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def sessions(minutes: list[int], *, lunch: tuple[int, int] | None = None, first_day: str = "2024-01-01", opens_at: int = 0) -> Sessions:
    """Consecutive days whose sessions last so many minutes; `lunch` is the break, in minutes after the open."""
    label = np.arange(len(minutes)).astype("timedelta64[D]") + np.datetime64(first_day, "D")
    opened = label.astype("datetime64[us]").astype(np.int64) + opens_at * MINUTE
    length = np.array(minutes, np.int64) * MINUTE
    nothing = np.full(len(minutes), NO_BREAK, np.int64)
    begin, end = (nothing, nothing) if lunch is None else (opened + lunch[0] * MINUTE, opened + lunch[1] * MINUTE)
    return Sessions("TEST", "UTC", label, opened, opened + length, begin, end, length < max(length, default=0), 252.0)


def grid(days: Sessions, close: np.ndarray, interval: str = "1m", volume: np.ndarray | None = None) -> Grid:
    """A grid whose bars are flat at `close`, shape (symbols, slots), NaN where a bar is missing; high and low are one beside it."""
    clock = clock_of(days, interval)
    present = ~np.isnan(close)
    lines = len(close)
    count = np.stack([present[:, low:high].sum(axis=1) for low, high in zip(clock.offset[:-1], clock.offset[1:], strict=True)])
    none = np.zeros(0, np.int64)
    return Grid(
        clock=clock,
        symbols=tuple(chr(ord("A") + line) for line in range(lines)),
        open=close,
        high=close + 1,
        low=close - 1,
        close=close,
        volume=np.where(present, 100.0, np.nan) if volume is None else volume,
        present=present,
        count=count.astype(np.int32),
        strays=Strays(none, none, none, none.astype(np.int8)),
    )


def tape(days: Sessions, close: np.ndarray, interval: str = "1m") -> Tape:
    """The tape of such a grid."""
    return tape_of(grid(days, close, interval))

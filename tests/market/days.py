"""Sessions, stored rows and tapes of made-up days, as tests need them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from backtester.columns import NO_BREAK, OHLCV, Sessions, Tape
from backtester.market.grid import Grid, Strays, clock_of, tape_of
from backtester.market.load import Chunk
from backtester.market.prepare import Needs
from backtester.market.resample import DerivedSettings

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


Row = tuple[int, int, str, float, float, float, float, float]


def chunk(days: Sessions, symbols: tuple[str, ...], rows: Iterable[Row]) -> Chunk:
    """What a lake would give for these stored rows (session, ts, symbol, open, high, low, close, volume), in merge order."""
    place = {symbol: number for number, symbol in enumerate(symbols)}
    ordered = sorted(rows, key=lambda row: (row[0], row[1], place[row[2]]))
    fields = [
        ("day", pa.uint32()),
        ("ts", pa.timestamp("us", "UTC")),
        ("symbol_id", pa.uint16()),
        *((name, pa.float64()) for name in OHLCV),
    ]
    values = [[row[0] for row in ordered], [row[1] for row in ordered], [place[row[2]] for row in ordered]]
    values += [[row[column] for row in ordered] for column in range(3, 8)]
    table = pa.table([pa.array(column, field[1]) for column, field in zip(values, fields, strict=True)], schema=pa.schema(fields))
    first = np.searchsorted(np.array(values[0], np.int64), np.arange(len(days) + 1))
    return Chunk(days, symbols, table, first.astype(np.int64), pl.DataFrame(), 0.0)


def flat(days: Sessions, session: int, minute: float, symbol: str = "A", price: float = 10.0, volume: float = 100.0) -> Row:
    """A stored row that opens so many minutes after the session's open, all four prices the same."""
    return session, int(days.open[session] + minute * MINUTE), symbol, price, price, price, price, volume


def needs(days: Sessions, **wanted: Any) -> Needs:
    """What a run over these days asks for: minutes and nothing else, but for what is given."""
    given = {
        "base": "1m", "derived": (), "settings": DerivedSettings(), "look": True, "historical": {}, "depth": {}, "daily_depth": 0,
        "calendar": days, "ordinal": np.arange(len(days)), "slots": int(days.slots(MINUTE).max()),
    }  # fmt: skip
    return Needs(**(given | wanted))

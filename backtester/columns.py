"""The values that pass between the stages: sessions and bars as columns.

Place in the flow: the lowest floor; `market` makes these, `signals` and `trading` read them, `pipeline` hands them on.
Never computes anything about markets.

    Sessions   one row a trading day: label, open, close, break
    Tape       all bars of one interval, sorted by (symbol, ts), with the place of every (session, symbol)

A tape of two symbols A, B over two sessions, three bars a session, B's first session with a hole:

    row      0  1  2 | 3  4  5 | 6  7 | 8  9 10
    symbol   A  A  A | A  A  A | B  B | B  B  B
    session  0  0  0 | 1  1  1 | 0  0 | 1  1  1
    slot     0  1  2 | 0  1  2 | 0  2 | 0  1  2
    start = [[0, 6], [3, 8]]     count = [[3, 2], [3, 3]]      (sessions, symbols)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

PRICES = ("open", "high", "low", "close")
OHLCV = (*PRICES, "volume")
NO_BREAK = -1
NO_TIME = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Sessions:
    """Trading days of one calendar, in order; every array has shape (sessions,).

    label is datetime64[D]; open, close, break_start, break_end are int64 microseconds UTC (NO_BREAK where there is none);
    early is True where the session ends before the calendar's regular close.
    """

    calendar: str
    timezone: str
    label: NDArray[np.datetime64]
    open: Ints
    close: Ints
    break_start: Ints
    break_end: Ints
    early: Bools
    per_year: float

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, rows: slice) -> Sessions:
        return Sessions(
            self.calendar,
            self.timezone,
            self.label[rows],
            self.open[rows],
            self.close[rows],
            self.break_start[rows],
            self.break_end[rows],
            self.early[rows],
            self.per_year,
        )

    def slots(self, step_us: int) -> Ints:
        """Expected bars of `step_us` in each session: the segments before and after the break, each rounded up."""
        has_break = self.break_start != NO_BREAK
        first_end = np.where(has_break, self.break_start, self.close)
        first = -((self.open - first_end) // step_us)
        second = np.where(has_break, -((self.break_end - self.close) // step_us), 0)
        return (first + second).astype(np.int64)


@dataclass(frozen=True)
class Tape:
    """All bars of one interval over a run of sessions, sorted by (symbol, ts); symbols sorted by name.

    start (int64) and count (int32), shape (sessions, symbols): where the bars of a symbol-session stand.
    Columns of shape (bars,): ts and end int64 us UTC (open time; the time from which the bar is available), slot int32
    (the bar's index in its session, in its own interval), base_slot int32 (the base slot at whose end it is available),
    open high low close volume float64, quality float64 (as-of quality of the base, in percent, up to and including the bar),
    complete bool (every base slot of the bar held a bar).
    """

    interval: str
    symbols: tuple[str, ...]
    sessions: Sessions
    start: Ints
    count: NDArray[np.int32]
    ts: Ints
    end: Ints
    slot: NDArray[np.int32]
    base_slot: NDArray[np.int32]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    quality: Floats
    complete: Bools

    def __len__(self) -> int:
        return len(self.ts)

    def column(self, name: str) -> NDArray[Any]:
        """One column by name."""
        values: NDArray[Any] = getattr(self, name)
        return values

    def per_bar(self, per_session: NDArray[Any]) -> NDArray[Any]:
        """A value of each session, shape (sessions,), repeated for each of its bars: shape (bars,)."""
        symbols = len(self.symbols)
        return np.repeat(np.tile(per_session, symbols), self.count.T.ravel())

    def between(self, first: int, stop: int) -> Tape:
        """Sessions `first` to `stop` (not included), as a tape of its own."""
        count = np.ascontiguousarray(self.count[first:stop])
        if stop > first:
            bounds = np.stack([self.start[first], self.start[stop - 1] + self.count[stop - 1]], axis=1)
        else:
            bounds = np.zeros((len(self.symbols), 2), np.int64)
        columns = {name: woven([self.column(name)], [bounds]) for name in TAPE_COLUMNS}
        return Tape(self.interval, self.symbols, self.sessions[first:stop], place(count), count, **columns)


class LazyTape(Tape):
    """A tape whose columns are made when they are first asked for: most strategies read two of ten.

    part: makes the tape of some of its sessions (first, past the last) without those of the others; None: they are cut from its columns.
    """

    def __init__(
        self,
        interval: str,
        symbols: tuple[str, ...],
        sessions: Sessions,
        count: NDArray[np.int32],
        makers: Mapping[str, Callable[[], NDArray[Any]]],
        part: Callable[[int, int], Tape] | None = None,
    ) -> None:
        own = {"interval": interval, "symbols": symbols, "sessions": sessions, "start": place(count), "count": count, "_makers": makers}
        for name, value in (own | {"_part": part}).items():
            object.__setattr__(self, name, value)

    def between(self, first: int, stop: int) -> Tape:
        """As of every tape."""
        part: Callable[[int, int], Tape] | None = self.__dict__["_part"]
        if part is None or stop <= first or (first, stop) == (0, len(self.sessions)):
            return super().between(first, stop)
        return part(first, stop).between(0, stop - first)

    def __len__(self) -> int:
        return int(self.count.sum(dtype=np.int64))

    def __getattr__(self, name: str) -> Any:
        makers = self.__dict__.get("_makers", {})
        if name not in makers:
            raise AttributeError(name)
        value = makers[name]()
        object.__setattr__(self, name, value)
        return value


TAPE_COLUMNS = ("ts", "end", "slot", "base_slot", *OHLCV, "quality", "complete")


def place(count: NDArray[np.int32]) -> Ints:
    """Where each symbol-session starts on a tape, from its counts, shape (sessions, symbols): bars lie symbol by symbol."""
    flat = count.T.ravel().astype(np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(flat)[:-1]]) if len(flat) else flat
    return np.ascontiguousarray(starts.reshape(count.shape[::-1]).T)


def woven(columns: list[NDArray[Any]], bounds: list[Ints]) -> NDArray[Any]:
    """For each symbol in turn its rows of every column; bounds hold first and past-the-last row, shape (symbols, 2)."""
    parts = [
        column[low:high]
        for pairs in zip(*(part.tolist() for part in bounds), strict=True)
        for column, (low, high) in zip(columns, pairs, strict=True)
    ]
    return np.concatenate(parts) if parts else columns[0][:0]

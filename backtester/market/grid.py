"""Grid: stored bars placed on the slots that the calendar expects; from there tapes.

Place in the flow: phase 4 of a day, right after load. Decides which bars count: in the session, on the grid, whole, and
the first of duplicates. What does not count is kept as strays, to be reported. Never fills a gap.

A grid has one line a symbol and all slots of the chunk's sessions side by side:

    offset      0                 390                780
    line A      b b b . b b ... b | b b b ... b b    |      '.' a missing bar: NaN
    line B      b b b b b b ... b | b . . ... b b    |
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtester.columns import NO_BREAK, OHLCV, Bools, Floats, Ints, LazyTape, Sessions, Tape, place
from backtester.intervals import Interval
from backtester.market.load import COLUMNS, VWAP, Chunk


@dataclass(frozen=True)
class Clock:
    """The slots of a run of sessions; arrays of shape (slots,), offset of shape (sessions + 1,)."""

    sessions: Sessions
    interval: str
    offset: Ints
    session: Ints
    slot: Ints
    ts: Ints
    end: Ints

    @property
    def count(self) -> Ints:
        """Slots of each session."""
        return np.diff(self.offset)


@dataclass(frozen=True)
class Strays:
    """Stored rows that do not count, by why; shape (rows,): symbol, session, ts, kind (index into KINDS)."""

    symbol: Ints
    session: Ints
    ts: Ints
    kind: NDArray[np.int8]


KINDS = ("out_of_session", "off_grid", "invalid", "duplicate")
OUT_OF_SESSION, OFF_GRID, INVALID, DUPLICATE = range(4)
COUNTS = -1
"""In place of a kind: a row that counts."""


@dataclass(frozen=True)
class Grid:
    """Bars on slots: columns of shape (symbols, slots), NaN where there is none; present tells which are there.

    vwap: mean prices, where they were read and the lake has any. digests: those of `digest` for each session where somebody knows them
    already, else None; none at all where nobody does.
    """

    clock: Clock
    symbols: tuple[str, ...]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    present: Bools
    count: NDArray[np.int32]
    strays: Strays
    vwap: Floats | None = None
    digests: tuple[str | None, ...] = ()

    @property
    def full(self) -> bool:
        """True where no slot is missing."""
        return int(self.count.sum()) == self.present.size

    @property
    def rows(self) -> int:
        """Stored rows: those that count and those that do not."""
        return int(self.count.sum()) + len(self.strays.ts)


def digest(columns: Sequence[Floats], first: int, stop: int) -> str:
    """SHA-256 over the slots `first` to `stop` (not included) of some columns of a grid, symbols in order; NaN where a bar is missing."""
    hasher = hashlib.sha256(f"{len(columns[0])} {stop - first}".encode())
    for values in columns:
        hasher.update(np.ascontiguousarray(values[:, first:stop]).data)
    return hasher.hexdigest()


def clock_of(sessions: Sessions, interval: str) -> Clock:
    """All slots of the sessions: their open times and the times from which their bars are available."""
    daily = interval == "1d"
    step = Interval(interval).step_us
    count = np.ones(len(sessions), np.int64) if daily else sessions.slots(step)
    offset = np.concatenate([np.zeros(1, np.int64), np.cumsum(count)])
    session = np.repeat(np.arange(len(sessions)), count)
    slot = np.arange(int(offset[-1])) - offset[session]
    opened, closed = sessions.open[session], sessions.close[session]
    if daily:
        return Clock(sessions, interval, offset, session, slot, opened, closed)
    has_break = sessions.break_start != NO_BREAK
    morning = np.where(has_break, -((sessions.open - sessions.break_start) // step), count)[session]
    after = slot >= morning
    ts = np.where(after, sessions.break_end[session] + (slot - morning) * step, opened + slot * step)
    limit = np.where(has_break[session] & ~after, sessions.break_start[session], closed)
    return Clock(sessions, interval, offset, session, slot, ts, np.minimum(ts + step, limit))


def place_on_slots(chunk: Chunk, interval: str) -> Grid:
    """A chunk's rows on the slots of its sessions."""
    from backtester.market import slotting  # numba is heavy: not before the first chunk

    clock = clock_of(chunk.sessions, interval)
    stored = [chunk.column(name) for name in OHLCV]
    places = _sort_out(chunk, clock, _finite(stored))
    shape = places.present.shape
    made = np.empty((len(OHLCV), places.present.size))
    slotting.spreading().entry_point(places.position, places.why, places.present.ravel(), *stored, made)
    columns: dict[str, Any] = {name: values.reshape(shape) for name, values in zip(OHLCV, made, strict=True)}
    if VWAP in chunk.table.column_names:
        columns[VWAP] = places.scatter(chunk.column(VWAP))
    return Grid(clock=clock, symbols=chunk.symbols, present=places.present, count=places.count, strays=places.strays(chunk), **columns)


def quotes_on_slots(chunk: Chunk, clock: Clock) -> dict[str, Floats]:
    """The columns of quote bars that were read, on the slots of `clock`: shape (symbols, slots), NaN where there is no quote."""
    names = [name for name in COLUMNS["ranges"] if name in chunk.table.column_names]
    places = _sort_out(chunk, clock, np.ones(chunk.table.num_rows, np.bool_))
    return {name: places.scatter(chunk.column(name)) for name in names}


@dataclass(frozen=True)
class Places:
    """Where the rows of a chunk go: position on the grid and why (index into KINDS, or COUNTS), shape (rows,); slots taken, shape
    (symbols, slots); bars of each session and symbol. stray: how many rows do not count.
    """

    position: Ints
    why: NDArray[np.int8]
    present: Bools
    count: NDArray[np.int32]
    stray: int

    def scatter(self, values: Floats) -> Floats:
        """A value of each row put at its position of a grid of NaN."""
        grid = np.full(self.present.size, np.nan)
        kept = self.why == COUNTS if self.stray else slice(None)
        grid[self.position[kept]] = values[kept]
        return grid.reshape(self.present.shape)

    def strays(self, chunk: Chunk) -> Strays:
        """The rows of the chunk that do not count."""
        if not self.stray:
            return Strays(*(np.zeros(0, np.int64),) * 3, np.zeros(0, np.int8))
        stray = np.flatnonzero(self.why != COUNTS)
        ts, symbol = chunk.column("ts"), chunk.column("symbol_id")
        return Strays(symbol[stray].astype(np.int64), chunk.session_of_rows()[stray], ts[stray], self.why[stray])


def tape_of(grid: Grid, look: bool = True) -> Tape:
    """The grid's bars side by side, with as-of quality (100 everywhere where `look` is false)."""
    clock, full, present = grid.clock, grid.full, grid.present

    def of_grid(name: str) -> NDArray[Any]:
        values: NDArray[Any] = getattr(grid, name)
        return values.ravel() if full else values[present]

    def of_clock(values: NDArray[Any]) -> NDArray[Any]:
        return np.tile(values, len(present)) if full else np.broadcast_to(values, present.shape)[present]

    def quality() -> Floats:
        if full or not look:
            return np.full(int(grid.count.sum()), 100.0)
        return as_of_quality(of_clock(clock.slot), place(grid.count), grid.count)

    slot = clock.slot.astype(np.int32)
    makers: dict[str, Callable[[], NDArray[Any]]] = {name: partial(of_grid, name) for name in OHLCV}
    for name, values in (("ts", clock.ts), ("end", clock.end), ("slot", slot), ("base_slot", slot)):
        makers[name] = partial(of_clock, values)
    makers |= {"quality": quality, "complete": lambda: np.ones(int(grid.count.sum()), np.bool_)}
    return LazyTape(clock.interval, grid.symbols, clock.sessions, grid.count, makers, partial(_part_of, grid, look))


def _part_of(grid: Grid, look: bool, first: int, stop: int) -> Tape:
    """The tape of the grid's sessions `first` to `stop` (not included), its columns still to be made."""
    clock = grid.clock
    low, high = int(clock.offset[first]), int(clock.offset[stop])
    columns = {name: getattr(grid, name)[:, low:high] for name in (*OHLCV, "present")}
    slots = {name: getattr(clock, name)[low:high] for name in ("slot", "ts", "end")}
    own = Clock(clock.sessions[first:stop], clock.interval, clock.offset[first : stop + 1] - low, clock.session[low:high] - first, **slots)
    strays = Strays(*(np.zeros(0, np.int64),) * 3, np.zeros(0, np.int8))
    count = np.ascontiguousarray(grid.count[first:stop])
    return tape_of(Grid(clock=own, symbols=grid.symbols, count=count, strays=strays, **columns), look)


def as_of_quality(slot: Ints, start: Ints, count: NDArray[np.int32]) -> Floats:
    """100 * bars so far / slots so far, at every bar of a base tape; shape (bars,)."""
    so_far = np.arange(len(slot)) - np.repeat(start.T.ravel(), count.T.ravel()) + 1
    quality: Floats = 100.0 * so_far / (slot + 1)
    return quality


def _sort_out(chunk: Chunk, clock: Clock, whole: Bools) -> Places:
    """Where each row goes; it counts only where it is `whole`."""
    from backtester.market import slotting  # numba is heavy: not before the first chunk

    days, rows, lines, width = clock.sessions, len(whole), len(chunk.symbols), len(clock.ts)
    position, why = np.empty(rows, np.int64), np.empty(rows, np.int8)
    taken, count = np.zeros(lines * width, np.bool_), np.zeros((len(days), lines), np.int32)
    step = 0 if clock.interval == "1d" else Interval(clock.interval).step_us
    spans = [np.ascontiguousarray(part) for part in (days.open, days.close, days.break_start, days.break_end, clock.offset)]
    given = chunk.column("ts"), chunk.column("symbol_id"), whole, chunk.first, *spans, step, width
    stray = slotting.kernel().entry_point(*given, position, why, taken, count)
    return Places(position, why, taken.reshape(lines, width), count, stray)


def _finite(columns: Sequence[Floats]) -> Bools:
    """True on the rows where every column is a finite number."""
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.isfinite(sum(columns[1:], start=columns[0]))
    # A sum that is not finite may also be one of huge numbers.
    odd = np.flatnonzero(~finite)
    finite[odd] = np.logical_and.reduce([np.isfinite(column[odd]) for column in columns])
    return finite

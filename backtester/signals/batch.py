"""Batch: tapes cut into the rows that one strategy sees, and its wishes turned back into events on the tape.

Place in the flow: phase 5 of a day, around the call of a strategy. A batch may hold one session or many, one symbol or many;
what a row shows never depends on which others stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtester.columns import NO_TIME, Bools, Floats, Ints, Tape
from backtester.intervals import MINUTE_US
from backtester.signals.bars import Bars
from backtester.signals.strategy import ACTIONS, BOOLEANS, TARGET, Wishes
from backtester.splits import Splits, in_terms

Column = NDArray[Any]
ENTER_LONG, EXIT_LONG, ENTER_SHORT, EXIT_SHORT = (ACTIONS.index(name) for name in BOOLEANS)


@dataclass(frozen=True)
class View:
    """What a batch is cut from: the tape of one interval as it happened, and as later sessions see it.

    first: the chunk's first session on the tapes. bars, shape (sessions of the tape,): how many bars each session may hold;
    last_slot: for all of them in turn, the base slot that ends the bar. back, shape (sessions of the chunk, symbols): how many
    sessions before it a session may look into. look_back: False shows history with quality 100. splits: a session sees the bars
    before it in its own terms, adjusted by those known when it opens; its own bars are as they are.
    """

    live: Tape
    seen: Tape
    first: int
    bars: Ints
    last_slot: Ints
    back: Ints
    look_back: bool = True
    splits: Splits = field(default_factory=Splits.none)


@dataclass(frozen=True)
class Found:
    """Signals as events; shape (events,): index of symbol and of the chunk's session, base slot, action (index into ACTIONS),
    price seen and as-of quality (NaN where the symbol has no bar), numbers (NaN: not given), calls, tags.
    """

    symbol: Ints
    session: Ints
    base_slot: Ints
    action: Ints
    price: Floats
    quality: Floats
    numbers: Mapping[str, Floats]
    tags: Sequence[str | None] | None
    calls: Mapping[str, Bools] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Bars and where its cells lie: per row the symbol, the chunk's session, and the first bar of the session on the live tape.

    In the clock layout symbol and session belong to axes of their own, and start is None.
    """

    bars: Bars
    view: View
    symbol: Ints
    session: Ints
    start: Ints | None

    def found(self, wishes: Wishes) -> Found:
        """The wishes on cells that lie in a session; cells beyond a session's end are not read."""
        if self.start is not None and TARGET not in wishes.booleans:
            return self._scanned(wishes, self.start)
        cells = self._cells()
        hits = [(action, np.nonzero(wishes.booleans[name] & cells)) for action, name in enumerate(ACTIONS) if name in wishes.booleans]
        actions = np.concatenate([np.full(len(at[0]), action, np.int64) for action, at in hits] or [np.zeros(0, np.int64)])
        where = tuple(np.concatenate(parts) for parts in zip(*(at for _, at in hits), strict=True)) if hits else ()
        if not len(actions):
            where = tuple(np.zeros(0, np.int64) for _ in self.bars.shape)
        session = self.session[where[0]]
        given = _given(wishes, where)
        if self.start is None:
            shifted = (*where[:-1], where[-1] + self.bars.lookback)
            base_slot, price, quality = self._base_slot(session, where[-1]), self.bars.close[shifted], self.bars.quality[shifted]
            return Found(self.symbol[where[1]], session, base_slot, actions, price, quality, *given)
        bar, live = self.start[where[0]] + where[-1], self.view.live
        base_slot = live.base_slot[bar].astype(np.int64)
        return Found(self.symbol[where[0]], session, base_slot, actions, live.close[bar], live.quality[bar], *given)

    def _scanned(self, wishes: Wishes, start: Ints) -> Found:
        """The same where wishes stand on bars: those of one direction are in the order of decision."""
        from backtester.signals.scan import kernel  # numba is heavy: not before a strategy is called

        live, lookback, width = self.view.live, self.bars.lookback, self.bars.shape[-1]
        slots = int(self.view.last_slot.max(initial=-1)) + 1
        count = live.count[self.session + self.view.first, self.symbol].astype(np.int64)
        absent, parts = np.zeros(self.bars.shape, np.bool_), []
        for enter, leave in ((ENTER_LONG, EXIT_LONG), (ENTER_SHORT, EXIT_SHORT)):
            if ACTIONS[enter] not in wishes.uncut and ACTIONS[leave] not in wishes.uncut:
                continue
            both = [_flat(wishes.uncut.get(ACTIONS[action], absent)) for action in (enter, leave)]
            eight = [cells[: len(cells) // 8 * 8].view(np.uint64) for cells in both]
            tally = np.zeros(2 * slots * (int(self.session.max(initial=-1)) + 1), np.int32)
            hits, found = np.empty(2 * int(count.sum()), np.int64), np.zeros(1, np.int64)
            kernel("scan").entry_point(
                *both, *eight, width, lookback, start, count, self.session, live.base_slot, slots, hits, tally, found
            )
            whole, real = np.empty((6, found[0]), np.int64), np.empty((2, found[0]))
            rows, columns, entries, symbol, session, base_slot = whole
            kernel("place").entry_point(
                hits[: found[0]], tally, width, lookback, start, self.session, self.symbol, live.base_slot, live.close, live.quality, slots,
                *whole, *real,
            )  # fmt: skip
            action = np.where(entries == 1, enter, leave)
            given = _given(wishes, (rows, columns))
            parts.append(Found(symbol, session, base_slot, action, real[0], real[1], *given))
        return parts[0] if len(parts) == 1 else _together(parts, wishes)

    def _cells(self) -> Bools:
        """Cells that a signal may stand on: real bars; in the clock layout every slot of the session."""
        if self.start is not None:
            return self.bars.valid[:, self.bars.lookback :]
        slots = self.view.bars[self.view.first + self.session]
        inside: Bools = np.arange(self.bars.shape[-1] - self.bars.lookback) < slots[:, None, None]
        return inside

    def _base_slot(self, session: Ints, slot: Ints) -> Ints:
        offset = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.view.bars)])
        return self.view.last_slot[offset[self.view.first + session] + slot]


def _flat(cells: Bools) -> Bools:
    """All cells on end, where whole words begin."""
    flat = np.ascontiguousarray(cells).reshape(-1)
    return flat if flat.ctypes.data % 8 == 0 else flat.copy()


def _given(wishes: Wishes, where: tuple[Ints, ...]) -> tuple[dict[str, Floats], list[str | None] | None, dict[str, Bools]]:
    """Numbers, tags and calls of the wishes at some cells."""
    numbers = {name: values[where] for name, values in wishes.numbers.items()}
    tags = None if wishes.tags is None else [None if tag is None else str(tag) for tag in wishes.tags[where]]
    return numbers, tags, {name: values[where] for name, values in wishes.calls.items()}


def _together(parts: Sequence[Found], wishes: Wishes) -> Found:
    """Wishes of both directions, or of none."""
    none = np.zeros(0, np.int64), np.zeros(0)

    def whole(name: str, empty: Column) -> Column:
        return np.concatenate([empty, *(getattr(part, name) for part in parts)])

    numbers = {name: np.concatenate([none[1], *(part.numbers[name] for part in parts)]) for name in wishes.numbers}
    calls = {name: np.concatenate([np.zeros(0, np.bool_), *(part.calls[name] for part in parts)]) for name in wishes.calls}
    tags = None if wishes.tags is None else [tag for part in parts for tag in part.tags or ()]
    symbol, session, base_slot, action = (whole(name, none[0]) for name in ("symbol", "session", "base_slot", "action"))
    return Found(symbol, session, base_slot, action, whole("price", none[1]), whole("quality", none[1]), numbers, tags, calls)


def one_session(view: View, session: int) -> View:
    """The view of one of the chunk's sessions, with all the history before it."""
    stop = view.first + session + 1
    slots = int(view.bars[:stop].sum())
    live = view.live.between(0, stop)
    seen = live if view.seen is view.live else view.seen.between(0, stop)
    back = view.back[session : session + 1]
    return replace(view, live=live, seen=seen, first=stop - 1, bars=view.bars[:stop], last_slot=view.last_slot[:slots], back=back)


def rows(view: View, symbols: Ints, lookback: int, historical: Mapping[str, Floats], like: Batch | None = None) -> Batch:
    """The `bars` layout: one row a symbol-session that has bars, shape (rows, lookback + most bars of a session).

    With `like`, the rows of that batch (of another interval), whether or not they have bars of this one.
    """
    live, seen, first = view.live, view.seen, view.first
    if like is None:
        sessions = np.arange(first, len(live.sessions))
        session, symbol = np.tile(sessions, len(symbols)), np.repeat(symbols, len(sessions))
        has = live.count[session, symbol] > 0
        session, symbol = session[has], symbol[has]
    else:
        session, symbol = like.session + first, like.symbol
    start, count = live.start[session, symbol], live.count[session, symbol].astype(np.int64)
    high = seen.start[session, symbol]
    oldest = seen.start[np.maximum(session - view.back[session - first, symbol], 0), symbol]
    low = np.maximum(high - lookback, oldest)
    width = lookback + (int(count.max()) if len(count) else 0)
    ratios = _row_ratios(view, (session, symbol), low, high)
    read = _row_reader(view, (low, high, start, count), lookback, (len(start), width), ratios)
    bars = Bars(live.interval, lookback, (len(start), width), read, _names(live, symbol)[:, None], live.sessions.label[session][:, None])
    batch = Batch(bars, view, symbol, session - first, start)
    bars.bound({}, {}, {name: _spread(bars, values[session - first, symbol]) for name, values in historical.items()})
    return batch


def clock(view: View, symbols: Ints, lookback: int, historical: Mapping[str, Floats]) -> Batch:
    """The `clock` layout: aligned on slots, shape (sessions, symbols, lookback + most slots of a session)."""
    live, first = view.live, view.first
    session = np.arange(len(live.sessions) - first)
    width = lookback + (int(view.bars[first:].max()) if len(session) else 0)
    shape = (len(session), len(symbols), width)
    read = _clock_reader(view, symbols, lookback, width)
    bars = Bars(live.interval, lookback, shape, read, _names(live, symbols)[None, :, None], live.sessions.label[first:][:, None, None])
    bars.bound({}, {}, {name: _spread(bars, values[:, symbols]) for name, values in historical.items()})
    return Batch(bars, view, symbols, session, None)


def _spread(bars: Bars, values: Floats) -> Floats:
    """A historical indicator broadcastable over the columns: one value a row, or by the base slot of each of the session's bars."""
    if values.ndim == len(bars.shape) - 1:
        return values[..., None]
    slot = np.where(bars.in_session, bars.column("base_slot"), -1)
    taken = np.take_along_axis(values, np.maximum(slot, 0), axis=-1)
    return np.where(slot >= 0, taken, np.nan)


def _names(tape: Tape, symbols: Ints) -> Column:
    return np.array(tape.symbols, dtype=object)[symbols]


Spans = tuple[Ints, Ints, Ints, Ints]


def _row_ratios(view: View, cell: tuple[Ints, Ints], low: Ints, high: Ints) -> dict[int, Floats]:
    """Of the rows whose history holds a split: shares in the row's session for one share of each bar of its history."""
    (session, symbol), seen, found = cell, view.seen, {}
    known = view.splits.on(seen.sessions.label)
    for split, steps in known.steps.items():
        for row in np.flatnonzero((symbol == split) & (session >= steps[0][0]) & (low < high)).tolist():
            current = int(session[row])
            first = int(np.searchsorted(seen.start[:current, split], low[row], side="right")) - 1
            if (ratio := known.ratio(split, first, current)) is not None:
                per_bar = np.repeat(ratio, seen.count[first:current, split])
                found[row] = per_bar[low[row] - seen.start[first, split] :]
    return found


def _row_reader(view: View, spans: Spans, lookback: int, shape: tuple[int, int], ratios: Mapping[int, Floats]) -> Callable[[str], Column]:
    """A reader of columns: history from `seen` in the terms of the row's session, the session from `live`, NaN at the ends."""
    low, high, start, count = (part.tolist() for part in spans)
    together = view.live is view.seen

    def read(name: str) -> Column:
        if name == "valid":
            column = np.arange(shape[1])
            return (column >= lookback - (spans[1] - spans[0])[:, None]) & (column < lookback + spans[3][:, None])
        source, empty = _source(view.live, name)
        past = source if together else _source(view.seen, name)[0]
        out = np.full(shape, empty, dtype=source.dtype)
        if together:
            for row, (first, last, size) in enumerate(zip(low, start, count, strict=True)):
                out[row, lookback - (last - first) : lookback + size] = source[first : last + size]
        else:
            for row, (first, middle, last, size) in enumerate(zip(low, high, start, count, strict=True)):
                out[row, lookback - (middle - first) : lookback] = past[first:middle]
                out[row, lookback : lookback + size] = source[last : last + size]
        for row, ratio in ratios.items():
            in_terms(out[row, lookback - len(ratio) : lookback], name, ratio)
        return _unlooked(out, name, view, lookback)

    return read


def _clock_reader(view: View, symbols: Ints, lookback: int, width: int) -> Callable[[str], Column]:
    """A reader of columns aligned on slots, NaN in gaps; history in the terms of the row's session."""
    offset = np.concatenate([np.zeros(1, np.int64), np.cumsum(view.bars)])
    sessions = range(view.first, len(view.live.sessions))
    known = view.splits.on(view.seen.sessions.label)
    split = [(place, symbol) for place, symbol in enumerate(symbols.tolist()) if symbol in known.steps]

    def line(tape: Tape, name: str) -> Column:
        source, empty = _source(tape, name)
        owner = np.repeat(np.arange(len(tape.symbols)), tape.count.sum(axis=0))
        out = np.full(len(tape.symbols) * int(offset[-1]), empty, dtype=source.dtype)
        out[owner * offset[-1] + tape.per_bar(offset[:-1]) + tape.slot] = source
        return out.reshape(len(tape.symbols), int(offset[-1]))[symbols]

    def read(name: str) -> Column:
        live = line(view.live, name)
        past = live if view.live is view.seen else line(view.seen, name)
        out = np.full((len(sessions), len(symbols), width), _source(view.live, name)[1], dtype=live.dtype)
        for row, session in enumerate(sessions):
            begin, end = int(offset[session]), int(offset[session + 1])
            allowed = offset[np.maximum(session - view.back[row, symbols], 0)]
            low = max(begin - lookback, int(allowed.min()) if len(allowed) else begin)
            history = out[row, :, lookback - (begin - low) : lookback]
            history[:] = past[:, low:begin]
            history[np.arange(low, begin)[None, :] < allowed[:, None]] = _source(view.live, name)[1]
            first = int(np.searchsorted(offset, low, side="right")) - 1
            for place, symbol in split:
                if (ratio := known.ratio(symbol, first, session)) is not None:
                    in_terms(history[place], name, np.repeat(ratio, view.bars[first:session])[low - int(offset[first]) :])
            out[row, :, lookback : lookback + end - begin] = live[:, begin:end]
        return _unlooked(out, name, view, lookback)

    return read


def _unlooked(values: Column, name: str, view: View, lookback: int) -> Column:
    """With quality of history switched off, its bars show 100."""
    if name == "quality" and not view.look_back:
        past = values[..., :lookback]
        past[~np.isnan(past)] = 100.0
    return values


def _source(tape: Tape, name: str) -> tuple[Column, Any]:
    """A tape's column as a strategy sees it, and what stands where there is no bar."""
    if name in ("ts", "end"):
        return tape.column(name), NO_TIME
    if name in ("slot", "base_slot"):
        return tape.column(name).astype(np.int64), -1
    if name == "valid":
        return np.ones(len(tape), np.bool_), False
    if name == "complete":
        return tape.complete, False
    if name == "minutes_to_close":
        return (tape.per_bar(tape.sessions.close) - tape.end) / MINUTE_US, np.nan
    if name == "minutes_from_open":
        return (tape.end - tape.per_bar(tape.sessions.open)) / MINUTE_US, np.nan
    return tape.column(name), np.nan

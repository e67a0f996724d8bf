"""Signaller: what the strategies of trials wish of a part, asked for again and again, in the form that trading wants it in.

Place in the flow: `block` asks here for each trial, before fills. What trials share of a part is kept: its columns, its indicators, where
their cells stand. Plain wishes stay in their columns; they are put in order only where somebody asks for that. Never trades.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cache, partial

import numpy as np

from backtester.columns import Ints
from backtester.market.prepare import Prepared
from backtester.planning import Setup
from backtester.signalling import caller_of, events_of, given_of
from backtester.signals import batch, calling
from backtester.signals.bars import Bars
from backtester.signals.batch import Batch, Found
from backtester.signals.calling import Call, Caller, Given
from backtester.signals.shared import Shared
from backtester.signals.strategy import BOOLEANS, Wishes
from backtester.trading.accounts import Asked
from backtester.trading.alone import Rows, Seen, Wish, wish_of
from backtester.trading.execution import Events
from backtester.trading.plain import Wanted


@dataclass(frozen=True)
class Common:
    """What is the same in all chunks: the strategies as they are called, by place, filled as they are needed; what the process is made
    again after each call.
    """

    callers: dict[int, Caller] = field(default_factory=dict)
    outside: calling.Outside = field(default_factory=calling.Outside.now)


class Signaller:
    """Signals of some of the strategies over one chunk, asked for again and again; what calls share is kept; not for two threads.

    common: what all chunks share.
    """

    def __init__(self, setup: Setup, prepared: Prepared, at: int, common: Common):
        self._setup, self._prepared, self._at, self._common = setup, prepared, at, common
        given = given_of(setup, prepared, at)
        self._begin(given, Shared(_longest(setup), partial(_rows, given)), {})

    def _begin(self, given: Given, shared: Shared, bars: dict[str, Seen]) -> None:
        self._shared, self._bars = shared, bars
        self._given = replace(given, cuts={}, shared=shared)
        self._last: tuple[tuple[int, ...], Asked] | None = None
        self._rows: dict[int, tuple[Batch, Rows]] = {}

    def fork(self) -> Signaller:
        """The same for another thread."""
        other = copy(self)
        other._begin(self._given, self._shared, self._bars)
        return other

    def asked(self, places: tuple[int, ...], call: Call | None) -> Asked:
        """Signals of the strategies at these places; call: how they are called where that is not in this process. Raises StrategyError."""
        if self._last is None or self._last[0] != places:
            callers = [self._caller(place) for place in places]
            outside = self._common.outside
            answers = [calling.answer(caller, self._given, None, outside) for caller in callers] if call is None else None
            found = cache(partial(_found, callers, answers, self._given, call))
            if answers is None:
                found()  # what it raises is raised here, and not where it is traded
            wishes = partial(_wishes, self._prepared, self._rows, self._bars, answers)
            plain, events = partial(_plain, self._prepared, found), partial(_events, self._setup, self._prepared, found)
            # Nothing of it knows the signaller: a circle would keep a whole chunk.
            self._last = places, Asked(wishes, plain, events)
        return self._last[1]

    def _caller(self, place: int) -> Caller:
        callers = self._common.callers
        if place not in callers:
            callers[place] = caller_of(self._setup, self._setup.traders[place])
        return callers[place]


def _found(
    callers: Sequence[Caller], answers: Sequence[tuple[Batch, Wishes]] | None, given: Given, call: Call | None
) -> list[tuple[int, Found]]:
    """What each of the strategies signals, by their order."""
    if answers is not None:
        return [(own, made.found(wishes)) for own, (made, wishes) in enumerate(answers)]
    assert call is not None
    return [(own, call(caller, given, None)) for own, caller in enumerate(callers)]


def _wishes(
    prepared: Prepared, rows: dict[int, tuple[Batch, Rows]], bars: dict[str, Seen], answers: Sequence[tuple[Batch, Wishes]] | None
) -> list[tuple[Wish, Rows, Seen]] | None:
    """The wishes in their columns; None where one of them gives more than its direction, or does not stand on bars."""
    if answers is None or not all(made.start is not None and wishes.are_plain for made, wishes in answers):
        return None
    found = []
    for made, wishes in answers:
        interval = made.bars.interval
        if interval not in bars:
            bars[interval] = _seen_of(prepared, made)
        if id(made) not in rows:
            rows[id(made)] = made, _rows_of(prepared, made)
        wish = wish_of(made.bars.shape, *(wishes.uncut.get(name) for name in BOOLEANS))
        found.append((wish, rows[id(made)][1], bars[interval]))
    return found


def _plain(prepared: Prepared, found: Callable[[], Sequence[tuple[int, Found]]]) -> Wanted | None:
    """All signals as plain ones, in the order of decision; None where one of them gives more than its direction."""
    for _, part in found():
        if part.numbers or part.calls or part.action.max(initial=0) >= len(BOOLEANS) or np.isnan(part.quality).any():
            return None
    symbols, offset = len(prepared.grid.symbols), prepared.grid.clock.offset
    columns = [(offset[part.session] + part.base_slot, own * symbols + part.symbol, part.action, part.price, part.quality)
               for own, part in found()]  # fmt: skip
    return Wanted(*(np.concatenate(parts) for parts in zip(*columns, strict=True))).sorted()


def _events(setup: Setup, prepared: Prepared, found: Callable[[], Sequence[tuple[int, Found]]]) -> Events:
    return events_of(setup, prepared, found())


def _rows_of(prepared: Prepared, made: Batch) -> Rows:
    """Where the cells of a batch's rows stand, for trading."""
    live, symbols, width = made.view.live, len(prepared.grid.symbols), made.bars.shape[-1]
    assert made.start is not None
    first = np.arange(len(made.start)) * width + made.bars.lookback
    count = live.count[made.session + made.view.first, made.symbol].astype(np.int64)
    own, place, many = np.unique(made.symbol, return_index=True, return_counts=True)
    low, high = np.zeros((2, symbols), np.int64)
    low[own], high[own] = place, place + many
    return Rows(first, count, made.start.astype(np.int64), low, high)


def _seen_of(prepared: Prepared, made: Batch) -> Seen:
    """The bars that a batch's rows are of, for trading."""
    live = made.view.live
    begins = np.full(len(live.sessions), -(2**31))
    begins[made.view.first :] = prepared.grid.clock.offset[: len(begins) - made.view.first]
    symbol = np.repeat(np.arange(len(live.symbols)), live.count.sum(axis=0))
    return Seen(symbol, np.maximum(live.per_bar(begins) + live.base_slot, -1), live.close, live.quality)


def _longest(setup: Setup) -> dict[tuple[str, bytes], int]:
    """The most bars of history that strategies ask for, of the rows that they ask for different ones of."""
    asked: dict[tuple[str, bytes], set[int]] = {}
    for trader in setup.traders:
        name, interval = next(iter(trader.inputs.items()))
        asked.setdefault((interval, trader.symbols.tobytes()), set()).add(trader.lookback[name])
    return {rows: max(lookbacks) for rows, lookbacks in asked.items() if len(lookbacks) > 1}


def _rows(given: Given, interval: str, symbols: Ints, lookback: int) -> Bars:
    """The rows of some symbols with so many bars of history."""
    return batch.rows(given.view(interval, lookback), symbols, lookback, {}).bars

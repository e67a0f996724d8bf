"""Signalling: a prepared chunk through every strategy, in one call each, to signals in the order of decision.

Place in the flow: phase 5 of a day, before fills. A strategy that raises is found out session by session, so that what it
signalled before does not depend on how the run is cut; then it is stopped for the rest of the run. Never trades.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from backtester.columns import Floats, Ints
from backtester.errors import StrategyError
from backtester.market.history import prior_session
from backtester.market.prepare import Prepared
from backtester.planning import Setup
from backtester.reach import Trader, indicator_columns
from backtester.signals import batch, calling, indicators
from backtester.signals.batch import Batch, Column, Found, View
from backtester.signals.calling import Call, Caller, EndedError, Given, LimitError
from backtester.signals.loading import Origin
from backtester.trading.execution import Events
from backtester.trading.inputs import CALLS, GIVEN

LOG = logging.getLogger("backtester.strategies")


@dataclass(frozen=True)
class Stopped:
    """A strategy that raised: its place in the config, the first session it did not finish, and what it said."""

    strategy: int
    session: np.datetime64
    error: StrategyError


@contextmanager
def calls(setup: Setup, *, shared: bool = False) -> Iterator[Call]:
    """How the run calls its strategies: in this process, or each in one of its own where the config asks for it.

    shared: strategies of one file share a process, as the trials of a sweep do. Not for two threads: each has its own, all of them made
    before the first is used.
    """
    limits = setup.config.resources.limits
    if limits is None:
        yield calling.call
        return
    from backtester.signals.apart import Apart  # most runs do without

    with Apart([caller_of(setup, trader) for trader in setup.traders], limits, shared=shared) as apart:
        yield apart.call


def signals(
    setup: Setup, prepared: Prepared, at: int, stopped: Sequence[Stopped], call: Call = calling.call
) -> tuple[Events, list[Stopped]]:
    """Events of all strategies in a chunk, and those stopped by now; `at` is the chunk's first session in the run."""
    found: list[tuple[int, Found]] = []
    out = {one.strategy: one for one in stopped}
    given = given_of(setup, prepared, at)
    for place, trader in enumerate(setup.traders):
        if place in out:
            continue
        caller = caller_of(setup, trader)
        try:
            found.append((place, call(caller, given, None)))
        except StrategyError as error:
            pieces, session, cause = _until_error(call, caller, given, error)
            found += [(place, piece) for piece in pieces]
            if session is None:
                LOG.warning("%s; its sessions were taken one by one, and each of them alone did not", cause)
                continue
            out[place] = Stopped(place, prepared.sessions.label[session], cause)
            LOG.error("\n".join(filter(None, (str(cause), calling.said(cause, caller)))))
    return events_of(setup, prepared, found), list(out.values())


def _until_error(call: Call, caller: Caller, given: Given, error: StrategyError) -> tuple[list[Found], int | None, StrategyError]:
    """What the strategy signals in the sessions before the one in which it raises, and that session; None: more at once were too many."""
    if len(given.days) == 1:
        return [], 0, _of_one_symbol(call, caller, given, 0, error)
    pieces = []
    for session in range(len(given.days)):
        try:
            pieces.append(call(caller, given, session))
        except StrategyError as single:
            return pieces, session, _of_one_symbol(call, caller, given, session, single)
    return (pieces, None, error) if isinstance(error, LimitError) else ([], 0, error)


def _of_one_symbol(call: Call, caller: Caller, given: Given, session: int, error: StrategyError) -> StrategyError:
    """The same error of the first symbol that alone brings it about in the session, which then names it; else the error itself."""
    if caller.declared.layout == "bars" and "symbol " not in (error.where or "") and not isinstance(error, EndedError):
        for symbol in caller.symbols:
            try:
                call(replace(caller, symbols=np.array([symbol])), given, session)
            except StrategyError as alone:
                if (alone.what, str(alone.value)) == (error.what, str(error.value)):
                    return alone
    return error


def given_of(setup: Setup, prepared: Prepared, at: int) -> Given:
    """What strategies may see of a prepared chunk; `at` is its first session in the run."""
    view = partial(view_of, setup, prepared)
    return Given(prepared.sessions.label, lambda interval, lookback: view(interval, at, lookback), prepared.historical)


def caller_of(setup: Setup, trader: Trader) -> Caller:
    """The strategy as it is called, in every part of the run."""
    columns = {interval: indicator_columns(setup.config, interval) for interval in trader.inputs.values()}
    advice = "see run.log for its traceback" if setup.config.on_error == "isolate" else "--debug shows its traceback"
    entry, known = trader.entry, trader.described
    origin = Origin(entry.use, str(setup.config.root), json.dumps(entry.params), known.source.path, known.source.digest)
    return Caller(entry.name, trader.strategy, known.declared, origin, trader.symbols, columns, advice, setup.config.account.leverage)


def view_of(setup: Setup, prepared: Prepared, interval: str, at: int, lookback: int) -> View:
    """The tapes of an interval with what each session of the chunk may look into for so many bars."""
    bars, last_slot = prepared.last_slots[interval]
    back = setup.back[interval, lookback][at : at + len(prepared.sessions)]
    look_back = setup.config.session_data_config.historical.enable_quality
    live, seen, first = prepared.tapes[interval], prepared.seen[interval], prepared.first(interval)
    return View(live, seen, first, bars, last_slot, back, look_back, setup.needs.splits)


def events_of(setup: Setup, prepared: Prepared, found: Sequence[tuple[int, Found]]) -> Events:
    """All signals as one list in the order of decision."""
    clock = prepared.grid.clock
    parts = [part for _, part in found]

    def whole(name: str) -> Ints:
        return np.concatenate([np.zeros(0, np.int64), *(getattr(part, name) for part in parts)])

    def given(name: str, columns: Sequence[Mapping[str, Column]], default: Column) -> Column:
        """What the strategies have given, else the default: one array for all that nobody has given."""
        if not any(name in own for own in columns):
            return default
        return np.concatenate([own.get(name, default[: len(part.symbol)]) for own, part in zip(columns, parts, strict=True)])

    session, slot, symbol = whole("session"), whole("base_slot"), whole("symbol")
    quality = np.concatenate([np.zeros(0), *(part.quality for part in parts)])
    blind = np.isnan(quality)
    quality[blind] = _quality_at(prepared, symbol[blind], session[blind], slot[blind])
    numbers, calls = [part.numbers for part in parts], [part.calls for part in parts]
    confidence = given("confidence", numbers, np.ones(len(symbol)))
    absent, uncalled = np.full(len(symbol), np.nan), np.zeros(len(symbol), np.bool_)
    known = tuple(sorted({word for part in parts for word in part.tags or () if word is not None}))
    index: dict[str | None, int] = {word: place for place, word in enumerate(known)} | {None: -1}
    tags = [[index[word] for word in part.tags] if part.tags else np.full(len(part.symbol), -1) for part in parts]
    return Events(
        t=clock.offset[session] + slot,
        strategy=np.repeat([place for place, _ in found], [len(part.symbol) for part in parts]).astype(np.int32),
        symbol=symbol.astype(np.int32),
        action=whole("action").astype(np.int8),
        price=np.concatenate([np.zeros(0), *(part.price for part in parts)]),
        quality=quality,
        confidence=np.where(np.isnan(confidence), 1.0, confidence),
        **{name: given(name, calls, uncalled) for name in CALLS},
        **{name: given(name, numbers, absent) for name in GIVEN},
        tag=np.concatenate([np.zeros(0), *tags]).astype(np.int32),
        tags=known,
    ).sorted()


def _quality_at(prepared: Prepared, symbol: Ints, session: Ints, slot: Ints) -> Floats:
    """As-of quality at slots that hold no bar of the symbol."""
    if (prepared.percent == 100.0).all():
        return np.full(len(symbol), 100.0)
    clock = prepared.grid.clock
    so_far = np.array([
        np.count_nonzero(prepared.grid.present[line, clock.offset[day] : clock.offset[day] + last + 1])
        for line, day, last in zip(symbol.tolist(), session.tolist(), slot.tolist(), strict=True)
    ], np.float64)  # fmt: skip
    quality: Floats = 100.0 * so_far / (slot + 1)
    return quality


def configured(setup: Setup, prepared: Prepared, at: int, times: int = 1) -> dict[str, tuple[Batch, Floats]]:
    """The config's session indicators over all symbols: `interval/column` -> the batch and its values.

    times: how many times the history that they need to settle stands before the session.
    """
    everyone = np.arange(len(setup.symbols))
    made: dict[str, tuple[Batch, Floats]] = {}
    before = {name: prepared.historical[name] for name in prior_session() if name in prepared.historical}
    for interval in sorted({item.interval for item in setup.config.session_data_config.indicators.session}):
        cuts: dict[int, Batch] = {}
        for name, (kind, params, output) in indicator_columns(setup.config, interval).items():
            lookback = times * indicators.settled(kind, params)
            if lookback not in cuts:
                cuts[lookback] = batch.rows(view_of(setup, prepared, interval, at, lookback), everyone, lookback, before)
            cut = cuts[lookback]
            made[f"{interval}/{name}"] = cut, cut.bars.indicator(f"{kind}.{output}", **params)
    return made

"""Signalling: a prepared chunk through every strategy, in one call each, to signals in the order of decision.

Place in the flow: phase 5 of a day, before fills. A strategy that raises is found out session by session, so that what it
signalled before does not depend on how the run is cut; then it is stopped for the rest of the run. Never trades.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from backtester.columns import Floats, Ints
from backtester.errors import StrategyError
from backtester.market.history import prior_session
from backtester.market.prepare import Prepared
from backtester.planning import Setup
from backtester.reach import Trader, indicator_columns
from backtester.signals import batch, indicators
from backtester.signals.bars import Bars
from backtester.signals.batch import Batch, Found, View
from backtester.signals.strategy import checked
from backtester.trading.execution import Events

LOG = logging.getLogger("backtester.strategies")


@dataclass(frozen=True)
class Stopped:
    """A strategy that raised: its place in the config, the first session it did not finish, and what it said."""

    strategy: int
    session: np.datetime64
    error: StrategyError


def signals(setup: Setup, prepared: Prepared, at: int, stopped: Sequence[Stopped]) -> tuple[Events, list[Stopped]]:
    """Events of all strategies in a chunk, and those stopped by now; `at` is the chunk's first session in the run."""
    found: list[tuple[int, Found]] = []
    out = {one.strategy: one for one in stopped}
    for place, trader in enumerate(setup.traders):
        if place in out:
            continue
        try:
            found.append((place, _call(setup, prepared, at, trader)))
        except StrategyError as error:
            pieces, session, cause = _until_error(setup, prepared, at, trader, error)
            found += [(place, piece) for piece in pieces]
            out[place] = Stopped(place, prepared.sessions.label[session], cause)
            LOG.error("%s\n%s", cause, _traceback(cause, trader))
    return _events(setup, prepared, found), list(out.values())


def _until_error(setup: Setup, prepared: Prepared, at: int, trader: Trader, error: StrategyError) -> tuple[list[Found], int, StrategyError]:
    """What the strategy signals in the sessions before the one in which it raises, and that session."""
    pieces = []
    for session in range(len(prepared.sessions)):
        try:
            pieces.append(_call(setup, prepared, at, trader, session))
        except StrategyError as single:
            return pieces, session, _of_one_symbol(setup, prepared, at, trader, session, single)
    return [], 0, error


def _of_one_symbol(setup: Setup, prepared: Prepared, at: int, trader: Trader, session: int, error: StrategyError) -> StrategyError:
    """The same error of the first symbol that alone brings it about in the session, which then names it; else the error itself."""
    if trader.strategy.layout == "bars" and "symbol " not in (error.where or ""):
        for symbol in trader.symbols:
            try:
                _call(setup, prepared, at, replace(trader, symbols=np.array([symbol])), session)
            except StrategyError as alone:
                if (alone.what, alone.value) == (error.what, error.value):
                    return alone
    return error


def _call(setup: Setup, prepared: Prepared, at: int, trader: Trader, only: int | None = None) -> Found:
    """One call of a strategy's `signals` over the chunk, or over one of its sessions."""
    main, *others = trader.strategy.inputs
    first = _cut(setup, prepared, at, trader, main, only)
    batches = {main: first} | {name: _cut(setup, prepared, at, trader, name, only, first) for name in others}
    everything = {name: made.bars for name, made in batches.items()}
    for key, made in batches.items():
        longer = partial(_longer, setup, prepared, at, trader, key, only, first)
        made.bars.bound(everything, indicator_columns(setup.config, made.bars.interval), made.bars.historical_columns, longer)
    name = trader.entry.name
    try:
        with _contained():
            given = trader.strategy.signals(first.bars)
        wishes = checked(given, first.bars, name)
    except KeyboardInterrupt:
        raise
    except StrategyError as error:
        where = _where(trader, first, error, error.where)
        raise StrategyError(error.what, where=where, value=error.value, allowed=error.allowed, action=error.action) from error
    except BaseException as error:
        value = f"{type(error).__name__}: {error}".splitlines()[0]
        action = "see run.log for its traceback" if setup.config.on_error == "isolate" else "--debug shows its traceback"
        raise StrategyError("a strategy raised an error", where=_where(trader, first, error), value=value, action=action) from error
    finally:
        for made in batches.values():  # inputs know each other: a circle that would keep a whole chunk in memory for a while
            made.bars.bound({}, {}, {})
    return replace(shifted := first.found(wishes), session=shifted.session + (only or 0))


@contextmanager
def _contained() -> Iterator[None]:
    """What a strategy changes of the process is put back: the current folder, warnings, numpy's handling of errors (STR-21)."""
    folder = Path.cwd()
    with np.errstate(), warnings.catch_warnings():
        try:
            yield
        finally:
            os.chdir(folder)


def _where(trader: Trader, first: Batch, error: BaseException, told: str | None = None) -> str:
    """The strategy, the line of its file, what the error itself says of the place, else the sessions and the symbol of the call."""
    head = f"strategy {trader.entry.name}"
    place = (told or "").removeprefix(head).lstrip(", ")
    if "session " not in place:
        days = sorted({str(day) for day in first.bars.session.ravel()})
        symbols = {str(symbol) for symbol in first.bars.symbol.ravel()}
        place += f", session {days[0]}" if len(days) == 1 else f", sessions {days[0]} to {days[-1]}" if days else ", no session"
        place += f", symbol {symbols.pop()}" if len(symbols) == 1 else ""
    lines = [str(frame.lineno) for frame in traceback.extract_tb(error.__traceback__) if frame.filename == _file(trader)]
    line = f"{Path(_file(trader)).name}:{lines[-1]}" if lines else ""
    return ", ".join(word for word in (head, line, place.strip(", ")) if word)


def _traceback(error: StrategyError, trader: Trader) -> str:
    """What the strategy itself raised, from its own file on; frames of the program before it say nothing to its author."""
    cause = error.__cause__ or error
    frame = cause.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename != _file(trader):
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(cause), cause, frame, chain=False)) if frame is not None else ""


def _file(trader: Trader) -> str:
    """The file that the strategy's class stands in."""
    return str(getattr(sys.modules.get(type(trader.strategy).__module__), "__file__", ""))


def view_of(setup: Setup, prepared: Prepared, interval: str, at: int, lookback: int) -> View:
    """The tapes of an interval with what each session of the chunk may look into for so many bars."""
    bars, last_slot = prepared.last_slots[interval]
    back = setup.back[interval, lookback][at : at + len(prepared.sessions)]
    look_back = setup.config.session_data_config.historical.enable_quality
    return View(prepared.tapes[interval], prepared.seen[interval], prepared.first(interval), bars, last_slot, back, look_back)


def _cut(
    setup: Setup, prepared: Prepared, at: int, trader: Trader, name: str, only: int | None, like: Batch | None = None, more: int = 0
) -> Batch:
    """One input of a strategy, with `more` bars of history than it asks for; those beside the first have the rows of the first."""
    lookback = trader.lookback[name] + more
    view = view_of(setup, prepared, trader.strategy.inputs[name], at, lookback)
    historical = prepared.historical if not more else {}
    if only is not None:
        view = batch.one_session(view, only)
        historical = {key: values[only : only + 1] for key, values in historical.items()}
    if trader.strategy.layout == "clock":
        return batch.clock(view, trader.symbols, lookback, historical)
    return batch.rows(view, trader.symbols, lookback, historical, like)


def _longer(setup: Setup, prepared: Prepared, at: int, trader: Trader, name: str, only: int | None, first: Batch, more: int) -> Bars:
    """The bars of an input with more history, for an indicator's warm-up."""
    return _cut(setup, prepared, at, trader, name, only, first, more).bars


def _events(setup: Setup, prepared: Prepared, found: Sequence[tuple[int, Found]]) -> Events:
    """All signals as one list in the order of decision."""
    clock = prepared.grid.clock
    parts = [part for _, part in found]

    def whole(name: str) -> Ints:
        return np.concatenate([np.zeros(0, np.int64), *(getattr(part, name) for part in parts)])

    def numbers(name: str, default: float) -> Floats:
        return np.concatenate([np.zeros(0), *(part.numbers.get(name, np.full(len(part.symbol), default)) for part in parts)])

    session, slot, symbol = whole("session"), whole("base_slot"), whole("symbol")
    quality = np.concatenate([np.zeros(0), *(part.quality for part in parts)])
    blind = np.isnan(quality)
    quality[blind] = _quality_at(prepared, symbol[blind], session[blind], slot[blind])
    confidence = numbers("confidence", 1.0)
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
        **{name: numbers(name, np.nan) for name in ("size", "stop_loss", "take_profit", "stop_price", "target_price")},
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


def configured(setup: Setup, prepared: Prepared, at: int) -> dict[str, tuple[Batch, Floats]]:
    """The config's session indicators over all symbols: `interval/column` -> the batch and its values."""
    everyone = np.arange(len(setup.symbols))
    made: dict[str, tuple[Batch, Floats]] = {}
    before = {name: prepared.historical[name] for name in prior_session() if name in prepared.historical}
    for interval in sorted({item.interval for item in setup.config.session_data_config.indicators.session}):
        cuts: dict[int, Batch] = {}
        for name, (kind, params, output) in indicator_columns(setup.config, interval).items():
            lookback = indicators.settled(kind, params)
            if lookback not in cuts:
                cuts[lookback] = batch.rows(view_of(setup, prepared, interval, at, lookback), everyone, lookback, before)
            cut = cuts[lookback]
            made[f"{interval}/{name}"] = cut, cut.bars.indicator(f"{kind}.{output}", **params)
    return made

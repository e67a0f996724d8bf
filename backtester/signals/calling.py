"""Calling: one strategy called over some sessions, what it gives back checked and turned into events, what it raises explained.

Place in the flow: phase 5 of a day, between prepared columns and decisions. It is the same code in the run's own process and in a
strategy's (`apart`), and so the same bits. Never trades, never keeps anything between calls.
"""

from __future__ import annotations

import locale
import os
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtester.columns import Floats, Ints
from backtester.errors import StrategyError
from backtester.signals import batch
from backtester.signals.bars import Bars
from backtester.signals.batch import Batch, Found, View
from backtester.signals.loading import Origin
from backtester.signals.shared import Shared
from backtester.signals.strategy import Declared, Strategy, Wishes, checked
from backtester.signals.watching import Watched, Watching

Columns = Mapping[str, tuple[str, Mapping[str, float | int], str]]
"""Configured indicators of one interval: column name -> (indicator, parameters, output)."""


class EndedError(StrategyError):
    """A strategy's process ended, or was ended, before it answered."""


class LimitError(EndedError):
    """A strategy took longer, or wanted more memory, than `resources` allow."""


@dataclass(frozen=True)
class Caller:
    """What it takes to call a strategy: its name in the run, the object, what it has said of itself, what it is loaded from, symbols
    (index), configured indicators by interval, where to look when it raises, and the account's leverage. watched: where what it sees
    and asks for shall be noted; None in every run.

    The run has no object of a strategy that is called in a process of its own.
    """

    name: str
    strategy: Strategy | None
    declared: Declared
    origin: Origin
    symbols: Ints
    columns: Mapping[str, Columns]
    advice: str
    leverage: float = 1.0
    watched: Watched | None = None


@dataclass(frozen=True)
class Given:
    """What may be seen of the sessions that are worked on together.

    days: their labels. view: (interval, bars of history) -> the tapes, with how far each session may look back. historical: name ->
    values of shape (sessions, symbols) or (sessions, symbols, slots). cuts: columns and indicators of calls before, to be used again
    by the next; None where they are not worth their memory. shared: indicators of trials whose histories are of different lengths. Not for
    two threads.
    """

    days: NDArray[np.datetime64]
    view: Callable[[str, int], View]
    historical: Mapping[str, Floats]
    cuts: dict[tuple[object, ...], Batch] | None = None
    shared: Shared | None = None


Call = Callable[[Caller, Given, int | None], Found]
"""Calls a strategy over all sessions that are given, or over one of them; raises StrategyError."""


@dataclass(frozen=True)
class Outside:
    """What strategies might change of the process (STR-21): its folder (None: it is gone), time zone, locale, what happens to warnings."""

    folder: str | None
    zone: str | None
    words: str
    filters: list[Any]
    shows: Callable[..., None]

    @classmethod
    def now(cls) -> Outside:
        """As it is."""
        zone, words = os.environ.get("TZ"), locale.setlocale(locale.LC_ALL)
        return cls(_folder(), zone, words, list(warnings.filters), warnings.showwarning)

    def put_back(self) -> None:
        """Make the process again what it was."""
        if self.folder is not None and _folder() != self.folder:
            os.chdir(self.folder)
        if os.environ.get("TZ") != self.zone:
            os.environ.pop("TZ", None) if self.zone is None else os.environ.update(TZ=self.zone)
            time.tzset()
        if locale.setlocale(locale.LC_ALL) != self.words:
            locale.setlocale(locale.LC_ALL, self.words)
        if warnings.filters != self.filters:
            warnings.resetwarnings()  # which also tells Python that its filters are others now
            warnings.filters[:] = self.filters  # type: ignore[index]
        warnings.showwarning = self.shows


def call(caller: Caller, given: Given, only: int | None = None, outside: Outside | None = None) -> Found:
    """One call of a strategy's `signals` over all sessions, or over one of them. Raises StrategyError; outside: as for `answer`."""
    made, wishes = answer(caller, given, only, outside)
    found = made.found(wishes)
    return replace(found, session=found.session + only) if only else found


def answer(caller: Caller, given: Given, only: int | None = None, outside: Outside | None = None) -> tuple[Batch, Wishes]:
    """What a strategy was shown, and what it wishes there, not yet put in order. Raises StrategyError.

    outside: what the process is made again afterwards, None: what it is now. Where several threads call, it may be what another's
    strategy has just made of it.
    """
    strategy = caller.strategy
    assert strategy is not None
    batches = cut(caller, given, only)
    first = next(iter(batches.values()))
    everything = {name: made.bars for name, made in batches.items()}
    for key, made in batches.items():
        longer = partial(_longer, caller, given, key, only, first)
        made.bars.bound(everything, caller.columns[made.bars.interval], made.bars.historical_columns, longer)
    try:
        with _contained(outside or Outside.now()):
            asked = strategy if caller.watched is None else Watching(strategy, caller.declared.inputs, caller.watched)
            answer = asked.signals(first.bars)
        wishes = checked(answer, first.bars, caller.name, caller.leverage)
    except KeyboardInterrupt:
        raise
    except StrategyError as error:
        where = _where(caller, first, error, error.where)
        raise StrategyError(error.what, where=where, value=error.value, allowed=error.allowed, action=error.action) from error
    except BaseException as error:
        value = f"{type(error).__name__}: {_words_of(error)}".splitlines()[0]
        raise StrategyError("a strategy raised an error", where=_where(caller, first, error), value=value, action=caller.advice) from error
    finally:
        for made in batches.values():  # inputs know each other: a circle that would keep a whole chunk in memory for a while
            made.bars.bound({}, {}, {} if given.cuts is None else made.bars.historical_columns)
    return first, wishes


def cut(caller: Caller, given: Given, only: int | None = None) -> dict[str, Batch]:
    """What the strategy is given, by the names of its inputs, the one that it signals on first."""
    main, *others = caller.declared.inputs
    first = _cut(caller, given, main, only)
    return {main: first} | {name: _cut(caller, given, name, only, first) for name in others}


def said(error: StrategyError, caller: Caller) -> str:
    """What the strategy itself raised, from its own file on; frames of the program before it say nothing to its author."""
    if notes := getattr(error, "__notes__", None):
        return "\n".join(notes)
    cause = error.__cause__ or error
    frame = cause.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename != caller.origin.path:
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(cause), cause, frame, chain=False)) if frame is not None else ""


def place_of(caller: Caller, days: NDArray[np.datetime64]) -> str:
    """The strategy and the sessions of a call, for an error."""
    return f"strategy {caller.name}, {span_of(days)}"


@contextmanager
def _contained(outside: Outside) -> Iterator[None]:
    """What a strategy changes of the process is put back, and its handling of numpy's errors, which is each thread's own."""
    with np.errstate():
        try:
            yield
        finally:
            outside.put_back()


def _folder() -> str | None:
    """The current folder; None where it is gone."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _where(caller: Caller, first: Batch, error: BaseException, told: str | None = None) -> str:
    """The strategy, the line of its file, what the error itself says of the place, else the sessions and the symbol of the call."""
    head = f"strategy {caller.name}"
    place = (told or "").removeprefix(head).lstrip(", ")
    if "session " not in place:
        symbols = {str(symbol) for symbol in first.bars.symbol.ravel()}
        place += ", " + _span(sorted({str(day) for day in first.bars.session.ravel()}))
        place += f", symbol {symbols.pop()}" if len(symbols) == 1 else ""
    lines = [str(frame.lineno) for frame in traceback.extract_tb(error.__traceback__) if frame.filename == caller.origin.path]
    line = f"{Path(caller.origin.path).name}:{lines[-1]}" if lines else ""
    return ", ".join(word for word in (head, line, place.strip(", ")) if word)


def _span(days: list[str]) -> str:
    if not days:
        return "no session"
    return f"session {days[0]}" if len(days) == 1 else f"sessions {days[0]} to {days[-1]}"


def span_of(days: NDArray[np.datetime64]) -> str:
    """The sessions of a call, for an error."""
    return _span([str(day) for day in days])


def _words_of(error: BaseException) -> str:
    """What an error says; its class is the strategy's own, and may fail even at that."""
    try:
        return str(error)
    except Exception:
        return "an error that cannot say what it is"


def _cut(caller: Caller, given: Given, name: str, only: int | None, like: Batch | None = None, more: int = 0) -> Batch:
    """One input of a strategy, with `more` bars of history than it asks for; those beside the first have the rows of the first."""
    lookback = caller.declared.lookback[name] + more
    if given.cuts is None or only is not None:
        return _made_cut(caller, given, name, only, like, lookback, more)
    declared = caller.declared
    key = (declared.inputs[name], lookback, caller.symbols.tobytes(), declared.layout, more, name if like else None, id(like))
    if key not in given.cuts:
        given.cuts[key] = made = _made_cut(caller, given, name, only, like, lookback, more)
        if given.shared is not None and like is None and not more and declared.layout == "bars":
            given.shared.share(made.bars, declared.inputs[name], caller.symbols)
    return given.cuts[key]


def _made_cut(caller: Caller, given: Given, name: str, only: int | None, like: Batch | None, lookback: int, more: int) -> Batch:
    view = given.view(caller.declared.inputs[name], lookback)
    historical = given.historical if not more else {}
    if only is not None:
        view = batch.one_session(view, only)
        historical = {key: values[only : only + 1] for key, values in historical.items()}
    if caller.declared.layout == "clock":
        return batch.clock(view, caller.symbols, lookback, historical)
    return batch.rows(view, caller.symbols, lookback, historical, like)


def _longer(caller: Caller, given: Given, name: str, only: int | None, first: Batch, more: int) -> Bars:
    """The bars of an input with more history, for an indicator's warm-up."""
    return _cut(caller, given, name, only, first, more).bars

"""A block of trials: each part of the market is read and prepared once, each variant of a strategy called once, each trial traded.

Place in the flow: the engines run blocks, in this process, in others, on other machines; a block is a pure function of base,
space and trials. Its bits never depend on what else stands in the block, nor on threads. Never writes anything.

    groups of trials that read the same     variants
    each part: read, prepare                pipeline
    each chain: a trial's strategies called, its signals traded     signaller, trading.accounts
    figures of each trial                   figures
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtester.columns import Floats
from backtester.errors import BacktesterError
from backtester.market import load
from backtester.market.finer import Finer
from backtester.market.prepare import Past, Prepared
from backtester.pipeline import Loaded, cache_of, prepare_days, reader
from backtester.planning import Part, Setup, check_memory, expected_memory, setup
from backtester.signalling import calls
from backtester.signals.calling import Call
from backtester.sweeping.figures import closing, figures
from backtester.sweeping.signaller import Common, Signaller
from backtester.sweeping.space import Space
from backtester.sweeping.variants import Base, Group, Trial, groups, variants
from backtester.trading.accounts import Account, Stretch, Terms, stretches, terms
from backtester.trading_days import finer_of, market_of

SYMBOL_SESSIONS_A_PART = 200
"""Each part is a call of every strategy and of the kernel for every trial, so long parts are fast; what trials share of one is memory."""
CHAIN = 32
"""Trials that one thread takes at a time, at most."""


@dataclass(frozen=True)
class Outcome:
    """What came of one trial: its figures and its equity at the ends of sessions (currency), or why it failed; seconds of its own."""

    trial: Trial
    figures: Mapping[str, Any] | None
    equity: Floats
    error: str | None
    seconds: float


@dataclass(frozen=True)
class Block:
    """What came of a block: its trials in their order, and the labels of the sessions of each, by trial."""

    outcomes: tuple[Outcome, ...]
    sessions: Mapping[int, NDArray[np.datetime64]]


class _Desk:
    """One trial under way: its account, and what went wrong with it."""

    def __init__(self, trial: Trial, entries: tuple[int, ...], terms: Terms) -> None:
        self.trial, self.entries, self.account = trial, entries, Account(terms)
        self.error: str | None = None
        self.seconds = 0.0


def run_block(base: Base, space: Space, trials: Sequence[Trial], threads: int, progress: Callable[[int], None] | None = None) -> Block:
    """Run trials to their ends. `progress` hears how many bar-trials were done since it was last called.

    A trial whose strategy raises, or whose config is refused, fails alone. Raises the errors of data, calendar and resources.
    """
    made, refused = variants(base, space, trials)
    outcomes = [Outcome(trial, None, np.zeros(0), error.message(), 0.0) for trial, error in refused]
    sessions = {}
    for group in groups(made):
        opened = setup(group.config, max(1, SYMBOL_SESSIONS_A_PART // len(group.config.session_data_config.symbols)))
        check_memory(opened, expected_memory(opened))
        opened = replace(opened, needs=replace(opened.needs, told=False))  # a trial has no tables of its own
        for outcome in _run_group(group, opened, threads, progress):
            outcomes.append(outcome)
            sessions[outcome.trial.number] = opened.sessions.label
    return Block(tuple(sorted(outcomes, key=lambda outcome: outcome.trial.number)), sessions)


def _run_group(group: Group, made: Setup, threads: int, progress: Callable[[int], None] | None) -> Iterator[Outcome]:
    finer = finer_of(made)
    desks = list(_desks(group, made.symbols))
    chains = list(_chains(desks, made))
    common = Common()
    done = 0
    with ExitStack() as stack:
        ways: SimpleQueue[Call | None] = SimpleQueue()
        for _ in range(threads):
            ways.put(stack.enter_context(calls(made, shared=True)) if group.config.resources.limits is not None else None)
        pool = stack.enter_context(ThreadPoolExecutor(threads, "trials"))
        for prepared, sessions in _prepared(made):
            parts = stretches(market_of(made, prepared), desks[0].account.carry, made.acting)
            signaller = Signaller(made, prepared, done, common)
            for finished in pool.map(lambda chain: _work(chain, signaller.fork(), parts, ways, finer), chains):  # noqa: B023 - used at once
                if progress is not None:
                    progress(finished * prepared.grid.close.size)
            done += sessions
    for desk in desks:
        yield _outcome(desk, made)


def _desks(group: Group, symbols: Sequence[str]) -> Iterator[_Desk]:
    """A desk for each variant; those whose settings are the same objects share what is made of them."""
    known: dict[tuple[Any, ...], Terms] = {}
    for variant, own in zip(group.variants, group.entries, strict=True):
        config = variant.config
        names = tuple(strategy.name for strategy in config.strategies)
        key = (id(config.execution), id(config.trading_config), id(config.account), names)
        if key not in known:
            known[key] = terms(config.execution, config.trading_config, config.account, names, symbols)
        yield _Desk(variant.trial, own, known[key])


def _prepared(made: Setup) -> Iterator[tuple[Prepared, int]]:
    """The parts of the run, prepared; one is read and one prepared while another is traded."""
    past = Past()

    def prepared(loaded: Loaded) -> tuple[Prepared, Part]:
        nonlocal past
        found, past = prepare_days(made, loaded, past)
        return found, loaded.part

    with cache_of(made) as files:
        for found, part in load.ahead(prepared, load.ahead(reader(made, files), made.parts)):
            if part.trade:
                yield found, len(part.sessions)


def _chains(desks: Sequence[_Desk], made: Setup) -> Iterator[list[_Desk]]:
    """Trials in runs that one thread takes: those that look back alike side by side, so that they share columns and indicators."""

    def likeness(desk: _Desk) -> tuple[Any, ...]:
        traders = [made.traders[place] for place in desk.entries]
        looks = [tuple((trader.inputs[name], back) for name, back in trader.lookback.items()) for trader in traders]
        return looks, desk.entries, desk.trial.number

    chain: list[_Desk] = []
    before: Any = None
    for desk in sorted(desks, key=likeness):
        looks = likeness(desk)[0]
        if chain and (len(chain) == CHAIN or looks != before):
            yield chain
            chain = []
        chain.append(desk)
        before = looks
    if chain:
        yield chain


def _work(
    chain: Sequence[_Desk], signaller: Signaller, parts: Sequence[Stretch], ways: SimpleQueue[Call | None], finer: Finer | None
) -> int:
    """Signals and fills of some trials over one part; `ways` are the ways to call strategies, one a thread; None: in this process."""
    call = ways.get()
    try:
        for desk in chain:
            if desk.error is None:
                _trade(desk, signaller, parts, call, finer)
    finally:
        ways.put(call)
    return len(chain)


def _trade(desk: _Desk, signaller: Signaller, parts: Sequence[Stretch], call: Call | None, finer: Finer | None) -> None:
    begun = time.perf_counter()
    try:
        desk.account.trade(parts, signaller.asked(desk.entries, call), finer)
    except BacktesterError as error:
        desk.error = error.message()
    desk.seconds += time.perf_counter() - begun


def _outcome(desk: _Desk, made: Setup) -> Outcome:
    if desk.error is not None:
        return Outcome(desk.trial, None, np.zeros(0), desk.error, desk.seconds)
    sums = desk.account.finish()
    equity = closing(sums)
    return Outcome(desk.trial, figures(sums, equity, made.sessions.per_year), equity, None, desk.seconds)


def threads_of(asked: int | None) -> int:
    """Threads to use where nobody says: one a core."""
    return asked or os.cpu_count() or 1

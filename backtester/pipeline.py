"""The table of contents: how a config becomes a run.

    setup         calendar, base interval, history, parts to read           planning
    read          one query a part, the next part read meanwhile            market.load
    prepare_days  slots, derived bars, quality, history: pure               market.prepare
    trade_days    signals, decisions, fills, equity: in order               signalling, trading
    record        digests, sessions, tables, metrics, manifest              recording, digesting, keeping, facts, outcome

Results never depend on how the run is cut into parts, nor on threads. Never computes a figure itself.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from backtester import recording
from backtester.config import Config
from backtester.digesting import stage_digests
from backtester.facts import facts
from backtester.market import load
from backtester.market.finer import Finer
from backtester.market.load import Chunk, Reader
from backtester.market.prepare import Past, Prepared, prepare
from backtester.outcome.behind import Behind
from backtester.outcome.manifest import build
from backtester.outcome.metrics import Score
from backtester.outcome.results import RunFolder
from backtester.outcome.run import Run
from backtester.outcome.run import load as load_run
from backtester.planning import Part, Plan, Setup, check_memory, expected_memory, no_bars, plan, setup
from backtester.recording import Ready, Tally
from backtester.signalling import Stopped, calls, signals
from backtester.signals import calling
from backtester.trading import ledger
from backtester.trading.adjustments import joined, trade_through
from backtester.trading.costs import micro
from backtester.trading.execution import Carry, Events, Market, finish
from backtester.trading.finer import Drilled
from backtester.trading.ladder import Ladder

__all__ = ["Plan", "Progress", "plan", "run"]

LOG = logging.getLogger("backtester")
Tables = dict[str, pl.DataFrame]


@dataclass(frozen=True)
class Progress:
    """How far a run is: sessions done, sessions in all, stored bars so far."""

    done: int
    total: int
    bars: int


@dataclass(frozen=True)
class Loaded:
    """What was read of one part."""

    part: Part
    bars: Chunk
    quotes: Chunk | None
    daily: Chunk | None

    @property
    def chunks(self) -> list[Chunk]:
        """Everything read."""
        return [chunk for chunk in (self.bars, self.quotes, self.daily) if chunk is not None]


@dataclass(frozen=True)
class State:
    """What passes from one part to the next in trading: the account with its positions and orders, and strategies stopped.

    drilled: the bars of the part that trading has looked into.
    """

    carry: Carry
    stopped: tuple[Stopped, ...]
    drilled: tuple[Drilled, ...] = ()


def run(config: Config, out: Path, *, force: bool = False, progress: Callable[[Progress], None] | None = None, trace: bool = False) -> Run:
    """Run a config and publish the result in the folder `out`. Raises the errors of `backtester.errors`; nothing is left then."""
    started, clock = dt.datetime.now(dt.UTC), time.perf_counter()
    with RunFolder.claim(out, force, make_parent=True) as folder:
        threading.Thread(target=_kernel, name="kernel", daemon=True).start()
        with _logged(folder.log, trace):
            made = setup(config)
            check_memory(made, expected_memory(made))
            tally = Tally()
            tally.seconds["initialize"] = time.perf_counter() - clock
            metrics, stopped = _days(made, folder, tally, progress)
            tally.finish(time.perf_counter() - clock)
        described = facts(made, tally, stopped, started)
        folder.publish(build(described, folder.seal(), metrics), metrics, config.resolved())
    return load_run(out)


def _kernel() -> None:
    """Load the kernel's machine code while the first part is read; `trade` would do it later."""
    from backtester.trading import compiled  # numba is heavy

    compiled.kernel()


def prepare_days(made: Setup, loaded: Loaded, past: Past) -> tuple[Prepared, Past]:
    """Everything that strategies may see of a part's sessions, and what the next part needs of them. Pure."""
    return prepare(loaded.bars, loaded.quotes, loaded.daily, made.needs, past)


def trade_days(
    made: Setup, prepared: Prepared, at: int, state: State, call: calling.Call = calling.call, finer: Finer | None = None
) -> tuple[Tables, Events, State]:
    """Signals, decisions, fills and equity of a part's sessions, in order; `at` is its first session in the run.

    `call` is how strategies are called, `finer` finds finer bars.
    """
    events, stopped = signals(made, prepared, at, state.stopped, call)
    if stopped and made.config.on_error == "fail":
        raise stopped[0].error
    config, actions = made.config, made.acting
    market = market_of(made, prepared)
    settings = config.execution, config.trading_config, config.account
    outcomes, carry = trade_through(market, events, state.carry, *settings, actions, finer)
    tables = joined([ledger.tables(outcome) for outcome in outcomes])
    return tables, events, State(carry, tuple(stopped), tuple(outcome.drilled for outcome in outcomes))


def _days(
    made: Setup, folder: RunFolder, tally: Tally, progress: Callable[[Progress], None] | None
) -> tuple[dict[str, Any], tuple[Stopped, ...]]:
    """All parts in order, four at a time: one is read, one prepared, one traded, one written; metrics, and strategies stopped."""
    cash, purses = made.config.account.cash, made.config.account.purses(made.names)
    state, done = State(Carry.start(micro(cash), len(made.names), len(made.symbols), purses), ()), 0
    score = Score(cash, made.sessions.per_year, made.sessions.timezone)
    record = recording.Record(made, folder, score, tally, cash)
    ladder, finer = _ladder(made), finer_of(made)
    with Behind() as behind, calls(made) as call:
        for ready in load.ahead(_preparer(made), load.ahead(reader(made), made.parts)):
            tally.add_read(ready.files, ready.rows, ready.seconds)
            if not ready.part.trade:
                tally.add_daily(ready.prepared)
                continue
            begun = time.perf_counter()
            tables, events, state = trade_days(made, ready.prepared, done, state, call, finer)
            drilled = list(state.drilled)
            if ladder is not None:
                drilled += ladder.add(market_of(made, ready.prepared), events, finer)
            if finer is not None:
                tally.files += [finer.files(bars.symbol, bars.ts) for bars in drilled]
            behind.do(partial(record.write, ready, tables, events, done, time.perf_counter() - begun))
            done += len(ready.part.sessions)
            if progress is not None:
                progress(Progress(done, len(made.sessions), tally.rows))
        behind.wait()
        if not tally.bars:
            raise no_bars(made)
        record.last(ledger.tables(finish(state.carry)))
        score.check()
        behind.do(folder.seal)
        costs = {} if ladder is None else {"costs": ladder.figures()}
        return score.metrics(record.benchmark.returns()) | costs, state.stopped


def _ladder(made: Setup) -> Ladder | None:
    """The accounts of `execution.cost_ladder`; None where it is empty."""
    config = made.config
    if not config.execution.cost_ladder:
        return None
    return Ladder(config.execution, config.trading_config, config.account, made.acting, made.names, len(made.symbols))


def finer_of(made: Setup) -> Finer | None:
    """Finds finer bars where the config asks for them."""
    if made.config.execution.intrabar != "drill_down":
        return None
    data, resources = made.config.session_data_config, made.config.resources
    threads = resources.threads or os.cpu_count() or 1
    return Finer(made.lake, made.needs.base, made.symbols, made.needs.calendar, data.verify, threads, resources.max_memory)


def _preparer(made: Setup) -> Callable[[Loaded], Ready]:
    """Prepares one part after the other; what a part needs of those before it passes on inside."""
    past, done = Past(), 0

    def ready(loaded: Loaded) -> Ready:
        nonlocal past, done
        prepared, past = prepare_days(made, loaded, past)
        digests = stage_digests(made, prepared, done) if loaded.part.trade else {}
        done += len(loaded.part.sessions) if loaded.part.trade else 0
        files, seconds = [chunk.files for chunk in loaded.chunks], sum(chunk.seconds for chunk in loaded.chunks)
        return Ready(loaded.part, prepared, digests, files, loaded.bars.table.num_rows, seconds)

    return ready


def reader(made: Setup) -> Callable[[Part], Loaded]:
    """Reads one part: bars, quotes where fills or stops ask for them, the lake's daily bars where history does."""
    data, resources = made.config.session_data_config, made.config.resources
    threads = resources.threads or os.cpu_count() or 1

    def of(kind: Literal["bars", "quotes"], interval: str) -> Reader:
        means = kind == "bars" and interval == made.needs.base and made.config.execution.fill == "next_vwap"
        ranges = kind == "quotes" and made.config.execution.stop_watch == "quote"
        limits, calendar = (threads, resources.max_memory), made.needs.calendar
        return Reader(made.lake, kind, interval, made.symbols, data.verify, *limits, calendar, means, ranges)

    bars, quotes, daily = of("bars", made.needs.base), of("quotes", made.needs.base), of("bars", "1d")
    with_quotes = made.config.execution.quoted

    def read(part: Part) -> Loaded:
        return Loaded(
            part,
            load.read(bars, part.sessions) if part.read else load.unread(bars, part.sessions),
            load.read(quotes, part.sessions) if with_quotes and part.trade else None,
            load.read(daily, part.sessions) if made.reads_daily else None,
        )

    return read


def market_of(made: Setup, prepared: Prepared) -> Market:
    """The grid as the kernel reads it."""
    grid, clock, days = prepared.grid, prepared.grid.clock, prepared.sessions
    quotes = prepared.quotes or {}
    return Market(
        symbols=made.symbols, strategies=made.names, ts=clock.ts, end=clock.end, session=clock.session.astype(np.int32), labels=days.label,
        session_open=days.open, session_close=days.close,
        open=grid.open, high=grid.high, low=grid.low, close=grid.close, volume=grid.volume, vwap=grid.vwap, **quotes,
    )  # fmt: skip


@contextmanager
def _logged(file: Path, trace: bool) -> Iterator[None]:
    """The run's log goes to its file, session flow lines to stderr too where they are asked for."""
    written = logging.FileHandler(file, encoding="utf-8")
    written.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    shown = logging.StreamHandler(sys.stderr)
    shown.setFormatter(logging.Formatter("%(message)s"))
    level, LOG.propagate = LOG.level, False
    LOG.setLevel(logging.INFO)
    LOG.addHandler(written)
    if trace:
        recording.FLOW.addHandler(shown)
    try:
        yield
    finally:
        LOG.removeHandler(written)
        recording.FLOW.removeHandler(shown)
        LOG.setLevel(level)
        LOG.propagate = True
        written.close()

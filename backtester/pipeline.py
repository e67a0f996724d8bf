"""The table of contents: how a config becomes a run.

    setup         calendar, base interval, history, parts to read           planning
    read          one query a part, the next part read meanwhile            market.load
    prepare_days  slots, derived bars, quality, history: pure               market.prepare
    signal        what strategies wish                                      signalling
    trade         decisions, fills, equity: in order                        trading_days, trading
    record        digests, sessions, tables, metrics, manifest              recording, digesting, keeping, facts, outcome
    keep          now and then all that the next part needs                 checkpoint

Results never depend on how the run is cut into parts, nor on threads. Never computes a figure itself.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import polars as pl

from backtester import checkpoint, recording, signalling
from backtester.behind import Behind
from backtester.checkpoint import Keeper, Moment
from backtester.config import Config
from backtester.digesting import stage_digests
from backtester.facts import facts
from backtester.market import load
from backtester.market.day_cache import DayCache
from backtester.market.day_files import DayFiles, folder_of_user
from backtester.market.grid import Grid
from backtester.market.load import Chunk, Reader
from backtester.market.prepare import Past, Prepared, prepare
from backtester.outcome.manifest import build
from backtester.outcome.metrics import Score
from backtester.outcome.results import RunFolder
from backtester.outcome.run import Run
from backtester.outcome.run import load as load_run
from backtester.planning import Part, Plan, Setup, check_memory, expected_memory, no_bars, plan, setup
from backtester.proving.small import Small, SmallAudit
from backtester.recording import Ready, Tally
from backtester.signalling import Stopped, calls, signals
from backtester.signals import calling
from backtester.trading import ledger
from backtester.trading.costs import micro
from backtester.trading.execution import Carry, Events, finish
from backtester.trading_days import Accounts

__all__ = ["Plan", "Progress", "plan", "run"]

LOG = logging.getLogger("backtester")


@dataclass(frozen=True)
class Progress:
    """How far a run is: sessions done, sessions in all; stored bars of this process, and the sessions that were done before it."""

    done: int
    total: int
    bars: int
    before: int = 0


@dataclass(frozen=True)
class Loaded:
    """What was read of one part."""

    part: Part
    bars: Chunk
    quotes: Chunk | None
    daily: Chunk | None
    grid: Grid | None = None
    """The bars on their slots, where a cache had them; then `bars` is without rows."""

    @property
    def rows(self) -> int:
        """Stored bars."""
        return self.bars.table.num_rows if self.grid is None else self.grid.rows

    @property
    def chunks(self) -> list[Chunk]:
        """Everything read."""
        return [chunk for chunk in (self.bars, self.quotes, self.daily) if chunk is not None]


@dataclass(frozen=True)
class Heard:
    """A part with what strategies said of it: its first session in the run, signals, strategies stopped by now, lines for the log, and
    the seconds that it took.
    """

    ready: Ready
    at: int
    events: Events
    stopped: tuple[Stopped, ...]
    lines: Sequence[logging.LogRecord]
    seconds: float


def run(
    config: Config,
    out: Path,
    *,
    force: bool = False,
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
    told: Callable[[str], None] | None = None,
    trace: bool = False,
) -> Run:
    """Run a config and publish the result in the folder `out`. Raises the errors of `backtester.errors`; nothing is left then.

    A run that was killed, or stopped by KeyboardInterrupt, leaves its last checkpoint; `resume` goes on from there, and `told` hears
    from where. OutputError where that was another run.
    """
    started, clock = dt.datetime.now(dt.UTC), time.perf_counter()
    with RunFolder.claim(out, force, make_parent=True, resume=resume) as folder:
        folder.keeps = config.resources.checkpoint_seconds is not None
        threading.Thread(target=_kernel, name="kernel", daemon=True).start()
        with _logged(folder.log, trace):
            made = setup(config)
            check_memory(made, expected_memory(made))
            tally, cash = Tally(), config.account.cash
            score = Score(cash, made.sessions.per_year, made.sessions.timezone)
            record = recording.Record(made, folder, score, tally, cash)
            moment = _start(made)
            if folder.unfinished:
                moment, started = checkpoint.begun(made, folder, record)
            if resume and told is not None:
                told(_begins(made, moment))
            tally.seconds["initialize"] += time.perf_counter() - clock
            metrics, stopped, audited = _days(made, record, Keeper(made, record, started, clock), moment, progress)
            tally.finish(time.perf_counter() - clock)
        described = facts(made, tally, stopped, audited, started)
        folder.publish(build(described, folder.seal(), metrics), metrics, config.resolved())
    return load_run(out)


def _kernel() -> None:
    """Load the kernel's machine code while the first part is read; `trade` would do it later."""
    from backtester.trading import compiled  # numba is heavy

    compiled.kernel()


def prepare_days(made: Setup, loaded: Loaded, past: Past) -> tuple[Prepared, Past]:
    """Everything that strategies may see of a part's sessions, and what the next part needs of them. Pure."""
    return prepare(loaded.bars, loaded.quotes, loaded.daily, made.needs, past, loaded.grid)


def _start(made: Setup) -> Moment:
    """The run before its first session."""
    cash, purses = made.config.account.cash, made.config.account.purses(made.names)
    return Moment(0, Carry.start(micro(cash), len(made.names), len(made.symbols), purses), (), Past(), ())


def _begins(made: Setup, moment: Moment) -> str:
    """A sentence for who asked for a resume."""
    if not moment.sessions:
        return "nothing to resume: the run begins with its first session"
    return f"going on after {made.sessions.label[moment.sessions - 1]}, session {moment.sessions:,} of {len(made.sessions):,}"


def _days(
    made: Setup, record: recording.Record, keeper: Keeper, moment: Moment, progress: Callable[[Progress], None] | None
) -> tuple[dict[str, Any], tuple[Stopped, ...], Small]:
    """The parts after a moment in order, five at a time: one is read, one prepared, one signalled, one traded, one written.

    Strategies are called on the thread of the caller. Metrics, strategies stopped, and what the small audit found.
    """
    stopped, done, bars = moment.stopped, moment.sessions, 0
    parts = checkpoint.remaining(made.parts, done) if done else made.parts
    accounts, small = Accounts(made, moment), SmallAudit(made, parts)
    with cache_of(made) as files, Behind() as behind, calls(made) as call, Behind() as trading:
        for ready in load.ahead(_preparer(made, moment, small), load.ahead(reader(made, files), parts)):
            bars += ready.rows
            if not ready.part.trade:
                record.read(ready)
                record.tally.add_daily(ready.prepared)
                continue
            heard = _signalled(made, ready, done, stopped, call)
            small.hear(ready.part, heard.events, int(ready.prepared.grid.clock.offset[1]))
            trading.do(partial(_traded, accounts, record, keeper, heard, behind))
            stopped, done = heard.stopped, done + len(ready.part.sessions)
            if progress is not None:
                progress(Progress(done, len(made.sessions), bars, moment.sessions))
        audited = small.judge(call, stopped)
        trading.wait()
        if made.config.audit.on_leak == "fail":
            audited.refuse()
        behind.wait()
        if files is not None:
            files.trim()
            record.tally.said += files.said
        if not record.tally.bars:
            raise no_bars(made)
        record.last(ledger.tables(finish(accounts.carry)))
        record.score.check()
        behind.do(record.folder.seal)
        return record.score.metrics(record.benchmark.returns()) | accounts.costs(), stopped, audited


def _signalled(made: Setup, ready: Ready, at: int, stopped: tuple[Stopped, ...], call: calling.Call) -> Heard:
    """What strategies say of a part; `at` is its first session in the run, `stopped` are those that say no more."""
    begun = time.perf_counter()
    with recording.held(signalling.LOG) as lines:
        events, now = signals(made, ready.prepared, at, stopped, call)
    if now and made.config.on_error == "fail":
        raise now[0].error
    return Heard(ready, at, events, tuple(now), lines, time.perf_counter() - begun)


def _traded(accounts: Accounts, record: recording.Record, keeper: Keeper, heard: Heard, behind: Behind) -> None:
    """One part is traded, and handed on to be written."""
    begun, ready = time.perf_counter(), heard.ready
    tables, looked = accounts.trade(ready.prepared, heard.events)
    seconds = heard.seconds + time.perf_counter() - begun
    write = partial(record.write, ready, tables, heard.events, heard.at, seconds)
    now = Moment(heard.at + len(ready.part.sessions), accounts.carry, heard.stopped, ready.past, accounts.rungs)
    behind.do(partial(_written, record, keeper, heard, looked, write, now))


def _written(
    record: recording.Record, keeper: Keeper, heard: Heard, looked: list[pl.DataFrame], write: Callable[[], None], now: Moment
) -> None:
    """One part is recorded, with the files that were looked into; then the moment after it may become a checkpoint."""
    for line in heard.lines:
        LOG.handle(line)
    record.read(heard.ready, looked)
    write()
    keeper.after(now)


def _preparer(made: Setup, moment: Moment, small: SmallAudit) -> Callable[[Loaded], Ready]:
    """Prepares one part after the other from a moment on; what a part needs of those before it passes on inside."""
    past, done, rows = moment.past, moment.sessions, reader(made)

    def ready(loaded: Loaded) -> Ready:
        nonlocal past, done
        if small.wants(loaded.part):
            # A cache has no rows; the audit's session alone is read for them.
            bars = loaded.bars if loaded.grid is None else rows(Part(loaded.part.sessions[:1], trade=False, read=True)).bars
            small.keep(bars, loaded.daily, past, done)
        prepared, past = prepare_days(made, loaded, past)
        digests = stage_digests(made, prepared, done) if loaded.part.trade else {}
        done += len(loaded.part.sessions) if loaded.part.trade else 0
        files, seconds = [chunk.files for chunk in loaded.chunks], sum(chunk.seconds for chunk in loaded.chunks)
        return Ready(loaded.part, prepared, digests, files, loaded.rows, seconds, past)

    return ready


@contextmanager
def cache_of(made: Setup) -> Iterator[DayFiles | None]:
    """The cache of sessions, where the config asks for it and fills need no mean prices, which it does not hold."""
    resources = made.config.resources
    if not resources.cache or made.config.execution.fill == "next_vwap":
        yield None
        return
    with DayFiles(folder_of_user(), resources.cache_size) as files:
        yield files


def reader(made: Setup, files: DayFiles | None = None) -> Callable[[Part], Loaded]:
    """Reads one part: bars, from `files` as far as they are there, quotes where fills or stops ask for them, the lake's daily bars where
    history does.
    """
    data, resources = made.config.session_data_config, made.config.resources
    threads = resources.threads or os.cpu_count() or 1

    def of(kind: Literal["bars", "quotes"], interval: str) -> Reader:
        means = kind == "bars" and interval == made.needs.base and made.config.execution.fill == "next_vwap"
        ranges = kind == "quotes" and made.config.execution.stop_watch == "quote"
        limits, calendar = (threads, resources.max_memory), made.needs.calendar
        return Reader(made.lake, kind, interval, made.symbols, data.verify, *limits, calendar, means, ranges)

    bars, quotes, daily = of("bars", made.needs.base), of("quotes", made.needs.base), of("bars", "1d")
    with_quotes = made.config.execution.quoted
    cache = None if files is None else DayCache(files, bars)

    def own(part: Part) -> tuple[Chunk, Grid | None]:
        if not part.read:
            return load.unread(bars, part.sessions), None
        return (load.read(bars, part.sessions), None) if cache is None else cache.read(part.sessions)

    def read(part: Part) -> Loaded:
        chunk, grid = own(part)
        found = Loaded(
            part,
            chunk,
            load.read(quotes, part.sessions) if with_quotes and part.trade else None,
            load.read(daily, part.sessions) if made.reads_daily else None,
            grid,
        )
        for used in (bars, quotes, daily) if part is made.parts[-1] else ():
            used.close()
        return found

    return read


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

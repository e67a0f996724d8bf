"""Recording: what a run writes of each chunk beside its trades: rows of sessions, log lines, counts, the benchmark.

Place in the flow: phase 6 of a day. Never changes a result: everything here is derived from one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import polars as pl

from backtester import schema
from backtester.columns import Floats, Ints, Sessions
from backtester.digesting import digest_rows
from backtester.keeping import kept
from backtester.market.actions import splits_of
from backtester.market.findings import GRAVE
from backtester.market.prepare import Past, Prepared
from backtester.outcome.metrics import Score
from backtester.outcome.results import RunFolder
from backtester.planning import Part, Setup
from backtester.trading.execution import Events

FLOW = logging.getLogger("backtester.session_flow")
FILES = "files"
"""Rows of the lake's catalog: what was read, kept among the rows of tables from which a stopped run goes on."""


@dataclass(frozen=True)
class Ready:
    """A part that was read and prepared, and the digests of what was prepared; what was read of it is counted, and forgotten.

    past: what the part after it needs.
    """

    part: Part
    prepared: Prepared
    digests: Mapping[str, Sequence[str]]
    files: list[pl.DataFrame]
    rows: int
    seconds: float
    past: Past


@dataclass
class Tally:
    """What a run counts while it goes: rows after each stage, seconds of each phase, files read, bars left out for holes,
    symbol-sessions for which a historical indicator has no value, findings that a run warns of. resumed: the session after which it
    was gone on with, each time, and the machine that had come so far; said: more that a run warns of; wall: seconds of the processes before
    this one.
    """

    rows: int = 0
    bars: int = 0
    derived: int = 0
    signals: int = 0
    stored_days: int = 0
    built_days: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    blind: dict[str, int] = field(default_factory=dict)
    grave: list[pl.DataFrame] = field(default_factory=list)
    files: list[pl.DataFrame] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(schema.PHASES, 0.0))
    rates: dict[str, float] = field(default_factory=dict)
    resumed: list[dict[str, str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    wall: float = 0.0

    def add_daily(self, prepared: Prepared) -> None:
        """Count where the daily values of a part came from; the only count to which the history before the run belongs."""
        self.stored_days += prepared.stored_days
        self.built_days += prepared.built_days

    def add_prepared(self, prepared: Prepared, base: str) -> None:
        """Count what became of a part."""
        self.bars += int(prepared.grid.count.sum())
        self.derived += sum(int(tape.count[prepared.first(name) :].sum()) for name, tape in prepared.tapes.items() if name != base)
        self.add_daily(prepared)
        self.add_findings(prepared.findings)
        for name, left_out in prepared.dropped.items():
            self.dropped[name] = self.dropped.get(name, 0) + int(left_out.sum())
        for name, values in prepared.historical.items():
            missing = np.isnan(values) if values.ndim == 2 else np.isnan(values).all(axis=-1)
            self.blind[name] = self.blind.get(name, 0) + int(missing.sum())

    def add_findings(self, findings: pl.DataFrame) -> None:
        """Keep those that a run warns of."""
        if len(findings):
            self.grave.append(findings.filter(pl.col("kind").is_in(GRAVE)))

    def finish(self, seconds: float) -> None:
        """Rates over the whole run, of which this process took so many seconds: bars a second of each phase, and of all of it."""
        wall = self.wall + seconds
        for phase, took in self.seconds.items():
            if took > 0:
                self.rates[f"bars_a_second_{phase}"] = round(self.bars / took, 1)
        self.rates |= {"seconds": wall, "bars_a_second": round(self.bars / wall, 1)}


@dataclass(frozen=True)
class Benchmark:
    """Buy and hold of all symbols in equal parts, from each one's first close to its last; cash before the first.

    first is in shares of the last session: splits divide it.
    """

    first: Floats
    last: Floats
    worth: tuple[float, ...]

    @classmethod
    def start(cls, symbols: int) -> Benchmark:
        """Nothing seen yet."""
        return cls(np.full(symbols, np.nan), np.full(symbols, np.nan), (1.0,))

    def after(self, prepared: Prepared, splits: Sequence[tuple[int, int, float]] = ()) -> Benchmark:
        """With the sessions of one more part; splits are (session of the part, symbol, new shares for one old)."""
        close, offset = prepared.grid.close, prepared.grid.clock.offset
        first, last, worth = self.first.copy(), self.last.copy(), list(self.worth)
        for session, (low, high) in enumerate(pairwise(offset.tolist())):
            for at, symbol, value in splits:
                if at == session:
                    first[symbol], last[symbol] = first[symbol] / value, last[symbol] / value
            day = close[:, low:high]
            real = ~np.isnan(day)
            some = np.flatnonzero(real.any(axis=1))
            begin, end = real.argmax(axis=1)[some], day.shape[1] - 1 - real[:, ::-1].argmax(axis=1)[some]
            first[some] = np.where(np.isnan(first[some]), day[some, begin], first[some])
            last[some] = day[some, end]
            ratio = np.where(np.isnan(first), 1.0, np.divide(last, first, out=np.ones(len(first)), where=first > 0))
            worth.append(sum(ratio.tolist()) / len(ratio))
        return Benchmark(first, last, tuple(worth))

    def returns(self) -> Floats:
        """Return of each session, shape (sessions,)."""
        worth = np.array(self.worth)
        returns: Floats = worth[1:] / worth[:-1] - 1.0
        return returns


class Record:
    """Writes what a run finds out, part by part: tables, digests, session rows, log lines, key figures."""

    def __init__(self, setup: Setup, folder: RunFolder, score: Score, tally: Tally, cash: float) -> None:
        self._setup, self.folder, self.score, self.tally = setup, folder, score, tally
        self.equity = cash
        self.benchmark = Benchmark.start(len(setup.symbols))
        self._splits = splits_of(setup.acting, setup.symbols).acting(setup.sessions.label)

    def read(self, ready: Ready, more: Sequence[pl.DataFrame] = ()) -> None:
        """What was read of a part; `more` are the files that trading looked into."""
        for rows in (*ready.files, *more):
            files = rows.drop("symbols", strict=False)
            self.tally.files.append(files)
            if self.folder.keeps:
                self.folder.checkpoints.add(FILES, files)
        self.tally.rows += ready.rows
        self.tally.seconds["load"] += ready.seconds

    def again(self) -> None:
        """Take over the rows that a dead run has written."""
        for name, rows in self.folder.again():
            if name == FILES:
                self.tally.files.append(rows)
                continue
            if name == "findings":
                self.tally.add_findings(rows)
            self.score.add({name: rows})

    def write(self, ready: Ready, tables: dict[str, pl.DataFrame], events: Events, at: int, process: float) -> None:
        """Everything of one part's sessions; `process` are the seconds that its trading took."""
        prepared, loading = ready.prepared, ready.seconds
        begun = time.perf_counter()
        self.tally.add_prepared(prepared, self._setup.needs.base)
        splits = [(session - at, symbol, value) for session, symbol, value in self._splits]
        self.benchmark = self.benchmark.after(prepared, splits)
        self.tally.signals += len(events.t)
        digests = digest_rows(prepared, ready.digests, events)
        seconds = dict(prepared.seconds) | {"load": loading, "process": process, "end": time.perf_counter() - begun}
        rows = session_rows(prepared, tables["fills"], tables["equity"], self.equity, seconds)
        self.equity = float(rows["equity"][-1])
        self._append(
            tables
            | {"sessions": rows, "quality": prepared.quality, "gaps": prepared.gaps, "findings": prepared.findings, "digests": digests}
        )
        for name, rows in kept(self._setup, prepared, events, at).items():
            self.folder.append(name, rows)
        log_flow(prepared, seconds, tables["fills"])
        for phase, took in seconds.items():
            if phase != "load":
                self.tally.seconds[phase] += took
        self.tally.seconds["end"] += time.perf_counter() - begun - seconds["end"]

    def last(self, tables: dict[str, pl.DataFrame]) -> None:
        """What only the end of the run settles: orders still open, their decisions, open trades, the rolling figures."""
        self._append(tables | {"rolling": self.score.rolling()})

    def _append(self, tables: dict[str, pl.DataFrame]) -> None:
        for name, rows in tables.items():
            self.folder.append(name, rows)
        self.score.add(tables)


def session_rows(
    prepared: Prepared, fills: pl.DataFrame, equity: pl.DataFrame, before: float, seconds: Mapping[str, float]
) -> pl.DataFrame:
    """Rows of the table `sessions`; `before` is the equity at the end of the session before, seconds are the chunk's."""
    days = prepared.sessions
    # Before its first row the account is what it was; a session without rows ends as the one before.
    closing = np.concatenate(([before], equity["equity"].to_numpy()))[_until(days, equity)].tolist()
    opening = [before, *closing[:-1]]
    profit = [(round(end * 1e6) - round(begin * 1e6)) / 1e6 for begin, end in zip(opening, closing, strict=True)]
    bars = prepared.grid.count.sum(axis=1, dtype=np.int64)
    expected = prepared.grid.clock.count * len(prepared.grid.symbols)
    columns = {
        "session": days.label,
        "open": days.open,
        "close": days.close,
        "early_close": days.early,
        "bars": bars,
        "expected": expected,
        "quality": prepared.percent.mean(axis=1) if (prepared.percent == 100.0).all() else 100.0 * bars / expected,
        "fills": np.diff(_until(days, fills), prepend=0),
        "pnl": np.array(profit),
        "equity": np.array(closing),
        "return": np.array([gain / begin if begin > 0 else np.nan for gain, begin in zip(profit, opening, strict=True)]),
        **{f"seconds_{phase}": np.full(len(days), seconds.get(phase, 0.0) / len(days)) for phase in schema.PHASES},
    }
    return schema.frame(schema.SESSIONS, columns)


def _until(days: Sessions, rows: pl.DataFrame) -> Ints:
    """How many rows of a table that goes from session to session there are up to the end of each session."""
    return np.searchsorted(rows["session"].to_numpy(), days.label.astype("datetime64[D]"), side="right").astype(np.int64)


def log_flow(prepared: Prepared, seconds: Mapping[str, float], fills: pl.DataFrame) -> None:
    """One line a phase and session."""
    if not FLOW.isEnabledFor(logging.INFO):
        return
    symbols, bars = len(prepared.grid.symbols), prepared.grid.count.sum(axis=1)
    made = np.diff(_until(prepared.sessions, fills), prepend=0).tolist()
    for place, label in enumerate(prepared.sessions.label.tolist()):
        for number, phase in enumerate(schema.PHASES, start=1):
            more = f" fills={made[place]}" if phase == "process" else ""
            share = seconds.get(phase, 0.0) / len(prepared.sessions)
            FLOW.info(
                "SESSION_FLOW phase=%d.%s session=%s symbols=%d bars=%d%s seconds=%.6f",
                number,
                phase,
                label,
                symbols,
                bars[place],
                more,
                share,
            )


class _Lines(logging.Handler):
    """Keeps the lines of a log."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record)


@contextmanager
def held(log: logging.Logger) -> Iterator[list[logging.LogRecord]]:
    """The lines of a log, kept from the logs above it: whoever is ahead of what is written hands them on in their turn."""
    lines, above = _Lines(), log.propagate
    log.propagate = False
    log.addHandler(lines)
    try:
        yield lines.kept
    finally:
        log.removeHandler(lines)
        log.propagate = above

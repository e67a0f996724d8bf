"""Recording: what a run writes of each chunk beside its trades: digests of the stages, rows of sessions, log lines, facts.

Place in the flow: phase 6 of a day, and the end of the run. Never changes a result: everything here is derived from one.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from backtester import schema
from backtester.columns import OHLCV, Floats, Sessions
from backtester.keeping import kept
from backtester.market import sessions as calendars
from backtester.market import tapes
from backtester.market.prepare import Prepared
from backtester.outcome.digests import array_digest
from backtester.outcome.manifest import Facts
from backtester.outcome.metrics import Score
from backtester.outcome.results import RunFolder
from backtester.planning import Setup, Trader
from backtester.signalling import Stopped, configured
from backtester.signals.batch import Batch
from backtester.signals.loading import source_of
from backtester.trading.execution import Events

FLOW = logging.getLogger("backtester.session_flow")
EVENT_COLUMNS = (
    "strategy",
    "symbol",
    "action",
    "price",
    "quality",
    "confidence",
    "size",
    "stop_loss",
    "take_profit",
    "stop_price",
    "target_price",
)


@dataclass
class Tally:
    """What a run counts while it goes: rows after each stage, seconds of each phase, files read, bars left out for holes."""

    rows: int = 0
    bars: int = 0
    derived: int = 0
    signals: int = 0
    stored_days: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    files: list[pl.DataFrame] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(schema.PHASES, 0.0))
    rates: dict[str, float] = field(default_factory=dict)

    def add_read(self, files: Sequence[pl.DataFrame], rows: int, seconds: float) -> None:
        """Count what was read of a part."""
        self.files += files
        self.rows += rows
        self.seconds["load"] += seconds

    def add_prepared(self, prepared: Prepared, base: str) -> None:
        """Count what became of a part."""
        self.bars += int(prepared.grid.count.sum())
        self.derived += sum(int(tape.count[prepared.first(name) :].sum()) for name, tape in prepared.tapes.items() if name != base)
        self.stored_days += prepared.stored_days
        for name, left_out in prepared.dropped.items():
            self.dropped[name] = self.dropped.get(name, 0) + int(left_out.sum())

    def finish(self, wall: float) -> None:
        """Rates over the whole run: bars a second of each phase, and of all of it."""
        for phase, took in self.seconds.items():
            if took > 0:
                self.rates[f"bars_a_second_{phase}"] = round(self.bars / took, 1)
        self.rates |= {"seconds": wall, "bars_a_second": round(self.bars / wall, 1)}


@dataclass(frozen=True)
class Benchmark:
    """Buy and hold of all symbols in equal parts, from each one's first close to its last; cash before the first."""

    first: Floats
    last: Floats
    worth: tuple[float, ...]

    @classmethod
    def start(cls, symbols: int) -> Benchmark:
        """Nothing seen yet."""
        return cls(np.full(symbols, np.nan), np.full(symbols, np.nan), (1.0,))

    def after(self, prepared: Prepared) -> Benchmark:
        """With the sessions of one more part."""
        close, offset = prepared.grid.close, prepared.grid.clock.offset
        first, last, worth = self.first.copy(), self.last.copy(), list(self.worth)
        for low, high in zip(offset[:-1].tolist(), offset[1:].tolist(), strict=True):
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
        self._setup, self._folder, self._score, self._tally = setup, folder, score, tally
        self._equity = cash
        self.benchmark = Benchmark.start(len(setup.symbols))

    def write(self, prepared: Prepared, tables: dict[str, pl.DataFrame], events: Events, at: int, loading: float, process: float) -> None:
        """Everything of one part's sessions; `loading` and `process` are the seconds spent on it."""
        begun = time.perf_counter()
        self._tally.add_prepared(prepared, self._setup.needs.base)
        self.benchmark = self.benchmark.after(prepared)
        self._tally.signals += len(events.t)
        digests = stage_digests(self._setup, prepared, events, at)
        seconds = dict(prepared.seconds) | {"load": loading, "process": process, "end": time.perf_counter() - begun}
        rows = session_rows(prepared, tables["fills"], tables["equity"], self._equity, seconds)
        self._equity = float(rows["equity"][-1])
        self._append(
            tables
            | {"sessions": rows, "quality": prepared.quality, "gaps": prepared.gaps, "findings": prepared.findings, "digests": digests}
        )
        for name, rows in kept(self._setup, prepared, events, at).items():
            self._folder.append(name, rows)
        log_flow(prepared, seconds, tables["fills"])
        for phase, took in seconds.items():
            if phase != "load":
                self._tally.seconds[phase] += took
        self._tally.seconds["end"] += time.perf_counter() - begun - seconds["end"]

    def last(self, tables: dict[str, pl.DataFrame]) -> None:
        """What only the end of the run settles: orders still open, their decisions, open trades."""
        self._append(tables)

    def _append(self, tables: dict[str, pl.DataFrame]) -> None:
        for name, rows in tables.items():
            self._folder.append(name, rows)
        self._score.add(tables)


def stage_digests(setup: Setup, prepared: Prepared, events: Events, at: int) -> pl.DataFrame:
    """Rows of the table `digests`: every stage of every session of the chunk, whatever chunk it stands in."""
    labels = prepared.sessions.label
    count = len(labels)
    base = setup.needs.base
    derived = [name for name in prepared.tapes if name != base]
    stages = {
        "bars": _grid_digests(prepared),
        "derived": _tape_digests(prepared, derived, ("slot", *OHLCV)),
        "quality": _quality_digests(prepared, derived),
        "indicators": _indicator_digests(setup, prepared, at),
        "signals": _event_digests(prepared, events),
    }
    columns = {
        "session": np.repeat(labels, len(stages)),
        "stage": list(stages) * count,
        "digest": [digests[session] for session in range(count) for digests in stages.values()],
    }
    return schema.frame(schema.DIGESTS, columns)


def _grid_digests(prepared: Prepared) -> list[str]:
    """One digest a session over the base bars on their slots, symbols in order; NaN where a bar is missing."""
    grid = prepared.grid
    columns = [getattr(grid, name) for name in OHLCV]
    digests = []
    for low, high in pairwise(grid.clock.offset.tolist()):
        hasher = hashlib.sha256(f"{len(grid.symbols)} {high - low}".encode())
        for values in columns:
            hasher.update(np.ascontiguousarray(values[:, low:high]).data)
        digests.append(hasher.hexdigest())
    return digests


def _quality_digests(prepared: Prepared, derived: Sequence[str]) -> list[str]:
    """One digest a session over quality in percent and the number of bars of every interval; single slots are in the bars' digest."""
    count = prepared.grid.count
    made = {name: prepared.tapes[name].count[prepared.first(name) :] for name in derived}
    return [
        array_digest({"percent": prepared.percent[day], "base": count[day], **{name: values[day] for name, values in made.items()}})
        for day in range(len(count))
    ]


def _tape_digests(prepared: Prepared, intervals: Sequence[str], names: Sequence[str]) -> list[str]:
    """One digest a session over the bars of some intervals: symbols, counts, and columns in the order (symbol, ts)."""
    parts: list[dict[str, Any]] = [{} for _ in prepared.sessions.label]
    for interval in intervals:
        tape, first = prepared.tapes[interval], prepared.first(interval)
        order, begin = tapes.by_session(tape, first)
        whole = bool(begin[0] == 0 and len(prepared.sessions) == 1)
        columns = {name: tape.column(name) if whole else tape.column(name)[order[begin[0] :]] for name in names}
        for session, (low, high) in enumerate(zip(begin[:-1] - begin[0], begin[1:] - begin[0], strict=True)):
            parts[session][f"{interval}/count"] = tape.count[first + session]
            parts[session] |= {f"{interval}/{name}": values[low:high] for name, values in columns.items()}
    return [array_digest(part) for part in parts]


def _indicator_digests(setup: Setup, prepared: Prepared, at: int) -> list[str]:
    own = configured(setup, prepared, at)
    digests = []
    for session in range(len(prepared.sessions)):
        parts: dict[str, Any] = {name: values[session] for name, values in prepared.historical.items()}
        parts |= {name: _of_session(batch, values, session) for name, (batch, values) in own.items()}
        digests.append(array_digest(parts))
    return digests


def _of_session(batch: Batch, values: Floats, session: int) -> Floats:
    """An indicator on the bars of one session, symbols in order."""
    rows = batch.session == session
    own: Floats = values[rows][:, batch.bars.lookback :][batch.bars.valid[rows][:, batch.bars.lookback :]]
    return own


def _event_digests(prepared: Prepared, events: Events) -> list[str]:
    offset = prepared.grid.clock.offset
    bounds = np.searchsorted(events.t, offset)
    tags = [*events.tags, None]
    digests = []
    for session, (low, high) in enumerate(pairwise(bounds.tolist())):
        parts: dict[str, Any] = {"slot": events.t[low:high] - offset[session]}
        parts |= {name: getattr(events, name)[low:high] for name in EVENT_COLUMNS}
        parts["tag"] = [tags[number] for number in events.tag[low:high].tolist()] if events.tags else []
        digests.append(array_digest(parts))
    return digests


def session_rows(
    prepared: Prepared, fills: pl.DataFrame, equity: pl.DataFrame, before: float, seconds: Mapping[str, float]
) -> pl.DataFrame:
    """Rows of the table `sessions`; `before` is the equity at the end of the session before, seconds are the chunk's."""
    days = prepared.sessions
    ends = dict(equity.group_by("session", maintain_order=True).agg(pl.col("equity").last()).iter_rows())
    made = dict(fills.group_by("session", maintain_order=True).len().iter_rows())
    labels = days.label.astype("datetime64[D]").tolist()
    closing, last = [], before
    for label in labels:
        last = ends.get(label, last)
        closing.append(last)
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
        "fills": np.array([made.get(label, 0) for label in labels], np.int64),
        "pnl": np.array(profit),
        "equity": np.array(closing),
        "return": np.array([gain / begin if begin > 0 else np.nan for gain, begin in zip(profit, opening, strict=True)]),
        **{f"seconds_{phase}": np.full(len(labels), seconds.get(phase, 0.0) / len(labels)) for phase in schema.PHASES},
    }
    return schema.frame(schema.SESSIONS, columns)


def log_flow(prepared: Prepared, seconds: Mapping[str, float], fills: pl.DataFrame) -> None:
    """One line a phase and session."""
    if not FLOW.isEnabledFor(logging.INFO):
        return
    symbols, bars = len(prepared.grid.symbols), prepared.grid.count.sum(axis=1)
    made = dict(fills.group_by("session", maintain_order=True).len().iter_rows())
    for place, label in enumerate(prepared.sessions.label.tolist()):
        for number, phase in enumerate(schema.PHASES, start=1):
            more = f" fills={made.get(label, 0)}" if phase == "process" else ""
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


def facts(setup: Setup, tally: Tally, stopped: Sequence[Stopped], started: dt.datetime) -> Facts:
    """Everything that the manifest says of the run beside its results."""
    config = setup.config
    strategies = [_strategy(setup, trader) for trader in setup.traders]
    files = pl.concat(tally.files).unique(subset=["path"], maintain_order=True) if tally.files else pl.DataFrame()
    calendar = {
        "name": setup.calendar,
        "timezone": setup.sessions.timezone,
        "version": calendars.library_version(),
        "digest": calendars.rows_digest(setup.sessions),
        "sessions_per_year": setup.sessions.per_year,
        "rows": _rows(setup.sessions),
    }
    return Facts(
        config=config.resolved(),
        config_digest=config.digest,
        strategies=strategies,
        files=files.drop("symbols", strict=False).to_dicts(),
        calendar=calendar,
        policies=_policies(setup),
        started=started,
        finished=dt.datetime.now(dt.UTC),
        status=5 if stopped else 0,
        streams=[asdict(stream) for stream in setup.requirements.streams],
        execution={"prefetch_days": setup.prefetch_days, "threads": config.resources.threads, "chunks": len(setup.parts)},
        counts={
            "stored_rows": tally.rows, "bars": tally.bars, "derived_bars": tally.derived, "signals": tally.signals,
            "daily_bars_from_lake": tally.stored_days,
            **{f"derived_bars_left_out_{name}": number for name, number in tally.dropped.items()},
        },
        timings={**{f"seconds_{phase}": took for phase, took in tally.seconds.items()}, **tally.rates},
        warnings=[*setup.warnings, *_left_out(tally), *_stops(setup, stopped)],
    )  # fmt: skip


def _strategy(setup: Setup, trader: Trader) -> dict[str, Any]:
    source = source_of(trader.entry.use, type(trader.strategy))
    return {
        "name": trader.entry.name,
        "use": trader.entry.use,
        "params": trader.strategy.model_dump(mode="json"),
        "symbols": [setup.symbols[place] for place in trader.symbols],
        "lookback": dict(trader.lookback),
        "inputs": dict(trader.strategy.inputs),
        "sources": [{"path": source.file, "sha256": source.digest}],
        "seed": None,
    }


def _left_out(tally: Tally) -> list[str]:
    return [f"{number} bars of {name} were not made because slots were missing" for name, number in tally.dropped.items() if number]


def _stops(setup: Setup, stopped: Sequence[Stopped]) -> list[str]:
    return [f"strategy {setup.names[one.strategy]} was stopped on {one.session}: {one.error}" for one in stopped]


def _rows(days: Sessions) -> list[list[str]]:
    instants = [np.datetime_as_string(column.astype("datetime64[us]"), unit="s") for column in (days.open, days.close)]
    return [[str(label), f"{opened}Z", f"{closed}Z"] for label, opened, closed in zip(days.label, *instants, strict=True)]


def _policies(setup: Setup) -> dict[str, Any]:
    execution = setup.config.execution
    return {
        "fill": execution.fill,
        "optimistic": execution.fill == "same_close",
        "price": execution.price,
        "intrabar": execution.intrabar,
        "duplicates": "the first row of a slot counts",
        "missing": "a bar with a value that is not a number is missing; nothing is filled forward",
        "rounding": "each product once, half to even, to 1e-6",
        "money_scale": 1_000_000,
        "annualization": setup.sessions.per_year,
        "min_completeness": setup.needs.settings.min_completeness,
        "quality": setup.needs.look,
        "historical_quality": setup.config.session_data_config.historical.enable_quality,
    }

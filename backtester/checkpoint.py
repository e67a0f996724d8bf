"""Checkpoint: a run between two of its parts, as plain values and arrays, so that another process can go on from there.

Place in the flow: the pipeline hands a `Moment` behind every part to a `Keeper`, which writes it now and then (outcome.checkpoints);
`begun` reads the last one back. The rows of tables are not here: they lie beside it as pieces, and key figures are made of them again.
Wall time decides how often a checkpoint is made, never what is in it.
"""

from __future__ import annotations

import datetime as dt
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from backtester.arrays import Array
from backtester.columns import OHLCV, TAPE_COLUMNS, Sessions, Tape, place
from backtester.errors import OutputError, StrategyError
from backtester.market import sessions as calendars
from backtester.market.finer import FINER
from backtester.market.history import Daily
from backtester.market.prepare import Past
from backtester.market.shelves import Shelves
from backtester.outcome.differences import differences, listed
from backtester.outcome.digests import plain
from backtester.outcome.environment import maker
from backtester.outcome.results import RunFolder
from backtester.planning import Part, Setup, files_of
from backtester.recording import Benchmark, Record
from backtester.signalling import Stopped
from backtester.trading.execution import Carry
from backtester.trading.ladder import Account

SHARE = 20
"""Making checkpoints takes no more than one part in so many of a run's time."""
_COUNTS = ("rows", "bars", "derived", "signals", "stored_days", "built_days", "dropped", "blind", "seconds", "resumed", "wall")
_RECORDS = ("pairs", "orders")


@dataclass(frozen=True)
class Moment:
    """A run after its first `sessions` sessions: the account, strategies stopped, what the next part needs of those before it, and the
    accounts of the cost ladder.
    """

    sessions: int
    carry: Carry
    stopped: tuple[Stopped, ...]
    past: Past
    rungs: tuple[Account, ...]


class Keeper:
    """Makes checkpoints of a run, at most one in `resources.checkpoint_seconds`; for the thread that records."""

    def __init__(self, made: Setup, record: Record, started: dt.datetime, clock: float) -> None:
        self._made, self._record, self._started, self._clock = made, record, started, clock
        self._pause = made.config.resources.checkpoint_seconds
        self._next = time.perf_counter() + (self._pause or 0.0)
        self._plan: dict[str, Any] = {}

    def after(self, moment: Moment) -> None:
        """A part has been recorded: make a checkpoint if it is time. Raises ResourceError where the disk is full."""
        begun = time.perf_counter()
        if self._pause is None or begun < self._next:
            return
        facts, arrays = _frozen(self._made, moment, self._record)
        counted, folder = self._record.tally, self._record.folder
        tally = {name: getattr(counted, name) for name in _COUNTS} | {"wall": counted.wall + begun - self._clock}
        more = {"started": self._started.isoformat(), "host": platform.node(), "log_bytes": folder.log.stat().st_size}
        self._plan = self._plan or plan_of(self._made)
        folder.checkpoints.save(self._plan, facts | more | {"tally": tally}, arrays)
        now = time.perf_counter()
        self._next = now + (max(self._pause, SHARE * (now - begun)) if self._pause else 0.0)


def begun(made: Setup, folder: RunFolder, record: Record) -> tuple[Moment, dt.datetime]:
    """The last checkpoint of what a dead run has left, its tables written again; and when that run was started.

    Raises OutputError where it was another run: another config, other data, other code; or where it cannot be read.
    """
    plan, facts, arrays = folder.checkpoints.begun()
    changed = differences(plan, plain(plan_of(made)))
    if changed:
        raise OutputError(
            "what was begun is another run", where=str(folder.place), value=listed(changed),
            action="undo the changes, or run without --resume, which begins anew",
        )  # fmt: skip
    tally = record.tally
    for name in _COUNTS:
        setattr(tally, name, facts["tally"][name])
    moment = _thawed(made, facts, arrays, record)
    tally.resumed.append({"after": str(made.sessions.label[moment.sessions - 1]), "host": facts["host"]})
    with folder.log.open("r+b") as log:  # the lines of sessions that are run again
        log.truncate(min(int(facts["log_bytes"]), folder.log.stat().st_size))
    record.again()
    return moment, dt.datetime.fromisoformat(facts["started"])


def remaining(parts: Sequence[Part], sessions: int) -> list[Part]:
    """What is left of the parts of a run after its first `sessions` sessions; the history before it is in the checkpoint."""
    left = []
    for part in parts:
        if part.trade:
            if sessions < len(part.sessions):
                left.append(Part(part.sessions[sessions:], part.trade, part.read))
            sessions = max(sessions - len(part.sessions), 0)
    return left


def plan_of(made: Setup) -> dict[str, Any]:
    """What must be the same when a run is gone on with: config, strategies' sources, calendar, the lake's files, program, libraries."""
    lake, known = made.lake, made.lake.actions
    files = dict(files_of(made).select("path", "sha256").iter_rows())
    if made.config.execution.intrabar == "drill_down":
        for interval in FINER.get(made.needs.base, ()):
            shelves = Shelves(lake, "bars", interval, made.needs.calendar)
            files |= dict(shelves.files(made.sessions).select("path", "sha256").iter_rows())
    return {
        **maker(),
        "config": made.config.result_part() | {"keep": sorted(made.config.keep)},
        "strategies": {trader.entry.name: trader.described.source.digest for trader in made.traders},
        "calendar": {
            "name": made.calendar,
            "version": calendars.library_version(),
            "rows": calendars.rows_digest(made.needs.calendar),
        },
        "lake": files | {"actions": None if known is None else known["sha256"]},
    }


def _frozen(made: Setup, moment: Moment, record: Record) -> tuple[dict[str, Any], dict[str, Array]]:
    """The moment as plain values and as arrays by name."""
    benchmark, past = record.benchmark, moment.past
    accounts = [_carry(moment.carry), *(_carry(rung.carry) for rung in moment.rungs)]
    arrays = {f"account/{at}/{name}": values for at, (_, own) in enumerate(accounts) for name, values in own.items()}
    facts = {
        "sessions": moment.sessions,
        "equity": record.equity,
        "accounts": [own for own, _ in accounts],
        "rungs": [[rung.fees, rung.slippage, rung.trades] for rung in moment.rungs],
        "stopped": [_of_stopped(one) for one in moment.stopped],
        "tapes": {interval: _span(tape.sessions) for interval, tape in past.tapes.items()},
        "daily": None if past.daily is None else _span(past.daily.sessions),
    }
    arrays |= {"benchmark/first": benchmark.first, "benchmark/last": benchmark.last, "benchmark/worth": np.array(benchmark.worth)}
    for interval, tape in past.tapes.items():
        arrays |= {f"tape/{interval}/{name}": tape.column(name) for name in ("count", *TAPE_COLUMNS)}
    if past.daily is not None:
        arrays |= {f"daily/{name}": past.daily.column(name) for name in (*OHLCV, "stored")}
    if past.close is not None:
        arrays["close"] = past.close
    return facts, arrays


def _thawed(made: Setup, facts: Mapping[str, Any], arrays: Mapping[str, Array], record: Record) -> Moment:
    """The moment that `_frozen` took apart; the record goes on from it."""
    tapes = {interval: _tape(made, interval, span, arrays) for interval, span in facts["tapes"].items()}
    days = None
    if facts["daily"] is not None:
        columns = {name: arrays[f"daily/{name}"] for name in (*OHLCV, "stored")}
        days = Daily(sessions=_sessions(made, facts["daily"]), **columns)
    carry, *rungs = [_account(at, own, arrays) for at, own in enumerate(facts["accounts"])]
    worth = tuple(arrays["benchmark/worth"].tolist())
    record.benchmark = Benchmark(arrays["benchmark/first"], arrays["benchmark/last"], worth)
    record.equity = facts["equity"]
    return Moment(
        facts["sessions"],
        carry,
        tuple(_stopped(one) for one in facts["stopped"]),
        Past(tapes, days, arrays.get("close")),
        tuple(Account(rung, *sums) for rung, sums in zip(rungs, facts["rungs"], strict=True)),
    )


def _carry(carry: Carry) -> tuple[dict[str, Any], dict[str, Array]]:
    values = {field.name: getattr(carry, field.name) for field in fields(carry) if field.name not in (*_RECORDS, "decisions")}
    arrays = {name: getattr(carry, name) for name in _RECORDS}
    return values, arrays | {f"decisions/{name}": column for name, column in carry.decisions.items()}


def _account(at: int, values: Mapping[str, Any], arrays: Mapping[str, Array]) -> Carry:
    own = {name.removeprefix(f"account/{at}/"): column for name, column in arrays.items() if name.startswith(f"account/{at}/")}
    for column in own.values():
        column.setflags(write=False)
    tuples = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    decisions = {name.removeprefix("decisions/"): column for name, column in own.items() if name.startswith("decisions/")}
    return Carry(**{**values, **tuples}, pairs=own["pairs"], orders=own["orders"], decisions=decisions)


def _of_stopped(one: Stopped) -> dict[str, Any]:
    error = {name: getattr(one.error, name) for name in ("what", "where", "value", "allowed", "action")}
    return {
        "strategy": one.strategy,
        "session": str(one.session),
        "error": error | {"value": None if error["value"] is None else str(error["value"])},
    }


def _stopped(one: Mapping[str, Any]) -> Stopped:
    error = dict(one["error"])
    return Stopped(one["strategy"], np.datetime64(one["session"]), StrategyError(error.pop("what"), **error))


def _span(days: Sessions) -> list[Any]:
    """Sessions in a row of the calendar as their first label and their number."""
    return [str(days.label[0]) if len(days) else None, len(days)]


def _sessions(made: Setup, span: Sequence[Any]) -> Sessions:
    first, count = span
    at = int(np.searchsorted(made.needs.calendar.label, np.datetime64(first))) if count else 0
    return made.needs.calendar[at : at + count]


def _tape(made: Setup, interval: str, span: Sequence[Any], arrays: Mapping[str, Array]) -> Tape:
    columns = {name: arrays[f"tape/{interval}/{name}"] for name in TAPE_COLUMNS}
    count = arrays[f"tape/{interval}/count"]
    return Tape(interval, made.symbols, _sessions(made, span), place(count), count, **columns)

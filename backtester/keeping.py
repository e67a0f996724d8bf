"""Keeping: the columns themselves as tables, where the config asks for them: signals, bars, indicators.

Place in the flow: phase 6 of a day. Never part of a result's key: a run with and without them is the same run.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from backtester import schema
from backtester.columns import OHLCV, Ints, Tape
from backtester.intervals import MINUTE_US
from backtester.market.prepare import Prepared
from backtester.planning import Setup
from backtester.signalling import configured
from backtester.table import named
from backtester.trading.execution import Events
from backtester.trading.inputs import CALLS, GIVEN

NUMBERS = ("price", "quality", "confidence", *GIVEN, *CALLS)


def kept(setup: Setup, prepared: Prepared, events: Events, at: int) -> dict[str, pl.DataFrame]:
    """The tables that the config keeps, for one chunk; `at` is its first session in the run."""
    made = {}
    if "signals" in setup.config.keep:
        made["signals"] = signals_of(setup, prepared, events)
    if "bars" in setup.config.keep:
        made["bars"] = bars_of(prepared)
    if "indicators" in setup.config.keep:
        made["indicators"] = indicators_of(setup, prepared, at)
    return made


def signals_of(setup: Setup, prepared: Prepared, events: Events) -> pl.DataFrame:
    """The table `signals` of a chunk."""
    clock = prepared.grid.clock
    tags = [*events.tags, None]
    columns = {
        "strategy": named(setup.names, events.strategy),
        "symbol": named(setup.symbols, events.symbol),
        "session": prepared.sessions.label[clock.session[events.t]],
        "ts": clock.end[events.t],
        "action": named(schema.ACTIONS, events.action),
        **{name: getattr(events, name) for name in NUMBERS},
        "tag": pl.Series([tags[number] for number in events.tag.tolist()], dtype=pl.String),
    }
    return schema.frame(schema.KEPT_SIGNALS, columns)


def bars_of(prepared: Prepared, intervals: Sequence[str] | None = None) -> pl.DataFrame:
    """The table `bars` of a chunk: every interval, or some."""
    frames = []
    for interval in prepared.tapes if intervals is None else intervals:
        tape = prepared.tapes[interval].between(prepared.first(interval), len(prepared.tapes[interval].sessions))
        columns = {
            **_place(tape),
            "interval": pl.repeat(interval, len(tape), dtype=pl.String, eager=True),
            "ts": tape.ts,
            "end": tape.end,
            **{name: tape.column(name) for name in (*OHLCV, "quality", "complete")},
        }
        frames.append(schema.frame(schema.KEPT_BARS, columns))
    return pl.concat(frames).sort("session", maintain_order=True)


def _place(tape: Tape) -> dict[str, object]:
    line = np.repeat(np.arange(len(tape.symbols)), tape.count.sum(axis=0))
    return {"symbol": named(tape.symbols, line), "session": tape.sessions.label[tape.per_bar(np.arange(len(tape.sessions)))]}


def indicators_of(setup: Setup, prepared: Prepared, at: int) -> pl.DataFrame:
    """The table `indicators` of a chunk; `at` is its first session in the run."""
    frames = []
    for name, (cut, values) in configured(setup, prepared, at).items():
        interval, _, column = name.partition("/")
        own = cut.bars.valid & cut.bars.in_session
        row = np.nonzero(own)[0]
        frames.append(_frame(setup, prepared, cut.symbol[row], cut.session[row], interval, cut.bars.ts[own], column, values[own]))
    for name, values in prepared.historical.items():
        session, symbol, *slot = np.nonzero(np.ones(values.shape, np.bool_))
        after = slot[0] * (prepared.grid.clock.end[0] - prepared.grid.clock.ts[0]) if slot else np.zeros(len(session), np.int64)
        ts = prepared.sessions.open[session] + after
        inside = ts < prepared.sessions.close[session]
        minute = inside & (after % MINUTE_US == 0)
        frames.append(_frame(setup, prepared, symbol[minute], session[minute], "historical", ts[minute], name, values.ravel()[minute]))
    return pl.concat(frames).sort("session", maintain_order=True) if frames else schema.empty(schema.KEPT_INDICATORS)


def _frame(
    setup: Setup, prepared: Prepared, symbol: Ints, session: Ints, interval: str, ts: Ints, name: str, values: np.ndarray
) -> pl.DataFrame:
    columns = {
        "symbol": named(setup.symbols, symbol),
        "session": prepared.sessions.label[session],
        "interval": pl.repeat(interval, len(ts), dtype=pl.String, eager=True),
        "ts": ts,
        "name": pl.repeat(name, len(ts), dtype=pl.String, eager=True),
        "value": values,
    }
    return schema.frame(schema.KEPT_INDICATORS, columns)

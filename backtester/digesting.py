"""Digesting: every stage of every session hashed, so that two runs can be compared without their columns.

Place in the flow: phase 6 of a day; what stands before the signals is hashed on the thread that prepares. Whatever chunk a session
stands in, its digests are the same.

    bars        base bars on their slots          derived     bars of every derived interval
    quality     percent and counts                indicators  those of the config, historical ones too
    signals     every signal with its numbers
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from backtester import schema
from backtester.columns import OHLCV, Floats
from backtester.market import tapes
from backtester.market.grid import digest
from backtester.market.prepare import Prepared
from backtester.outcome.digests import array_digest
from backtester.planning import Setup
from backtester.signalling import configured
from backtester.signals.batch import Batch
from backtester.trading.execution import Events
from backtester.trading.inputs import CALLS, GIVEN

EVENT_COLUMNS = ("strategy", "symbol", "action", "price", "quality", "confidence", *GIVEN, *CALLS)


def stage_digests(setup: Setup, prepared: Prepared, at: int) -> dict[str, list[str]]:
    """One digest a session of every stage before the signals, whatever chunk the session stands in."""
    base = setup.needs.base
    derived = [name for name in prepared.tapes if name != base]
    return {
        "bars": _grid_digests(prepared),
        "derived": _tape_digests(prepared, derived, ("slot", *OHLCV)),
        "quality": _quality_digests(prepared, derived),
        "indicators": _indicator_digests(setup, prepared, at),
    }


def digest_rows(prepared: Prepared, stages: Mapping[str, Sequence[str]], events: Events) -> pl.DataFrame:
    """Rows of the table `digests`: the stages before the signals, and the signals."""
    every = {**stages, "signals": _event_digests(prepared, events)}
    labels = prepared.sessions.label
    columns = {
        "session": np.repeat(labels, len(every)),
        "stage": list(every) * len(labels),
        "digest": [digests[session] for session in range(len(labels)) for digests in every.values()],
    }
    return schema.frame(schema.DIGESTS, columns)


def _grid_digests(prepared: Prepared) -> list[str]:
    """One digest a session over the base bars on their slots; over mean prices too, where fills are at them and the session has any:
    whether sessions beside it have some says nothing of it. A cache knows those that it has hashed.
    """
    grid, means = prepared.grid, prepared.grid.vwap
    columns = [getattr(grid, name) for name in OHLCV]
    digests = list(grid.digests or (None,) * len(prepared.sessions))
    for session, (low, high) in enumerate(pairwise(grid.clock.offset.tolist())):
        more = [] if means is None or np.isnan(means[:, low:high]).all() else [means]
        digests[session] = digests[session] or digest(columns + more, low, high)
    return [str(found) for found in digests]


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
    columns = {name: getattr(events, name) for name in EVENT_COLUMNS}
    single = {id(values): values for values in columns.values()}  # what was not given is one array under many names
    digests = []
    for session, (low, high) in enumerate(pairwise(bounds.tolist())):
        own = {place: values[low:high] for place, values in single.items()}
        parts: dict[str, Any] = {"slot": events.t[low:high] - offset[session]}
        parts |= {name: own[id(values)] for name, values in columns.items()}
        codes = events.tag[low:high]
        # A session's own tags alone say whether there are any: those of others are in the same part or not.
        parts["tag"] = [tags[number] for number in codes.tolist()] if (codes >= 0).any() else []
        digests.append(array_digest(parts))
    return digests

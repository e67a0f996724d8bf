"""Seeing: everything that may be seen of some sessions and everything that strategies say of them, as tracks to be compared.

Place in the flow: between cut bars and their comparison. The way is that of a run: prepare, indicators, strategies. Never compares.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from backtester.columns import OHLCV, Floats, Ints
from backtester.errors import StrategyError
from backtester.market.prepare import Past, Prepared, prepare
from backtester.planning import Setup
from backtester.proving.cutting import Stretch
from backtester.signalling import caller_of, configured, given_of
from backtester.signals.audit import Track, track_of
from backtester.signals.batch import Batch, Found
from backtester.signals.calling import Call

BAR_COLUMNS = ("ts", "end", "slot", *OHLCV, "quality", "complete")
BEFORE = -1
"""In place of a base slot: known before the session."""


@dataclass(frozen=True)
class Said:
    """What one strategy says of some sessions: its signals, or the error that it raised."""

    found: Found | None
    error: StrategyError | None = None


@dataclass(frozen=True)
class Seen:
    """A prepared stretch, its configured indicators, and what strategies say of it, by their place in the config."""

    setup: Setup
    prepared: Prepared
    own: Mapping[str, tuple[Batch, Floats]]
    said: Mapping[int, Said]

    def tracks(self, session: int) -> dict[str, Track]:
        """Of one of its sessions: `bars 1m`, `indicator 1m/sma_20`, `historical avg_volume`, `strategy cross` -> what is said.

        A strategy that raised is left out.
        """
        found = {f"bars {interval}": _of_tape(self.prepared, interval, session) for interval in self.prepared.tapes}
        found |= {f"indicator {name}": _of_indicator(batch, values, session) for name, (batch, values) in self.own.items()}
        found |= {f"historical {name}": _of_history(values[session]) for name, values in self.prepared.historical.items()}
        for place, said in self.said.items():
            if said.found is not None:
                found[strategy_named(self.setup, place)] = track_of(said.found, np.zeros(len(self.prepared.sessions), np.int64), session)
        return found

    def whole(self, said: Said) -> Track:
        """What a strategy said of all its sessions; slots are counted from the stretch's first."""
        assert said.found is not None
        return track_of(said.found, self.prepared.grid.clock.offset[:-1])


def strategy_named(setup: Setup, place: int) -> str:
    """How a strategy is named among what is compared."""
    return f"strategy {setup.names[place]}"


def look(setup: Setup, stretch: Stretch, call: Call, places: Collection[int]) -> tuple[Seen, Past]:
    """Prepare a stretch, ask the strategies at `places`, and give what the next stretch needs of it."""
    prepared, past = prepare(stretch.bars, None, stretch.daily, setup.needs, stretch.past)
    return seen_of(setup, prepared, stretch.at, call, places), past


def seen_of(setup: Setup, prepared: Prepared, at: int, call: Call, places: Collection[int]) -> Seen:
    """What a prepared stretch shows; `at` is its first session in the run."""
    said = {place: ask(setup, prepared, at, call, place) for place in places}
    return Seen(setup, prepared, configured(setup, prepared, at), said)


def ask(setup: Setup, prepared: Prepared, at: int, call: Call, place: int, only: int | None = None) -> Said:
    """One call of a strategy over all sessions, or over one of them."""
    try:
        return Said(call(caller_of(setup, setup.traders[place]), given_of(setup, prepared, at), only))
    except StrategyError as error:
        return Said(None, error)


def _of_tape(prepared: Prepared, interval: str, session: int) -> Track:
    tape = prepared.tapes[interval]
    at = prepared.first(interval) + session
    start, count = tape.start[at], tape.count[at].astype(np.int64)
    rows = _ranges(start, count)
    columns = {name: tape.column(name)[rows] for name in BAR_COLUMNS}
    symbol = np.repeat(np.arange(len(tape.symbols)), count)
    return Track(symbol, tape.base_slot[rows].astype(np.int64), np.zeros(len(rows), np.int64), ("bar",), columns)


def _of_indicator(batch: Batch, values: Floats, session: int) -> Track:
    rows = np.flatnonzero(batch.session == session)
    cells = batch.bars.valid[rows] & batch.bars.in_session
    slot = batch.bars.column("base_slot")[rows][cells]
    symbol = np.repeat(batch.symbol[rows], cells.sum(axis=1))
    return Track(symbol, slot, np.zeros(len(slot), np.int64), ("value",), {"": values[rows][cells]})


def _of_history(values: Floats) -> Track:
    """One value a symbol, shape (symbols,), or one a slot, shape (symbols, slots): all known before the session."""
    table = values if values.ndim == 2 else values[:, None]
    symbol, part = (index.ravel() for index in np.indices(table.shape))
    names = tuple(f"value of slot {slot}" for slot in range(table.shape[1])) if values.ndim == 2 else ("value",)
    return Track(symbol, np.full(len(symbol), BEFORE, np.int64), part, names, {"": table.ravel()})


def _ranges(start: Ints, count: Ints) -> Ints:
    """start, start + 1, ... of each, one after the other."""
    total = np.cumsum(count)
    rows: Ints = np.repeat(start - (total - count), count) + np.arange(int(total[-1]) if len(total) else 0)
    return rows

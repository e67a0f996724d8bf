"""Cutting: the bars of some sessions as they were known at a moment, or with another future after it.

Place in the flow: before everything else of a proof: what is taken away here is missing for resampling, quality, history, indicators
and strategies alike. A bar is known at its end, so a cut at the end of a slot keeps that slot's bar. Never looks at what it cuts.

    session 0          1            later sessions
    b b b b|. . . .    gone         prefix: what is known at the end of each symbol's slot
    b b b b|x x x x    x x x x      with_future: other bars after it
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtester.columns import OHLCV, PRICES, TAPE_COLUMNS, Bools, Floats, Ints, Sessions, Tape, place
from backtester.market.grid import Clock, clock_of
from backtester.market.load import Chunk
from backtester.market.prepare import Needs, Past
from backtester.splits import Splits

Future = Literal["missing", "noise", "mirrored"]
FUTURES: tuple[Future, ...] = ("missing", "noise", "mirrored")
PRICE_NOISE, VOLUME_NOISE, LOST = 0.05, 1.0, 0.2
"""Standard deviations of the logarithms of what a bar's prices, and its volume, are multiplied by; part of the bars that noise swallows."""


@dataclass(frozen=True)
class Stretch:
    """Sessions in a row as they were read, what came before them, and the place of the first in the run.

    daily: the lake's own `1d` bars of the same sessions, where they are read.
    """

    bars: Chunk
    daily: Chunk | None
    past: Past
    at: int

    @property
    def sessions(self) -> Sessions:
        """Its sessions."""
        return self.bars.sessions

    def part(self, first: int, stop: int, past: Past) -> Stretch:
        """Sessions `first` to `stop` (not included), with what came before the first of them."""
        daily = None if self.daily is None else _sessions(self.daily, first, stop)
        return Stretch(_sessions(self.bars, first, stop), daily, past, self.at + first)

    def of_symbols(self, symbols: Ints) -> Stretch:
        """A copy without the bars of other symbols; nobody is given another number."""
        chosen = np.zeros(len(self.bars.symbols), np.bool_)
        chosen[symbols] = True
        daily = None if self.daily is None else _copied(_kept(self.daily, chosen[self.daily.column("symbol_id")]))
        past = replace(self.past, tapes={name: _of_symbols(tape, chosen) for name, tape in self.past.tapes.items()})
        return Stretch(_copied(_kept(self.bars, chosen[self.bars.column("symbol_id")])), daily, past, self.at)


def prefix(stretch: Stretch, slot: Ints, needs: Needs) -> Stretch:
    """What is known at the end of `slot` of the stretch's first session, shape (symbols,), -1: nothing of it; no later session."""
    known = stretch.part(0, 1, stretch.past)
    clock = clock_of(known.sessions, needs.base)
    daily = None if known.daily is None else _kept(known.daily, _closed(clock, slot)[known.daily.column("symbol_id")])
    return replace(known, bars=_kept(known.bars, _is_known(known.bars, clock, slot, needs.base)), daily=daily)


def with_future(stretch: Stretch, slot: Ints, needs: Needs, future: Future, random: np.random.Generator) -> Stretch:
    """The stretch with other bars after the end of `slot` of its first session, shape (symbols,): none, noisy ones, or a market
    that falls where it rose.
    """
    clock = clock_of(stretch.sessions[:1], needs.base)
    bars = _changed(stretch.bars, ~_is_known(stretch.bars, clock, slot, needs.base), future, random)
    if stretch.daily is None:
        return replace(stretch, bars=bars)
    later = np.ones(stretch.daily.table.num_rows, np.bool_)
    first = int(stretch.daily.first[1])
    later[:first] = ~_closed(clock, slot)[stretch.daily.column("symbol_id")[:first]]
    return replace(stretch, bars=bars, daily=_changed(stretch.daily, later, future, random))


def known_on(needs: Needs, label: np.datetime64) -> Needs:
    """The same without the splits of later sessions, which nobody knows of yet."""
    known = needs.splits.day <= label
    splits = Splits(needs.splits.day[known], needs.splits.symbol[known], needs.splits.value[known])
    return replace(needs, actions=needs.actions.filter(pl.col("ex_date") <= label.astype("datetime64[D]").item()), splits=splits)


def _is_known(chunk: Chunk, clock: Clock, slot: Ints, base: str) -> Bools:
    """Rows of the chunk that are known at the end of each symbol's slot of its first session; shape (rows,)."""
    known = np.zeros(chunk.table.num_rows, np.bool_)
    first = int(chunk.first[1])
    limit = slot[chunk.column("symbol_id")[:first]]
    if base == "1d":  # the session's one bar, whatever it is stamped
        known[:first] = limit >= 0
    else:
        known[:first] = (limit >= 0) & (chunk.column("ts")[:first] <= clock.ts[np.maximum(limit, 0)])
    return known


def _closed(clock: Clock, slot: Ints) -> Bools:
    """Symbols for which the session is over at the end of their slot."""
    return slot >= len(clock.ts) - 1


def _changed(chunk: Chunk, later: Bools, future: Future, random: np.random.Generator) -> Chunk:
    """The chunk with other values in the rows `later`."""
    values = {name: chunk.column(name).copy() for name in OHLCV}
    rows = np.flatnonzero(later)
    if future == "missing":
        for column in values.values():
            column[rows] = np.nan
    elif future == "noise":
        factor = np.exp(random.normal(0.0, PRICE_NOISE, len(rows)))
        for name in PRICES:
            values[name][rows] *= factor
        values["volume"][rows] = np.round(values["volume"][rows] * np.exp(random.normal(0.0, VOLUME_NOISE, len(rows))))
        values["close"][rows[random.random(len(rows)) < LOST]] = np.nan
    else:
        around = _anchors(chunk, later)[rows] ** 2
        mirrored = {name: around / values[name][rows] for name in PRICES}
        for name, source in zip(PRICES, ("open", "low", "high", "close"), strict=True):
            values[name][rows] = mirrored[source]
    return replace(chunk, table=_frame(chunk).with_columns(pl.Series(name, column) for name, column in values.items()).to_arrow())


def _anchors(chunk: Chunk, later: Bools) -> Floats:
    """For every row the close around which its symbol's future is mirrored: the last known, else the first of the future."""
    symbol, close = chunk.column("symbol_id"), chunk.column("close")
    anchor = np.full(len(chunk.symbols), np.nan)
    for rows in (np.flatnonzero(later)[::-1], np.flatnonzero(~later)):  # of several rows of a symbol the last assignment stays
        whole = rows[close[rows] > 0]
        anchor[symbol[whole]] = close[whole]
    found: Floats = anchor[symbol]
    return found


def _sessions(chunk: Chunk, first: int, stop: int) -> Chunk:
    low, high = int(chunk.first[first]), int(chunk.first[stop])
    table = chunk.table.slice(low, high - low)
    return replace(chunk, sessions=chunk.sessions[first:stop], table=table, first=chunk.first[first : stop + 1] - low)


def _kept(chunk: Chunk, rows: Bools) -> Chunk:
    """The chunk without the rows that are not True."""
    if rows.all():
        return chunk
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(rows)])
    return replace(chunk, table=_frame(chunk).filter(pl.Series(rows)).to_arrow(), first=before[chunk.first])


def _copied(chunk: Chunk) -> Chunk:
    """The chunk with rows of its own, so that it does not keep those that it was cut from."""
    return replace(chunk, table=_frame(chunk).select(pl.all().gather(pl.int_range(pl.len()))).to_arrow())


def _frame(chunk: Chunk) -> pl.DataFrame:
    """The chunk's table in polars, without a copy: pyarrow's own ways to choose rows import pandas."""
    frame = pl.from_arrow(chunk.table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _of_symbols(tape: Tape, chosen: Bools) -> Tape:
    """The tape's bars of some symbols; the others have none."""
    owner: NDArray[np.int64] = np.repeat(np.arange(len(tape.symbols)), tape.count.sum(axis=0, dtype=np.int64))
    rows = chosen[owner]
    count = np.where(chosen[None, :], tape.count, 0).astype(np.int32)
    columns = {name: tape.column(name)[rows] for name in TAPE_COLUMNS}
    return Tape(tape.interval, tape.symbols, tape.sessions, place(count), count, **columns)

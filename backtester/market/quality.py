"""Quality: the calendar's slots joined with the bars; gaps with their kinds, and other findings.

Place in the flow: phase 4 of a day, right after the grid. Counts first, and looks at single slots only where a count says
that some are missing. Never repairs anything.

    quality = 100 * actual / expected        actual: distinct in-session slots that hold a bar
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from backtester import schema
from backtester.columns import Bools, Floats, Ints, Tape
from backtester.market.grid import Clock, Grid
from backtester.settings import Settings
from backtester.table import named

MOST = 0.5
FEWEST_FOR_MARKET = 3
RECONCILED = 0.01
"""Auctions and late prints make a daily bar's volume differ a little from the sum of its minutes."""


class GapFillerSettings(Settings):
    """Switch of session quality; the other two are of older configs and without meaning for a backtest."""

    enable_session_quality: bool = True
    max_retries: int = Field(5, ge=0)
    retry_interval_seconds: float = Field(60, ge=0)


@dataclass(frozen=True)
class Gaps:
    """Runs of missing slots; shape (gaps,): symbol, session, first and last slot of the line, kind (index into schema.GAP_KINDS)."""

    symbol: Ints
    session: Ints
    first: Ints
    last: Ints
    kind: Ints

    @property
    def bars(self) -> Ints:
        """Slots missing in each gap."""
        return self.last - self.first + 1


def gaps_of(present: Bools, count: NDArray[np.int32], clock: Clock) -> Gaps:
    """Every run of missing slots, ordered by (session, symbol, start); present has shape (symbols, slots), count (sessions, symbols)."""
    width = len(clock.ts)
    if int(count.sum()) == present.size:
        return Gaps(*(np.zeros(0, np.int64),) * 5)
    missing = np.flatnonzero(~present)
    line, column = missing // width, missing % width
    session = clock.session[column]
    fresh = np.ones(len(missing), np.bool_)
    fresh[1:] = (np.diff(missing) != 1) | (line[1:] != line[:-1]) | (session[1:] != session[:-1])
    head = np.flatnonzero(fresh)
    tail = np.append(head[1:], len(missing)) - 1
    symbol, session, first, last = line[head], session[head], column[head], column[tail]
    kind = _kinds(session, first, last, clock, _market_slots(present, count, clock))
    order = np.lexsort((first, symbol, session))
    return Gaps(symbol[order], session[order], first[order], last[order], kind[order])


def quality_frame(
    clock: Clock, symbols: tuple[str, ...], intervals: Sequence[str], tape: Tape, gaps: Gaps | None, percent: Floats, odd: Floats
) -> pl.DataFrame:
    """Rows of the table `quality` of one of the intervals, ordered by (session, symbol).

    `percent` has shape (sessions, symbols); `odd`, shape (2, sessions, symbols), counts out-of-session and duplicate rows.
    """
    count = tape.count.astype(np.int64)
    sessions, lines = count.shape
    where = np.repeat(np.arange(sessions), lines), np.tile(np.arange(lines), sessions)
    number, longest = np.zeros(count.shape, np.int64), np.zeros(count.shape, np.int64)
    if gaps is not None:
        np.add.at(number, (gaps.session, gaps.symbol), 1)
        np.maximum.at(longest, (gaps.session, gaps.symbol), gaps.bars)
    some = count.ravel() > 0
    begin = tape.start.ravel()
    columns = {
        "symbol": named(symbols, where[1]),
        "session": clock.sessions.label[where[0]],
        "interval": named(intervals, np.full(len(where[0]), list(intervals).index(tape.interval))),
        "expected": np.repeat(clock.count, lines),
        "actual": count.ravel(),
        "quality": percent.ravel(),
        "gaps": number.ravel(),
        "longest_gap": longest.ravel(),
        "first_ts": _at(tape.ts, begin, some),
        "last_ts": _at(tape.ts, begin + count.ravel() - 1, some),
        "out_of_session": odd[0].astype(np.int64).ravel(),
        "duplicates": odd[1].astype(np.int64).ravel(),
    }
    return schema.frame(schema.QUALITY, columns)


def gaps_frame(gaps: Gaps, clock: Clock, symbols: tuple[str, ...], agrees: Floats | None = None) -> pl.DataFrame:
    """Rows of the table `gaps` of one interval; end is the time from which the bar after the gap's last slot could be open.

    `agrees`, shape (sessions, symbols), is what `reconciled` made; None where there is nothing to compare with.
    """
    known = np.full(len(gaps.symbol), np.nan) if agrees is None else agrees[gaps.session, gaps.symbol]
    columns = {
        "symbol": named(symbols, gaps.symbol),
        "session": clock.sessions.label[gaps.session],
        "interval": named([clock.interval], np.zeros(len(gaps.symbol), np.int64)),
        "start": clock.ts[gaps.first],
        "end": clock.end[gaps.last],
        "bars": gaps.bars,
        "kind": named(schema.GAP_KINDS, gaps.kind),
        "reconciled": pl.Series([None if np.isnan(value) else bool(value) for value in known], dtype=pl.Boolean),
    }
    return schema.frame(schema.GAPS, columns)


def reconciled(grid: Grid, daily: Tape) -> Floats:
    """Does the volume of a session's bars agree with the lake's own daily bar, to RECONCILED of it? Shape (sessions, symbols).

    1 yes, 0 no, NaN where there is no daily bar.
    """
    offset = grid.clock.offset
    volume = np.where(grid.present, grid.volume, 0.0)
    held = np.stack([volume[:, low:high].sum(axis=1) for low, high in pairwise(offset.tolist())])
    whole = np.full(held.shape, np.nan)
    has = daily.count > 0
    whole[has] = daily.volume[daily.start[has]]
    return np.where(np.isnan(whole), np.nan, np.abs(held - whole) <= RECONCILED * whole)


def no_gaps() -> pl.DataFrame:
    """The table `gaps` without rows."""
    return schema.empty(schema.GAPS)


def percent_of(count: NDArray[np.int32], clock: Clock) -> Floats:
    """100 * actual / expected of every symbol-session, shape (sessions, symbols)."""
    quality: Floats = 100.0 * count / clock.count[:, None]
    return quality


def strays_by_session(grid: Grid, kind: int) -> Floats:
    """Stray rows of one kind, counted by (session, symbol)."""
    out = np.zeros(grid.count.shape)
    chosen = grid.strays.kind == kind
    np.add.at(out, (grid.strays.session[chosen], grid.strays.symbol[chosen]), 1)
    return out


def _at(values: Ints, index: Ints, some: Bools) -> Ints:
    out = np.full(len(index), -1, np.int64)
    out[some] = values[index[some]]
    return out


def _market_slots(present: Bools, count: NDArray[np.int32], clock: Clock) -> Bools:
    """Slots that most of the symbols miss that have any bar in the session; shape (slots,)."""
    active = (count > 0).sum(axis=1)[clock.session]
    missing = active - present.sum(axis=0)
    outage: Bools = (active >= FEWEST_FOR_MARKET) & (missing > MOST * active)
    return outage


def _kinds(session: Ints, first: Ints, last: Ints, clock: Clock, market: Bools) -> Ints:
    """Kind of every run: the whole session, else a market's outage, else by where it touches."""
    opening, closing = clock.offset[session], clock.offset[session + 1] - 1
    outages = np.concatenate([np.zeros(1, np.int64), np.cumsum(market)])
    outage = outages[last + 1] - outages[first] == last - first + 1
    names = {name: number for number, name in enumerate(schema.GAP_KINDS)}
    choices = [(first == opening) & (last == closing), outage, first == opening, last == closing]
    return np.select(choices, [names["session"], names["market"], names["edge_open"], names["edge_close"]], names["inside"]).astype(
        np.int64
    )

"""Findings: what looks wrong in the stored bars, as rows and not as exceptions.

Place in the flow: phase 4 of a day, beside quality. One row a symbol, session and kind: where it was first seen, how much of
it there is. Never changes a bar.

    out_of_session off_grid invalid duplicate   stored rows that do not count, `value` of them
    ohlc_violation non_positive_price zero_volume   bars that do, `value` of them
    jump unadjusted_split   the largest ratio of a close to the one before it; splits that the lake's actions know explain theirs
    stale   the longest run of bars that repeat open, high, low and close
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from backtester import schema
from backtester.columns import PRICES, Bools, Floats, Ints, Tape
from backtester.market.grid import KINDS, Grid

JUMP_RATIO = 1.5
SPLIT_RATIOS = (2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0)
SPLIT_SLACK = 0.02
STALE_BARS = 30
GRAVE = ("unadjusted_split", "jump", "ohlc_violation", "non_positive_price")
"""Kinds that turn a result into nonsense where they are real; a run warns of them."""


def findings_frame(grid: Grid, tape: Tape, before: Floats, splits: Sequence[tuple[int, int, float]] = ()) -> pl.DataFrame:
    """Rows of the table `findings`, ordered by (session, symbol, kind); `before`, shape (symbols,), is each symbol's close
    before the chunk (NaN: none). splits: (session, symbol, new shares for one old) of the known ones, which explain their jump.
    """
    rows = _strays(grid)
    outside = (tape.high < tape.open) | (tape.high < tape.close) | (tape.low > tape.open) | (tape.low > tape.close)
    rows += _counted(tape, outside, "ohlc_violation", "close or open outside [low, high]")
    if any(tape.column(name).min(initial=1.0) <= 0 for name in PRICES):
        worthless = np.logical_or.reduce([tape.column(name) <= 0 for name in PRICES])
        rows += _counted(tape, worthless, "non_positive_price", "price at or below 0")
    rows += _counted(tape, tape.volume == 0, "zero_volume", "bars without volume never fill orders")
    rows += _jumps(tape, before, splits)
    rows += _stale(tape)
    rows.sort(key=lambda row: (row[1], row[0], row[3]))
    label = grid.clock.sessions.label
    columns = {
        "symbol": pl.Series([grid.symbols[row[0]] for row in rows], dtype=pl.String),
        "session": label[np.array([row[1] for row in rows], np.int64)],
        "ts": np.array([row[2] for row in rows], np.int64),
        "kind": pl.Series([row[3] for row in rows], dtype=pl.String),
        "value": np.array([row[4] for row in rows], np.float64),
        "detail": pl.Series([row[5] for row in rows], dtype=pl.String),
    }
    return schema.frame(schema.FINDINGS, columns)


def no_findings() -> pl.DataFrame:
    """The table `findings` without rows."""
    return schema.empty(schema.FINDINGS)


Row = tuple[int, int, int, str, float, str]


def _strays(grid: Grid) -> list[Row]:
    strays = grid.strays
    found: dict[tuple[int, int, int], tuple[int, int]] = {}
    for symbol, session, ts, kind in zip(
        strays.symbol.tolist(), strays.session.tolist(), strays.ts.tolist(), strays.kind.tolist(), strict=True
    ):
        first, number = found.get((symbol, session, kind), (ts, 0))
        found[symbol, session, kind] = (min(first, ts), number + 1)
    return [
        (symbol, session, first, KINDS[kind], float(number), "stored rows left out")
        for (symbol, session, kind), (first, number) in found.items()
    ]


def _line(tape: Tape, at: Ints) -> Ints:
    """The symbol-session (symbol * sessions + session) of bars."""
    return np.searchsorted(tape.start.T.ravel(), at, side="right") - 1


def _counted(tape: Tape, wrong: Bools, kind: str, detail: str) -> list[Row]:
    at = np.flatnonzero(wrong)
    lines, first, number = np.unique(_line(tape, at), return_index=True, return_counts=True)
    return [
        _row(tape, int(owner), int(at[begin]), kind, float(count), detail) for owner, begin, count in zip(lines, first, number, strict=True)
    ]


def _jumps(tape: Tape, before: Floats, splits: Sequence[tuple[int, int, float]]) -> list[Row]:
    if not len(tape):
        return []
    previous = np.concatenate([[np.nan], tape.close[:-1]])
    some = tape.count.sum(axis=0) > 0
    previous[tape.start[0][some]] = before[some]
    known: dict[int, float] = {}
    for session, symbol, value in splits:
        first = int(tape.start[session, symbol])
        if first < tape.start[-1, symbol] + tape.count[-1, symbol]:  # the symbol has a bar on or after it
            previous[first] /= value
            known[first] = known.get(first, 1.0) * value
    far = (tape.close > JUMP_RATIO * previous) | (previous > JUMP_RATIO * tape.close)
    at = np.flatnonzero(far & (previous > 0) & (tape.close > 0))
    ratio = tape.close[at] / previous[at]
    size = np.maximum(ratio, 1.0 / ratio)
    lines = _line(tape, at)
    rows = []
    for owner in np.unique(lines):
        inside = np.flatnonzero(lines == owner)
        worst = int(inside[np.argmax(size[inside])])
        split = any(abs(size[worst] / known - 1.0) <= SPLIT_SLACK for known in SPLIT_RATIOS)
        kind, detail = ("unadjusted_split", "a split's ratio; unadjusted split?") if split else ("jump", "close / close before")
        if abs(ratio[worst] / known.get(int(at[worst]), np.inf) - 1.0) <= SPLIT_SLACK:
            detail = f"a split of {known[int(at[worst])]:g} among the lake's actions, which its prices do not show"
        rows.append(_row(tape, int(owner), int(at[worst]), kind, float(ratio[worst]), detail))
    return rows


def _stale(tape: Tape) -> list[Row]:
    if len(tape) < STALE_BARS:
        return []
    same = np.zeros(len(tape), np.bool_)
    same[1:] = tape.close[1:] == tape.close[:-1]
    heads = tape.start[tape.count > 0]
    same[heads] = False
    at = np.flatnonzero(same)
    if len(at) < STALE_BARS - 1:
        return []
    at = at[np.logical_and.reduce([column[at] == column[at - 1] for column in (tape.open, tape.high, tape.low)])]
    head = np.flatnonzero(np.diff(at, prepend=-2) != 1)
    length = np.diff(np.append(head, len(at))) + 1  # with the bar that the others repeat
    rows: dict[int, Row] = {}
    long = length >= STALE_BARS
    first = at[head[long]] - 1
    for begin, size, owner in zip(first.tolist(), length[long].tolist(), _line(tape, first).tolist(), strict=True):
        if owner not in rows or rows[owner][4] < size:
            rows[owner] = _row(tape, owner, begin, "stale", float(size), "bars that repeat open, high, low and close")
    return list(rows.values())


def _row(tape: Tape, line: int, at: int, kind: str, value: float, detail: str) -> Row:
    symbol, session = divmod(line, len(tape.sessions))
    return symbol, session, int(tape.ts[at]), kind, value, detail

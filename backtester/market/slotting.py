"""The compiled loops beneath the grid: each stored row's place among the slots, or why it has none; and the rows put there.

Place in the flow: `grid.py` calls `kernel()` and `spreading()` with a chunk's rows. Importing this file imports numba, which is heavy.
Never looks at prices.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import types

from backtester.columns import NO_BREAK, Bools, Floats, Ints
from backtester.machine_code import machine_code
from backtester.market.grid import COUNTS, DUPLICATE, INVALID, OFF_GRID, OUT_OF_SESSION

_int64 = types.Array(types.int64, 1, "C", readonly=True)
SIGNATURE = (
    _int64,
    types.Array(types.uint16, 1, "C", readonly=True),
    types.Array(types.boolean, 1, "C", readonly=True),
    *[_int64] * 6,
    types.int64,
    types.int64,
    types.Array(types.int64, 1, "C"),
    types.Array(types.int8, 1, "C"),
    types.Array(types.boolean, 1, "C"),
    types.Array(types.int32, 2, "C"),
)


SPREADING = (
    _int64,
    types.Array(types.int8, 1, "C", readonly=True),
    types.Array(types.boolean, 1, "C", readonly=True),
    *[types.Array(types.float64, 1, "C", readonly=True)] * 5,
    types.Array(types.float64, 2, "C"),
)


@cache
def spreading() -> Any:
    """The machine code of `spread`, compiled or read from disk at its first use; call its `entry_point`."""
    return machine_code(spread, SPREADING)


@cache
def kernel() -> Any:
    """The machine code of `place`, compiled or read from disk at its first use; call its `entry_point`."""
    return machine_code(place, SIGNATURE)


def place(
    ts: Ints, symbol: Any, whole: Bools, first: Ints, opened: Ints, closed: Ints, lunch: Ints, resumed: Ints, offset: Ints,
    step: int, width: int, position: Ints, why: Any, taken: Bools, count: Any,
) -> int:  # fmt: skip
    """Fill position and why, shape (rows,), taken, shape (symbols * width,), and count, shape (sessions, symbols).

    Rows of session s are first[s] to first[s + 1]; whole tells which rows hold numbers only; step 0: one slot a session, which
    takes a row of any time. The first row at a place counts. Returns how many rows do not count; their position means nothing.
    """
    strays = 0
    for s in range(len(opened)):
        has_break = lunch[s] != NO_BREAK
        morning = -((opened[s] - lunch[s]) // step) * step if has_break and step else 0
        # Rows of one time follow each other: what is found for one holds for the next.
        before, slot, found = ts[first[s]] - 1 if first[s] < first[s + 1] else 0, 0, COUNTS
        for row in range(first[s], first[s + 1]):
            moment = ts[row]
            if moment != before:
                before, slot, found = moment, 0, COUNTS
                elapsed = moment - opened[s]
                if step:
                    if elapsed < 0 or moment >= closed[s] or (has_break and lunch[s] <= moment < resumed[s]):
                        found = OUT_OF_SESSION
                    else:
                        if has_break and moment >= resumed[s]:
                            elapsed = moment - resumed[s] + morning
                        slot = elapsed // step
                        if slot * step != elapsed:
                            found = OFF_GRID
            reason = found
            target = symbol[row] * width + offset[s] + slot
            if reason == COUNTS:
                if not whole[row]:
                    reason = INVALID
                elif taken[target]:
                    reason = DUPLICATE
                else:
                    taken[target] = True
                    count[s, symbol[row]] += 1
            position[row] = target
            why[row] = reason
            strays += reason != COUNTS
    return strays


def spread(
    position: Ints, why: Any, taken: Bools, opened: Floats, high: Floats, low: Floats, close: Floats, volume: Floats, out: Any
) -> None:
    """Fill out, shape (5, symbols * width), with the rows that count, and with NaN where no row stands; all else is as of `place`."""
    for at in range(len(taken)):
        if not taken[at]:
            for column in range(5):
                out[column, at] = np.nan
    for row in range(len(position)):
        if why[row] == COUNTS:
            at = position[row]
            out[0, at] = opened[row]
            out[1, at] = high[row]
            out[2, at] = low[row]
            out[3, at] = close[row]
            out[4, at] = volume[row]

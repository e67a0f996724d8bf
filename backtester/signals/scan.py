"""Compiled: from columns of booleans to the wishes in them, in the order of decision.

Place in the flow: `batch.found` asks here. Wishes are rare, so columns are passed over eight cells at a time. Never looks at a cell
outside of a session, never allocates.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from backtester.columns import Bools, Floats, Ints
from backtester.machine_code import machine_code

Words = NDArray[np.uint64]
FLAGS = types.Array(types.boolean, 1, "C", readonly=True)
EIGHT = types.Array(types.uint64, 1, "C", readonly=True)
GIVEN = types.Array(types.int64, 1, "C", readonly=True)
SLOTS = types.Array(types.int32, 1, "C", readonly=True)
PRICES = types.Array(types.float64, 1, "C", readonly=True)
WHOLE = types.Array(types.int64, 1, "C")
SMALL = types.Array(types.int32, 1, "C")
NUMBERS = types.Array(types.float64, 1, "C")


@cache
def kernel(name: str) -> Any:
    """The machine code of `scan` or `place`."""
    function, signature = _PARTS[name]
    return machine_code(function, signature)


def scan(
    enter: Bools, leave: Bools, enters: Words, leaves: Words, width: int, lookback: int, start: Ints, count: Ints, session: Ints,
    base_slot: NDArray[np.int32], slots: int, hits: Ints, tally: NDArray[np.int32], found: Ints,
) -> None:  # fmt: skip
    """Cells that hold a wish, row by row: hits is 2 * cell + (1 for an entry), tally how many there are of each slot (exits, entries).

    enter and leave: all cells of rows of so many columns on end, shape (cells,); enters and leaves: the same, eight at a time, as far as
    there are eight. A row has `count` cells from `lookback` on, bars of the tape from `start` on, in a session of at most `slots` base
    slots; found: how many hits there are.
    """
    n, row, end = 0, -1, 0
    for word in range(len(enters) + 1):
        if word < len(enters) and (enters[word] | leaves[word]) == 0:
            continue
        for cell in range(8 * word, min(8 * word + 8, enter.size)):
            if enter[cell] | leave[cell]:
                while cell >= end:
                    row += 1
                    end += width
                column = cell - (end - width) - lookback
                if 0 <= column < count[row]:
                    key = 2 * (session[row] * slots + base_slot[start[row] + column])
                    if leave[cell]:
                        hits[n] = 2 * cell
                        tally[key] += 1
                        n += 1
                    if enter[cell]:
                        hits[n] = 2 * cell + 1
                        tally[key + 1] += 1
                        n += 1
    found[0] = n


def place(
    hits: Ints, tally: NDArray[np.int32], width: int, lookback: int, start: Ints, session: Ints, symbol: Ints,
    base_slot: NDArray[np.int32], close: Floats, quality: Floats, slots: int,
    rows: Ints, columns: Ints, entries: Ints, symbols: Ints, sessions: Ints, at: Ints, prices: Floats, qualities: Floats,
) -> None:  # fmt: skip
    """The hits by slot, exits before entries, those of one slot in their order; tally is used up.

    rows, columns (of the session): where each stands; entries: 1 for an entry; at: its base slot; prices and qualities: the bar's.
    """
    before, row, end = 0, -1, 0
    for key in range(tally.size):
        before, tally[key] = before + tally[key], before
    for k in range(hits.size):
        cell = hits[k] >> 1
        while cell >= end:
            row += 1
            end += width
        column = cell - (end - width) - lookback
        bar = start[row] + column
        key = 2 * (session[row] * slots + base_slot[bar]) + (hits[k] & 1)
        n = tally[key]
        tally[key] += 1
        rows[n], columns[n], entries[n] = row, column, hits[k] & 1
        symbols[n], sessions[n], at[n], prices[n], qualities[n] = symbol[row], session[row], base_slot[bar], close[bar], quality[bar]


_PARTS: dict[str, tuple[Callable[..., None], tuple[Any, ...]]] = {
    "scan": (scan, (FLAGS, FLAGS, EIGHT, EIGHT, types.int64, types.int64, GIVEN, GIVEN, GIVEN, SLOTS, types.int64, WHOLE, SMALL, WHOLE)),
    "place": (
        place,
        (GIVEN, SMALL, types.int64, types.int64, GIVEN, GIVEN, GIVEN, SLOTS, PRICES, PRICES, types.int64, *[WHOLE] * 6, *[NUMBERS] * 2),
    ),
}

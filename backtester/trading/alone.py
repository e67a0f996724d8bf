"""Pairs that are alone: plain trading where the account is so ample that no pair can stand in another's way.

Place in the flow: accounts.py asks here before plain.py, with the columns of wishes themselves, for then nothing need be put in the order
of decision. The kernel finds out afterwards whether the account was ample; where it was not, nothing of it counts and the chunk is traded
in order. The money is the same to the last digit. Never keeps a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtester.columns import Bools, Floats, Ints
from backtester.trading import records
from backtester.trading.inputs import Given
from backtester.trading.plain import Course
from backtester.trading.plain_account import Held, nothing, sheet_of
from backtester.trading.records import Records

TALLY = np.dtype(
    [(name, np.int64) for name in ("due", "day", "since", "flow", "swing", "most", "least", "cost", "fee", "wait", "high", "low")]
    + [(name, np.float64) for name in ("seen", "quantity", "top", "bottom")]
)
"""One pair under way. due: the slot at which something fills, and seen the price there; day: the session; since: the slot from which it
holds; flow: cash so far, and swing the most of it either way; most: what it was worth at most; least: what it added to the equity at least;
cost and fee: the most that an exit, an entry may cost; wait: the most that an entry was expected to cost; high and low: what the last
quantity is worth at the highest (top) and the lowest (bottom) price."""
BAR = np.dtype([("price", np.float64), ("quality", np.float64), ("seen", np.float64), ("slot", np.int32), ("due", np.int32)])
"""One bar that a wish may stand on: its close and as-of quality; the slot at whose end it is available; where an order made then fills, and
the price there. Side by side, for wishes are few and far between."""
WHOLE = np.dtype([(name, np.int64) for name in ("most", "least", "cost", "swing")])
"""Sums of these over all pairs."""


class Wish(NamedTuple):
    """The wishes of one strategy, all cells of its rows on end, and the same eight cells at a time as far as there are eight; those of
    shorts are empty where there are none.
    """

    enter_long: Bools
    exit_long: Bools
    enter_short: Bools
    exit_short: Bools
    enters: Ints
    exits: Ints
    enters_short: Ints
    exits_short: Ints


class Rows(NamedTuple):
    """Where the cells of a strategy's rows stand. Of each row, shape (rows,): first: its session's first cell; size: cells of it that hold
    a bar; bar: the bar of its first cell. Of each symbol: its rows, low <= row < high, by session.
    """

    first: Ints
    size: Ints
    bar: Ints
    low: Ints
    high: Ints


class Seen(NamedTuple):
    """The bars that rows are of, shape (bars,): the symbol, the slot at whose end each is available (below 0: before the chunk), close and
    as-of quality.
    """

    symbol: Ints
    slot: Ints
    price: Floats
    quality: Floats


class Ledger(NamedTuple):
    """Working space of a chunk. ends: the slot after each session; flow and marks: cash that moved in each session, marks at its end; longs
    and shorts: changes of the number of positions at each slot; bound: what may be held of each symbol at most; tally: one row of TALLY;
    whole: one of WHOLE; bars: rows of BAR.
    """

    bars: Records
    ends: Ints
    flow: Ints
    marks: Ints
    longs: NDArray[np.int32]
    shorts: NDArray[np.int32]
    bound: Ints
    tally: Records
    whole: Records


NO_FLAGS, NO_WORDS = np.zeros(0, np.bool_), np.zeros(0, np.int64)


def wish_of(
    shape: tuple[int, ...], enter_long: Bools | None, exit_long: Bools | None, enter_short: Bools | None, exit_short: Bools | None
) -> Wish:
    """Wishes from columns of shape (rows, width); None: no such wish."""
    longs = _both(shape, enter_long, exit_long)
    if enter_short is None and exit_short is None:
        return Wish(longs[0][0], longs[1][0], NO_FLAGS, NO_FLAGS, longs[0][1], longs[1][1], NO_WORDS, NO_WORDS)
    shorts = _both(shape, enter_short, exit_short)
    return Wish(longs[0][0], longs[1][0], shorts[0][0], shorts[1][0], longs[0][1], longs[1][1], shorts[0][1], shorts[1][1])


def _both(shape: tuple[int, ...], enter: Bools | None, leave: Bools | None) -> list[tuple[Bools, Ints]]:
    """Two columns, one of which may be absent, all cells on end, and eight at a time."""
    return [_flat(np.zeros(shape, np.bool_) if column is None else column) for column in (enter, leave)]


def _flat(cells: Bools) -> tuple[Bools, Ints]:
    """All cells on end, and as whole words, which begin where words may."""
    flat = np.ascontiguousarray(cells).reshape(-1)
    words = flat[: len(flat) // 8 * 8].view(np.int64)
    return (flat, words) if words.flags.aligned else _flat(flat.copy())


def suits(given: Given) -> bool:
    """Whether sizes hang on nothing but the pair's own price."""
    return bool(given.rules[0]["sizing"] in (records.SHARES, records.NOTIONAL))


def bars_of(course: Course, seen: Seen, fill: int) -> Records:
    """The bars that wishes may stand on, with where an order made then fills; kept with the course."""
    key = id(seen.slot), fill
    if key not in course.bars:
        road, known = course.road, np.flatnonzero(seen.slot >= 0)
        made = np.zeros(len(seen.slot), BAR)
        made["price"], made["quality"], made["slot"] = seen.price, seen.quality, seen.slot
        symbol, slots = seen.symbol[known], len(road.slots)
        due = road.fillable[symbol, seen.slot[known] + 1]
        prices = road.open if fill == records.NEXT_OPEN else road.close
        made["due"][known] = due
        made["seen"][known] = np.where(due < slots, prices[symbol, np.minimum(due, slots - 1)], np.nan)
        course.bars[key] = seen, made  # with what it is of, whose id may be given to another as soon as it is gone
    return course.bars[key][1]


def trade(course: Course, wishes: Sequence[tuple[Wish, Rows, Seen]], held: Held, given: Given, sums: Records) -> tuple[Held, Ints] | None:
    """Trade a chunk, as `plain.trade` does; wishes: each strategy's. None where the account is not ample: then sums may hold anything."""
    from backtester.trading import compiled  # numba is heavy: not before the first chunk

    sessions, pairs, width = len(course.ends), len(held.pairs), len(given.instruments)
    sheet, after = sheet_of(given, held, sums, sessions)
    steps = np.zeros((2, len(course.tape.slots) + 1 if pairs > 1 else 0), np.int32)
    flow, marks = np.zeros((2, sessions), np.int64)
    bound, tally, whole = np.zeros(width, np.int64), np.zeros(1, TALLY), np.zeros(1, WHOLE)
    run, cash, signal, fill = (
        compiled.alone().entry_point,
        int(held.account["cash"][0]),
        records.copied(nothing()),
        int(given.rules["fill"][0]),
    )
    for place, (wish, rows, seen) in enumerate(wishes):
        bars = bars_of(course, seen, fill)
        ledger = Ledger(bars, course.ends, flow, marks, steps[0], steps[1], bound, tally, whole)
        if not run(course.road, sheet, signal, wish, rows, ledger, place * width, cash):
            return None
    return after, sheet.moments["cash"].copy()

"""Compiled: limit, stop and stop-limit orders, which wait for a price.

Place in the flow: kernel.py lets them look at each bar, at its open in step 1 and inside it in step 2. A sell looks at the bar
turned upside down, so that every comparison is that of a buy. Never allocates, never calls Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backtester.trading import records as r
from backtester.trading.book import fillable, waits
from backtester.trading.drill import beyond, drill_entry, turned
from backtester.trading.money import compiled
from backtester.trading.positions import fill_entry, fill_exit
from backtester.trading.records import Book, Tape


@compiled
def none_rests(b: Book, role: int) -> bool:
    """Whether no order of a role waits for a price."""
    account = b.account[0]
    none: bool = (account.resting_exits if role == r.EXIT else account.resting - account.resting_exits) == 0
    return none


@compiled
def looks(m: Tape, b: Book, pair: Any, role: int, t: int) -> int:
    """The row of the pair's resting order in that role, if it may look at the bar; else NONE."""
    row: int = pair.exit if role == r.EXIT else pair.entry
    if row == r.NONE or not b.orders[row].rests or (role == r.ENTRY and waits(b, pair)) or not fillable(m, pair.symbol, t):
        return r.NONE
    return row


@compiled
def look_at_open(m: Tape, b: Book, t: int) -> int:
    """Step 1: resting orders that the open itself fills. How many others the rest of the bar might fill."""
    near = 0
    for role in (r.EXIT, r.ENTRY):
        if none_rests(b, role):
            continue
        for i in range(b.account[0].active):
            pair = b.pairs[b.active[i]]
            row = looks(m, b, pair, role, t)
            if row == r.NONE:
                continue
            order, s = b.orders[row], pair.symbol
            first, stop, limit = order.side * m.open[s, t], order.side * order.stop, order.side * order.limit
            order.looked = m.slots[t].number
            if order.type != r.LIMIT and first >= stop:
                order.triggered = 1
            if order.type == r.STOP:
                fills = order.triggered != 0
            else:
                fills = (order.type == r.LIMIT or order.triggered != 0) and beyond(b.rules[0], first, limit)
            low, high = turned(order.side, m.low[s, t], m.high[s, t])
            if fills:
                fill_resting(m, b, row, t, m.open[s, t])
            elif low <= limit or high >= stop:
                near += 1
    return near


@compiled
def look_in_bar(m: Tape, b: Book, t: int) -> None:
    """Step 2: resting orders that the rest of the bar fills; an entry whose pair was held at the open does not look."""
    for role in (r.EXIT, r.ENTRY):
        if none_rests(b, role):
            continue
        for i in range(b.account[0].active):
            number = b.active[i]
            pair = b.pairs[number]
            row = pair.exit if role == r.EXIT else pair.entry
            if (
                row == r.NONE
                or b.orders[row].looked != m.slots[t].number
                or not b.orders[row].rests
                or (role == r.ENTRY and waits(b, pair))
            ):
                continue
            waited, opens = b.orders[row].type == r.LIMIT or b.orders[row].triggered != 0, pair.quantity == 0.0
            level = level_in_bar(m, b, row, t)
            if not np.isnan(level):
                fill_resting(m, b, row, t, level)
                if role == r.ENTRY and opens and pair.quantity != 0.0:
                    look_after(m, b, number, row, waited, level, t)


@compiled
def level_in_bar(m: Tape, b: Book, row: int, t: int) -> float:
    """The level at which a resting order fills inside the bar, NaN where it does not; a stop-limit order may be triggered."""
    order, s = b.orders[row], b.pairs[b.orders[row].pair].symbol
    low, high = turned(order.side, m.low[s, t], m.high[s, t])
    stop, limit = order.side * order.stop, order.side * order.limit
    if order.type == r.LIMIT or (order.type == r.STOP_LIMIT and order.triggered != 0):
        level: float = order.limit if beyond(b.rules[0], low, limit) else np.nan
        return level
    if not high >= stop:
        return np.nan
    order.triggered = 1
    return order.stop if order.type == r.STOP or stop <= limit else np.nan


@compiled
def look_after(m: Tape, b: Book, number: int, row: int, waited: bool, seen: float, t: int) -> None:
    """The rest of the bar inside which an order has opened a position at the price seen: only its stop looks at it."""
    rules, pair = b.rules[0], b.pairs[number]
    worst, best = turned(pair.direction, m.low[pair.symbol, t], m.high[pair.symbol, t])
    if rules.intrabar != r.OPTIMISTIC and worst <= pair.stop_level:
        reached = beyond(rules, -best, -pair.target_level)
        unsure = b.orders[row].type != r.LIMIT or reached
        if unsure and rules.intrabar == r.DRILL_DOWN and drill_entry(m, b, row, waited, seen, t):
            return
        level = min(pair.stop_level, pair.direction * seen)
        flags = r.AMBIGUOUS if unsure else r.NO_FLAGS
        fill_exit(m, b, pair.stop, t, r.AT_OPEN, pair.direction * level, flags, pair.target if reached else r.NONE)


@compiled
def fill_resting(m: Tape, b: Book, row: int, t: int, seen: float) -> None:
    """Fill a resting order at the price seen."""
    if b.orders[row].role == r.ENTRY:
        fill_entry(m, b, row, t, r.AT_OPEN, seen, r.NO_FLAGS)
    else:
        fill_exit(m, b, row, t, r.AT_OPEN, seen, r.NO_FLAGS, r.NONE)

"""Compiled: limit, stop, stop-limit and trailing orders, which wait for a price.

Place in the flow: kernel.py lets them look at each bar, at its open in step 1 and inside it in step 2. A sell looks at the bar
turned upside down, so that every comparison is that of a buy. Never allocates, never calls Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backtester.trading import records as r
from backtester.trading.book import fillable, waits
from backtester.trading.drill import drill_entry
from backtester.trading.money import apart, compiled
from backtester.trading.positions import fill_entry, fill_exit
from backtester.trading.prices import behind, beyond, met, turned, watched
from backtester.trading.records import Book, Tape


@compiled
def none_rests(b: Book, role: int) -> bool:
    """Whether no order of a role waits for a price."""
    account = b.account[0]
    none: bool = (account.resting_exits if role == r.EXIT else account.resting - account.resting_exits) == 0
    return none


@compiled
def reaches(m: Tape, order: Any, s: int, t: int) -> bool:
    """Whether the trade bar of a slot might fill or trigger an order: it reaches one of its levels."""
    under, over = (order.limit, order.stop) if order.side == r.BUY else (order.stop, order.limit)
    near: bool = m.low[s, t] <= under or m.high[s, t] >= over or m.open[s, t] <= under or m.open[s, t] >= over
    return near


@compiled
def stops(order: Any) -> bool:
    """Whether nothing but a stop holds the order back, fixed or trailing."""
    stop: bool = order.type == r.STOP or order.type == r.TRAILING
    return stop


@apart
def look_at_open(m: Tape, b: Book, t: int) -> int:
    """Step 1: resting orders that the open itself fills. How many others the rest of the bar might fill."""
    near, watch = 0, b.rules[0].watch != 0
    for role in (r.EXIT, r.ENTRY):
        if none_rests(b, role):
            continue
        for i in range(b.account[0].queued):
            pair = b.pairs[b.waiting[i]]
            row = pair.exit if role == r.EXIT else pair.entry
            if row == r.NONE or not b.orders[row].rests:
                continue
            order, s = b.orders[row], pair.symbol
            if not (watch or reaches(m, order, s, t)) or (role == r.ENTRY and waits(b, pair)) or not fillable(m, s, t):
                continue
            opened, high, low, close, flags = m.open[s, t], m.high[s, t], m.low[s, t], m.close[s, t], r.NO_FLAGS
            if watch and stops(order):
                opened, high, low, close, flags = watched(m, b, s, t, order.side)
            first, stop, limit = order.side * opened, order.side * order.stop, order.side * order.limit
            order.looked = m.slots[t].number
            if order.type != r.LIMIT and first >= stop:
                order.triggered = 1
            if stops(order):
                fills, opened = order.triggered != 0, met(b, order.side, order.stop, opened, close)
            else:
                fills = (order.type == r.LIMIT or order.triggered != 0) and beyond(b.rules[0], first, limit)
            low, high = turned(order.side, low, high)
            if fills:
                fill_resting(m, b, row, t, opened, flags)
            elif low <= limit or high >= stop:
                near += 1
    return near


@apart
def look_in_bar(m: Tape, b: Book, t: int) -> None:
    """Step 2: resting orders that the rest of the bar fills; an entry whose pair was held at the open does not look."""
    for role in (r.EXIT, r.ENTRY):
        if none_rests(b, role):
            continue
        for i in range(b.account[0].queued):
            number = b.waiting[i]
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
            level, flags = level_in_bar(m, b, row, t)
            if not np.isnan(level):
                fill_resting(m, b, row, t, level, flags)
                if role == r.ENTRY and opens and pair.quantity != 0.0:
                    look_after(m, b, number, row, waited, level, t)


@compiled
def level_in_bar(m: Tape, b: Book, row: int, t: int) -> tuple[float, int]:
    """The price at which a resting order fills inside the bar, NaN where it does not, and its flags; a stop-limit may be triggered."""
    order, s = b.orders[row], b.pairs[b.orders[row].pair].symbol
    high, low, close, flags = m.high[s, t], m.low[s, t], m.close[s, t], r.NO_FLAGS
    if stops(order):
        _, high, low, close, flags = watched(m, b, s, t, order.side)
    low, high = turned(order.side, low, high)
    stop, limit = order.side * order.stop, order.side * order.limit
    if order.type == r.LIMIT or (order.type == r.STOP_LIMIT and order.triggered != 0):
        level: float = order.limit if beyond(b.rules[0], low, limit) else np.nan
        return level, flags
    if not high >= stop:
        return np.nan, flags
    order.triggered = 1
    if stops(order):
        return met(b, order.side, order.stop, order.stop, close), flags
    return order.stop if stop <= limit else np.nan, flags


@apart
def look_after(m: Tape, b: Book, number: int, row: int, waited: bool, seen: float, t: int) -> None:
    """The rest of the bar inside which an order has opened a position at the price seen: only its stop looks at it."""
    rules, pair = b.rules[0], b.pairs[number]
    _, high, low, close, synthetic = watched(m, b, pair.symbol, t, -pair.direction)
    worst, _ = turned(pair.direction, low, high)
    _, best = turned(pair.direction, m.low[pair.symbol, t], m.high[pair.symbol, t])
    if rules.intrabar != r.OPTIMISTIC and worst <= pair.stop_level:
        reached = beyond(rules, -best, -pair.target_level)
        unsure = b.orders[row].type != r.LIMIT or reached
        if unsure and rules.intrabar == r.DRILL_DOWN and drill_entry(m, b, row, waited, seen, t):
            return
        level = pair.direction * min(pair.stop_level, pair.direction * seen)
        flags = synthetic | (r.AMBIGUOUS if unsure else r.NO_FLAGS)
        fill_exit(m, b, pair.stop, t, r.AT_OPEN, met(b, -pair.direction, level, level, close), flags, pair.target if reached else r.NONE)


@compiled
def fill_resting(m: Tape, b: Book, row: int, t: int, seen: float, flags: int) -> None:
    """Fill a resting order at the price seen."""
    if b.orders[row].role == r.ENTRY:
        fill_entry(m, b, row, t, r.AT_OPEN, seen, flags)
    else:
        fill_exit(m, b, row, t, r.AT_OPEN, seen, flags, r.NONE)


@apart
def chase(m: Tape, b: Book, t: int) -> None:
    """Step 6: stops of entries that follow the price come nearer, where a bar after that of their signal has shown a better one."""
    for i in range(b.account[0].queued):
        pair = b.pairs[b.waiting[i]]
        if pair.entry == r.NONE or np.isnan(m.close[pair.symbol, t]):
            continue
        order = b.orders[pair.entry]
        if order.rests and order.type == r.TRAILING and order.ts != m.slots[t].end:
            _, high, low, _, _ = watched(m, b, pair.symbol, t, order.side)
            level = behind(low if order.side == r.BUY else high, -order.side, order.trail, order.trail_amount)
            if order.side * level < order.side * order.stop:
                order.stop = level

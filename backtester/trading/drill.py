"""Compiled: a bar looked at again in the finer bars that the lake holds of it.

Place in the flow: kernel.py and resting.py come here where a bar does not say which of two events came first. Bars of which no finer ones
were handed in are noted, so that they can be read and the chunk traded once more. Never allocates, never calls Python.
"""

from __future__ import annotations

from typing import Any

from backtester.trading import records as r
from backtester.trading.money import apart, compiled
from backtester.trading.positions import fill_exit
from backtester.trading.prices import beyond, met, turned
from backtester.trading.records import Book, Tape


@compiled
def span_of(m: Tape, b: Book, s: int, t: int) -> int:
    """Where the finer bars of a bar stand, NONE where none were handed in: then they are noted as wanted."""
    key, low, high = t * m.close.shape[0] + s, 0, len(m.spans)
    while low < high:
        middle = (low + high) // 2
        if m.spans[middle].key < key:
            low = middle + 1
        else:
            high = middle
    if low < len(m.spans) and m.spans[low].key == key:
        b.used[low] = 1
        return low
    if b.account[0].wanted < len(b.wanted):
        b.wanted[b.account[0].wanted] = key
        b.account[0].wanted += 1
    return r.NONE


@compiled
def walk(m: Tape, b: Book, pair: Any, t: int, first: int, last: int, entered: bool) -> bool:
    """Stop and target look at finer bars one after the other until one fills that is no rung; whether one did.

    entered: the position was entered at the open of the first of them.
    """
    rules, k, fresh, done = b.rules[0], first, True, False
    while k < last and not done:
        bar, stop, target, left = m.finer[k], pair.stop_level, pair.target_level, pair.rungs
        opened = pair.direction * bar.open
        worst, best = turned(pair.direction, bar.low, bar.high)
        hit, reached = worst <= stop, beyond(rules, -best, -target)
        row, level, flags = r.NONE, opened, r.DRILLED
        if fresh and opened <= stop:
            row = pair.stop
        elif fresh and (opened > target or (opened == target and (rules.touch or not (entered and k == first)))):
            row = pair.target
        elif hit:
            row, level, flags = pair.stop, stop, r.DRILLED | (r.AMBIGUOUS if reached else r.NO_FLAGS)
        elif reached:
            row, level = pair.target, target
        if row != r.NONE:
            seen = pair.direction * level
            if row == pair.stop:
                seen = met(b, -pair.direction, pair.direction * stop, seen, bar.close)
            fill_exit(m, b, row, t, r.AT_OPEN, seen, flags, pair.target)
            done = pair.quantity == 0.0 or pair.rungs == left
        fresh = row == r.NONE
        k += int(fresh)
    return done


@apart
def drill(m: Tape, b: Book, pair: Any, t: int) -> bool:
    """Stop and target of a position look at the finer bars of its bar; whether one of them, or the last rung, has filled."""
    span = span_of(m, b, pair.symbol, t)
    if span == r.NONE:
        return False
    done: bool = walk(m, b, pair, t, m.spans[span].first, m.spans[span].last, pair.slot == m.slots[t].number)
    return done


@apart
def drill_entry(m: Tape, b: Book, row: int, waited: bool, seen: float, t: int) -> bool:
    """The rest of a bar inside which an order has opened a position, in its finer bars; whether they say anything of it.

    waited: a limit alone held the order back, before the bar or from its open on; seen: the entry's price before slippage.
    """
    rules, order = b.rules[0], b.orders[row]
    pair = b.pairs[order.pair]
    span = span_of(m, b, pair.symbol, t)
    if span == r.NONE:
        return False
    stop, limit = pair.direction * order.stop, pair.direction * order.limit
    for k in range(m.spans[span].first, m.spans[span].last):
        low, high = turned(pair.direction, m.finer[k].low, m.finer[k].high)
        if not (beyond(rules, low, limit) if waited else high >= stop):
            continue
        if low <= pair.stop_level:
            reached, level = beyond(rules, -high, -pair.target_level), pair.direction * min(pair.stop_level, pair.direction * seen)
            flags = r.DRILLED | (r.AMBIGUOUS if order.type != r.LIMIT or reached else r.NO_FLAGS)
            price = met(b, -pair.direction, level, level, m.finer[k].close)
            fill_exit(m, b, pair.stop, t, r.AT_OPEN, price, flags, pair.target if reached else r.NONE)
        else:
            walk(m, b, pair, t, k + 1, m.spans[span].last, False)
        return True
    return False

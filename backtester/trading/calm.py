"""Compiled: slots that pass by while prices stay between the levels of all that guards and waits.

Place in the flow: kernel.py comes here where no signal is near and no order waits but for a price. Whether a bar might reach a level is
asked generously: where it might, the slot is gone through in full. Never fills, never allocates, never calls Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backtester.trading import records as r
from backtester.trading.book import fillable, waits
from backtester.trading.guards import trailed
from backtester.trading.money import apart, compiled
from backtester.trading.quiet import pass_by
from backtester.trading.records import Book, Tape

FEWEST, SHORTEST, LONGEST = 4, 8, 512
"""So many slots until the next signal are worth the look; slots that are looked at in one go: few at first, for something may happen soon,
then more and more."""


@compiled
def is_calm(b: Book) -> bool:
    """Whether nothing can happen before a signal, a session's end, a time or a price."""
    account, rules = b.account[0], b.rules[0]
    waiting = account.entries + account.exits - account.resting + account.chasing
    calm: bool = waiting == 0 and rules.watch == 0 and (rules.called == 0 or account.positions == 0)
    return calm


@apart
def pass_calm(m: Tape, b: Book, t: int, stop: int) -> int:
    """Pass by slots from t on, `stop` and the session's end not included, in which nothing happens; the first that is not passed by."""
    account, rules, step = b.account[0], b.rules[0], SHORTEST
    if account.entries + account.exits > 0 and (rules.day or rules.flat):
        stop = min(stop, m.slots[t].stop - 1)
    while t < stop and account.error == r.NO_ERROR:
        end = min(stop, t + step)
        until = calm_until(m, b, t, end)
        if until > t:
            if account.trailing > 0:
                trail_on(m, b, t, until)
            pass_by(m, b, t, until)
        if until < end:
            return until
        t, step = until, min(2 * step, LONGEST)
    return t


@compiled
def calm_until(m: Tape, b: Book, t: int, stop: int) -> int:
    """The first of the slots from t on in which something might happen to a pair that holds or waits; `stop` where there is none."""
    rules = b.rules[0]
    for i in range(b.account[0].active):
        pair = b.pairs[b.active[i]]
        if pair.quantity != 0.0:
            if rules.timed:
                stop = late(m, b, pair, t, stop)
            if rules.flat:
                stop = last_bar(m, pair.symbol, t, stop)
            if not np.isnan(trailed(pair, pair.price)):
                stop = trail_until(m, pair, t, stop)
            elif pair.direction == r.LONG:
                stop = reach(m, pair.symbol, pair.stop_level, pair.target_level, t, stop)
            else:
                stop = reach(m, pair.symbol, -pair.target_level, -pair.stop_level, t, stop)
            if pair.exit != r.NONE:
                stop = met_by(m, b.orders[pair.exit], pair.symbol, t, stop)
        if pair.entry != r.NONE and not waits(b, pair):
            stop = met_by(m, b.orders[pair.entry], pair.symbol, t, stop)
    return stop


@compiled
def reach(m: Tape, s: int, under: float, over: float, t: int, stop: int) -> int:
    """The first of the slots t <= u < stop in which a bar reaches down to a level or up to another; `stop` where none does."""
    while t < stop and not (m.low[s, t] <= under or m.high[s, t] >= over or m.open[s, t] <= under or m.open[s, t] >= over):
        t += 1
    return t


@compiled
def met_by(m: Tape, order: Any, s: int, t: int, stop: int) -> int:
    """The first of the slots in which a bar might fill or trigger an order that waits for a price; `stop` where none does."""
    waiting = np.nan if order.triggered else order.stop
    if order.side == r.BUY:
        first: int = reach(m, s, order.limit, waiting, t, stop)
    else:
        first = reach(m, s, waiting, order.limit, t, stop)
    return first


@compiled
def trail_until(m: Tape, pair: Any, t: int, stop: int) -> int:
    """The first of the slots in which a bar reaches a target, or a stop that has followed the price until then; `stop` where none does."""
    s, level, target = pair.symbol, pair.stop_level, pair.target_level
    while t < stop:
        first = pair.direction * m.open[s, t]
        worst, best = (m.low[s, t], m.high[s, t]) if pair.direction == r.LONG else (-m.high[s, t], -m.low[s, t])
        if worst <= level or first <= level or best >= target or first >= target:
            return t
        following = trailed(pair, pair.direction * best)
        if following > level:
            level = following
        t += 1
    return stop


@compiled
def trail_on(m: Tape, b: Book, first: int, stop: int) -> None:
    """Stops follow the best prices of the slots first <= t < stop."""
    for i in range(b.account[0].active):
        pair = b.pairs[b.active[i]]
        if pair.quantity == 0.0 or np.isnan(trailed(pair, pair.price)):
            continue
        s, level = pair.symbol, pair.stop_level
        for t in range(first, stop):
            following = trailed(pair, m.high[s, t] if pair.direction == r.LONG else m.low[s, t])
            if following > level:
                level = following
        if level > pair.stop_level:
            pair.stop_level, b.orders[pair.stop].stop = level, pair.direction * level


@compiled
def late(m: Tape, b: Book, pair: Any, t: int, stop: int) -> int:
    """The first of the slots at whose end a position has been held for long enough; `stop` where there is none."""
    rules = b.rules[0]
    bars = rules.max_hold_bars - (m.slots[t].number - pair.slot + 1)
    if bars < stop - t:
        stop = t + max(bars, 0)
    while stop > t and m.slots[stop - 1].end - pair.start >= rules.max_hold_us:
        stop -= 1
    return stop


@compiled
def last_bar(m: Tape, s: int, t: int, stop: int) -> int:
    """The slot of a symbol's last fillable bar of the session, if it is one of the slots t <= u < stop; else `stop`."""
    u = m.slots[t].stop - 1
    while u >= t and not fillable(m, s, u):
        u -= 1
    return u if t <= u < stop else stop

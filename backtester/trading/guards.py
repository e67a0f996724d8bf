"""Compiled: what guards a position: its stop, its target or rungs of targets, and how they follow what is held.

Place in the flow: positions.py calls these functions where an entry or an exit has filled, kernel.py where a trailing stop follows the
price. Never fills anything, never allocates, never calls Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backtester.trading import records as r
from backtester.trading import risk as why
from backtester.trading.book import leaves, new_order, queue, refuse, resolve, total
from backtester.trading.money import apart, compiled
from backtester.trading.prices import behind, watched
from backtester.trading.records import Book, Tape


@compiled
def trailed(pair: Any, price: float) -> float:
    """The level, times the direction, at which a stop follows the best price; NaN where it does not."""
    signed: float = pair.direction * behind(price, pair.direction, pair.trailing_stop, pair.trailing_amount)
    return signed


@apart
def trail(m: Tape, b: Book, t: int) -> None:
    """Step 6: stops that follow the price come nearer, where the bar has shown a better one."""
    watch = b.rules[0].watch != 0
    for i in range(b.account[0].active):
        pair = b.pairs[b.active[i]]
        s = pair.symbol
        if pair.quantity != 0.0 and pair.at_close != m.slots[t].number and not np.isnan(m.close[s, t]):
            best = m.high[s, t] if pair.direction == r.LONG else m.low[s, t]
            if watch:
                _, high, low, _, _ = watched(m, b, s, t, -pair.direction)
                best = high if pair.direction == r.LONG else low
            level = trailed(pair, best)
            if level > pair.stop_level:
                pair.stop_level, b.orders[pair.stop].stop = level, pair.direction * level


@compiled
def follow(b: Book, order: Any, pair: Any, stop: float) -> tuple[int, float]:
    """What a position's stop is, and its first level: a trailing one at its distance, or at the fixed level where that is tighter."""
    rules = b.rules[0]
    pair.trailing_stop, pair.trailing_amount = order.trailing_stop, order.trailing_amount
    if np.isnan(order.trailing_stop) and np.isnan(order.trailing_amount):
        pair.trailing_stop, pair.trailing_amount = rules.trailing_stop, rules.trailing_amount
    level = trailed(pair, pair.price)
    if np.isnan(level):
        return r.STOP, stop
    b.account[0].trailing += 1
    return r.TRAILING, (stop if pair.direction * stop > level else pair.direction * level)


@compiled
def guard(b: Book, row: int, kind: int, level: float, slot: Any, at: int) -> int:
    """A new guard of the position that the order of a row has entered; its row."""
    number, ts = b.orders[row].pair, slot.end if at == r.AT_CLOSE else slot.ts
    pair = b.pairs[number]
    made = new_order(b, number, r.GUARD, -pair.direction, kind, pair.quantity, slot, ts, b.orders[row].seen)
    if kind == r.TARGET:
        b.orders[made].limit = level
    else:
        b.orders[made].stop = level
    return made


@apart
def protect(b: Book, row: int, slot: Any, at: int) -> None:
    """The stop and the target of a position just opened: a price wins over a fraction, the signal over the config."""
    order, rules = b.orders[row], b.rules[0]
    pair = b.pairs[order.pair]
    stop, target = order.stop_price, order.target_price
    if np.isnan(stop):
        stop = pair.price * (1.0 - pair.direction * (rules.stop_loss if np.isnan(order.stop_loss) else order.stop_loss))
    if np.isnan(target):
        target = pair.price * (1.0 + pair.direction * (rules.take_profit if np.isnan(order.take_profit) else order.take_profit))
    kind, stop = follow(b, order, pair, stop)
    pair.stop_level, pair.target_level = pair.direction * stop, pair.direction * target
    pair.stop, pair.target, pair.rungs = r.NONE, r.NONE, 0
    if not np.isnan(stop):
        pair.stop = guard(b, row, kind, stop, slot, at)
    if len(b.rungs) > 0 and np.isnan(order.target_price) and np.isnan(order.take_profit):
        climb(b, row, slot, at)
    elif not np.isnan(target):
        pair.target = guard(b, row, r.TARGET, target, slot, at)
    if pair.stop != r.NONE or pair.target != r.NONE:
        b.account[0].guarded += 1


@compiled
def resize(b: Book, pair: Any) -> None:
    """Guards and a leaving exit are for what has filled of them and all that is held; a rung for its part at most."""
    lot = b.instruments[pair.symbol].lot
    for row in (pair.stop, pair.target if pair.rungs == 0 else r.NONE, pair.exit if leaves(b, pair) else r.NONE):
        if row != r.NONE:
            b.orders[row].quantity = total(b.orders[row].filled, pair.quantity, lot)
    for k in range(pair.rungs):
        order, rung = b.orders[pair.target + k], b.rungs[len(b.rungs) - pair.rungs + k]
        left = pair.quantity
        if rung.rest == 0:
            own = max(1.0, np.floor(rung.fraction * pair.entered / lot + 1e-9)) * lot
            left = min(max(total(own, -order.filled, lot), lot), left)
        order.quantity = total(order.filled, left, lot)


@apart
def climb(b: Book, row: int, slot: Any, at: int) -> None:
    """A target for each rung of a position just opened."""
    pair = b.pairs[b.orders[row].pair]
    for k in range(len(b.rungs)):
        made = guard(b, row, r.TARGET, pair.price * (1.0 + pair.direction * b.rungs[k].take_profit), slot, at)
        if k == 0:
            pair.target, pair.target_level = made, pair.direction * b.orders[made].limit
    pair.rungs = len(b.rungs)
    resize(b, pair)


@compiled
def climbed(b: Book, pair: Any) -> None:
    """The nearest rung has filled: the next one is the position's target, or it has none."""
    pair.rungs -= 1
    pair.target, pair.target_level = pair.target + 1 if pair.rungs > 0 else r.NONE, np.nan
    if pair.rungs > 0:
        pair.target_level = pair.direction * b.orders[pair.target].limit
    elif pair.stop == r.NONE:
        b.account[0].guarded -= 1


@apart
def move(b: Book, row: int, slot: Any, at: int) -> None:
    """The levels that the signal of an adding entry gives itself become the position's; a trailing stop only comes nearer."""
    order = b.orders[row]
    pair = b.pairs[order.pair]
    stop, target, bare = order.stop_price, order.target_price, pair.stop == r.NONE and pair.target == r.NONE
    if np.isnan(stop):
        stop = pair.price * (1.0 - pair.direction * order.stop_loss)
    if np.isnan(target):
        target = pair.price * (1.0 + pair.direction * order.take_profit)
    if not np.isnan(stop):
        if pair.stop == r.NONE:
            pair.stop, pair.stop_level = guard(b, row, r.STOP, stop, slot, at), pair.direction * stop
        elif b.orders[pair.stop].type == r.STOP or pair.direction * stop > pair.stop_level:
            pair.stop_level, b.orders[pair.stop].stop = pair.direction * stop, stop
    if not np.isnan(target) and pair.rungs == 0:
        if pair.target == r.NONE:
            pair.target, pair.target_level = guard(b, row, r.TARGET, target, slot, at), pair.direction * target
        else:
            pair.target_level, b.orders[pair.target].limit = pair.direction * target, target
    if bare and (pair.stop != r.NONE or pair.target != r.NONE):
        b.account[0].guarded += 1


@apart
def spend(b: Book, row: int, slot: Any) -> None:
    """A stop that has filled in part: its rest waits as an exit of all that is left, nothing else guards or closes the position."""
    account, order, pair = b.account[0], b.orders[row], b.pairs[b.orders[row].pair]
    for k in range(max(pair.rungs, 1)):
        if pair.target != r.NONE:
            resolve(b, pair.target + k, r.CANCELLED, why.OCO, slot)
    if pair.exit != r.NONE:
        resolve(b, pair.exit, r.CANCELLED, why.POSITION_CLOSED, slot)
    account.guarded -= 1
    if not np.isnan(trailed(pair, pair.price)):
        account.trailing -= 1
    pair.stop, pair.target, pair.rungs, pair.exit = r.NONE, r.NONE, 0, row
    pair.stop_level, pair.target_level, pair.trailing_stop, pair.trailing_amount = np.nan, np.nan, np.nan, np.nan
    order.role, order.leaves = r.EXIT, 1
    account.exits += 1
    account.leaving += 1
    queue(b, order.pair)


@compiled
def unguard(b: Book, row: int, slot: Any) -> None:
    """Cancel what guarded, waited to close or to join a position that the order of a row closes."""
    order, pair = b.orders[row], b.pairs[b.orders[row].pair]
    reason = why.OCO if order.role == r.GUARD else why.POSITION_CLOSED
    if pair.stop != r.NONE and pair.stop != row:
        resolve(b, pair.stop, r.CANCELLED, reason, slot)
    for k in range(max(pair.rungs, 1)):
        if pair.target != r.NONE and pair.target + k != row:
            resolve(b, pair.target + k, r.CANCELLED, reason, slot)
    if pair.exit != r.NONE:
        resolve(b, pair.exit, r.CANCELLED, why.FLAT_AT_CLOSE if order.type == r.CLOSE else why.POSITION_CLOSED, slot)
    if pair.entry != r.NONE and b.orders[pair.entry].joins:
        refuse(b, pair.entry, r.CANCELLED, why.POSITION_CLOSED, slot)
    if pair.stop != r.NONE or pair.target != r.NONE:
        b.account[0].guarded -= 1
    if not np.isnan(trailed(pair, pair.price)):
        b.account[0].trailing -= 1
    pair.stop, pair.target, pair.rungs = r.NONE, r.NONE, 0

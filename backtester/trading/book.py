"""Compiled: the records of a run as they are written: orders, fills, the list of active pairs.

Place in the flow: between money.py and positions.py. Never chooses what to do, never allocates, never calls Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backtester.columns import Ints
from backtester.trading import records as r
from backtester.trading import risk as why
from backtester.trading.costs import MAX_MICRO
from backtester.trading.money import booked, compiled, fee_of, purse_of, value_of
from backtester.trading.records import Book, Tape


@compiled
def stop_run(b: Book, error: int, pair: int) -> None:
    """Note what makes the run impossible; the first error counts."""
    if b.account[0].error == r.NO_ERROR:
        b.account[0].error = error
        b.account[0].pair = pair


@compiled
def new_order(b: Book, pair: int, role: int, side: int, kind: int, quantity: float, slot: Any, ts: int, seen: float) -> int:
    """A new open order; its row."""
    account = b.account[0]
    row: int = account.orders
    order = b.orders[row]
    order.id, order.pair, order.role, order.side, order.type = account.next_order, pair, role, side, kind
    order.status, order.reason, order.slot, order.decision = r.OPEN, why.NO_REASON, r.NONE, r.NONE
    order.ts, order.day, order.quantity, order.filled, order.seen = ts, slot.day, quantity, 0.0, seen
    order.limit, order.stop, order.trail, order.trail_amount = np.nan, np.nan, np.nan, np.nan
    order.rests, order.looked, order.triggered, order.joins, order.leaves, order.anew = 0, r.NONE, 0, 0, 0, 0
    account.orders += 1
    account.next_order += 1
    return row


@compiled
def resolve(b: Book, row: int, status: int, reason: int, slot: Any) -> None:
    """An order's end, `partial` where something of it has filled; a waiting order leaves its pair."""
    account, order = b.account[0], b.orders[row]
    if order.filled > 0.0 and status != r.FILLED:
        status = r.PARTIAL
    order.status, order.reason, order.slot = status, reason, slot.number
    account.resting -= order.rests
    account.chasing -= order.rests * (order.type == r.TRAILING)
    account.on_open -= order.type == r.MARKET_ON_OPEN
    account.on_close -= order.type == r.MARKET_ON_CLOSE
    if order.role == r.EXIT:
        account.resting_exits -= order.rests
    if order.role == r.ENTRY:
        b.pairs[order.pair].entry = r.NONE
        account.entries -= 1
        account.joining -= order.joins
        account.gone += 1
    elif order.role == r.EXIT and b.pairs[order.pair].exit == row:
        b.pairs[order.pair].exit = r.NONE
        account.exits -= 1
        account.leaving -= order.leaves
        account.gone += 1


@compiled
def refuse(b: Book, row: int, status: int, reason: int, slot: Any) -> None:
    """An order's end whose reason its decision, if it has one, takes over."""
    resolve(b, row, status, reason, slot)
    if b.orders[row].decision != r.NONE:
        b.verdicts[b.orders[row].decision].reason = reason


@compiled
def count_shares(b: Book, quantity: float) -> None:
    """Shares that have moved count towards the tiers of the commission: the next fee may be of other rates."""
    account = b.account[0]
    account.moved += quantity
    while account.tier + 1 < len(b.tiers) and b.tiers[account.tier + 1].above < account.moved:
        account.tier += 1


@compiled
def begin_month(b: Book, month: int) -> None:
    """With a session of another month shares are counted from none again."""
    if b.account[0].month != month:
        b.account[0].month, b.account[0].moved, b.account[0].tier = month, 0.0, 0


@compiled
def pay(b: Book, number: int, amount: int) -> None:
    """Cash that a pair's purse gets, or gives where it is below zero."""
    account = b.account[0]
    account.cash += amount
    beyond = abs(account.cash) > MAX_MICRO
    if len(b.purses) > 0:
        purse = b.purses[purse_of(b, number)]
        purse.cash += amount
        beyond |= abs(purse.cash) > MAX_MICRO
    if beyond:
        stop_run(b, r.TOO_LARGE, number)


@compiled
def remark(b: Book, number: int, direction: int, change: int) -> None:
    """A position's mark, without its sign, has changed by so much."""
    account = b.account[0]
    account.marks += direction * change
    account.gross += change
    if len(b.purses) > 0:
        purse = b.purses[purse_of(b, number)]
        purse.marks += direction * change
        purse.gross += change


@compiled
def book(b: Book, row: int, slot: Any, quantity: float, price: float, seen: float, flags: int) -> Any:
    """One execution and its cash; the fill."""
    account, order = b.account[0], b.orders[row]
    fill = b.fills[account.fills]
    fill.order, fill.pair, fill.side, fill.type = order.id, order.pair, order.side, order.type
    fill.ts, fill.day, fill.slot = slot.ts, slot.day, slot.number
    fill.value, fill.fee = value_of(price, quantity), fee_of(b, price, quantity)
    fill.slippage = booked(abs(price - seen) * quantity * 1e6)
    fill.flags, fill.quantity, fill.price = flags, quantity, price
    fill.tier, fill.other_type, fill.other = account.tier, r.NONE, np.nan
    if account.fills + 2 < len(b.fills):
        account.fills += 1
    else:
        stop_run(b, r.FULL, order.pair)
    pay(b, order.pair, -(order.side * fill.value + fill.fee))
    if b.rules[0].tiered:
        count_shares(b, quantity)
    if fill.value > MAX_MICRO or fill.fee > MAX_MICRO:
        stop_run(b, r.TOO_LARGE, order.pair)
    return fill


@compiled
def total(one: float, other: float, lot: float) -> float:
    """The sum of two quantities, or their difference where the second is negative: whole lots where it is but for a rounding."""
    exact: float = one + other
    whole: float = np.rint(exact / lot) * lot
    return whole if abs(whole - exact) <= 1e-9 * lot + 1e-15 * (one + abs(other)) else exact


@compiled
def lots_between(more: float, less: float, lot: float) -> float:
    """The whole lots between two quantities."""
    apart = total(more, -less, lot)
    whole: float = np.rint(apart / lot)
    return whole if whole * lot == apart else np.floor(apart / lot + 1e-9)


@compiled
def leaves(b: Book, pair: Any) -> bool:
    """Whether an exit of the whole position waits."""
    leaving: bool = pair.exit != r.NONE and b.orders[pair.exit].leaves != 0
    return leaving


@compiled
def bound(b: Book, pair: Any) -> bool:
    """Whether the position goes whatever is asked for: an exit of all of it waits that has no limit."""
    going: bool = leaves(b, pair) and b.orders[pair.exit].type != r.LIMIT
    return going


@compiled
def waits(b: Book, pair: Any) -> bool:
    """Whether the pair's entry must wait: for a position to go, or, one that adds, while all of it is about to."""
    must: bool = pair.quantity != 0.0 and (b.orders[pair.entry].joins == 0 or leaves(b, pair))
    return must


@compiled
def asked(b: Book, row: int) -> float:
    """How much of its position an exit or a guard will sell: all of it, or what is left of the order."""
    order, pair = b.orders[row], b.pairs[b.orders[row].pair]
    whole: float = pair.quantity
    if order.leaves or (order.role == r.GUARD and (row != pair.target or pair.rungs == 0)) or order.type == r.CLOSE:
        return whole
    return min(total(order.quantity, -order.filled, b.instruments[pair.symbol].lot), whole)


@compiled
def lots_left(m: Tape, b: Book, s: int, t: int) -> float:
    """The lots that orders may still fill of a symbol's bar."""
    share = b.shares[s]
    if share.slot != m.slots[t].number:
        share.slot = m.slots[t].number
        share.lots = np.floor(b.rules[0].max_participation * m.volume[s, t] / b.instruments[s].lot + 1e-9)
    left: float = share.lots
    return left


@compiled
def lots_in(quantity: float, lot: float) -> float:
    """How many lots of a bar's share a quantity takes: what is less than one counts as one."""
    lots: float = max(1.0, np.floor(quantity / lot + 1e-9))
    return lots


@compiled
def work_on(b: Book, row: int) -> None:
    """An order that has been triggered does not wait for its price any more."""
    account, order = b.account[0], b.orders[row]
    if order.type == r.STOP or order.type == r.TRAILING:
        account.resting -= order.rests
        account.chasing -= order.rests * (order.type == r.TRAILING)
        order.rests = 0


@compiled
def insert(numbers: Ints, count: int, number: int) -> None:
    """Put a number among the first `count`, which ascend."""
    i = count
    while i > 0 and numbers[i - 1] > number:
        numbers[i] = numbers[i - 1]
        i -= 1
    numbers[i] = number


@compiled
def enlist(b: Book, number: int) -> None:
    """Put a pair into the active list, which stays in ascending order."""
    if b.pairs[number].listed:
        return
    insert(b.active, b.account[0].active, number)
    b.account[0].active += 1
    b.pairs[number].listed = 1


@compiled
def queue(b: Book, number: int) -> None:
    """Put a pair into the list of those that wait, which stays in ascending order."""
    if b.pairs[number].queued:
        return
    insert(b.waiting, b.account[0].queued, number)
    b.account[0].queued += 1
    b.pairs[number].queued = 1


@compiled
def dequeue(b: Book) -> None:
    """Drop the pairs for which nothing waits any more from their list."""
    kept = 0
    for i in range(b.account[0].queued):
        pair = b.pairs[b.waiting[i]]
        if pair.entry != r.NONE or pair.exit != r.NONE:
            b.waiting[kept] = b.waiting[i]
            kept += 1
        else:
            pair.queued = 0
    b.account[0].queued = kept


@compiled
def delist(b: Book) -> None:
    """Drop the pairs that neither hold nor wait from the active list."""
    kept = 0
    for i in range(b.account[0].active):
        pair = b.pairs[b.active[i]]
        if pair.quantity != 0.0 or pair.entry != r.NONE:
            b.active[kept] = b.active[i]
            kept += 1
        else:
            pair.listed = 0
    b.account[0].active = kept
    b.account[0].gone = 0


@compiled
def fillable(m: Tape, s: int, t: int) -> bool:
    """A real bar with volume."""
    return m.volume[s, t] > 0.0 and not np.isnan(m.close[s, t])


@compiled
def ends_session(m: Tape, t: int) -> bool:
    """Whether the slot is its session's last."""
    return t + 1 == len(m.slots) or m.slots[t + 1].day != m.slots[t].day


@compiled
def begins_fillable(m: Tape, s: int, t: int) -> bool:
    """Whether a fillable bar is its symbol's first of the session."""
    u = t
    while u > 0 and m.slots[u - 1].day == m.slots[t].day:
        u -= 1
        if fillable(m, s, u):
            return False
    return True


@compiled
def ends_fillable(m: Tape, s: int, t: int) -> bool:
    """Whether a fillable bar is its symbol's last of the session."""
    u = t
    while not ends_session(m, u):
        u += 1
        if fillable(m, s, u):
            return False
    return True

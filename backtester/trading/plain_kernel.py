"""Compiled: plain trading from event to event, for trials of a sweep: market orders, nothing that guards a position, sums for rows.

Place in the flow: plain.py has it called where settings and signals ask for nothing else. It visits signals, fills and sessions' ends,
and no slot between them. Sizes, checks, fees and amounts are those of decisions.py, money.py and positions.py, so that the money is
the same to the last digit as kernel.py's; what it cannot do so it does not do: it stops, and the chunk is traded by kernel.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backtester.columns import Ints
from backtester.trading import records as r
from backtester.trading import risk as why
from backtester.trading.book import delist, insert, stop_run
from backtester.trading.costs import MAX_MICRO
from backtester.trading.decisions import entry_reason, size_entry, wanted_lots
from backtester.trading.money import compiled, fee_of, fits, lot_of, most_lots, power, room, value_of
from backtester.trading.plain import Bounds, Wanted
from backtester.trading.plain_steps import Own, enter, expect, leave, no_entry, order_entry, order_exit, slipped
from backtester.trading.positions import revalue
from backtester.trading.quiet import bars_between
from backtester.trading.records import Records


@compiled
def mark_all(m: Any, b: Own, seen: int, t: int) -> None:
    """Mark every position at its symbol's last real close until slot `seen` of the chunk, if there was one yet; one that has been entered
    at `t`, after it, is marked at the price of its fill.
    """
    for i in range(b.account[0].active):
        pair = b.pairs[b.active[i]]
        last = m.last[pair.symbol, seen]
        if pair.quantity != 0.0 and last != pair.last and not np.isnan(last) and (seen == t or pair.slot != m.slots[t].number):
            revalue(b, b.active[i], last)


@compiled
def hold(b: Own, bounds: Bounds, number: int, price: float) -> None:
    """A position is at most worth what its quantity is at the highest price of the chunk, or at that of its fill."""
    pair, whole = b.pairs[number], bounds.whole[0]
    most = value_of(max(price, bounds.top[number]), pair.quantity)
    bounds.most[number] = most
    whole.held += most
    if pair.direction == r.SHORT:
        whole.short += most
    if whole.held > MAX_MICRO:
        stop_run(b, r.TOO_LARGE, number)


@compiled
def free(b: Own, bounds: Bounds, number: int) -> None:
    """The position is gone."""
    whole = bounds.whole[0]
    whole.held -= bounds.most[number]
    if b.pairs[number].direction == r.SHORT:
        whole.short -= bounds.most[number]


@compiled
def exit_fee(b: Own, bounds: Bounds, number: int) -> int:
    """The most that a waiting exit of a position is expected to cost."""
    return fee_of(b, bounds.top[number], b.pairs[number].quantity)


@compiled
def surely(b: Own, bounds: Bounds, value: int, fee: int, waits: int, fees: int) -> bool:
    """Whether the account can carry so much more even where all positions are worth what is worst: then nothing need be marked.

    waits and fees: value and fees of what waits.
    """
    whole = bounds.whole[0]
    enough: bool = value + whole.held + waits <= power(b.rules[0], b.account[0].cash - whole.short - fee - fees)
    return enough


@compiled
def count(m: Any, b: Own, first: int, stop: int) -> None:
    """Add the slots first <= t < stop, in which the same positions were held, to the sums."""
    if first < stop:
        account, sums, bars = b.account[0], b.sums[0], bars_between(m, first, stop)
        sums.rows += bars
        sums.invested += bars * (account.positions > 0)
        sums.long += bars * (account.positions > account.shorts)
        sums.short += bars * (account.shorts > 0)


@compiled
def end_session(m: Any, b: Own, first: int, stop: int) -> None:
    """The equity at the end of a session of the slots first <= t < stop: that of its last bar."""
    account, sums = b.account[0], b.sums[0]
    mark_all(m, b, stop - 1, stop - 1)
    if bars_between(m, first, stop) > 0:
        sums.row_worth = account.cash + account.marks
    b.moments[account.equity].cash = sums.row_worth
    account.equity += 1
    if account.gone > 0:
        delist(b)


@compiled
def wait(b: Own, waiting: Ints, number: int) -> None:
    """Put a pair among those that wait, ascending."""
    account = b.account[0]
    for i in range(account.wanted):
        if waiting[i] == number:
            return
    insert(waiting, account.wanted, number)
    account.wanted += 1


@compiled
def decide_exit(m: Any, b: Own, bounds: Bounds, wanted: Wanted, e: int) -> bool:
    """The verdict on an exit; whether there is an order."""
    number, direction = wanted.pair[e], r.LONG if wanted.action[e] == r.EXIT_LONG else r.SHORT
    made = order_exit(m, b, number, direction, wanted.slot[e], wanted.price[e])
    if made:
        bounds.whole[0].fees += exit_fee(b, bounds, number)
    return made


@compiled
def sized(m: Any, b: Own, bounds: Bounds, signal: Any, direction: int, t: int) -> float:
    """Checks 10 to 14 of an entry: its lots, 0 where there is no order."""
    rules, price, whole = b.rules[0], signal.price, bounds.whole[0]
    unlimited = rules.max_per_symbol == why.NO_LIMIT and rules.max_buying_power == why.NO_LIMIT
    if unlimited and rules.sizing != r.EQUITY_FRACTION and price > 0.0:
        lots = wanted_lots(b, signal, direction)
        quantity = lots * lot_of(b, signal.pair)
        value, fee = value_of(price, quantity), fee_of(b, price, quantity)
        if lots >= 1.0 and value <= rules.max_per_trade and surely(b, bounds, value, fee, whole.entries, whole.fees):
            return lots
    mark_all(m, b, t, t)
    reason, lots, _ = size_entry(b, signal, direction, bounds.waiting, b.account[0].wanted)
    return lots if reason == why.APPROVED or reason == why.MAX_PER_TRADE else 0.0


@compiled
def decide_entry(m: Any, b: Own, bounds: Bounds, wanted: Wanted, e: int, signal: Any) -> bool:
    """The verdict on an entry; whether there is an order."""
    number, t = wanted.pair[e], wanted.slot[e]
    direction = r.LONG if wanted.action[e] == r.ENTER_LONG else r.SHORT
    signal.pair, signal.price, signal.quality = number, wanted.price[e], wanted.quality[e]
    if entry_reason(m, b, signal, direction, 1, t) != why.APPROVED:
        return False
    lots = sized(m, b, bounds, signal, direction, t)
    if not lots >= 1.0:
        return False
    order, whole = order_entry(m, b, number, direction, t, signal.price, lots), bounds.whole[0]
    expect(b, order)
    whole.entries += order.value
    whole.fees += order.fee
    if whole.entries > MAX_MICRO or whole.fees > MAX_MICRO:
        stop_run(b, r.TOO_LARGE, number)
    return True


@compiled
def fill_exit(m: Any, b: Own, bounds: Bounds, number: int, t: int, seen: float) -> None:
    """Close a position."""
    bounds.whole[0].fees -= exit_fee(b, bounds, number)
    free(b, bounds, number)
    leave(m, b, number, t, seen)


@compiled
def fill_entry(m: Any, b: Own, bounds: Bounds, number: int, t: int, at: int, seen: float) -> None:
    """Open a position, cut to what the account can carry, or none."""
    lot, row, whole = lot_of(b, number), b.pairs[number].entry, bounds.whole[0]
    lots = b.orders[row].lots
    no_entry(b, number)
    whole.entries -= b.orders[row].value
    whole.fees -= b.orders[row].fee
    if b.account[0].positions >= b.rules[0].max_open_positions:
        return None
    price = slipped(b, number, b.orders[row].side, seen)
    if not price > 0.0:
        return stop_run(b, r.BAD_PRICE, number)
    if not surely(b, bounds, value_of(price, lots * lot), fee_of(b, price, lots * lot), 0, 0):
        if t > 0:
            mark_all(m, b, t - 1, t)
        if not fits(b, number, price, lots * lot, 0, r.ACCOUNT_POWER):
            lots = most_lots(b, number, price, room(b, number), r.ACCOUNT_POWER, lots)
            if lots < 1.0:
                return None
    enter(m, b, row, t, at, lots, price, seen)
    revalue(b, number, m.close[b.pairs[number].symbol, t] if at == r.AT_CLOSE else price)
    hold(b, bounds, number, price)
    return None


@compiled
def fill_due(m: Any, b: Own, bounds: Bounds, t: int, at: int) -> int:
    """Fill what is due, exits first; the slot at which the next one is."""
    account, waiting, kept, due = b.account[0], bounds.waiting, 0, len(m.slots)
    for i in range(account.wanted):
        pair = b.pairs[waiting[i]]
        if pair.exit != r.NONE and m.fillable[pair.symbol, t] == t:
            fill_exit(m, b, bounds, waiting[i], t, m.open[pair.symbol, t] if at == r.AT_OPEN else m.close[pair.symbol, t])
    for i in range(account.wanted):
        pair = b.pairs[waiting[i]]
        if pair.entry != r.NONE and pair.quantity == 0.0 and m.fillable[pair.symbol, t] == t:
            fill_entry(m, b, bounds, waiting[i], t, at, m.open[pair.symbol, t] if at == r.AT_OPEN else m.close[pair.symbol, t])
    for i in range(account.wanted):
        pair = b.pairs[waiting[i]]
        if pair.entry != r.NONE or pair.exit != r.NONE:
            waiting[kept] = waiting[i]
            due = min(due, m.fillable[pair.symbol, t + 1])
            kept += 1
    account.wanted = kept
    return due


@compiled
def begin(m: Any, b: Own, bounds: Bounds) -> int:
    """What holds and waits from before; the slot at which the first order is due."""
    account, due = b.account[0], len(m.slots)
    for i in range(account.active):
        number = b.active[i]
        pair = b.pairs[number]
        if pair.quantity != 0.0:
            hold(b, bounds, number, pair.last)
        if pair.exit != r.NONE:
            bounds.whole[0].fees += exit_fee(b, bounds, number)
        if pair.entry != r.NONE:
            bounds.whole[0].entries += b.orders[pair.entry].value
            bounds.whole[0].fees += b.orders[pair.entry].fee
        if pair.entry != r.NONE or pair.exit != r.NONE:
            wait(b, bounds.waiting, number)
            due = min(due, m.fillable[pair.symbol, 0])
    return due


def plain(stamp: int) -> Callable[[Any, Own, Records, Wanted, Bounds], int]:
    """The plain kernel, not yet compiled; `stamp` as in kernel.py."""

    def run_events(m: Any, b: Own, signals: Records, wanted: Wanted, bounds: Bounds) -> int:
        """All signals of a chunk; signals: room for one. The slot that stopped the run, or the number of slots."""
        account, signal = b.account[0], signals[0]
        account.stamp = stamp
        at = r.AT_OPEN if b.rules[0].fill == r.NEXT_OPEN else r.AT_CLOSE
        slots, counted, begun, e = len(m.slots), r.FIRST, r.FIRST, r.FIRST
        due, stop = begin(m, b, bounds), m.slots[0].stop if slots > 0 else 0
        while True:
            t = min(due, wanted.slot[e] if e < len(wanted.slot) else slots)
            while begun < slots and stop <= t:
                count(m, b, counted, stop)
                end_session(m, b, begun, stop)
                counted, begun = stop, stop
                stop = m.slots[begun].stop if begun < slots else slots
            if t >= slots or account.error != r.NO_ERROR:
                return t
            if due == t:
                count(m, b, counted, t)
                counted = t
                due = fill_due(m, b, bounds, t, at)
            while e < len(wanted.slot) and wanted.slot[e] == t:
                if wanted.action[e] == r.EXIT_LONG or wanted.action[e] == r.EXIT_SHORT:
                    made = decide_exit(m, b, bounds, wanted, e)
                else:
                    made = decide_entry(m, b, bounds, wanted, e, signal)
                if made:
                    number = wanted.pair[e]
                    wait(b, bounds.waiting, number)
                    due = min(due, m.fillable[b.pairs[number].symbol, t + 1])
                e += 1

    return run_events

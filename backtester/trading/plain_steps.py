"""Compiled: the steps of plain trading: an order made, an order filled, what it comes to.

Place in the flow: plain_kernel.py and alone_kernel.py choose what happens and when; here it is done. Fees and amounts are those of
money.py and positions.py, so that the money is the same to the last digit as kernel.py's. Never chooses, never allocates, never calls
Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backtester.trading import records as r
from backtester.trading.book import enlist, pay, remark, stop_run
from backtester.trading.costs import MAX_MICRO
from backtester.trading.money import booked, compiled, fee_of, lot_of, value_of
from backtester.trading.positions import opened
from backtester.trading.quiet import add_trade, parts

Own = Any
"""A `plain_account.Sheet`: functions that are written for a `Book` ask it for no more than it has."""


@compiled
def new(m: Any, b: Own, t: int, price: float, row: int, quantity: float, side: int) -> Any:
    """A waiting order in its row: two of each pair, the entry's and the exit's. What never differs stands there already."""
    account, order, slot = b.account[0], b.orders[row], m.slots[t]
    order.id, order.side = account.next_order, side
    order.ts, order.day, order.quantity, order.seen = slot.end, slot.day, quantity, price
    account.next_order += 1
    return order


@compiled
def order_exit(m: Any, b: Own, number: int, direction: int, t: int, price: float) -> bool:
    """The verdict on an exit, and its order; whether there is one."""
    account, pair = b.account[0], b.pairs[number]
    if pair.quantity == 0.0 or pair.direction != direction or pair.exit != r.NONE:
        return False
    pair.exit = 2 * number + 1
    new(m, b, t, price, pair.exit, pair.quantity, -direction)
    account.exits += 1
    account.leaving += 1
    return True


@compiled
def order_entry(m: Any, b: Own, number: int, direction: int, t: int, price: float, lots: float) -> Any:
    """The order of an approved entry; what it expects to cost is for `expect`."""
    pair = b.pairs[number]
    pair.entry = 2 * number
    order = new(m, b, t, price, pair.entry, lots * lot_of(b, number), direction)
    order.lots = lots
    b.account[0].entries += 1
    enlist(b, number)
    return order


@compiled
def expect(b: Own, order: Any) -> None:
    """What an entry expects to cost."""
    order.value, order.fee = value_of(order.seen, order.quantity), fee_of(b, order.seen, order.quantity)


@compiled
def slipped(b: Own, number: int, side: int, seen: float) -> float:
    """The price of a fill: slippage is against the trader."""
    price: float = seen * (1.0 + side * (b.rules[0].slippage_bps / 10000.0)) + side * b.instruments[b.pairs[number].symbol].ticks
    return price


@compiled
def fill(b: Own, row: int, quantity: float, price: float, seen: float) -> Any:
    """One execution, its cash and its part of the sums."""
    order, sums, done = b.orders[row], b.sums[0], b.fills[0]
    done.quantity, done.price = quantity, price
    done.value, done.fee = value_of(price, quantity), fee_of(b, price, quantity)
    pay(b, order.pair, -(order.side * done.value + done.fee))
    if done.value > MAX_MICRO or done.fee > MAX_MICRO:
        stop_run(b, r.TOO_LARGE, order.pair)
    high, low = parts(done.value)
    sums.value_high, sums.value_low = sums.value_high + high, sums.value_low + low
    high, low = parts(done.fee)
    sums.fees_high, sums.fees_low = sums.fees_high + high, sums.fees_low + low
    high, low = parts(booked(abs(price - seen) * quantity * 1e6))
    sums.slippage_high, sums.slippage_low = sums.slippage_high + high, sums.slippage_low + low
    return done


@compiled
def leave(m: Any, b: Own, number: int, t: int, seen: float) -> None:
    """Close a position."""
    account, pair, slot, trade = b.account[0], b.pairs[number], m.slots[t], b.trades[0]
    price = slipped(b, number, b.orders[pair.exit].side, seen)
    if not price > 0.0:
        return stop_run(b, r.BAD_PRICE, number)
    done = fill(b, pair.exit, pair.quantity, price, seen)
    trade.pnl = pair.direction * (done.value - pair.value) - (pair.fee + done.fee + pair.borrow) + pair.income
    trade.entry_ts, trade.exit_ts, trade.borrow, trade.income = pair.ts, slot.ts, pair.borrow, pair.income
    add_trade(b.sums[0], trade)
    remark(b, number, pair.direction, -pair.mark)
    pair.quantity, pair.freed, pair.exit = 0.0, slot.end, r.NONE
    account.positions -= 1
    account.shorts -= pair.direction == r.SHORT
    account.exits -= 1
    account.leaving -= 1
    account.gone += 1
    return None


@compiled
def enter(m: Any, b: Own, row: int, t: int, at: int, lots: float, price: float, seen: float) -> None:
    """Open a position of so many lots, not yet marked."""
    number = b.orders[row].pair
    pair = b.pairs[number]
    opened(b, row, m.slots[t], at, fill(b, row, lots * lot_of(b, number), price, seen))
    pair.stop, pair.target, pair.rungs = r.NONE, r.NONE, 0
    pair.stop_level, pair.target_level, pair.trailing_stop, pair.trailing_amount = np.nan, np.nan, np.nan, np.nan


@compiled
def no_entry(b: Own, number: int) -> None:
    """An entry does not wait any more."""
    account = b.account[0]
    b.pairs[number].entry = r.NONE
    account.entries -= 1
    account.gone += 1

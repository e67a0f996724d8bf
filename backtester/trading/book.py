"""Compiled: how orders, fills and positions change the account.

Place in the flow: the kernel's lower half; kernel.py calls these functions in the order that docs/execution.md gives. Never
chooses what to do, never allocates, never calls Python, never reorders a float operation (no fastmath, no threads).

Money is int64 of 1e-6 currency; a product beyond MAX_MICRO becomes BEYOND, which no account can pay; where such an amount would
have to be booked the kernel stops with an error.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit

from backtester.trading import records as r
from backtester.trading import risk as why
from backtester.trading.costs import MAX_MICRO
from backtester.trading.records import Book, Tape

Function = TypeVar("Function", bound=Callable[..., Any])
_PART: Any = functools.partial(njit, error_model="numpy", _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True)
compiled: Callable[[Function], Function] = _PART(forceinline=True)
apart: Callable[[Function], Function] = _PART()
"""Mark a part of the kernel: merged into each place that calls it, or kept apart. Parts are compiled into the kernel, which alone
is cached; _nrt=False: nothing is counted or allocated."""

BEYOND = MAX_MICRO + 1


# Money


@compiled
def booked(amount: float) -> int:
    """A product in 1e-6 currency as money, half to even; BEYOND where it is too large (or not a number)."""
    if not amount <= MAX_MICRO:
        return BEYOND
    return int(np.rint(amount))


@compiled
def value_of(price: float, quantity: float) -> int:
    """The value of a quantity at a price."""
    return booked(price * quantity * 1e6)


@compiled
def fee_of(rules: Any, price: float, quantity: float) -> int:
    """The commission of one fill; the cap wins over the minimum."""
    fee = rules.per_share * quantity + (price * quantity) * rules.fee_bps / 10000.0
    fee = max(fee, rules.minimum)
    fee = min(fee, (price * quantity) * rules.cap_bps / 10000.0)
    return booked(fee * 1e6)


@compiled
def fits(rules: Any, price: float, lots: float, limit: int, with_fee: bool) -> bool:
    """Whether so many lots cost no more than the limit."""
    cost = value_of(price, lots * rules.lot)
    if with_fee:
        cost += fee_of(rules, price, lots * rules.lot)
    return cost <= limit


@compiled
def most_lots(rules: Any, price: float, limit: int, with_fee: bool, most: float) -> float:
    """The most lots, up to `most`, that fit the limit: a guess from above, steps down until one fits, then halving."""
    guess = (limit + 1.0) / (price * rules.lot * 1e6) * (1.0 + 1e-12) + 2.0
    high: float = np.floor(min(guess, most))
    if not high < most:
        if fits(rules, price, most, limit, with_fee):
            return most
        high = most
    step, low = 1.0, high - 1.0
    while low > 0.0 and not fits(rules, price, low, limit, with_fee):
        step *= 2.0
        high, low = low, low - step
    low = max(low, 0.0)
    while high - low > 1.0:
        middle = np.floor((low + high) / 2.0)
        if fits(rules, price, middle, limit, with_fee):
            low = middle
        else:
            high = middle
    return low


# Records


@compiled
def stop_run(b: Book, error: int, pair: int) -> None:
    """Note what makes the run impossible; the first error counts."""
    if b.account[0].error == r.NO_ERROR:
        b.account[0].error = error
        b.account[0].pair = pair


@compiled
def new_order(b: Book, pair: int, side: int, kind: int, quantity: float, ts: int, day: int, seen: float) -> int:
    """A new open order; its row."""
    account = b.account[0]
    row: int = account.orders
    order = b.orders[row]
    order.id, order.pair, order.side, order.type = account.next_order, pair, side, kind
    order.status, order.reason, order.slot, order.decision = r.OPEN, why.NO_REASON, r.NONE, r.NONE
    order.ts, order.day, order.quantity, order.seen = ts, day, quantity, seen
    order.limit, order.stop = np.nan, np.nan
    account.orders += 1
    account.next_order += 1
    return row


@compiled
def resolve(b: Book, row: int, status: int, reason: int, slot: Any) -> None:
    """An order's end; a waiting market order leaves its pair."""
    account, order = b.account[0], b.orders[row]
    order.status, order.reason, order.slot = status, reason, slot.number
    if order.type == r.MARKET:
        pair = b.pairs[order.pair]
        pair.wait, pair.side = r.NONE, r.NONE_WAITS
        if order.side == r.BUY:
            account.entries -= 1
        else:
            account.exits -= 1
        account.gone += 1


@compiled
def refuse(b: Book, row: int, status: int, reason: int, slot: Any) -> None:
    """An order's end whose reason its decision takes over."""
    resolve(b, row, status, reason, slot)
    b.verdicts[b.orders[row].decision].reason = reason


@compiled
def book(b: Book, row: int, slot: Any, quantity: float, price: float, seen: float, flags: int) -> Any:
    """One execution and its cash; the fill."""
    account, order = b.account[0], b.orders[row]
    fill = b.fills[account.fills]
    fill.order, fill.pair, fill.side, fill.type = order.id, order.pair, order.side, order.type
    fill.ts, fill.day, fill.slot = slot.ts, slot.day, slot.number
    fill.value, fill.fee = value_of(price, quantity), fee_of(b.rules[0], price, quantity)
    fill.slippage = booked(abs(price - seen) * quantity * 1e6)
    fill.flags, fill.quantity, fill.price = flags, quantity, price
    account.fills += 1
    account.cash -= order.side * fill.value + fill.fee
    if fill.value > MAX_MICRO or fill.fee > MAX_MICRO or abs(account.cash) > MAX_MICRO:
        stop_run(b, r.TOO_LARGE, order.pair)
    return fill


@compiled
def enlist(b: Book, number: int) -> None:
    """Put a pair into the active list, which stays in ascending order."""
    if b.pairs[number].listed:
        return
    i = b.account[0].active
    while i > 0 and b.active[i - 1] > number:
        b.active[i] = b.active[i - 1]
        i -= 1
    b.active[i] = number
    b.account[0].active += 1
    b.pairs[number].listed = 1


@compiled
def delist(b: Book) -> None:
    """Drop the pairs that neither hold nor wait from the active list."""
    kept = 0
    for i in range(b.account[0].active):
        pair = b.pairs[b.active[i]]
        if pair.quantity != 0.0 or pair.side != r.NONE_WAITS:
            b.active[kept] = b.active[i]
            kept += 1
        else:
            pair.listed = 0
    b.account[0].active = kept
    b.account[0].gone = 0


# Positions


@compiled
def fillable(m: Tape, s: int, t: int) -> bool:
    """A real bar with volume."""
    return m.volume[s, t] > 0.0 and not np.isnan(m.close[s, t])


@compiled
def price_at(m: Tape, b: Book, s: int, t: int, side: int, at: int) -> tuple[float, int]:
    """The price before slippage at a bar's open or close, and its flags."""
    price = m.open[s, t] if at == r.AT_OPEN else m.close[s, t]
    if not b.rules[0].quote:
        return price, r.NO_FLAGS
    if m.ask_open.shape[1] > 0:
        if side == r.BUY:
            quote = m.ask_open[s, t] if at == r.AT_OPEN else m.ask_close[s, t]
        else:
            quote = m.bid_open[s, t] if at == r.AT_OPEN else m.bid_close[s, t]
        if not np.isnan(quote):
            return quote, r.NO_FLAGS
    return price, r.SYNTHETIC_QUOTE


@compiled
def revalue(b: Book, number: int, last: float) -> None:
    """Mark one position at a close."""
    account, pair = b.account[0], b.pairs[number]
    value = value_of(last, pair.quantity)
    account.marks += value - pair.mark
    pair.last, pair.mark = last, value
    if value > MAX_MICRO or account.marks > MAX_MICRO:
        stop_run(b, r.TOO_LARGE, number)


@compiled
def widen(m: Tape, b: Book, number: int, t: int) -> None:
    """The whole bar belongs to the prices seen, unless the position was entered at its close."""
    pair = b.pairs[number]
    if pair.at_close != m.slots[t].number:
        pair.low, pair.high = min(pair.low, m.low[pair.symbol, t]), max(pair.high, m.high[pair.symbol, t])


@compiled
def protect(b: Book, row: int, slot: Any, at: int) -> None:
    """The stop and the target of a position just opened: a price wins over a fraction, the signal over the config."""
    order, rules = b.orders[row], b.rules[0]
    pair = b.pairs[order.pair]
    stop, target, ts = order.stop_price, order.target_price, slot.ts if at == r.AT_OPEN else slot.end
    if np.isnan(stop):
        stop = pair.price * (1.0 - (rules.stop_loss if np.isnan(order.stop_loss) else order.stop_loss))
    if np.isnan(target):
        target = pair.price * (1.0 + (rules.take_profit if np.isnan(order.take_profit) else order.take_profit))
    pair.stop_level, pair.target_level, pair.stop, pair.target = stop, target, r.NONE, r.NONE
    if not np.isnan(stop):
        pair.stop = new_order(b, order.pair, r.SELL, r.STOP, pair.quantity, ts, slot.day, order.seen)
        b.orders[pair.stop].stop = stop
    if not np.isnan(target):
        pair.target = new_order(b, order.pair, r.SELL, r.TARGET, pair.quantity, ts, slot.day, order.seen)
        b.orders[pair.target].limit = target
    if pair.stop != r.NONE or pair.target != r.NONE:
        b.account[0].guarded += 1


@apart
def open_position(b: Book, row: int, slot: Any, at: int, seen: float, flags: int, last: float) -> None:
    """Fill an entry at the price seen, cut to what cash pays for; or cancel it. `last`: the close that marks the position."""
    account, rules, order = b.account[0], b.rules[0], b.orders[row]
    pair, quantity = b.pairs[order.pair], order.quantity
    price = seen * (1.0 + rules.slippage_bps / 10000.0)
    if not price > 0.0:
        return stop_run(b, r.BAD_PRICE, order.pair)
    if account.positions >= rules.max_open_positions:
        return refuse(b, row, r.CANCELLED, why.MAX_OPEN_POSITIONS, slot)
    if value_of(price, quantity) + fee_of(rules, price, quantity) <= account.cash:
        resolve(b, row, r.FILLED, why.NO_REASON, slot)
    else:
        lots = most_lots(rules, price, account.cash, r.WITH_FEE, order.lots)
        refuse(b, row, r.PARTIAL if lots >= 1.0 else r.CANCELLED, why.INSUFFICIENT_CASH, slot)
        if lots < 1.0:
            return None
        quantity = lots * rules.lot
    fill = book(b, row, slot, quantity, price, seen, flags)
    pair.quantity, pair.price, pair.low, pair.high = quantity, price, price, price
    pair.mark, pair.value, pair.fee, pair.trade = 0, fill.value, fill.fee, account.next_trade
    pair.slot, pair.ts, pair.at_close = slot.number, slot.ts, (slot.number if at == r.AT_CLOSE else r.NONE)
    account.next_trade += 1
    account.positions += 1
    revalue(b, order.pair, last)
    return protect(b, row, slot, at)


@apart
def close_position(b: Book, row: int, slot: Any, seen: float, flags: int) -> None:
    """Fill an exit of any kind at the price seen: the whole position goes, what else waited for it is cancelled."""
    account, order, trade = b.account[0], b.orders[row], b.trades[b.account[0].trades]
    pair, kind = b.pairs[order.pair], order.type
    price = seen if kind == r.TARGET else seen * (1.0 - b.rules[0].slippage_bps / 10000.0)
    if not price > 0.0:
        return stop_run(b, r.BAD_PRICE, order.pair)
    resolve(b, row, r.FILLED, why.NO_REASON, slot)
    for guard in (pair.stop, pair.target):
        if guard != r.NONE and guard != row:
            resolve(b, guard, r.CANCELLED, why.OCO if kind == r.STOP or kind == r.TARGET else why.POSITION_CLOSED, slot)
    if pair.wait != r.NONE:
        resolve(b, pair.wait, r.CANCELLED, why.FLAT_AT_CLOSE if kind == r.CLOSE else why.POSITION_CLOSED, slot)
    fill = book(b, row, slot, pair.quantity, price, seen, flags)
    trade.id, trade.pair, trade.side, trade.type = pair.trade, order.pair, r.BUY, kind
    trade.entry_ts, trade.exit_ts, trade.entry_slot, trade.exit_slot = pair.ts, slot.ts, pair.slot, slot.number
    trade.value, trade.pnl, trade.fees = pair.value, fill.value - pair.value - pair.fee - fill.fee, pair.fee + fill.fee
    trade.entry_price, trade.exit_price, trade.quantity = pair.price, price, pair.quantity
    trade.low, trade.high = min(pair.low, price), max(pair.high, price)
    account.trades += 1
    account.marks -= pair.mark
    account.positions -= 1
    account.gone += 1
    if pair.stop != r.NONE or pair.target != r.NONE:
        account.guarded -= 1
    pair.quantity, pair.stop, pair.target = 0.0, r.NONE, r.NONE
    return None

"""Compiled: positions: marked, opened, protected, closed.

Place in the flow: kernel.py and decisions.py call these functions where docs/execution.md says that something fills. Never chooses
what fills, never allocates, never calls Python, never reorders a float operation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backtester.trading import records as r
from backtester.trading import risk as why
from backtester.trading.book import (
    asked,
    book,
    lots_in,
    lots_left,
    pay,
    refuse,
    remark,
    resolve,
    stop_run,
    total,
    work_on,
)
from backtester.trading.costs import MAX_MICRO
from backtester.trading.guards import climbed, move, protect, resize, spend, unguard
from backtester.trading.money import apart, booked, compiled, fee_in, fee_of, fits, lot_of, lots_for, most_lots, room, value_of
from backtester.trading.prices import mean_price, met, price_at, slipped, watched
from backtester.trading.records import Book, Tape


@compiled
def revalue(b: Book, number: int, last: float) -> None:
    """Mark one position at a price."""
    pair = b.pairs[number]
    value = value_of(last, pair.quantity)
    remark(b, number, pair.direction, value - pair.mark)
    pair.last, pair.mark = last, value
    if b.account[0].gross > MAX_MICRO:
        stop_run(b, r.TOO_LARGE, number)


@compiled
def widen(m: Tape, b: Book, number: int, t: int) -> None:
    """The whole bar belongs to the prices seen, unless the position was entered at its close."""
    pair = b.pairs[number]
    if pair.at_close != m.slots[t].number:
        pair.low, pair.high = min(pair.low, m.low[pair.symbol, t]), max(pair.high, m.high[pair.symbol, t])


@apart
def charge_borrow(m: Tape, b: Book, t: int) -> None:
    """Before a session's first slot: what the nights since the session before cost each short position."""
    account, rules = b.account[0], b.rules[0]
    nights = m.slots[t].day - (account.day if t == 0 else m.slots[t - 1].day)
    for i in range(account.active):
        pair = b.pairs[b.active[i]]
        if pair.quantity != 0.0 and pair.direction == r.SHORT:
            fee = booked(float(pair.mark) * (rules.borrow_bps / 10000.0) * nights / 360)
            pay(b, b.active[i], -fee)
            pair.borrow += fee
            if pair.borrow > MAX_MICRO:
                stop_run(b, r.TOO_LARGE, b.active[i])


@apart
def size_anew(b: Book, row: int, price: float) -> None:
    """The size of an entry at the price of its fill; its order, and the decision on it, are of that quantity where there is any."""
    rules, order = b.rules[0], b.orders[row]
    lot = lot_of(b, order.pair)
    order.lots = lots_for(b, order.pair, price)
    if order.lots >= 1.0 and value_of(price, order.lots * lot) > rules.max_per_trade:
        order.lots = most_lots(b, order.pair, price, rules.max_per_trade, r.VALUE, order.lots)
    if order.lots >= 1.0:
        order.quantity = order.lots * lot
        b.verdicts[order.decision].quantity = order.quantity


@apart
def fill_entry(m: Tape, b: Book, row: int, t: int, at: int, seen: float, flags: int) -> None:
    """Fill an entry at the price seen, as far as the bar's share goes, cut to what the account can carry; or cancel it."""
    account, rules, order, slot = b.account[0], b.rules[0], b.orders[row], m.slots[t]
    pair, lot = b.pairs[order.pair], lot_of(b, order.pair)
    left, first, opens = order.lots, order.filled == 0.0, pair.quantity == 0.0
    if rules.participates:
        left = lots_left(m, b, pair.symbol, t)
        if left < 1.0:
            return hold_back(b, row, slot)
    anew = order.anew != 0 and first
    if opens and account.positions >= rules.max_open_positions:
        return refuse(b, row, r.CANCELLED, why.MAX_OPEN_POSITIONS, slot)
    price, more = slipped(m, b, row, t, at, seen, 0.0 if anew else min(order.lots, left) * lot)
    if not price > 0.0:
        return stop_run(b, r.BAD_PRICE, order.pair)
    if anew:
        size_anew(b, row, price)
        if order.lots < 1.0:
            return refuse(b, row, r.CANCELLED, why.BELOW_LOT, slot)
        left = min(order.lots, left) if rules.participates else order.lots
        price, more = slipped(m, b, row, t, at, seen, left * lot)
        if not price > 0.0:
            return stop_run(b, r.BAD_PRICE, order.pair)
    lots = min(order.lots, left)
    done = lots == order.lots
    if not fits(b, order.pair, price, lots * lot, 0, r.ACCOUNT_POWER):
        lots = most_lots(b, order.pair, price, room(b, order.pair), r.ACCOUNT_POWER, lots)
        refuse(b, row, r.PARTIAL if lots >= 1.0 else r.CANCELLED, why.INSUFFICIENT_CASH, slot)
        if lots < 1.0:
            return None
    elif done:
        resolve(b, row, r.FILLED, why.NO_REASON, slot)
    fill = book(b, row, slot, lots * lot, price, seen, flags | more)
    order.filled = total(order.filled, fill.quantity, lot)
    if rules.participates:
        b.shares[pair.symbol].lots -= lots
        go_on(b, row, lots, slot)
    if opens:
        opened(b, row, slot, at, fill)
    else:
        enlarged(b, row, fill, first)
    revalue(b, order.pair, m.close[pair.symbol, t] if at == r.AT_CLOSE else price)
    if opens:
        return protect(b, row, slot, at)
    if first:
        move(b, row, slot, at)
    return resize(b, pair)


@apart
def go_on(b: Book, row: int, lots: float, slot: Any) -> None:
    """What the bar's share has left of an entry works on, and adds from now on."""
    account, order = b.account[0], b.orders[row]
    if order.status != r.OPEN:
        return
    if order.type == r.MARKET_ON_OPEN or order.type == r.MARKET_ON_CLOSE:
        refuse(b, row, r.CANCELLED, why.PARTICIPATION, slot)
        return
    order.lots -= lots
    left = order.lots * lot_of(b, order.pair)
    order.value, order.fee = value_of(order.seen, left), fee_of(b, order.seen, left)
    account.joining += 1 - order.joins
    order.joins = 1
    work_on(b, row)


@apart
def hold_back(b: Book, row: int, slot: Any) -> None:
    """An order that would fill finds nothing left of the bar's share."""
    order = b.orders[row]
    if order.type == r.MARKET_ON_OPEN or order.type == r.MARKET_ON_CLOSE:
        if order.role == r.ENTRY:
            refuse(b, row, r.CANCELLED, why.PARTICIPATION, slot)
        else:
            resolve(b, row, r.CANCELLED, why.PARTICIPATION, slot)
    elif order.role == r.ENTRY:
        work_on(b, row)


@compiled
def opened(b: Book, row: int, slot: Any, at: int, fill: Any) -> None:
    """A position that a fill has opened."""
    account, order = b.account[0], b.orders[row]
    pair = b.pairs[order.pair]
    pair.direction, pair.quantity, pair.price, pair.low, pair.high = order.side, fill.quantity, fill.price, fill.price, fill.price
    pair.mark, pair.value, pair.fee, pair.borrow, pair.income = 0, fill.value, fill.fee, 0, 0
    pair.slot, pair.ts, pair.start, pair.at_close = slot.number, slot.ts, slot.ts, r.NONE
    if at == r.AT_CLOSE:
        pair.start, pair.at_close = slot.end, slot.number
    pair.entered, pair.adds, pair.trade = fill.quantity, 1, account.next_trade
    account.next_trade += 1
    account.positions += 1
    if pair.direction == r.SHORT:
        account.shorts += 1


@compiled
def enlarged(b: Book, row: int, fill: Any, first: bool) -> None:
    """A position that a fill has added to: its entry price is the average, its times stay those of the first fill."""
    pair, lot = b.pairs[b.orders[row].pair], lot_of(b, b.orders[row].pair)
    whole = pair.quantity + fill.quantity
    pair.price = (pair.price * pair.quantity + fill.price * fill.quantity) / whole
    pair.quantity, pair.entered = total(pair.quantity, fill.quantity, lot), total(pair.entered, fill.quantity, lot)
    pair.low, pair.high = min(pair.low, fill.price), max(pair.high, fill.price)
    pair.value += fill.value
    pair.fee += fill.fee
    pair.adds += int(first)


@apart
def fill_exit(m: Tape, b: Book, row: int, t: int, at: int, seen: float, flags: int, other: int) -> None:
    """Fill an exit of any kind at the price seen: where nothing of the position is left, what else waited for it is cancelled.

    other: of an ambiguous fill the row of the guard that might have filled instead, or NONE where the position might have gone on.
    """
    account, order, slot = b.account[0], b.orders[row], m.slots[t]
    pair, number, lot = b.pairs[order.pair], order.pair, lot_of(b, order.pair)
    whole = asked(b, row)
    quantity = whole
    if b.rules[0].participates:
        left, wanted = lots_left(m, b, pair.symbol, t), lots_in(whole, lot)
        if order.type == r.CLOSE:
            flags |= r.OVER_PARTICIPATION if wanted > left else r.NO_FLAGS
        elif left < 1.0:
            return hold_back(b, row, slot)
        else:
            quantity = whole if wanted <= left else left * lot
    price, more = slipped(m, b, row, t, at, seen, quantity)
    if not price > 0.0:
        return stop_run(b, r.BAD_PRICE, number)
    if quantity == whole:
        resolve(b, row, r.FILLED, why.NO_REASON, slot)
    order.filled = total(order.filled, quantity, lot)
    if quantity == pair.quantity:
        unguard(b, row, slot)
    fill = book(b, row, slot, quantity, price, seen, flags | more)
    if b.rules[0].participates and order.type != r.CLOSE:
        b.shares[pair.symbol].lots -= lots_in(quantity, lot)
    write_trade(b.trades[account.trades], pair, order, slot, fill)
    if flags & r.AMBIGUOUS:
        doubt(m, b, fill, b.trades[account.trades], other, t)
    if account.trades + 2 < len(b.trades):
        account.trades += 1
    if quantity < pair.quantity:
        pair.quantity, pair.trade = total(pair.quantity, -quantity, lot), account.next_trade
        account.next_trade += 1
        revalue(b, number, pair.last)
        if quantity < whole and order.role == r.GUARD and row == pair.stop:
            spend(b, row, slot)
        elif quantity < whole and (order.type == r.MARKET_ON_OPEN or order.type == r.MARKET_ON_CLOSE):
            resolve(b, row, r.CANCELLED, why.PARTICIPATION, slot)
        elif quantity == whole and row == pair.target and pair.rungs > 0:
            climbed(b, pair)
        return resize(b, pair)
    remark(b, number, pair.direction, -pair.mark)
    account.positions -= 1
    account.gone += 1
    if pair.direction == r.SHORT:
        account.shorts -= 1
    pair.quantity, pair.freed = 0.0, slot.end
    return None


@apart
def doubt(m: Tape, b: Book, fill: Any, trade: Any, other: int, t: int) -> None:
    """What an ambiguous fill might have been otherwise: at which price, and the trade's profit then."""
    if other == r.NONE:
        fill.other_type, fill.other = r.HELD, m.close[b.pairs[fill.pair].symbol, t]
    else:
        guard = b.orders[other]
        fill.other_type, fill.other = guard.type, guard.limit
        if guard.type != r.TARGET:
            _, _, _, close, _ = watched(m, b, b.pairs[fill.pair].symbol, t, guard.side)
            fill.other, _ = slipped(m, b, other, t, r.AT_OPEN, met(b, guard.side, guard.stop, guard.stop, close), fill.quantity)
    fee = fee_in(b, fill.tier, fill.other, fill.quantity)
    fill.trade, fill.pnl = trade.id, trade.pnl
    fill.other_pnl = trade.pnl - fill.side * (value_of(fill.other, fill.quantity) - fill.value) - (fee - fill.fee)


@compiled
def write_trade(trade: Any, pair: Any, order: Any, slot: Any, fill: Any) -> None:
    """The round trip that a fill has closed, or the part of one, which takes its share of what the position has cost so far."""
    value, fee, borrow, income = pair.value, pair.fee, pair.borrow, pair.income
    if fill.quantity < pair.quantity:
        value, fee = share(value, fill.quantity, pair.quantity), share(fee, fill.quantity, pair.quantity)
        borrow, income = share(borrow, fill.quantity, pair.quantity), share(income, fill.quantity, pair.quantity)
    trade.id, trade.pair, trade.order, trade.type, trade.direction = pair.trade, order.pair, order.id, order.type, pair.direction
    trade.entry_ts, trade.exit_ts, trade.entry_slot, trade.exit_slot = pair.ts, slot.ts, pair.slot, slot.number
    trade.fees, trade.borrow, trade.income = fee + fill.fee + borrow, borrow, income
    trade.value, trade.pnl = value, pair.direction * (fill.value - value) - trade.fees + income
    trade.entry_price, trade.exit_price, trade.quantity = pair.price, fill.price, fill.quantity
    trade.low, trade.high = min(pair.low, fill.price), max(pair.high, fill.price)
    pair.value -= value
    pair.fee -= fee
    pair.borrow -= borrow
    pair.income -= income


@compiled
def share(amount: int, part: float, whole: float) -> int:
    """What falls to a part of a position."""
    return int(np.rint(float(amount) * part / whole))


@compiled
def fill_market(m: Tape, b: Book, row: int, t: int, at: int) -> None:
    """Fill a market order at the bar's open or close, or where the run asks for it at its mean price."""
    order = b.orders[row]
    s = b.pairs[order.pair].symbol
    if b.rules[0].fill == r.NEXT_VWAP and order.type != r.MARKET_ON_OPEN and order.type != r.MARKET_ON_CLOSE:
        seen, flags = mean_price(m, s, t)
    else:
        seen, flags = price_at(m, b, s, t, order.side, at)
    if order.role == r.ENTRY:
        fill_entry(m, b, row, t, at, seen, flags)
    else:
        if at == r.AT_CLOSE:
            widen(m, b, order.pair, t)
        fill_exit(m, b, row, t, at, seen, flags, r.NONE)

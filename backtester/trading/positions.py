"""Compiled: positions: marked, opened, protected, closed.

Place in the flow: kernel.py and decisions.py call these functions where docs/execution.md says that something fills. Never chooses
what fills, never allocates, never calls Python, never reorders a float operation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backtester.trading import records as r
from backtester.trading import risk as why
from backtester.trading.book import book, new_order, price_at, refuse, resolve, stop_run
from backtester.trading.costs import MAX_MICRO
from backtester.trading.money import apart, booked, compiled, fits, lot_of, most_lots, room, value_of
from backtester.trading.records import Book, Tape


@compiled
def revalue(b: Book, number: int, last: float) -> None:
    """Mark one position at a price."""
    account, pair = b.account[0], b.pairs[number]
    value = value_of(last, pair.quantity)
    account.marks += pair.direction * (value - pair.mark)
    account.gross += value - pair.mark
    pair.last, pair.mark = last, value
    if account.gross > MAX_MICRO:
        stop_run(b, r.TOO_LARGE, number)


@compiled
def widen(m: Tape, b: Book, number: int, t: int) -> None:
    """The whole bar belongs to the prices seen, unless the position was entered at its close."""
    pair = b.pairs[number]
    if pair.at_close != m.slots[t].number:
        pair.low, pair.high = min(pair.low, m.low[pair.symbol, t]), max(pair.high, m.high[pair.symbol, t])


@compiled
def charge_borrow(m: Tape, b: Book, t: int) -> None:
    """Before a session's first slot: what the nights since the session before cost each short position."""
    account, rules = b.account[0], b.rules[0]
    nights = m.slots[t].day - (account.day if t == 0 else m.slots[t - 1].day)
    for i in range(account.active):
        pair = b.pairs[b.active[i]]
        if pair.quantity != 0.0 and pair.direction == r.SHORT:
            fee = booked(float(pair.mark) * (rules.borrow_bps / 10000.0) * nights / 360)
            account.cash -= fee
            pair.borrow += fee
            if pair.borrow > MAX_MICRO or abs(account.cash) > MAX_MICRO:
                stop_run(b, r.TOO_LARGE, b.active[i])


@compiled
def trailed(pair: Any, price: float) -> float:
    """The level, times the direction, at which a stop follows the best price; NaN where it does not."""
    if np.isnan(pair.trailing_amount):
        level: float = price * (1.0 - pair.direction * pair.trailing_stop)
    else:
        level = price - pair.direction * pair.trailing_amount
    signed: float = pair.direction * level
    return signed


@compiled
def trail(m: Tape, b: Book, t: int) -> None:
    """Step 6: stops that follow the price come nearer, where the bar has shown a better one."""
    for i in range(b.account[0].active):
        pair = b.pairs[b.active[i]]
        s = pair.symbol
        if pair.quantity != 0.0 and pair.at_close != m.slots[t].number and not np.isnan(m.close[s, t]):
            level = trailed(pair, m.high[s, t] if pair.direction == r.LONG else m.low[s, t])
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
def protect(b: Book, row: int, slot: Any, at: int) -> None:
    """The stop and the target of a position just opened: a price wins over a fraction, the signal over the config."""
    order, rules = b.orders[row], b.rules[0]
    pair = b.pairs[order.pair]
    stop, target, ts = order.stop_price, order.target_price, slot.end if at == r.AT_CLOSE else slot.ts
    if np.isnan(stop):
        stop = pair.price * (1.0 - pair.direction * (rules.stop_loss if np.isnan(order.stop_loss) else order.stop_loss))
    if np.isnan(target):
        target = pair.price * (1.0 + pair.direction * (rules.take_profit if np.isnan(order.take_profit) else order.take_profit))
    kind, stop = follow(b, order, pair, stop)
    pair.stop_level, pair.target_level = pair.direction * stop, pair.direction * target
    pair.stop, pair.target = r.NONE, r.NONE
    if not np.isnan(stop):
        pair.stop = new_order(b, order.pair, r.GUARD, -pair.direction, kind, pair.quantity, slot, ts, order.seen)
        b.orders[pair.stop].stop = stop
    if not np.isnan(target):
        pair.target = new_order(b, order.pair, r.GUARD, -pair.direction, r.TARGET, pair.quantity, slot, ts, order.seen)
        b.orders[pair.target].limit = target
    if pair.stop != r.NONE or pair.target != r.NONE:
        b.account[0].guarded += 1


@compiled
def unguard(b: Book, row: int, slot: Any) -> None:
    """Cancel what guarded or waited to close a position that the order of a row closes."""
    order, pair = b.orders[row], b.pairs[b.orders[row].pair]
    for guard in (pair.stop, pair.target):
        if guard != r.NONE and guard != row:
            resolve(b, guard, r.CANCELLED, why.OCO if order.role == r.GUARD else why.POSITION_CLOSED, slot)
    if pair.exit != r.NONE:
        resolve(b, pair.exit, r.CANCELLED, why.FLAT_AT_CLOSE if order.type == r.CLOSE else why.POSITION_CLOSED, slot)
    if pair.stop != r.NONE or pair.target != r.NONE:
        b.account[0].guarded -= 1
    if not np.isnan(trailed(pair, pair.price)):
        b.account[0].trailing -= 1
    pair.stop, pair.target = r.NONE, r.NONE


@compiled
def spread_paid(m: Tape, b: Book, s: int, t: int, at: int) -> tuple[float, int]:
    """The part of the quoted spread that a fill pays, at a bar's open or close, and its flags."""
    part = b.rules[0].spread
    if not part > 0.0:
        return 0.0, r.NO_FLAGS
    if m.ask_open.shape[1] > 0:
        wide = m.ask_open[s, t] - m.bid_open[s, t] if at == r.AT_OPEN else m.ask_close[s, t] - m.bid_close[s, t]
        if not np.isnan(wide):
            return max(0.0, part * wide), r.NO_FLAGS
    return 0.0, r.SYNTHETIC_QUOTE


@compiled
def slipped(m: Tape, b: Book, row: int, t: int, at: int, seen: float, quantity: float) -> tuple[float, int]:
    """The price of a fill, and its flags: slippage is against the trader, and never on an order with a limit.

    quantity: what is about to fill, which moves the price the more the less the bar has traded.
    """
    rules, order = b.rules[0], b.orders[row]
    if order.type == r.LIMIT or order.type == r.TARGET or order.type == r.STOP_LIMIT:
        return seen, r.NO_FLAGS
    s = b.pairs[order.pair].symbol
    part, flags = spread_paid(m, b, s, t, at)
    price = seen * (1.0 + order.side * (rules.slippage_bps / 10000.0)) + order.side * b.instruments[s].ticks + order.side * part
    if rules.impact_bps > 0.0:
        price += order.side * (seen * (rules.impact_bps / 10000.0) * np.sqrt(quantity / m.volume[s, t]))
    return price, flags


@apart
def open_position(m: Tape, b: Book, row: int, t: int, at: int, seen: float, flags: int) -> None:
    """Fill an entry at the price seen, cut to what the account can carry; or cancel it."""
    account, rules, order, slot = b.account[0], b.rules[0], b.orders[row], m.slots[t]
    pair, quantity = b.pairs[order.pair], order.quantity
    price, more = slipped(m, b, row, t, at, seen, quantity)
    if not price > 0.0:
        return stop_run(b, r.BAD_PRICE, order.pair)
    if account.positions >= rules.max_open_positions:
        return refuse(b, row, r.CANCELLED, why.MAX_OPEN_POSITIONS, slot)
    if fits(b, price, quantity, 0, r.ACCOUNT_POWER):
        resolve(b, row, r.FILLED, why.NO_REASON, slot)
    else:
        lots = most_lots(b, price, lot_of(b, order.pair), room(b), r.ACCOUNT_POWER, order.lots)
        refuse(b, row, r.PARTIAL if lots >= 1.0 else r.CANCELLED, why.INSUFFICIENT_CASH, slot)
        if lots < 1.0:
            return None
        quantity = lots * lot_of(b, order.pair)
    fill = book(b, row, slot, quantity, price, seen, flags | more)
    pair.direction, pair.quantity, pair.price, pair.low, pair.high = order.side, quantity, price, price, price
    pair.mark, pair.value, pair.fee, pair.borrow, pair.income = 0, fill.value, fill.fee, 0, 0
    pair.slot, pair.ts, pair.start, pair.at_close = slot.number, slot.ts, slot.ts, r.NONE
    if at == r.AT_CLOSE:
        pair.start, pair.at_close = slot.end, slot.number
    pair.trade = account.next_trade
    account.next_trade += 1
    account.positions += 1
    if pair.direction == r.SHORT:
        account.shorts += 1
    revalue(b, order.pair, price)
    return protect(b, row, slot, at)


@apart
def close_position(m: Tape, b: Book, row: int, t: int, at: int, seen: float, flags: int) -> None:
    """Fill an exit of any kind at the price seen: the whole position goes, what else waited for it is cancelled."""
    account, order, slot, trade = b.account[0], b.orders[row], m.slots[t], b.trades[b.account[0].trades]
    pair = b.pairs[order.pair]
    price, more = slipped(m, b, row, t, at, seen, pair.quantity)
    if not price > 0.0:
        return stop_run(b, r.BAD_PRICE, order.pair)
    resolve(b, row, r.FILLED, why.NO_REASON, slot)
    unguard(b, row, slot)
    fill = book(b, row, slot, pair.quantity, price, seen, flags | more)
    _write_trade(trade, pair, order.pair, order.type, slot, fill)
    account.trades += 1
    account.marks -= pair.direction * pair.mark
    account.gross -= pair.mark
    account.positions -= 1
    account.gone += 1
    if pair.direction == r.SHORT:
        account.shorts -= 1
    pair.quantity, pair.freed = 0.0, slot.end
    return None


@compiled
def _write_trade(trade: Any, pair: Any, number: int, kind: int, slot: Any, fill: Any) -> None:
    """The round trip that a fill has closed."""
    trade.id, trade.pair, trade.direction, trade.type = pair.trade, number, pair.direction, kind
    trade.entry_ts, trade.exit_ts, trade.entry_slot, trade.exit_slot = pair.ts, slot.ts, pair.slot, slot.number
    trade.fees, trade.borrow, trade.income = pair.fee + fill.fee + pair.borrow, pair.borrow, pair.income
    trade.value, trade.pnl = pair.value, pair.direction * (fill.value - pair.value) - trade.fees + pair.income
    trade.entry_price, trade.exit_price, trade.quantity = pair.price, fill.price, pair.quantity
    trade.low, trade.high = min(pair.low, fill.price), max(pair.high, fill.price)


@compiled
def fill_market(m: Tape, b: Book, row: int, t: int, at: int) -> None:
    """Fill a market order at the bar's open or close."""
    order = b.orders[row]
    s = b.pairs[order.pair].symbol
    seen, flags = price_at(m, b, s, t, order.side, at)
    if order.role == r.ENTRY:
        open_position(m, b, row, t, at, seen, flags)
        if at == r.AT_CLOSE and b.pairs[order.pair].quantity != 0.0:
            revalue(b, order.pair, m.close[s, t])
    else:
        if at == r.AT_CLOSE:
            widen(m, b, order.pair, t)
        close_position(m, b, row, t, at, seen, flags)

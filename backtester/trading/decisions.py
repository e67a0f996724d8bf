"""Compiled: the verdict on each signal, its size, its order.

Place in the flow: step 5 of kernel.py. The checks are those of docs/execution.md, in its order. Never allocates, never calls Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backtester.columns import Ints
from backtester.trading import records as r
from backtester.trading import risk as why
from backtester.trading.ahead import ahead
from backtester.trading.book import (
    asked,
    bound,
    ends_session,
    enlist,
    fillable,
    leaves,
    new_order,
    queue,
    refuse,
    resolve,
    stop_run,
    waits,
)
from backtester.trading.money import (
    ENOUGH,
    MOST_LOTS,
    apart,
    booked,
    compiled,
    equity_of,
    fee_of,
    gross_of,
    lot_of,
    lots_for,
    most_lots,
    power,
    purse_of,
    value_of,
)
from backtester.trading.positions import fill_market
from backtester.trading.prices import behind
from backtester.trading.records import Book, Tape


@compiled
def stays(b: Book, pair: Any) -> bool:
    """Whether the pair holds a position of which something is meant to stay."""
    kept: bool = pair.quantity != 0.0 and not leaves(b, pair)
    return kept


@compiled
def entry_reason(m: Tape, b: Book, signal: Any, direction: int, most: int, t: int) -> int:
    """Checks 1 to 9 of an entry into a position of at most so many entries."""
    rules, account, pair = b.rules[0], b.account[0], b.pairs[signal.pair]
    if direction == r.SHORT and not rules.allow_short:
        return why.SHORT_NOT_ALLOWED
    if np.isnan(signal.price):
        return why.NO_BAR_TO_FILL
    if signal.quality < rules.min_quality:
        return why.LOW_QUALITY
    if signal.confidence < rules.min_confidence:
        return why.LOW_CONFIDENCE
    if not signal.on_open:
        if (ends_session(m, t) and (rules.flat or (rules.day and rules.fill != r.SAME_CLOSE))) or (rules.flat and signal.on_close):
            return why.SESSION_CLOSED
        if rules.flat and m.slots[t].end > m.slots[t].session_close - rules.no_entry_us:
            return why.AFTER_LAST_ENTRY
    adds = stays(b, pair)
    if pair.entry != r.NONE or (adds and (pair.direction != direction or pair.adds >= most)):
        return why.ALREADY_IN_POSITION
    if m.slots[t].end < pair.freed + rules.cooldown_us:
        return why.COOLDOWN
    if not adds and account.positions + account.entries - account.joining - account.leaving >= rules.max_open_positions:
        return why.MAX_OPEN_POSITIONS
    return why.APPROVED


@compiled
def risked(b: Book, signal: Any, direction: int) -> float:
    """How far the nearer of a position's stops, fixed and trailing, will be from the price seen; NaN where it gets none."""
    rules, price, fixed = b.rules[0], signal.price, signal.stop_price
    if np.isnan(fixed):
        fixed = price * (1.0 - direction * (rules.stop_loss if np.isnan(signal.stop_loss) else signal.stop_loss))
    fraction, amount = signal.trailing_stop, signal.trailing_amount
    if np.isnan(fraction) and np.isnan(amount):
        fraction, amount = rules.trailing_stop, rules.trailing_amount
    following = behind(price, direction, fraction, amount)
    near: float = abs(price - fixed)
    far: float = abs(price - following)
    if np.isnan(near):
        return far
    return near if np.isnan(far) else min(near, far)


@compiled
def wanted_lots(b: Book, signal: Any, direction: int) -> float:
    """Check 10: whole lots by the signal's own size or by the config's sizing; NaN where that needs a stop and there is none."""
    rules, price, size, lot = b.rules[0], signal.price, signal.size, lot_of(b, signal.pair)
    if rules.sizing == r.SHARES or not np.isnan(size):
        lots: float = np.floor((rules.size if np.isnan(size) else size) / lot + 1e-9)
        return min(lots, MOST_LOTS)
    if rules.sizing != r.RISK_FRACTION:
        return lots_for(b, signal.pair, price)
    limit, distance = booked(max(rules.size * equity_of(b, signal.pair), -1.0)), risked(b, signal, direction)
    if not distance > 0.0:
        return np.nan
    return most_lots(b, signal.pair, distance, limit, r.VALUE, MOST_LOTS) if limit > 0 else 0.0


@compiled
def engaged(b: Book, pair: Any) -> tuple[int, int]:
    """What a pair is worth when all that waits for it is done, and the fees of that."""
    amount, cost = 0, 0
    if pair.quantity != 0.0:
        amount = pair.mark
        if pair.exit != r.NONE:
            sold = asked(b, pair.exit)
            cost = fee_of(b, pair.last, sold)
            amount = value_of(pair.last, pair.quantity - sold) if sold < pair.quantity else 0
    if pair.entry != r.NONE:
        amount = min(amount + b.orders[pair.entry].value, ENOUGH + 1)
        cost = min(cost + b.orders[pair.entry].fee, ENOUGH + 1)
    return amount, cost


@compiled
def affordable(b: Book, number: int, value: int, fee: int, waiting: Ints, count: int) -> int:
    """Checks 12 to 14: the limits of symbol and account, and what the pair's purse can carry, counting what waits as done.

    waiting: the pairs that wait, `count` of them; the others are worth their marks, which the account has added up.
    """
    rules, symbols, alone = b.rules[0], len(b.instruments), len(b.purses) > 0
    held, own, backing = b.account[0].gross, gross_of(b, number), max(equity_of(b, number) - fee, -ENOUGH)
    everywhere, exposed, here = 0, 0, value
    for i in range(count):
        pair = b.pairs[waiting[i]]
        amount, cost = engaged(b, pair)
        marked = pair.mark if pair.quantity != 0.0 else 0
        held -= marked
        everywhere = min(everywhere, ENOUGH + 1 - amount) + amount
        if not alone or purse_of(b, waiting[i]) == purse_of(b, number):
            own -= marked
            backing = max(backing - cost, -ENOUGH)
            exposed = min(exposed, ENOUGH + 1 - amount) + amount
    everywhere = min(everywhere, ENOUGH + 1 - (held + value)) + held + value
    exposed = min(exposed, ENOUGH + 1 - (own + value)) + own + value
    for other in range(b.pairs[number].symbol, len(b.pairs), symbols):
        amount, _ = engaged(b, b.pairs[other])
        here = min(here, ENOUGH + 1 - amount) + amount
    if here > rules.max_per_symbol:
        return why.MAX_PER_SYMBOL
    if everywhere > rules.max_buying_power:
        return why.MAX_BUYING_POWER
    return why.INSUFFICIENT_CASH if exposed > power(rules, backing) else why.APPROVED


@compiled
def size_entry(b: Book, signal: Any, direction: int, waiting: Ints, count: int) -> tuple[int, float, int]:
    """Checks 10 to 14 of an entry: the reason, the lots, the flags; waiting and count: as of `affordable`."""
    if not signal.price > 0.0:
        stop_run(b, r.BAD_PRICE, signal.pair)
        return why.BELOW_LOT, 0.0, r.NO_FLAGS
    lots = wanted_lots(b, signal, direction)
    if np.isnan(lots):
        return why.NO_STOP, 0.0, r.NO_FLAGS
    return limited(b, signal, lots, waiting, count)


@compiled
def limited(b: Book, signal: Any, lots: float, waiting: Ints, count: int) -> tuple[int, float, int]:
    """Checks 11 to 14 of an entry of so many lots, and that it is one at all: the reason, the lots, the flags; as `size_entry`."""
    rules, number, price, flags, lot = b.rules[0], signal.pair, signal.price, r.NO_FLAGS, lot_of(b, signal.pair)
    if lots >= 1.0 and value_of(price, lots * lot) > rules.max_per_trade:
        lots, flags = most_lots(b, number, price, rules.max_per_trade, r.VALUE, lots), r.SIZE_CUT
    if not lots >= 1.0:
        return why.BELOW_LOT, 0.0, flags
    reason = affordable(b, number, value_of(price, lots * lot), fee_of(b, price, lots * lot), waiting, count)
    return (why.MAX_PER_TRADE if reason == why.APPROVED and flags else reason), lots, flags


@compiled
def sold_part(b: Book, signal: Any, pair: Any) -> float:
    """How much of its position an exit sells."""
    if np.isnan(signal.exit_fraction) or signal.exit_fraction == 1.0:
        whole: float = pair.quantity
        return whole
    lot, wanted = lot_of(b, signal.pair), signal.exit_fraction * pair.quantity
    lots = np.rint(wanted / lot)
    if abs(lots * lot - wanted) > 1e-9 * lot + 1e-15 * wanted:
        lots = np.floor(wanted / lot + 1e-9)
    part: float = min(lots * lot, pair.quantity)
    return part


@apart
def decide(m: Tape, b: Book, signal: Any, row: int, t: int) -> int:
    """Step 5: the verdict on one signal that asks for an entry or an exit, and its order. As `settle`."""
    pair, reason, quantity, lots, flags = b.pairs[signal.pair], why.NO_POSITION, 0.0, 0.0, r.NO_FLAGS
    if signal.action == r.ENTER_LONG or signal.action == r.ENTER_SHORT:
        direction = r.LONG if signal.action == r.ENTER_LONG else r.SHORT
        reason = entry_reason(m, b, signal, direction, b.rules[0].max_entries, t)
        if reason == why.APPROVED:
            reason, lots, flags = size_entry(b, signal, direction, b.waiting, b.account[0].queued)
            quantity = lots * lot_of(b, signal.pair)
    elif pair.quantity != 0.0 and pair.direction == (r.LONG if signal.action == r.EXIT_LONG else r.SHORT) and not bound(b, pair):
        quantity = sold_part(b, signal, pair)
        reason = why.APPROVED if quantity > 0.0 else why.BELOW_LOT
    made: int = settle(m, b, signal, row, t, signal.action, reason, quantity, lots, flags)
    return made


@compiled
def settle(m: Tape, b: Book, signal: Any, row: int, t: int, action: int, reason: int, quantity: float, lots: float, flags: int) -> int:
    """Write a verdict; make the order of an approved one: its row where `same_close` fills it at once, else NONE."""
    pair, verdict = b.pairs[signal.pair], b.verdicts[row]
    direction = r.LONG if action == r.ENTER_LONG or action == r.EXIT_LONG else r.SHORT
    role = r.ENTRY if action == r.ENTER_LONG or action == r.ENTER_SHORT else r.EXIT
    approved = reason == why.APPROVED or reason == why.MAX_PER_TRADE
    verdict.written, verdict.action, verdict.reason, verdict.approved = 1, action, reason, approved
    verdict.order, verdict.flags, verdict.quantity = r.NONE, flags, quantity
    if approved:
        made = order_of(m, b, signal, row, t, role, direction, quantity, lots)
        verdict.order = b.orders[made].id
        at_once = b.rules[0].fill == r.SAME_CLOSE and b.orders[made].type == r.MARKET
        if at_once and fillable(m, pair.symbol, t) and (role == r.EXIT or not waits(b, pair)):
            return made
    return r.NONE


@apart
def close_late(m: Tape, b: Book, t: int) -> None:
    """Step 5, before all signals: an exit for every position that has been held for long enough."""
    rules, slot = b.rules[0], m.slots[t]
    for i in range(b.account[0].active):
        number = b.active[i]
        pair = b.pairs[number]
        if pair.quantity == 0.0 or bound(b, pair):
            continue
        if slot.number - pair.slot + 1 >= rules.max_hold_bars or slot.end - pair.start >= rules.max_hold_us:
            made = leave(m, b, number, r.TIME, t)
            if rules.fill == r.SAME_CLOSE and fillable(m, pair.symbol, t):
                fill_market(m, b, made, t, r.AT_CLOSE)


@compiled
def leave(m: Tape, b: Book, number: int, kind: int, t: int) -> int:
    """An exit of all of a position that nothing has asked for; its row."""
    pair, slot = b.pairs[number], m.slots[t]
    made = new_order(b, number, r.EXIT, -pair.direction, kind, pair.quantity, slot, slot.end, pair.last)
    replace_exit(b, number, made, True, slot)
    return made


@compiled
def replace_exit(b: Book, number: int, made: int, whole: bool, slot: Any) -> None:
    """A new exit waits, of the whole position or of a part; one that waited already is cancelled."""
    account, pair = b.account[0], b.pairs[number]
    if pair.exit != r.NONE:
        resolve(b, pair.exit, r.CANCELLED, why.REPLACED, slot)
    pair.exit, b.orders[made].leaves = made, int(whole)
    account.exits += 1
    account.leaving += int(whole)
    queue(b, number)


@compiled
def set_terms(b: Book, order: Any, signal: Any) -> None:
    """Make an order with a limit, a stop or a trail of its own rest until a price meets it, others wait for a session's open or close."""
    if signal.on_open:
        order.type = r.MARKET_ON_OPEN
        b.account[0].on_open += 1
    elif signal.on_close:
        order.type = r.MARKET_ON_CLOSE
        b.account[0].on_close += 1
    order.limit = signal.limit
    if order.role == r.ENTRY:
        order.stop, order.trail, order.trail_amount = signal.entry_stop, signal.entry_trail, signal.entry_trail_amount
        first = behind(signal.price, -order.side, order.trail, order.trail_amount)
        if not np.isnan(first):
            order.stop, order.type = first, r.TRAILING
            b.account[0].chasing += 1
    if np.isnan(order.limit) and np.isnan(order.stop):
        return
    if order.type != r.TRAILING:
        order.type = r.LIMIT if np.isnan(order.stop) else r.STOP if np.isnan(order.limit) else r.STOP_LIMIT
    order.rests = 1
    b.account[0].resting += 1
    if order.role == r.EXIT:
        b.account[0].resting_exits += 1


@compiled
def order_of(m: Tape, b: Book, signal: Any, row: int, t: int, role: int, direction: int, quantity: float, lots: float) -> int:
    """The order of an approved signal, waiting; its row."""
    account, pair, slot = b.account[0], b.pairs[signal.pair], m.slots[t]
    side = direction if role == r.ENTRY else -direction
    made = new_order(b, signal.pair, role, side, r.MARKET, quantity, slot, slot.end, signal.price)
    order = b.orders[made]
    order.decision, order.lots = row, lots
    order.stop_loss, order.take_profit = signal.stop_loss, signal.take_profit
    order.stop_price, order.target_price = signal.stop_price, signal.target_price
    order.trailing_stop, order.trailing_amount = signal.trailing_stop, signal.trailing_amount
    set_terms(b, order, signal)
    if role == r.ENTRY:
        order.value, order.fee = value_of(signal.price, quantity), fee_of(b, signal.price, quantity)
        order.anew = int(b.rules[0].anew != 0 and np.isnan(signal.size) and signal.action < r.TO_WEIGHT)
        order.joins = int(stays(b, pair))
        pair.entry = made
        account.entries += 1
        account.joining += order.joins
        queue(b, signal.pair)
    else:
        whole = quantity == pair.quantity
        replace_exit(b, signal.pair, made, whole, slot)
        if whole and pair.entry != r.NONE and b.orders[pair.entry].joins:
            refuse(b, pair.entry, r.CANCELLED, why.POSITION_CLOSED, slot)
    enlist(b, signal.pair)
    ahead(m.volume, pair.symbol, t + 1)
    ahead(m.open, pair.symbol, t + 1)
    return made

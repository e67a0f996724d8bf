"""The compiled kernel: what happens at each slot, in the order that docs/execution.md gives.

Place in the flow: `execution.trade` has it called once a chunk of sessions, through compiled.py. It visits only pairs that hold
or wait, and the signals as they come. Never allocates, never calls Python, never reorders a float operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backtester.trading import records as r
from backtester.trading import risk as why
from backtester.trading.book import (
    booked,
    close_position,
    compiled,
    delist,
    enlist,
    fee_of,
    fillable,
    most_lots,
    new_order,
    open_position,
    price_at,
    refuse,
    revalue,
    stop_run,
    value_of,
    widen,
)
from backtester.trading.costs import MAX_MICRO
from backtester.trading.records import Book, Records, Tape

MOST_LOTS = 2.0**53


# The steps of a slot


@compiled
def fill_order(m: Tape, b: Book, row: int, t: int, at: int) -> None:
    """Fill a market order at the bar's open or close."""
    side, number = b.orders[row].side, b.orders[row].pair
    s = b.pairs[number].symbol
    seen, flags = price_at(m, b, s, t, side, at)
    if side == r.BUY:
        open_position(b, row, m.slots[t], at, seen, flags, m.close[s, t])
    else:
        if at == r.AT_CLOSE:
            widen(m, b, number, t)
        close_position(b, row, m.slots[t], seen, flags)


@compiled
def fill_waiting(m: Tape, b: Book, t: int, at: int) -> None:
    """Steps 1 and 3: waiting orders, exits first."""
    for side in (r.SELL, r.BUY):
        if (b.account[0].entries if side == r.BUY else b.account[0].exits) > 0:
            for i in range(b.account[0].active):
                pair = b.pairs[b.active[i]]
                if pair.side == side and fillable(m, pair.symbol, t):
                    fill_order(m, b, pair.wait, t, at)


@compiled
def look_inside(m: Tape, b: Book, t: int) -> None:
    """Step 2: stops and targets. Until now only an entry at this very open can be of this slot."""
    for i in range(b.account[0].active):
        pair = b.pairs[b.active[i]]
        s, stop, target = pair.symbol, pair.stop_level, pair.target_level
        first, hit, reached = m.open[s, t], m.low[s, t] <= stop, m.high[s, t] > target
        if not (hit or reached or first <= stop or first >= target) or pair.quantity == 0.0 or not fillable(m, s, t):
            continue
        row, level, flags = r.NONE, first, r.NO_FLAGS
        if first <= stop:
            row = pair.stop
        elif first > target or (first == target and pair.slot != m.slots[t].number):
            row = pair.target
        elif hit:
            row, level, flags = pair.stop, stop, r.AMBIGUOUS if reached else r.NO_FLAGS
        elif reached:
            row, level = pair.target, target
        if row != r.NONE:
            close_position(b, row, m.slots[t], level, flags)


@compiled
def ends_session(m: Tape, t: int) -> bool:
    """Whether the slot is its session's last."""
    return t + 1 == len(m.slots) or m.slots[t + 1].day != m.slots[t].day


@compiled
def flatten(m: Tape, b: Book, t: int) -> None:
    """Step 4: close what has its last fillable bar of the session here."""
    for i in range(b.account[0].active):
        number = b.active[i]
        s, u = b.pairs[number].symbol, t
        if b.pairs[number].quantity == 0.0 or not fillable(m, s, t):
            continue
        while not ends_session(m, u) and (u == t or not fillable(m, s, u)):
            u += 1
        if u == t or not fillable(m, s, u):
            seen, flags = price_at(m, b, s, t, r.SELL, r.AT_CLOSE)
            slot = m.slots[t]
            row = new_order(b, number, r.SELL, r.CLOSE, b.pairs[number].quantity, slot.end, slot.day, m.close[s, t])
            widen(m, b, number, t)
            close_position(b, row, slot, seen, flags if ends_session(m, t) else flags | r.STALE_CLOSE)


@compiled
def mark(m: Tape, b: Book, t: int) -> None:
    """Step 6's closes: every position whose symbol has a real bar."""
    for i in range(b.account[0].active):
        pair = b.pairs[b.active[i]]
        last = m.close[pair.symbol, t]
        if pair.quantity != 0.0 and not np.isnan(last):
            revalue(b, b.active[i], last)
            widen(m, b, b.active[i], t)


@compiled
def expire(m: Tape, b: Book, t: int) -> None:
    """Step 7: waiting entries expire; with day orders waiting exits too."""
    for i in range(b.account[0].active):
        pair = b.pairs[b.active[i]]
        if pair.side == r.BUY or (pair.side == r.SELL and b.rules[0].day):
            refuse(b, pair.wait, r.EXPIRED, why.EXPIRED, m.slots[t])


# Decisions


@compiled
def entry_reason(m: Tape, b: Book, signal: Any, t: int) -> int:
    """Checks 1 to 8 of an entry."""
    rules, account, pair = b.rules[0], b.account[0], b.pairs[signal.pair]
    if signal.action == r.ENTER_SHORT:
        return why.SHORT_NOT_ALLOWED
    if np.isnan(signal.price):
        return why.NO_BAR_TO_FILL
    if signal.quality < rules.min_quality:
        return why.LOW_QUALITY
    if signal.confidence < rules.min_confidence:
        return why.LOW_CONFIDENCE
    if ends_session(m, t) and (rules.flat or (rules.day and rules.fill != r.SAME_CLOSE)):
        return why.SESSION_CLOSED
    if rules.flat and m.slots[t].end > m.slots[t].session_close - rules.no_entry_us:
        return why.AFTER_LAST_ENTRY
    if pair.quantity != 0.0 or pair.side != r.NONE_WAITS:
        return why.ALREADY_IN_POSITION
    if account.positions + account.entries - account.exits >= rules.max_open_positions:
        return why.MAX_OPEN_POSITIONS
    return why.APPROVED


@compiled
def wanted_lots(b: Book, price: float, size: float) -> float:
    """Check 9: whole lots by the signal's own size or by the config's sizing."""
    rules, account = b.rules[0], b.account[0]
    if rules.sizing == r.SHARES or not np.isnan(size):
        lots: float = np.floor((rules.size if np.isnan(size) else size) / rules.lot + 1e-9)
        return min(lots, MOST_LOTS)
    if rules.sizing == r.NOTIONAL:
        return most_lots(rules, price, rules.notional, r.WITHOUT_FEE, MOST_LOTS)
    limit = booked(max(rules.size * (account.cash + account.marks), -1.0))
    return most_lots(rules, price, limit, r.WITH_FEE, MOST_LOTS)


@compiled
def affordable(b: Book, number: int, value: int, fee: int) -> int:
    """Checks 11 to 13: the limits of symbol and account, and the cash, counting what waits as done."""
    rules, symbol, everywhere, here = b.rules[0], b.pairs[number].symbol, value, value
    cash = b.account[0].cash - value - fee
    for i in range(b.account[0].active):
        pair, amount = b.pairs[b.active[i]], 0
        if pair.side == r.BUY:
            amount = b.orders[pair.wait].value
            cash = max(cash - amount - b.orders[pair.wait].fee, -2 * MAX_MICRO)
        elif pair.quantity != 0.0 and pair.side == r.SELL:
            cash += pair.mark - fee_of(rules, pair.last, pair.quantity)
        elif pair.quantity != 0.0:
            amount = pair.mark
        everywhere = min(everywhere + amount, 2 * MAX_MICRO)
        if pair.symbol == symbol:
            here = min(here + amount, 2 * MAX_MICRO)
    if here > rules.max_per_symbol:
        return why.MAX_PER_SYMBOL
    if everywhere > rules.max_buying_power:
        return why.MAX_BUYING_POWER
    return why.INSUFFICIENT_CASH if cash < 0 else why.APPROVED


@compiled
def size_entry(b: Book, number: int, price: float, size: float) -> tuple[int, float, int]:
    """Checks 9 to 13 of an entry: the reason, the lots, the flags."""
    rules, flags = b.rules[0], r.NO_FLAGS
    if not price > 0.0:
        stop_run(b, r.BAD_PRICE, number)
        return why.BELOW_LOT, 0.0, flags
    lots = wanted_lots(b, price, size)
    if lots >= 1.0 and value_of(price, lots * rules.lot) > rules.max_per_trade:
        lots, flags = most_lots(rules, price, rules.max_per_trade, r.WITHOUT_FEE, lots), r.SIZE_CUT
    if not lots >= 1.0:
        return why.BELOW_LOT, 0.0, flags
    reason = affordable(b, number, value_of(price, lots * rules.lot), fee_of(rules, price, lots * rules.lot))
    return (why.MAX_PER_TRADE if reason == why.APPROVED and flags else reason), lots, flags


@compiled
def decide(m: Tape, b: Book, signal: Any, row: int, t: int) -> None:
    """Step 5: the verdict on one signal; its order, which `same_close` fills at once where it can."""
    account, pair, verdict, side = b.account[0], b.pairs[signal.pair], b.verdicts[row], r.SELL
    reason, quantity, lots, flags = why.NO_POSITION, 0.0, 0.0, r.NO_FLAGS
    if signal.action == r.ENTER_LONG or signal.action == r.ENTER_SHORT:
        reason, side = entry_reason(m, b, signal, t), r.BUY
        if reason == why.APPROVED:
            reason, lots, flags = size_entry(b, signal.pair, signal.price, signal.size)
            quantity = lots * b.rules[0].lot
    elif signal.action == r.EXIT_LONG and pair.quantity != 0.0 and pair.side == r.NONE_WAITS:
        reason, quantity = why.APPROVED, pair.quantity
    approved = reason == why.APPROVED or reason == why.MAX_PER_TRADE
    verdict.reason, verdict.approved, verdict.order, verdict.flags, verdict.quantity = reason, approved, r.NONE, flags, quantity
    if not approved:
        return
    made = new_order(b, signal.pair, side, r.MARKET, quantity, m.slots[t].end, m.slots[t].day, signal.price)
    order = b.orders[made]
    order.decision, order.lots, verdict.order = row, lots, order.id
    order.stop_loss, order.take_profit = signal.stop_loss, signal.take_profit
    order.stop_price, order.target_price = signal.stop_price, signal.target_price
    pair.wait, pair.side = made, side
    if side == r.BUY:
        order.value, order.fee = value_of(signal.price, quantity), fee_of(b.rules[0], signal.price, quantity)
        account.entries += 1
    else:
        account.exits += 1
    enlist(b, signal.pair)
    if b.rules[0].fill == r.SAME_CLOSE and fillable(m, pair.symbol, t):
        fill_order(m, b, made, t, r.AT_CLOSE)


@compiled
def any_bar(m: Tape, t: int) -> bool:
    """Whether any symbol has a real bar."""
    for s in range(m.close.shape[0]):  # noqa: SIM110
        if not np.isnan(m.close[s, t]):
            return True
    return False


def kernel(stamp: int) -> Callable[[Tape, Book, Records, int], int]:
    """The kernel, not yet compiled. `stamp` tells its source apart: numba's cache on disk looks at one file's time and size only,
    but a number that the function closes over is part of its key.
    """

    def run_slots(m: Tape, b: Book, signals: Records, first: int) -> int:
        """All slots of a chunk; verdicts are written from row `first` on. The slot that stopped the run, or the number of slots."""
        account, rules, e = b.account[0], b.rules[0], r.FIRST
        account.stamp = stamp
        at = r.AT_OPEN if rules.fill == r.NEXT_OPEN else r.AT_CLOSE
        for t in range(len(m.slots)):
            if account.active > 0:
                if at == r.AT_OPEN:
                    fill_waiting(m, b, t, at)
                if account.guarded > 0:
                    look_inside(m, b, t)
                if at == r.AT_CLOSE:
                    fill_waiting(m, b, t, at)
                if rules.flat and account.positions > 0:
                    flatten(m, b, t)
                if account.positions > 0:
                    mark(m, b, t)
            if e < len(signals) and signals[e].slot == t:
                while e < len(signals) and signals[e].slot == t:
                    decide(m, b, signals[e], first + e, t)
                    e += 1
                if rules.flat and rules.fill == r.SAME_CLOSE and account.positions > 0:
                    flatten(m, b, t)
            if any_bar(m, t):
                moment = b.moments[account.equity]
                moment.slot, moment.cash, moment.marks = m.slots[t].number, account.cash, account.marks
                account.equity += 1
            if account.entries + account.exits > 0 and (rules.day or rules.flat) and ends_session(m, t):
                expire(m, b, t)
            if account.gone > 0:
                delist(b)
            if account.error != r.NO_ERROR:
                return t
        return len(m.slots)

    return run_slots

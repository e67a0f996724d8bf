"""Compiled: plain trading pair by pair, straight from the columns of wishes, where no pair can stand in another's way.

Place in the flow: alone.py has it called before plain_kernel.py is thought of. Each pair's wishes are passed over eight cells at a time
and traded from one to the next; all pairs at the end must have stayed so far from every limit of the account that no check could have
failed (`is_ample`), else nothing of it counts. The steps are those of plain_steps.py, sums do not know in which order they were added up,
and so the money is the same to the last digit as kernel.py's. Never allocates, never calls Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backtester.trading import records as r
from backtester.trading import risk as why
from backtester.trading.alone import Ledger, Rows, Wish
from backtester.trading.book import delist, stop_run
from backtester.trading.costs import MAX_MICRO
from backtester.trading.decisions import entry_reason, wanted_lots
from backtester.trading.money import compiled, fee_of, lot_of, most_lots, power, value_of
from backtester.trading.plain_steps import Own, enter, leave, no_entry, order_entry, order_exit, slipped
from backtester.trading.positions import revalue
from backtester.trading.quiet import bars_between
from backtester.trading.records import Records

NEVER = 2**62
"""A slot that is never reached."""


@compiled
def spend(b: Own, tally: Any, before: int) -> int:
    """What the pair has paid, or got, since the cash was `before`."""
    moved: int = b.account[0].cash - before
    tally.flow += moved
    tally.swing = max(tally.swing, abs(tally.flow))
    return moved


@compiled
def stake(b: Own, m: Any, tally: Any, number: int, price: float) -> None:
    """A position of the pair is worth at most, and adds at least to the equity, what it does at the chunk's extreme prices."""
    pair = b.pairs[number]
    top = value_of(max(price, m.top[pair.symbol]), pair.quantity)
    tally.most = max(tally.most, top)
    tally.cost = max(tally.cost, fee_of(b, max(price, m.top[pair.symbol]), pair.quantity))
    worth = value_of(min(price, m.bottom[pair.symbol]), pair.quantity) if pair.direction == r.LONG else -top
    tally.least = min(tally.least, tally.flow + worth)


@compiled
def mark_until(m: Any, b: Own, ledger: Ledger, number: int, day: int, t: int) -> int:
    """Mark the pair's position at the ends of sessions, from session `day` on, that end until slot t; the first that does not."""
    pair = b.pairs[number]
    while day < len(ledger.ends) and ledger.ends[day] <= t:
        if pair.quantity != 0.0:
            last = m.last[pair.symbol, ledger.ends[day] - 1]
            if last != pair.last and not np.isnan(last):
                revalue(b, number, last)
            ledger.marks[day] += pair.direction * pair.mark
        day += 1
    return day


@compiled
def hold(m: Any, b: Own, ledger: Ledger, number: int, first: int, stop: int) -> None:
    """The pair has held a position in the slots first <= t < stop."""
    if len(b.pairs) == 1:
        sums, bars = b.sums[0], bars_between(m, first, stop) if first < stop else 0
        sums.invested += bars
        sums.long += bars * (b.pairs[number].direction == r.LONG)
        sums.short += bars * (b.pairs[number].direction == r.SHORT)
    else:
        steps = ledger.longs if b.pairs[number].direction == r.LONG else ledger.shorts
        steps[first] += 1
        steps[stop] -= 1


@compiled
def meet(m: Any, b: Own, ledger: Ledger, number: int, t: int, at: int) -> None:
    """Fill what waits of the pair at slot t: the exit, then the entry."""
    pair, tally = b.pairs[number], ledger.tally[0]
    seen = m.open[pair.symbol, t] if at == r.AT_OPEN else m.close[pair.symbol, t]
    tally.day = mark_until(m, b, ledger, number, tally.day, t)
    cash = b.account[0].cash
    if pair.exit != r.NONE:
        hold(m, b, ledger, number, tally.since, t)
        leave(m, b, number, t, seen)
        ledger.flow[tally.day] += spend(b, tally, cash)
        tally.least = min(tally.least, tally.flow)
    if pair.entry != r.NONE:
        row, cash = pair.entry, b.account[0].cash
        price, lots = slipped(b, number, b.orders[row].side, seen), b.orders[row].lots
        no_entry(b, number)
        if not price > 0.0:
            return stop_run(b, r.BAD_PRICE, number)
        enter(m, b, row, t, at, lots, price, seen)
        tally.since = t
        tally.cost = max(tally.cost, pair.fee)
        ledger.flow[tally.day] += spend(b, tally, cash)
        stake(b, m, tally, number, price)
    return None


@compiled
def ask_entry(m: Any, b: Own, ledger: Ledger, signal: Any, direction: int, t: int) -> bool:
    """The verdict on an entry, and its order; whether there is one."""
    number, price = signal.pair, signal.price
    if entry_reason(m, b, signal, direction, 1, t) != why.APPROVED:
        return False
    if not price > 0.0:
        stop_run(b, r.BAD_PRICE, number)
        return False
    lots, lot = wanted_lots(b, signal, direction), lot_of(b, number)
    if lots >= 1.0 and value_of(price, lots * lot) > b.rules[0].max_per_trade:
        lots = most_lots(b, number, price, b.rules[0].max_per_trade, r.VALUE, lots)
    if not lots >= 1.0:
        return False
    order, tally = order_entry(m, b, number, direction, t, price, lots), ledger.tally[0]
    tally.wait, tally.fee = max(tally.wait, order.value), max(tally.fee, order.fee)
    return True


@compiled
def ask(m: Any, b: Own, ledger: Ledger, wish: Wish, signal: Any, cell: int, t: int) -> bool:
    """The verdicts on the wishes of one cell, exits before entries; whether there is a new order."""
    made, number, price = False, signal.pair, signal.price
    if wish.exit_long[cell]:
        made = order_exit(m, b, number, r.LONG, t, price)
    if len(wish.exit_short) > 0 and wish.exit_short[cell]:
        made |= order_exit(m, b, number, r.SHORT, t, price)
    if wish.enter_long[cell]:
        made |= ask_entry(m, b, ledger, signal, r.LONG, t)
    if len(wish.enter_short) > 0 and wish.enter_short[cell]:
        made |= ask_entry(m, b, ledger, signal, r.SHORT, t)
    return made


@compiled
def any_in(wish: Wish, word: int) -> bool:
    """Whether any of eight cells holds a wish."""
    cells = wish.enters[word] | wish.exits[word]
    if len(wish.enter_short) > 0:
        cells |= wish.enters_short[word] | wish.exits_short[word]
    found: bool = cells != 0
    return found


@compiled
def any_at(wish: Wish, cell: int) -> bool:
    """Whether a cell holds a wish."""
    found: bool = wish.enter_long[cell] | wish.exit_long[cell]
    if len(wish.enter_short) > 0:
        found |= wish.enter_short[cell] | wish.exit_short[cell]
    return found


@compiled
def walk_row(m: Any, b: Own, ledger: Ledger, wish: Wish, rows: Rows, signal: Any, row: int, at: int) -> None:
    """One session of a pair, from one wish to the next."""
    tally, account, s = ledger.tally[0], b.account[0], b.pairs[signal.pair].symbol
    cell = rows.first[row]
    end, shift = cell + rows.size[row], rows.bar[row] - cell
    while cell < end and account.error == r.NO_ERROR:
        if cell & 7 == 0 and cell + 8 <= end and not any_in(wish, cell >> 3):
            cell += 8
            continue
        if any_at(wish, cell):
            bar = cell + shift
            t = rows.begin[row] + rows.base_slot[bar]
            if tally.due <= t:
                meet(m, b, ledger, signal.pair, tally.due, at)
                tally.due = NEVER
            signal.price, signal.quality = rows.price[bar], rows.quality[bar]
            if ask(m, b, ledger, wish, signal, cell, t):
                tally.due = m.fillable[s, t + 1]
        cell += 1


@compiled
def walk(m: Any, b: Own, ledger: Ledger, wish: Wish, rows: Rows, signal: Any, at: int) -> None:
    """One pair from the chunk's first slot to its last, and what it could have been worth at most."""
    pair, tally, slots = b.pairs[signal.pair], ledger.tally[0], len(m.slots)
    tally.due, tally.day, tally.since, tally.flow, tally.swing = NEVER, 0, 0, 0, 0
    tally.most, tally.least, tally.cost, tally.fee, tally.wait = 0, 0, 0, 0, 0
    if pair.quantity != 0.0:
        tally.least = MAX_MICRO
        stake(b, m, tally, signal.pair, pair.last)
    if pair.entry != r.NONE:
        tally.wait, tally.fee = b.orders[pair.entry].value, b.orders[pair.entry].fee
    if pair.entry != r.NONE or pair.exit != r.NONE:
        tally.due = m.fillable[pair.symbol, 0]
    for row in range(rows.low[pair.symbol], rows.high[pair.symbol]):
        walk_row(m, b, ledger, wish, rows, signal, row, at)
    if tally.due < slots and b.account[0].error == r.NO_ERROR:
        meet(m, b, ledger, signal.pair, tally.due, at)
    if pair.quantity != 0.0:
        hold(m, b, ledger, signal.pair, tally.since, slots)
    tally.day = mark_until(m, b, ledger, signal.pair, tally.day, slots)


@compiled
def reckon(b: Own, ledger: Ledger, number: int) -> None:
    """Add what a pair could have been worth to the account's and the symbol's."""
    tally, whole, symbol = ledger.tally[0], ledger.whole[0], b.pairs[number].symbol
    most = max(tally.most, tally.wait)
    if most > MAX_MICRO:
        return stop_run(b, r.TOO_LARGE, number)
    ledger.bound[symbol] += most
    whole.most += most
    whole.least += tally.least
    whole.cost += tally.cost + tally.fee
    whole.swing += tally.swing
    if max(whole.most, -whole.least, whole.cost, whole.swing) > MAX_MICRO:
        stop_run(b, r.TOO_LARGE, number)
    return None


@compiled
def is_ample(b: Own, ledger: Ledger, cash: int) -> bool:
    """Whether no limit of the account could be met, even with all pairs at their worst at once; cash: that before the chunk."""
    rules, whole = b.rules[0], ledger.whole[0]
    if abs(cash) + whole.swing > MAX_MICRO or rules.max_open_positions < len(b.pairs):
        return False
    for s in range(len(ledger.bound)):
        if ledger.bound[s] > rules.max_per_symbol:
            return False
    backing = cash + whole.least - whole.cost
    ample: bool = whole.most <= rules.max_buying_power and whole.most <= power(rules, max(backing, -MAX_MICRO))
    return ample


@compiled
def count(m: Any, b: Own, ledger: Ledger) -> None:
    """The slots in which anything was held."""
    sums, longs, shorts, before = b.sums[0], 0, 0, 0
    for t in range(len(m.slots)):
        longs += ledger.longs[t]
        shorts += ledger.shorts[t]
        bar = m.slots[t].bars - before
        before = m.slots[t].bars
        sums.invested += bar * (longs + shorts > 0)
        sums.long += bar * (longs > 0)
        sums.short += bar * (shorts > 0)


@compiled
def end_sessions(m: Any, b: Own, ledger: Ledger, cash: int) -> None:
    """The equity at the end of each session: that of its last bar."""
    account, sums, begun = b.account[0], b.sums[0], 0
    for day in range(len(ledger.ends)):
        cash += ledger.flow[day]
        bars = bars_between(m, begun, ledger.ends[day])
        if bars > 0:
            sums.row_worth = cash + ledger.marks[day]
        sums.rows += bars
        b.moments[day].cash = sums.row_worth
        begun = ledger.ends[day]
    account.equity = len(ledger.ends)


def alone(stamp: int) -> Callable[[Any, Own, Records, Wish, Rows, Ledger, int, int], bool]:
    """The kernel of pairs that are alone, not yet compiled; `stamp` as in kernel.py."""

    def run_pairs(m: Any, b: Own, signals: Records, wish: Wish, rows: Rows, ledger: Ledger, first: int, cash: int) -> bool:
        """The pairs of one strategy, from number `first` on; with the last strategy what all of them come to. Whether it counts so far.

        signals: room for one; cash: the account's before the chunk; ledger: nil before the first strategy.
        """
        account, signal = b.account[0], signals[0]
        account.stamp = stamp
        at = r.AT_OPEN if b.rules[0].fill == r.NEXT_OPEN else r.AT_CLOSE
        for number in range(first, first + len(b.instruments)):
            signal.pair = number
            walk(m, b, ledger, wish, rows, signal, at)
            reckon(b, ledger, number)
            if account.error != r.NO_ERROR:
                return False
        if first + len(b.instruments) < len(b.pairs):
            return True
        if not is_ample(b, ledger, cash):
            return False
        if len(b.pairs) > 1:
            count(m, b, ledger)
        end_sessions(m, b, ledger, cash)
        delist(b)
        return True

    return run_pairs

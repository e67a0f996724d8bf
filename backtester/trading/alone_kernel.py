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

from backtester.machine_code import lowest_bit
from backtester.trading import records as r
from backtester.trading import risk as why
from backtester.trading.alone import Ledger, Rows, Wish
from backtester.trading.book import delist, stop_run
from backtester.trading.costs import MAX_MICRO
from backtester.trading.decisions import entry_reason, wanted_lots
from backtester.trading.money import compiled, fee_of, lot_of, most_lots, power, value_of
from backtester.trading.plain_steps import Own, enter, expect, leave, no_entry, order_entry, order_exit, slipped
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
def stake(m: Any, b: Own, tally: Any, number: int, price: float) -> None:
    """A position of the pair is worth at most, and adds at least to the equity, what it does at the chunk's extreme prices."""
    pair = b.pairs[number]
    if pair.quantity != tally.quantity or price > tally.top or price < tally.bottom:
        tally.quantity = pair.quantity
        tally.top, tally.bottom = max(price, m.top[pair.symbol]), min(price, m.bottom[pair.symbol])
        tally.high, tally.low = value_of(tally.top, pair.quantity), value_of(tally.bottom, pair.quantity)
        tally.most = max(tally.most, tally.high)
        tally.cost = max(tally.cost, fee_of(b, tally.top, pair.quantity))
    tally.least = min(tally.least, tally.flow + (tally.low if pair.direction == r.LONG else -tally.high))


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
def meet(m: Any, b: Own, ledger: Ledger, number: int, at: int) -> None:
    """Fill what waits of the pair where it is due: the exit, then the entry."""
    pair, tally = b.pairs[number], ledger.tally[0]
    t, seen = tally.due, tally.seen
    tally.due = NEVER
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
        pair.last = np.nan  # its mark is nil until the session ends
        tally.since = t
        tally.cost = max(tally.cost, pair.fee)
        ledger.flow[tally.day] += spend(b, tally, cash)
        stake(m, b, tally, number, price)
    return None


@compiled
def ask_entry(m: Any, b: Own, signal: Any, direction: int, t: int) -> bool:
    """The verdict on an entry, and its order; whether there is one."""
    number, price = signal.pair, signal.price
    if entry_reason(m, b, signal, direction, 1, t) != why.APPROVED:
        return False
    if not price > 0.0:
        stop_run(b, r.BAD_PRICE, number)
        return False
    lots, most = wanted_lots(b, signal, direction), b.rules[0].max_per_trade
    if lots >= 1.0 and most != why.NO_LIMIT and value_of(price, lots * lot_of(b, number)) > most:
        lots = most_lots(b, number, price, most, r.VALUE, lots)
    if not lots >= 1.0:
        return False
    order_entry(m, b, number, direction, t, price, lots)
    return True


@compiled
def ask(m: Any, b: Own, wish: Wish, signal: Any, cell: int, t: int) -> bool:
    """The verdicts on the wishes of one cell, exits before entries; whether there is a new order."""
    made, number, price = False, signal.pair, signal.price
    if wish.exit_long[cell]:
        made = order_exit(m, b, number, r.LONG, t, price)
    if len(wish.exit_short) > 0 and wish.exit_short[cell]:
        made |= order_exit(m, b, number, r.SHORT, t, price)
    if wish.enter_long[cell]:
        made |= ask_entry(m, b, signal, r.LONG, t)
    if len(wish.enter_short) > 0 and wish.enter_short[cell]:
        made |= ask_entry(m, b, signal, r.SHORT, t)
    return made


@compiled
def eight(wish: Wish, word: int) -> int:
    """Which of eight cells hold a wish: one byte each."""
    if word < len(wish.enters):
        cells: int = wish.enters[word] | wish.exits[word]
        if len(wish.enter_short) > 0:
            cells |= wish.enters_short[word] | wish.exits_short[word]
        return cells
    cells = 0  # the last cells, of which there are not eight
    for cell in range(8 * word, len(wish.enter_long)):
        wished = wish.enter_long[cell] or wish.exit_long[cell]
        if len(wish.enter_short) > 0:
            wished = wished or wish.enter_short[cell] or wish.exit_short[cell]
        cells |= int(wished) << 8 * (cell - 8 * word)
    return cells


@compiled
def between(cells: int, word: int, first: int, stop: int) -> int:
    """Those of eight cells that lie in first <= cell < stop."""
    if 8 * word < first:
        cells &= -1 << 8 * (first - 8 * word)
    if 8 * word + 8 > stop:
        cells &= (1 << 8 * (stop - 8 * word)) - 1
    return cells


@compiled
def walk_row(m: Any, b: Own, ledger: Ledger, wish: Wish, rows: Rows, signal: Any, row: int, at: int) -> None:
    """One session of a pair, from one wish to the next."""
    tally, first = ledger.tally[0], rows.first[row]
    stop, shift = first + rows.size[row], rows.bar[row] - first
    for word in range(first >> 3, (stop + 7) >> 3):
        cells = eight(wish, word)
        if cells == 0:
            continue
        cells = between(cells, word, first, stop)
        while cells != 0:
            place = lowest_bit(cells) >> 3
            cells &= ~(255 << 8 * place)
            bar = ledger.bars[8 * word + place + shift]
            if tally.due <= bar.slot:
                meet(m, b, ledger, signal.pair, at)
            signal.price, signal.quality = bar.price, bar.quality
            if ask(m, b, wish, signal, 8 * word + place, bar.slot):
                tally.due, tally.seen = bar.due, bar.seen


@compiled
def begin(m: Any, b: Own, ledger: Ledger, number: int, at: int) -> None:
    """The pair as it comes out of the chunk before."""
    pair, tally = b.pairs[number], ledger.tally[0]
    tally.due, tally.day, tally.since, tally.flow, tally.swing = NEVER, 0, 0, 0, 0
    tally.most, tally.least, tally.cost, tally.fee, tally.wait, tally.quantity = 0, 0, 0, 0, 0, 0.0
    if pair.quantity != 0.0:
        tally.least = MAX_MICRO
        stake(m, b, tally, number, pair.last)
    if pair.entry != r.NONE:
        tally.wait, tally.fee = b.orders[pair.entry].value, b.orders[pair.entry].fee
    if pair.entry != r.NONE or pair.exit != r.NONE:
        due = m.fillable[pair.symbol, 0]
        tally.due = due
        if due < len(m.slots):
            tally.seen = m.open[pair.symbol, due] if at == r.AT_OPEN else m.close[pair.symbol, due]


@compiled
def walk(m: Any, b: Own, ledger: Ledger, wish: Wish, rows: Rows, signal: Any, at: int) -> None:
    """One pair from the chunk's first slot to its last, and what it could have been worth at most."""
    number, tally, slots = signal.pair, ledger.tally[0], len(m.slots)
    pair = b.pairs[number]
    begin(m, b, ledger, number, at)
    for row in range(rows.low[pair.symbol], rows.high[pair.symbol]):
        if b.account[0].error != r.NO_ERROR:
            return
        walk_row(m, b, ledger, wish, rows, signal, row, at)
    if tally.due < slots:
        meet(m, b, ledger, number, at)
    if pair.quantity != 0.0:
        hold(m, b, ledger, number, tally.since, slots)
    tally.day = mark_until(m, b, ledger, number, tally.day, slots)
    if pair.entry != r.NONE:
        order = b.orders[pair.entry]
        expect(b, order)
        tally.wait, tally.fee = max(tally.wait, order.value), max(tally.fee, order.fee)


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
    whole.cost += 2 * tally.cost + tally.fee  # an exit and an entry may wait at once
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

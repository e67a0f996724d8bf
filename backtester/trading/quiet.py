"""Compiled: slots in which nothing can happen but marks, and what is noted of each slot.

Place in the flow: kernel.py passes from one signal to the next through here while no order waits and nothing guards a position. A run
notes every slot that has a bar; trials of a sweep note sums, and look at no slot between signals and sessions' ends. Never fills,
never allocates, never calls Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backtester.trading import records as r
from backtester.trading.ahead import LINE, ahead
from backtester.trading.book import ends_session, stop_run
from backtester.trading.costs import MAX_MICRO
from backtester.trading.money import apart, compiled, purse_of, value_of
from backtester.trading.positions import revalue
from backtester.trading.records import Book, Tape


@compiled
def is_quiet(b: Book) -> bool:
    """Whether only a signal or a session's beginning can bring about more than marks."""
    account, rules = b.account[0], b.rules[0]
    if account.entries + account.exits + account.guarded > 0:
        return False
    free: bool = account.positions == 0 or not (rules.flat or rules.timed or rules.called)
    return free


@compiled
def bars_between(m: Tape, first: int, stop: int) -> int:
    """How many of the slots first <= t < stop have a real bar of any symbol."""
    bars: int = m.slots[stop - 1].bars - (m.slots[first - 1].bars if first > 0 else 0)
    return bars


@compiled
def mark(m: Tape, b: Book, t: int) -> None:
    """Step 6's closes: every position whose symbol has a real bar. The sums of a trial do without the prices seen."""
    account, slot, rows, purses = b.account[0], m.slots[t].number, b.rules[0].sums == 0, len(b.purses) > 0
    marks, gross = account.marks, account.gross
    for i in range(account.active):
        number = b.active[i]
        pair = b.pairs[number]
        s = pair.symbol
        last = m.close[s, t]
        ahead(m.close, s, t + LINE)
        if rows:
            ahead(m.low, s, t + LINE)
            ahead(m.high, s, t + LINE)
        if pair.quantity == 0.0 or np.isnan(last):
            continue
        value = value_of(last, pair.quantity)
        change = value - pair.mark
        pair.last, pair.mark = last, value
        marks += pair.direction * change
        gross += change
        if purses:
            purse = b.purses[purse_of(b, number)]
            purse.marks += pair.direction * change
            purse.gross += change
        if gross > MAX_MICRO:
            stop_run(b, r.TOO_LARGE, number)
        if rows and pair.at_close != slot:
            pair.low, pair.high = min(pair.low, m.low[s, t]), max(pair.high, m.high[s, t])
    account.marks, account.gross = marks, gross


@compiled
def settle(m: Tape, b: Book, first: int, stop: int) -> None:
    """Mark every position at its symbol's last real bar of the slots first <= t < stop; what lies between is not looked at."""
    for i in range(b.account[0].active):
        pair = b.pairs[b.active[i]]
        t = stop - 1
        while t >= first and np.isnan(m.close[pair.symbol, t]):
            t -= 1
        if t >= first and pair.quantity != 0.0:
            revalue(b, b.active[i], m.close[pair.symbol, t])


@compiled
def note(m: Tape, b: Book, first: int, stop: int) -> None:
    """What is noted of the slots first <= t < stop, in which the account was as it is now: a moment, or sums of them."""
    account, sums, bars = b.account[0], b.sums[0], bars_between(m, first, stop)
    if b.rules[0].sums:
        if bars > 0:
            sums.rows += bars
            sums.row_worth = account.cash + account.marks
            sums.invested += bars * (account.gross != 0)
            sums.long += bars * (account.gross > -account.marks)
            sums.short += bars * (account.gross > account.marks)
        if ends_session(m, stop - 1):
            moment = b.moments[account.equity]
            moment.slot, moment.cash, moment.marks, moment.gross = m.slots[stop - 1].number, sums.row_worth, 0, 0
            account.equity += 1
    elif bars > 0:
        moment = b.moments[account.equity]
        moment.slot, moment.cash, moment.marks, moment.gross = m.slots[first].number, account.cash, account.marks, account.gross
        account.equity += 1


@compiled
def parts(amount: int) -> tuple[int, int]:
    """An amount as high * 2**LIMB + low."""
    return amount >> r.LIMB, amount & ((1 << r.LIMB) - 1)


@apart
def add_up(b: Book) -> None:
    """Add fills and trades to the sums; their rows, and those of orders if none is open, are free again."""
    account, sums = b.account[0], b.sums[0]
    for i in range(account.fills):
        fill = b.fills[i]
        high, low = parts(fill.value)
        sums.value_high, sums.value_low = sums.value_high + high, sums.value_low + low
        high, low = parts(fill.fee)
        sums.fees_high, sums.fees_low = sums.fees_high + high, sums.fees_low + low
        high, low = parts(fill.slippage)
        sums.slippage_high, sums.slippage_low = sums.slippage_high + high, sums.slippage_low + low
    for i in range(account.trades):
        add_trade(sums, b.trades[i])
    account.fills, account.trades = 0, 0
    if account.entries + account.exits + account.guarded == 0:
        account.orders = 0


@compiled
def add_trade(sums: Any, trade: Any) -> None:
    """Add one closed trade to the sums."""
    sums.trades += 1
    high, low = parts(trade.pnl)
    sums.total_high, sums.total_low = sums.total_high + high, sums.total_low + low
    if trade.pnl > 0:
        sums.wins += 1
        sums.gains_high, sums.gains_low = sums.gains_high + high, sums.gains_low + low
    sums.best, sums.worst = max(sums.best, trade.pnl), min(sums.worst, trade.pnl)
    high, low = parts(trade.exit_ts - trade.entry_ts)
    sums.hold_high, sums.hold_low = sums.hold_high + high, sums.hold_low + low
    high, low = parts(trade.borrow)
    sums.borrow_high, sums.borrow_low = sums.borrow_high + high, sums.borrow_low + low
    high, low = parts(trade.income)
    sums.income_high, sums.income_low = sums.income_high + high, sums.income_low + low


@apart
def pass_by(m: Tape, b: Book, first: int, stop: int) -> int:
    """Pass by the slots first <= t < stop of one session, in which nothing happens; `stop`, or the slot that stops the run."""
    if b.rules[0].sums:
        add_up(b)
        if b.account[0].positions > 0:
            settle(m, b, first, stop)
        note(m, b, first, stop)
        return first if b.account[0].error != r.NO_ERROR else stop
    for t in range(first, stop):
        if b.account[0].positions > 0:
            mark(m, b, t)
        note(m, b, t, t + 1)
        if b.account[0].error != r.NO_ERROR:
            return t
    return stop

"""Compiled: margin calls: positions that the equity of their purse does not maintain any more.

Place in the flow: step 6 of kernel.py, after the marks. Never fills anything, never allocates, never calls Python.
"""

from __future__ import annotations

from backtester.trading import records as r
from backtester.trading import risk as why
from backtester.trading.book import bound, refuse
from backtester.trading.decisions import leave
from backtester.trading.money import apart, booked
from backtester.trading.records import Book, Tape


@apart
def call_margins(m: Tape, b: Book, t: int) -> None:
    """Step 6, after all marks: purses, in the order of their strategies, whose equity is too small for what they hold."""
    account, rules, width = b.account[0], b.rules[0], len(b.instruments)
    if len(b.purses) == 0:
        if account.cash + account.marks < booked(rules.maintenance * float(account.gross)):
            call(m, b, 0, len(b.pairs), t)
        return
    for k in range(len(b.purses)):
        purse = b.purses[k]
        if purse.cash + purse.marks < booked(rules.maintenance * float(purse.gross)):
            call(m, b, k * width, (k + 1) * width, t)


@apart
def call(m: Tape, b: Book, first: int, stop: int, t: int) -> None:
    """A margin call of the purse of the pairs first <= number < stop, if they hold any: what waits to enter is cancelled, all is sold."""
    holds = False
    for i in range(b.account[0].active):
        number = b.active[i]
        holds |= first <= number < stop and b.pairs[number].quantity != 0.0
    if not holds:
        return
    for i in range(b.account[0].active):
        number = b.active[i]
        if first <= number < stop and b.pairs[number].entry != r.NONE:
            refuse(b, b.pairs[number].entry, r.CANCELLED, why.MARGIN_CALL, m.slots[t])
    for i in range(b.account[0].active):
        number = b.active[i]
        if first <= number < stop and b.pairs[number].quantity != 0.0 and not bound(b, b.pairs[number]):
            leave(m, b, number, r.MARGIN_CALL, t)

"""Compiled: signals that say what part of the equity a position shall be worth: what they sell, then what they buy.

Place in the flow: step 5 of kernel.py, which shows each such signal twice, once among the exits and once among the entries of its slot.
The rules are those of docs/execution.md. Never allocates, never calls Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backtester.trading import records as r
from backtester.trading import risk as why
from backtester.trading.book import bound, lots_between, stop_run
from backtester.trading.decisions import entry_reason, limited, settle, stays
from backtester.trading.money import MOST_LOTS, apart, booked, compiled, equity_of, lot_of, most_lots, value_of
from backtester.trading.records import Book, Tape
from backtester.trading.risk import NO_LIMIT


@apart
def weigh(m: Tape, b: Book, signal: Any, row: int, t: int) -> int:
    """One half of a weight: the verdict on it and its order, or nothing; where both halves are nothing a row says so. As `settle`."""
    action, reason, quantity, lots, flags = r.NONE, why.APPROVED, 0.0, 0.0, r.NO_FLAGS
    if signal.action == r.TO_WEIGHT:
        action, quantity = sold(b, signal)
        b.verdicts[row].part = int(quantity < b.pairs[signal.pair].quantity)
    else:
        other = b.verdicts[row - signal.back]
        if signal.target != 0.0 and not (other.written and other.part):
            action, reason, lots, flags = bought(m, b, signal, t)
            quantity = lots * lot_of(b, signal.pair)
        if action == r.NONE and not other.written:
            action, reason, quantity = r.TO_WEIGHT, why.WITHIN_THRESHOLD, 0.0
    b.verdicts[row].written = 0
    made = r.NONE
    if action != r.NONE:
        made = settle(m, b, signal, row, t, action, reason, quantity, lots, flags)
    return made


@compiled
def sold(b: Book, signal: Any) -> tuple[int, float]:
    """The half among the exits, its action and quantity: a position of the other direction goes, one worth too much in part."""
    pair, lot = b.pairs[signal.pair], lot_of(b, signal.pair)
    action, quantity = r.EXIT_LONG if pair.direction == r.LONG else r.EXIT_SHORT, pair.quantity
    if quantity == 0.0 or bound(b, pair):
        return r.NONE, 0.0
    if not signal.target * pair.direction > 0.0:
        return action, quantity
    if np.isnan(signal.price):
        return r.NONE, 0.0
    wanted = worth(b, signal) * lot
    if not wanted < quantity or (stays(b, pair) and near(b, signal, wanted, quantity)):
        return r.NONE, 0.0
    if wanted > 0.0:
        quantity = lots_between(quantity, wanted, lot) * lot
    return action if quantity > 0.0 else r.NONE, quantity


@compiled
def bought(m: Tape, b: Book, signal: Any, t: int) -> tuple[int, int, float, int]:
    """The half among the entries, its action, reason, lots and flags: a position is opened, or one worth too little added to."""
    pair, lot = b.pairs[signal.pair], lot_of(b, signal.pair)
    direction = r.LONG if signal.target > 0.0 else r.SHORT
    action, adds = r.ENTER_LONG if direction == r.LONG else r.ENTER_SHORT, stays(b, pair)
    if adds and pair.direction != direction:
        return r.NONE, why.APPROVED, 0.0, r.NO_FLAGS
    reason = entry_reason(m, b, signal, direction, NO_LIMIT, t)
    if reason != why.APPROVED:
        return action, reason, 0.0, r.NO_FLAGS
    lots = worth(b, signal)
    if adds:
        if not lots * lot > pair.quantity or near(b, signal, lots * lot, pair.quantity):
            return r.NONE, why.APPROVED, 0.0, r.NO_FLAGS
        lots = lots_between(lots * lot, pair.quantity, lot)
    reason, lots, flags = limited(b, signal, lots, b.waiting, b.account[0].queued)
    return action, reason, lots, flags


@compiled
def worth(b: Book, signal: Any) -> float:
    """The lots that a weight of the equity pays for at the price seen, with their fee."""
    if not signal.price > 0.0:
        stop_run(b, r.BAD_PRICE, signal.pair)
        return 0.0
    limit = booked(max(abs(signal.target) * float(equity_of(b, signal.pair)), -1.0))
    return most_lots(b, signal.pair, signal.price, limit, r.VALUE_AND_FEE, MOST_LOTS) if limit > 0 else 0.0


@compiled
def near(b: Book, signal: Any, wanted: float, held: float) -> bool:
    """Whether what is held is worth what is wanted, but for the threshold."""
    limit = booked(max(b.rules[0].rebalance_threshold * float(equity_of(b, signal.pair)), -1.0))
    return abs(value_of(signal.price, wanted) - value_of(signal.price, held)) <= limit

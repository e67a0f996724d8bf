"""Compiled: money, and how much of it a quantity costs.

Place in the flow: the kernel's lowest part; decisions and fills ask here what they cost and what fits. Never changes a record,
never allocates, never calls Python, never reorders a float operation (no fastmath, no threads).

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
from backtester.trading.costs import MAX_MICRO
from backtester.trading.records import Book

Function = TypeVar("Function", bound=Callable[..., Any])
_PART: Any = functools.partial(njit, error_model="numpy", _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True)
compiled: Callable[[Function], Function] = _PART(forceinline=True)
apart: Callable[[Function], Function] = _PART(forceinline=False)
"""Mark a part of the kernel: merged into each place that calls it, or kept apart. Parts are compiled into the kernel, which alone
is cached; _nrt=False: nothing is counted or allocated."""

BEYOND = MAX_MICRO + 1
MOST_LOTS = 2.0**53
ENOUGH = 2 * MAX_MICRO
"""More than any account can pay: where sums of waiting amounts are cut, so that they cannot wrap around."""


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
def lot_of(b: Book, number: int) -> float:
    """The lot of a pair's symbol."""
    lot: float = b.instruments[b.pairs[number].symbol].lot
    return lot


@compiled
def purse_of(b: Book, number: int) -> int:
    """The row of a pair's purse, where strategies have purses of their own."""
    row: int = number // len(b.instruments)
    return row


@compiled
def equity_of(b: Book, number: int) -> int:
    """Cash and marks of a pair's purse."""
    equity: int = b.account[0].cash + b.account[0].marks
    if len(b.purses) > 0:
        purse = b.purses[purse_of(b, number)]
        equity = purse.cash + purse.marks
    return equity


@compiled
def gross_of(b: Book, number: int) -> int:
    """What the positions of a pair's purse are worth, without their signs."""
    gross: int = b.account[0].gross
    if len(b.purses) > 0:
        gross = b.purses[purse_of(b, number)].gross
    return gross


@compiled
def fee_of(b: Book, price: float, quantity: float) -> int:
    """The commission of one fill at the rates of the moment."""
    fee: int = fee_in(b, b.account[0].tier, price, quantity)
    return fee


@compiled
def fee_in(b: Book, number: int, price: float, quantity: float) -> int:
    """The commission of one fill at the rates of a tier; the cap wins over the minimum."""
    rules, tier = b.rules[0], b.tiers[number]
    fee = tier.per_share * quantity + (price * quantity) * tier.fee_bps / 10000.0
    fee = max(fee, rules.minimum)
    fee = min(fee, (price * quantity) * rules.cap_bps / 10000.0)
    return booked(fee * 1e6)


@compiled
def power(rules: Any, backing: int) -> int:
    """What may be held with so much equity behind it."""
    if rules.leverage == 1.0:
        return backing
    return int(np.rint(max(min(rules.leverage * float(backing), float(MAX_MICRO)), -float(MAX_MICRO))))


@compiled
def fits(b: Book, number: int, price: float, quantity: float, limit: int, measure: int) -> bool:
    """Whether a quantity costs no more than the limit, or than the pair's purse can carry."""
    cost = value_of(price, quantity)
    if measure == r.VALUE:
        return cost <= limit
    fee = fee_of(b, price, quantity)
    if measure == r.VALUE_AND_FEE:
        return cost + fee <= limit
    able: bool = gross_of(b, number) + cost <= power(b.rules[0], equity_of(b, number) - fee)
    return able


@apart
def most_lots(b: Book, number: int, price: float, limit: int, measure: int, most: float) -> float:
    """The most lots of a pair, up to `most`, that fit: a guess from above, steps down until one fits, then halving.

    `limit` is what the value at least must not exceed.
    """
    lot = lot_of(b, number)
    guess = (limit + 1.0) / (price * lot * 1e6) * (1.0 + 1e-12) + 2.0
    high: float = np.floor(min(guess, most))
    if not high < most:
        if fits(b, number, price, most * lot, limit, measure):
            return most
        high = most
    step, low = 1.0, high - 1.0
    while low > 0.0 and not fits(b, number, price, low * lot, limit, measure):
        step *= 2.0
        high, low = low, low - step
    low = max(low, 0.0)
    while high - low > 1.0:
        middle = np.floor((low + high) / 2.0)
        if fits(b, number, price, middle * lot, limit, measure):
            low = middle
        else:
            high = middle
    return low


@compiled
def lots_for(b: Book, number: int, price: float) -> float:
    """The most lots of a pair whose value, or value and fee, the config's sizing in money allows at a price."""
    rules = b.rules[0]
    if rules.sizing == r.NOTIONAL:
        return most_lots(b, number, price, rules.notional, r.VALUE, MOST_LOTS)
    limit = booked(max(rules.size * equity_of(b, number), -1.0))
    return most_lots(b, number, price, limit, r.VALUE_AND_FEE, MOST_LOTS) if limit > 0 else 0.0


@compiled
def room(b: Book, number: int) -> int:
    """What a new position's value at least must not exceed: the power of the pair's purse less what is held."""
    left: int = power(b.rules[0], equity_of(b, number)) - gross_of(b, number)
    return left

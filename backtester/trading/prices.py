"""Compiled: what a bar says of prices: those of its open and close, its mean, what a stop sees of it, what slippage makes of them.

Place in the flow: above book.py; whatever fills or follows a price asks here. Never changes a record, never allocates, never calls Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backtester.trading import records as r
from backtester.trading.money import compiled
from backtester.trading.records import Book, Tape


@compiled
def turned(sign: int, low: float, high: float) -> tuple[float, float]:
    """A bar's low and high, upside down where the sign is negative."""
    return (low, high) if sign > 0 else (-high, -low)


@compiled
def beyond(rules: Any, price: float, limit: float) -> bool:
    """Whether a price is better than a limit, or as good where a touch is enough; both for a buy."""
    return price < limit or (rules.touch and price == limit)


@compiled
def price_at(m: Tape, b: Book, s: int, t: int, side: int, at: int) -> tuple[float, int]:
    """The price before slippage at a bar's open or close, and its flags."""
    price = m.open[s, t] if at == r.AT_OPEN else m.close[s, t]
    if not b.rules[0].quote:
        return price, r.NO_FLAGS
    if m.ask_open.shape[1] > 0:
        if side == r.BUY:
            quote = m.ask_open[s, t] if at == r.AT_OPEN else m.ask_close[s, t]
        else:
            quote = m.bid_open[s, t] if at == r.AT_OPEN else m.bid_close[s, t]
        if not np.isnan(quote):
            return quote, r.NO_FLAGS
    return price, r.SYNTHETIC_QUOTE


@compiled
def mean_price(m: Tape, s: int, t: int) -> tuple[float, int]:
    """The bar's mean price, where the lake has one that lies in the bar; else its typical price, which the flags say."""
    if m.vwap.shape[1] > 0 and m.low[s, t] <= m.vwap[s, t] <= m.high[s, t]:
        return m.vwap[s, t], r.NO_FLAGS
    typical: float = (m.high[s, t] + m.low[s, t] + m.close[s, t]) / 3
    return typical, r.TYPICAL_PRICE


@compiled
def watched(m: Tape, b: Book, s: int, t: int, side: int) -> tuple[float, float, float, float, int]:
    """Open, high, low and close of the bar that a stop looks at, which buys or sells, and the flags of a fill in it."""
    if b.rules[0].watch == 0:
        return m.open[s, t], m.high[s, t], m.low[s, t], m.close[s, t], r.NO_FLAGS
    if m.ask_high.shape[1] > 0:
        if side == r.BUY:
            opened, high, low, close = m.ask_open[s, t], m.ask_high[s, t], m.ask_low[s, t], m.ask_close[s, t]
        else:
            opened, high, low, close = m.bid_open[s, t], m.bid_high[s, t], m.bid_low[s, t], m.bid_close[s, t]
        if not (np.isnan(opened) or np.isnan(high) or np.isnan(low) or np.isnan(close)):
            return opened, high, low, close, r.NO_FLAGS
    return m.open[s, t], m.high[s, t], m.low[s, t], m.close[s, t], r.SYNTHETIC_QUOTE


@compiled
def met(b: Book, side: int, stop: float, seen: float, close: float) -> float:
    """The price at which a stop fills that is met at the price seen, in a bar of this close: that one, or the worse of stop and close."""
    if b.rules[0].at_level:
        return seen
    return max(stop, close) if side == r.BUY else min(stop, close)


@compiled
def behind(price: float, sign: int, fraction: float, amount: float) -> float:
    """A level below a price, above it where the sign is negative, by an amount or else by a fraction of it; NaN where neither is given."""
    if np.isnan(amount):
        level: float = price * (1.0 - sign * fraction)
        return level
    level = price - sign * amount
    return level


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

"""Trades rebuilt from the table of fills alone: average prices, one fill after the other, a trade for each part that leaves.

Slow and obvious, for runs without splits. Never looks at the table of trades, nor at a bar.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


def in_lots(quantity: float, more: float, lot: float) -> float:
    """The sum of two quantities (the other below 0: a difference) as lots times the lot."""
    whole = round((quantity + more) / lot) * lot
    return whole if abs(whole - quantity - more) <= 1e-9 * lot + 1e-15 * (abs(quantity) + abs(more)) else quantity + more


@dataclass
class Held:
    """What is held by one strategy of one symbol, with value and fees of its entries in 1e-6 currency."""

    number: int
    sign: int
    begun: Any
    quantity: float = 0.0
    price: float = 0.0
    value: int = 0
    fees: int = 0


@dataclass(frozen=True)
class Trip:
    """One trade: a position, or a part of it; values and fees in 1e-6 currency, moments as the fills have them, None while open."""

    number: int
    strategy: str
    symbol: str
    sign: int
    begun: Any
    quantity: float
    entry_price: float
    entry_value: int
    fees: int
    exit_price: float | None = None
    exit_value: int = 0
    ended: Any = None
    order_id: int | None = None

    @property
    def pnl(self) -> int:
        """Of a closed trip, after fees and before borrow."""
        return self.sign * (self.exit_value - self.entry_value) - self.fees


@dataclass
class Book:
    """Positions by strategy and symbol, and the trips that have ended."""

    lots: Mapping[str, float]
    held: dict[tuple[str, str], Held] = field(default_factory=dict)
    closed: list[Trip] = field(default_factory=list)
    count: int = 0

    def next_number(self) -> int:
        self.count += 1
        return self.count

    def in_lots(self, symbol: str, quantity: float, more: float) -> float:
        return in_lots(quantity, more, self.lots.get(symbol, 1.0))

    def enter(self, fill: Mapping[str, Any], sign: int, value: int, fee: int) -> None:
        """A fill opens a position or adds to it."""
        key, more = (fill["strategy"], fill["symbol"]), fill["quantity"]
        if key not in self.held:
            self.held[key] = Held(self.next_number(), sign, fill["ts"])
        mine = self.held[key]
        mine.price = (mine.price * mine.quantity + fill["price"] * more) / (mine.quantity + more)
        mine.quantity = self.in_lots(fill["symbol"], mine.quantity, more)
        mine.value, mine.fees = mine.value + value, mine.fees + fee

    def leave(self, fill: Mapping[str, Any], mine: Held, value: int, fee: int) -> None:
        """A fill takes a position away, or a part of it with its share of value and fees."""
        key, less = (fill["strategy"], fill["symbol"]), fill["quantity"]
        whole = less == mine.quantity
        its_value, its_fees = (amount if whole else round(float(amount) * less / mine.quantity) for amount in (mine.value, mine.fees))
        self.closed.append(
            Trip(
                mine.number, *key, mine.sign, mine.begun, less, mine.price, its_value, its_fees + fee, fill["price"], value, fill["ts"],
                fill.get("order_id"),
            )
        )  # fmt: skip
        if whole:
            del self.held[key]
            return
        mine.quantity = self.in_lots(fill["symbol"], mine.quantity, -less)
        mine.value, mine.fees, mine.number = mine.value - its_value, mine.fees - its_fees, self.next_number()


def round_trips(fills: Iterable[Mapping[str, Any]], lots: Mapping[str, float] | None = None) -> tuple[list[Trip], list[Trip]]:
    """Closed trips in the order of closing, then those still open in the order of their numbers; `lots` of symbols, 1 if not given."""
    book = Book(lots or {})
    for fill in fills:
        sign = 1 if fill["side"] == "buy" else -1
        value, fee = round(fill["value"] * 1e6), round(fill["fee"] * 1e6)
        mine = book.held.get((fill["strategy"], fill["symbol"]))
        if mine is None or mine.sign == sign:
            book.enter(fill, sign, value, fee)
        else:
            book.leave(fill, mine, value, fee)
    still = [Trip(h.number, *key, h.sign, h.begun, h.quantity, h.price, h.value, h.fees) for key, h in book.held.items()]
    return book.closed, sorted(still, key=lambda trip: trip.number)


def differences(fills: list[dict[str, Any]], trades: list[dict[str, Any]], lots: Mapping[str, float] | None = None) -> list[str]:
    """Where the rows of the table of trades are not the trips of the fills; money to the last 1e-6."""
    closed, still = round_trips(fills, lots)
    if len(closed) + len(still) != len(trades):
        return [f"{len(closed)} closed and {len(still)} open, {len(trades)} in the table"]
    found = []
    for trip, row in zip([*closed, *still], trades, strict=True):
        is_open, borrow, received = trip.ended is None, round(row["borrow"] * 1e6), round(row["dividends"] * 1e6)
        pairs = {
            "trade_id": (trip.number, row["trade_id"]),
            "strategy": (trip.strategy, row["strategy"]),
            "symbol": (trip.symbol, row["symbol"]),
            "direction": ({1: "long", -1: "short"}[trip.sign], row["direction"]),
            "entry_ts": (trip.begun, row["entry_ts"]),
            "exit_ts": (trip.ended, row["exit_ts"]),
            "is_open": (is_open, row["is_open"]),
            "quantity": (trip.quantity, row["quantity"]),
            "fees": (trip.fees + borrow, round(row["fees"] * 1e6)),
            "entry_price": (trip.entry_price, row["entry_price"]),
        }
        if "order_id" in row:
            pairs["order_id"] = (trip.order_id, row["order_id"])
        mark = round(row["exit_price"] * row["quantity"] * 1e6)
        pnl = trip.sign * (mark - trip.entry_value) - trip.fees if is_open else trip.pnl
        pnl += received - borrow
        pairs["pnl"] = (pnl, round(row["pnl"] * 1e6))
        pairs["return"] = (pnl / 1e6 / (trip.entry_value / 1e6) if trip.entry_value else None, row["return"])
        if not is_open:
            pairs["exit_price"] = (trip.exit_price, row["exit_price"])
        found += [f"trade {trip.number}, {name}: {mine} and {its}" for name, (mine, its) in pairs.items() if not _same(mine, its)]
    return found


def _same(mine: Any, its: Any) -> bool:
    """Equal; floats to 1e-9, for an average price is a quotient."""
    return math.isclose(mine, its, rel_tol=1e-9) if isinstance(mine, float) and isinstance(its, float) else bool(mine == its)

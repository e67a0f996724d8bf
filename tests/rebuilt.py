"""Round trips rebuilt from the table of fills alone: average prices, one fill after the other, long and short, partial exits allowed.

Slow and obvious, for runs without splits. Never looks at the table of trades, nor at a bar.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass
class Trip:
    """One round trip; values and fees in 1e-6 currency, moments as the fills have them."""

    number: int
    strategy: str
    symbol: str
    sign: int
    begun: Any
    held: float = 0.0
    bought: float = 0.0  # shares of all entries, whichever the direction
    paid: float = 0.0  # their price x shares
    sold: float = 0.0
    got: float = 0.0
    entry_value: int = 0
    exit_value: int = 0
    fees: int = 0
    ended: Any = None

    @property
    def entry_price(self) -> float:
        """Average over the shares of all entries."""
        return self.paid / self.bought

    @property
    def exit_price(self) -> float:
        """Average over the shares of all exits."""
        return self.got / self.sold

    @property
    def pnl(self) -> int:
        """Of a closed trip, after fees and before borrow."""
        return self.sign * (self.exit_value - self.entry_value) - self.fees


def round_trips(fills: Iterable[Mapping[str, Any]]) -> tuple[list[Trip], list[Trip]]:
    """Closed trips in the order of closing, then those still open in the order of entry."""
    held: dict[tuple[str, str], Trip] = {}
    closed: list[Trip] = []
    count = 0
    for fill in fills:
        key, sign = (fill["strategy"], fill["symbol"]), 1 if fill["side"] == "buy" else -1
        left, value, fee = fill["quantity"], round(fill["value"] * 1e6), round(fill["fee"] * 1e6)
        trip = held.get(key)
        if trip is not None and trip.sign != sign:
            part = min(left, trip.held)
            share = part / left
            trip.held, trip.sold, trip.got = trip.held - part, trip.sold + part, trip.got + fill["price"] * part
            trip.exit_value, trip.fees = trip.exit_value + round(value * share), trip.fees + round(fee * share)
            left, value, fee = left - part, value - round(value * share), fee - round(fee * share)
            if trip.held == 0:
                trip.ended = fill["ts"]
                closed.append(held.pop(key))
        if left > 0:
            if key not in held:
                count += 1
                held[key] = Trip(count, *key, sign, fill["ts"])
            trip = held[key]
            trip.held, trip.bought, trip.paid = trip.held + left, trip.bought + left, trip.paid + fill["price"] * left
            trip.entry_value, trip.fees = trip.entry_value + value, trip.fees + fee
    return closed, sorted(held.values(), key=lambda trip: trip.number)


def differences(fills: list[dict[str, Any]], trades: list[dict[str, Any]]) -> list[str]:
    """Where the rows of the table of trades are not the trips of the fills; money to the last 1e-6."""
    closed, still = round_trips(fills)
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
            "quantity": (trip.held if is_open else trip.bought, row["quantity"]),
            "fees": (trip.fees + borrow, round(row["fees"] * 1e6)),
            "entry_price": (trip.entry_price, row["entry_price"]),
        }
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

"""When a price meets a level, said once for both sides: a sale's levels are a purchase's in the mirror. Knows no order."""

from __future__ import annotations

from tests.scene import Bar


def reaches(price: float, limit: float, side: str, touch: bool) -> bool:
    """The price is better than the limit (or as good, where a touch is enough): lower for a buy, higher for a sale."""
    better = price < limit if side == "buy" else price > limit
    return better or (touch and price == limit)


def triggers(price: float, stop: float, side: str) -> bool:
    """The price is at the stop or worse: at or above it for a buy, at or below it for a sale."""
    return price >= stop if side == "buy" else price <= stop


def worse(side: str, *prices: float) -> float:
    """The price that is worst for the side."""
    return max(prices) if side == "buy" else min(prices)


def best(bar: Bar, side: str) -> float:
    """The bar's price that reaches a limit first."""
    return bar.low if side == "buy" else bar.high


def worst(bar: Bar, side: str) -> float:
    """The bar's price that triggers a stop first."""
    return bar.high if side == "buy" else bar.low

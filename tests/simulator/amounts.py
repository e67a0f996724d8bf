"""Money and lots: what a fill is worth, what it costs, and the most lots that something allows. Knows no account."""

from __future__ import annotations

from collections.abc import Callable

from tests.scene import Rules

MOST_LOTS = 2**53


def money(amount: float) -> int:
    """Currency to 1e-6 currency, half to even."""
    return round(amount * 1e6)


def value_of(price: float, quantity: float) -> int:
    """Value of a quantity at a price, as money."""
    return round(price * quantity * 1e6)


def fee_of(rules: Rules, price: float, quantity: float, moved: float = 0.0) -> int:
    """Commission of one fill, as money; `moved` are the shares that fills before it have moved in its month."""
    per_share, bps = rules.per_share, rules.fee_bps
    for above, its_per_share, its_bps in rules.tiers:
        if moved > above:
            per_share, bps = its_per_share, its_bps
    fee = per_share * quantity + (price * quantity) * bps / 10000.0
    fee = max(fee, rules.minimum)
    if rules.cap_bps is not None:
        fee = min(fee, (price * quantity) * rules.cap_bps / 10000.0)
    return round(fee * 1e6)


def most_lots(lot: float, fits: Callable[[float], bool]) -> int:
    """The most lots whose quantity fits, by halving; what does not fit does not fit with more either."""
    most, too_many = 0, MOST_LOTS + 1
    while too_many - most > 1:
        middle = (most + too_many) // 2
        if fits(middle * lot):
            most = middle
        else:
            too_many = middle
    return most

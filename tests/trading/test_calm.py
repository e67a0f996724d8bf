"""Slots that are passed by are as if they had been gone through: beside the same run in which every slot has a signal of no effect."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.trading.tiny import Bar, Wish, buy, cover, market, play, sell, short

SLOTS, SESSIONS = 120, 3


def walk(seed: int, missing: float = 0.0) -> list[list[Bar]]:
    """Sessions of bars of a price that wanders about 100 in cents; some bars missing, some without volume."""
    draw = np.random.default_rng(seed)
    close = 100.0 + np.cumsum(draw.integers(-12, 13, SLOTS * SESSIONS)) / 100.0
    bars: list[Bar] = []
    for before, last in zip([100.0, *close[:-1].tolist()], close.tolist(), strict=True):
        low, high = min(before, last) - draw.integers(0, 5) / 100.0, max(before, last) + draw.integers(0, 5) / 100.0
        gone, volume = draw.random() < missing, float(draw.random() >= missing)
        bars.append(None if gone else (before, high, low, last, volume * 1000.0))
    return [bars[k : k + SLOTS] for k in range(0, len(bars), SLOTS)]


def wishes(**given: Any) -> list[Wish]:
    """Entries and exits of two symbols far apart."""
    return [
        buy(3, "A", **given), short(5, "B", **given), sell(90, "A"), cover(100, "B"), short(130, "A", **given), buy(140, "B", **given),
        cover(200, "A"), sell(210, "B"), buy(250, "A", **given), buy(260, "B", **given),
    ]  # fmt: skip


@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ({}, {"stop_loss": 0.004, "take_profit": 0.006}),
        ({}, {"stop_loss": 0.05}),
        ({}, {"trailing_stop": 0.006, "take_profit": 0.01}),
        ({}, {"trailing_amount": 0.7, "stop_loss": 0.004}),
        ({}, {"stop_loss": 0.01, "max_hold_bars": 17}),
        ({}, {"stop_loss": 0.01, "max_hold_minutes": 25.0, "fill": "same_close"}),
        ({}, {"stop_loss": 0.01, "flat_at_close": True}),
        ({}, {"stop_loss": 0.02, "time_in_force": "day", "fill": "next_close"}),
        ({}, {"scale_out": ({"take_profit": 0.003, "fraction": 0.5}, {"take_profit": 0.006, "fraction": 0.5}), "stop_loss": 0.01}),
        ({"limit": 99.7}, {"stop_loss": 0.006, "take_profit": 0.006}),
        ({"entry_stop": 100.4}, {"stop_loss": 0.006, "time_in_force": "day"}),
        ({"entry_stop": 100.4, "limit": 100.3}, {"trailing_stop": 0.005, "limit_fill": "touch"}),
        ({"entry_trail_amount": 0.4}, {"trailing_stop": 0.005}),
        ({"limit": 99.7}, {"stop_loss": 0.006, "max_participation": 0.05, "intrabar": "optimistic"}),
    ],
)
def test_what_is_passed_by_changes_nothing(given: dict[str, float], settings: dict[str, Any], missing: float) -> None:
    bars = {"A": walk(1, missing), "B": walk(2, missing), "C": walk(3)}
    own = [Wish(wish.t, wish.action, wish.symbol, wish.strategy, wish.tag, {"price": 100.0} | wish.given) for wish in wishes(**given)]
    nothing = [sell(t, "C", price=100.0) for t in range(SLOTS * SESSIONS)]
    calm, busy = (play(market(bars), some, account={"allow_short": True}, **settings) for some in (own, own + nothing))
    assert len(calm.rows("fills")) > 3
    for table in ("fills", "orders", "trades", "equity"):
        assert calm.frames[table].equals(busy.frames[table]), table

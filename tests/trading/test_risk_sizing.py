"""Sizing by risk: as many shares as lose a hundredth of 100,000 between the price seen, 100, and the stop."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trading.tiny import Played, buy, market, play, short

BARS = market({"A": [[100.0] * 3]})


def sized(enter: Any = buy, given: dict[str, float] | None = None, value: float = 0.01, **settings: Any) -> Played:
    return play(
        BARS, [enter(0, **(given or {}))], account={"allow_short": True}, sizing={"type": "risk_fraction", "value": value}, **settings
    )


@pytest.mark.parametrize(
    ("given", "settings", "shares"),
    [
        ({"stop_price": 96.0}, {}, 250.0),
        ({"stop_price": 97.0}, {}, 333.0),
        ({"stop_loss": 0.0625}, {}, 160.0),
        ({}, {"stop_loss": 0.125}, 80.0),
        ({"stop_loss": 0.25}, {"stop_loss": 0.125}, 40.0),
        ({"trailing_amount": 8.0}, {}, 125.0),
        ({"trailing_stop": 0.125}, {}, 80.0),
        ({}, {"trailing_amount": 2.0}, 500.0),
        ({"stop_price": 96.0}, {"trailing_amount": 2.0}, 500.0),
        ({"stop_price": 96.0}, {"trailing_amount": 8.0}, 250.0),
        ({"stop_price": 96.0, "size": 7.0}, {}, 7.0),
        ({"size": 7.0}, {}, 7.0),
    ],
)
def test_the_size_follows_from_the_distance_of_the_nearer_stop(given: dict[str, float], settings: dict[str, Any], shares: float):
    """1,000 / 4 = 250; 1,000 / 3 = 333.3; and so on; a short's stop lies as far above."""
    assert sized(given=given, **settings).column("decisions", "quantity") == [shares]
    mirrored = {name: 200.0 - level if name == "stop_price" else level for name, level in given.items()}
    assert sized(short, mirrored, **settings).column("decisions", "quantity") == [shares]


@pytest.mark.parametrize("given", [{}, {"stop_price": 100.0}, {"target_price": 120.0}])
def test_without_a_stop_there_is_no_size(given: dict[str, float]):
    run = sized(given=given)
    assert (run.reasons(), run.column("decisions", "quantity"), run.orders()) == (["no_stop"], [0.0], [])


def test_limits_and_lots_apply_as_ever():
    """25,000 at most is 250 shares of 500; a lot of 300 fits once into 333; one of 400 not at all."""
    assert sized(given={"stop_price": 98.0}, risk={"max_per_trade": 25_000.0}).column("decisions", "quantity") == [250.0]
    assert sized(given={"stop_price": 97.0}, lot=300.0).column("decisions", "quantity") == [300.0]
    assert sized(given={"stop_price": 97.0}, lot=400.0).reasons() == ["below_lot"]
    assert sized(given={"stop_price": 99.5}).reasons() == ["insufficient_cash"]

"""Lean's SetHoldingsRegressionAlgorithm: four weights, one after the other, on the first bar. No config can say that; a scene can.

Figures of Lean on the minute bars and quotes of SPY in its own Data folder, 2013-10-07 and 08, prices times the factor file's 0.8646266:
four orders, fees 5.41, end equity 98822.71.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from tests.answers.lean_slots import slots_of
from tests.properties.engine import play
from tests.scene import Rules, Scene, Signal
from tests.simulator import simulate

DAYS = (dt.date(2013, 10, 7), dt.date(2013, 10, 8))
SLACK = 0.9975
"""Lean keeps a quarter of a percent of the equity back."""


@pytest.fixture(scope="module")
def weighed(lean_raw: Path) -> Scene:
    slots = slots_of(lean_raw, DAYS)
    seen = slots[0].bars["SPY"].close
    signals = [Signal(0, "s", "SPY", "target", seen, target=weight * SLACK) for weight in (0.1, 0.2, 0.3, 1.0)]
    rules = Rules(fill="same_close", price="quote", per_share=0.005, minimum=1.0, cap_bps=100.0)
    return Scene(("SPY",), ("s",), tuple(slots), tuple(signals), rules)


def test_weights_one_after_the_other_end_as_in_lean(weighed: Scene) -> None:
    got = play(weighed)
    assert len(weighed.slots) == 780
    assert got["fills"].height == 4
    assert round(got["fills"]["fee"].sum(), 2) == 5.41
    assert round(got["equity"]["equity"][-1], 2) == 98822.71


def test_the_slow_simulator_ends_as_lean_too(weighed: Scene) -> None:
    result = simulate(weighed)
    assert len(result.fills) == 4
    assert round(sum(fill["fee"] for fill in result.fills) / 1e6, 2) == 5.41
    assert round(result.equity[-1]["equity"] / 1e6, 2) == 98822.71

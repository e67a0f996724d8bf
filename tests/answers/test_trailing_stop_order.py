"""Lean's TrailingStopOrderRegressionAlgorithm through the slow simulator; test_parity.py runs it through the engine.

Figures of Lean on the minute bars and quotes of SPY in its own Data folder, 2013-10-07 to 11, prices times the factor file's 0.8646266:
two orders of 100 shares, fees 2.00, end equity 100023.22.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from tests.answers.lean_slots import micros, slots_of
from tests.scene import Rules, Scene, Signal
from tests.simulator import simulate

DAYS = tuple(dt.date(2013, 10, day) for day in (7, 8, 9, 10, 11))


def test_an_entry_and_an_exit_that_trail_end_as_in_lean(lean_raw: Path) -> None:
    slots = slots_of(lean_raw, DAYS)
    signal = Signal(0, "s", "SPY", "enter_long", slots[0].bars["SPY"].close, entry_trail_amount=2.0)
    rules = Rules(stop_watch="quote", stop_fill="close", trailing_amount=0.5, per_share=0.005, minimum=1.0, cap_bps=100.0)
    result = simulate(Scene(("SPY",), ("s",), tuple(slots), (signal,), rules))
    bought, sold = result.fills
    # By hand: bought at the ask's close of the 10th, 09:30 in New York, sold at the level of 11:08: 25.22 less two fees of 1.00.
    assert (slots[bought["t"]].start, round(bought["price"], 5)) == (micros(DAYS[3], 13, 30), 144.65203)
    assert (slots[sold["t"]].start, round(sold["price"], 5)) == (micros(DAYS[3], 15, 8), 144.90426)
    assert [fill["fee"] for fill in result.fills] == [1_000_000, 1_000_000]
    assert round(result.equity[-1]["equity"] / 1e6, 2) == 100023.22

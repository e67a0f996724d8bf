"""The slow simulator where costs depend on the symbol, the month or the bar's volume: literal bars, sums done by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.scene import Result
from tests.simulator import Stopped, simulate
from tests.tiny import MINUTE, buy, fills, flat, reasons, scene, sell

DAY = 1440 * MINUTE
TIERS = ((150.0, 0.03, 0.0), (250.0, 0.01, 1.0))


def test_a_symbol_has_a_lot_and_a_tick_of_its_own():
    own = {"instruments": {"A": (30.0, 0.5)}, "lot": 1.0, "tick": 0.25, "slippage_ticks": 2.0}
    assert fills(simulate(scene([flat(100.0)] * 2, signals=[buy(0)], **own))) == [(1, "market", 90.0, 101.0)]
    half = {**own, "instruments": {"A": (None, 0.5)}}
    assert fills(simulate(scene([flat(100.0)] * 2, signals=[buy(0)], **half))) == [(1, "market", 100.0, 101.0)]
    other = {**own, "instruments": {"B": (30.0, 0.5)}}
    assert fills(simulate(scene([flat(100.0)] * 2, signals=[buy(0)], **other))) == [(1, "market", 100.0, 100.5)]


def test_impact_grows_with_the_root_of_the_part_of_the_bars_volume():
    # 100 of 400 is a quarter, its root a half: half of 1 percent of 100 is 0.5
    rows = [flat(100.0), flat(100.0, 400.0), flat(100.0, 10_000.0)]
    result = simulate(scene(rows, signals=[buy(0), sell(1)], impact_bps=100.0))
    assert fills(result) == [(1, "market", 100.0, 100.5), (2, "market", 100.0, 99.9)]
    assert [fill["slippage"] for fill in result.fills] == [50_000_000, 10_000_000]


def test_the_impact_of_an_entry_that_is_cut_is_that_of_the_whole_order():
    # 100 wanted of 400: the price is 100.5, at which 10,040 pays for 99 lots
    result = simulate(scene([flat(100.0), flat(100.0, 400.0)], signals=[buy(0)], impact_bps=100.0, cash=10_040.0))
    assert fills(result) == [(1, "market", 99.0, 100.5)]


def test_a_price_at_which_impact_leaves_nothing_stops_the_run():
    with pytest.raises(Stopped):
        simulate(scene([flat(100.0), flat(100.0, 1e6), flat(100.0, 1.0)], signals=[buy(0), sell(1)], impact_bps=1000.0))


def in_october(*, month_later: bool) -> Result:
    """Bought and sold 100 three times, two sessions of it: the second from 1 November on, or from 31 October."""
    rows = [flat(100.0)] * 4
    signals = [buy(0), sell(1), buy(2), sell(4), buy(5), sell(6)]
    made = scene(rows, rows, signals=signals, per_share=0.05, tiers=TIERS)
    days = 20_026, 20_028 if month_later else 20_027  # 2024-10-30; 2024-11-01, 2024-10-31
    moved = [replace(slot, start=days[slot.session] * DAY + k * MINUTE, end=days[slot.session] * DAY + (k + 1) * MINUTE)
             for k, slot in enumerate(made.slots)]  # fmt: skip
    return simulate(replace(made, slots=tuple(moved)))


def test_a_tier_pays_for_fills_after_what_its_month_has_moved():
    # fills of 100: after 0 and 100 the commission's 0.05, after 200 the tier of 150, after 300 and more that of 250 (1 and 1 bps)
    fees = [fill["fee"] / 1e6 for fill in in_october(month_later=False).fills]
    assert fees == [5.0, 5.0, 3.0, 2.0, 2.0, 2.0]
    assert [fill["fee"] / 1e6 for fill in in_october(month_later=True).fills] == [5.0, 5.0, 3.0, 5.0, 5.0, 3.0]


def test_a_size_pays_the_rates_of_its_moment():
    # 200 shares at 0.1 leave 9,995 of 10,015 and the tier of 0.03: 97 x 103 + 2.91 = 9,993.91 fit, with 0.1 a share they would not
    rows = [flat(100.0)] * 3 + [flat(103.0)] * 2
    signals = [buy(0, size=100.0), sell(1), buy(3, price=103.0)]
    start = {"cash": 10_015.0, "sizing": "equity_fraction", "value": 1.0, "per_share": 0.1}
    result = simulate(scene(rows, signals=signals, tiers=((150.0, 0.03, 0.0),), **start))
    assert reasons(result) == ["approved"] * 3
    assert fills(result)[2] == (4, "market", 97.0, 103.0)
    assert result.fills[2]["fee"] == 2_910_000

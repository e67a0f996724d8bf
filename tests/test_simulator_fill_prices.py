"""The slow simulator where orders fill at a bar's mean price, or are sized as they fill: literal bars, sums done by hand."""

from __future__ import annotations

import pytest

from tests.scene import Result, Scene
from tests.simulator import simulate
from tests.tiny import Row, buy, fills, flat, reasons, scene, sell, states

SPREAD = (100.0, 108.0, 96.0, 102.0, 50.0)  # typical price (108 + 96 + 102) / 3 = 102


def at_mean(row: Row, vwap: float | None, **more: object) -> Result:
    """Bought on the bar after the first."""
    return simulate(scene([flat(100.0), (*row, vwap)], signals=[buy(0, **more)], fill="next_vwap"))


def test_next_vwap_fills_at_the_bars_mean_price_weighted_by_volume():
    result = at_mean(SPREAD, 101.5)
    assert (fills(result), result.fills[0]["flags"]) == ([(1, "market", 100.0, 101.5)], [])
    assert result.equity[-1]["net"] == 10_200_000_000  # marked at the close


@pytest.mark.parametrize("vwap", [None, 95.99, 108.01])
def test_a_mean_price_that_is_not_known_or_outside_of_its_bar_is_the_typical_price(vwap: float | None):
    result = at_mean(SPREAD, vwap)
    assert (fills(result), result.fills[0]["flags"]) == ([(1, "market", 100.0, 102.0)], ["typical_price"])


def test_a_mean_price_at_the_edge_of_its_bar_is_one():
    assert [fills(at_mean(SPREAD, vwap))[0][3] for vwap in (96.0, 108.0)] == [96.0, 108.0]


def test_a_fill_at_the_mean_price_counts_as_one_at_the_close():
    # the stop, below the whole bar's range above 96, first looks at the next bar; only that is seen
    rows = [flat(100.0), (*SPREAD, 101.0), (100.0, 104.0, 99.0, 103.0, 50.0), flat(103.0)]
    result = simulate(scene(rows, signals=[buy(0, stop_price=97.0), sell(2)], fill="next_vwap"))
    assert [(f[0], f[1]) for f in fills(result)] == [(1, "market"), (3, "market")]
    (trade,) = result.trades
    assert (trade["mae"], trade["mfe"]) == (99.0 / 101.0 - 1.0, 104.0 / 101.0 - 1.0)


def test_an_order_on_the_close_fills_at_the_close_and_a_resting_one_at_its_level_with_next_vwap_too():
    rows = [flat(100.0), (*SPREAD, 101.0)]
    on_close = simulate(scene(rows, signals=[buy(0, on_close=True)], fill="next_vwap"))
    resting = simulate(scene(rows, signals=[buy(0, limit=99.0)], fill="next_vwap"))
    assert (fills(on_close), fills(resting)) == ([(1, "market_on_close", 100.0, 102.0)], [(1, "limit", 100.0, 99.0)])


def sized(rows: list[Row], *signals: object, **rules: object) -> Scene:
    return scene(rows, signals=list(signals), size_at="fill", **rules)


def test_a_size_at_the_fill_is_worked_out_at_the_price_after_slippage():
    # decided: 1,000 / 100 = 10 lots; filled at 120 x 1.01 = 121.2: 8 lots are 969.6
    result = simulate(sized([flat(100.0), flat(120.0)], buy(0), sizing="notional", value=1000.0, slippage_bps=100.0))
    assert fills(result) == [(1, "market", 8.0, 120.0 * 1.01)]
    assert (states(result), result.orders[0].quantity, result.decisions[0]["quantity"]) == ([("market", "filled", "")], 8.0, 8.0)


def test_a_size_at_the_fill_may_grow_and_takes_the_equity_of_its_moment_and_the_fee():
    # half of 10,000 at 50 and a fee of 1 a share: 5,000 / 51 = 98 lots (4,998); decided at 100: 49
    result = simulate(sized([flat(100.0), flat(50.0)], buy(0), cash=10_000.0, sizing="equity_fraction", value=0.5, per_share=1.0))
    assert fills(result) == [(1, "market", 98.0, 50.0)]


def test_a_size_at_the_fill_that_is_no_lot_is_cancelled():
    result = simulate(sized([flat(100.0), flat(120.0)], buy(0), sizing="notional", value=110.0))
    assert (fills(result), states(result), reasons(result)) == ([], [("market", "cancelled", "below_lot")], ["below_lot"])
    assert result.decisions[0]["quantity"] == 1.0


def test_a_size_at_the_fill_is_cut_to_max_per_trade():
    rules = {"sizing": "notional", "value": 1000.0, "max_per_trade": 600.0}
    result = simulate(sized([flat(100.0), flat(50.0)], buy(0), **rules))
    assert (fills(result), reasons(result)) == ([(1, "market", 12.0, 50.0)], ["max_per_trade"])


def test_a_size_that_the_signal_gives_stays():
    given = simulate(sized([flat(100.0), flat(50.0)], buy(0, size=3.0), sizing="notional", value=1000.0))
    assert fills(given) == [(1, "market", 3.0, 50.0)]


def test_impact_is_of_the_size_at_the_fill_and_does_not_make_it():
    # sized at 100 without impact: 10,000 / 100 = 100 lots of a volume of 10,000: the root of 1 percent is 0.1, of 100 bps 0.1
    result = simulate(sized([flat(200.0), flat(100.0, 10_000.0)], buy(0, 200.0), sizing="notional", value=10_000.0, impact_bps=100.0))
    assert fills(result) == [(1, "market", 100.0, 100.1)]


def test_a_size_at_the_fill_of_all_equity_fits_and_one_raised_by_impact_is_cut():
    whole = simulate(sized([flat(100.0), flat(110.0)], buy(0), cash=1000.0, sizing="equity_fraction", value=1.0))
    assert (fills(whole), states(whole)) == ([(1, "market", 9.0, 110.0)], [("market", "filled", "")])
    # 10 lots at 100, filled at 100 x (1 + 0.01 x root of 10 / 10) = 101: 9 fit
    cut = simulate(sized([flat(100.0), flat(100.0, 10.0)], buy(0), cash=1000.0, sizing="equity_fraction", value=1.0, impact_bps=100.0))
    assert (fills(cut), states(cut)) == ([(1, "market", 9.0, 101.0)], [("market", "partial", "insufficient_cash")])


def test_a_size_at_the_fill_holds_for_orders_that_rest():
    result = simulate(sized([flat(100.0), (100.0, 100.0, 79.0, 90.0)], buy(0, limit=80.0), sizing="notional", value=1000.0))
    assert fills(result) == [(1, "limit", 12.0, 80.0)]

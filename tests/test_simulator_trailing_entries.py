"""The slow simulator where an entry waits behind the price: literal bars, answers found by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.scene import Action
from tests.simulator import simulate
from tests.tiny import buy, fills, flat, reasons, scene, sell, short, states

FALL = [flat(100.0), (100.0, 100.0, 96.0, 97.0), (97.0, 97.0, 94.0, 94.0)]


def test_a_trailing_entry_follows_the_lows_down_and_buys_when_the_price_turns():
    # 100 + 2; low 96: 98; low 94: 96, which the open of 95 is below and the high of 97 above
    rows = [*FALL, (95.0, 97.0, 94.5, 95.0)]
    result = simulate(scene(rows, signals=[buy(0, entry_trail_amount=2.0)]))
    assert fills(result) == [(3, "trailing", 100.0, 96.0)]
    (order,) = result.orders
    assert (order.role, order.side, order.stop, order.limit, order.seen) == ("entry", "buy", 96.0, None, 100.0)


def test_a_trailing_entry_by_a_fraction_is_met_at_the_open_of_a_gap():
    # low 94: 94 * (1 + 1/16) = 99.875; the open of 101 is beyond
    result = simulate(scene([*FALL, flat(101.0)], signals=[buy(0, entry_trail=0.0625)]))
    assert fills(result) == [(3, "trailing", 100.0, 101.0)]
    assert result.orders[0].stop == 94.0 * 1.0625


def test_a_short_waits_below_a_rising_price():
    # 100 - 2; high 104: 102; 108: 106
    rows = [flat(100.0), (100.0, 104.0, 100.0, 103.0), (103.0, 108.0, 103.0, 108.0), (107.0, 107.0, 105.0, 105.0)]
    result = simulate(scene(rows, signals=[short(0, entry_trail_amount=2.0)], allow_short=True))
    assert fills(result) == [(3, "trailing", 100.0, 106.0)]


def test_the_amount_wins_over_the_fraction_and_the_level_never_moves_away():
    rows = [flat(100.0), (100.0, 102.9, 100.0, 102.0), (102.0, 102.9, 102.0, 102.0)]
    result = simulate(scene(rows, signals=[buy(0, entry_trail=0.01, entry_trail_amount=3.0)]))
    assert (fills(result), result.orders[0].stop) == ([], 103.0)


def test_the_bar_of_the_signal_is_not_followed_and_one_without_volume_is():
    # the signal's own bar fell to 90 before it closed at 100; then a bar that no one traded in falls to 95
    rows = [(100.0, 100.0, 90.0, 100.0), flat(100.0), (95.0, 95.0, 95.0, 95.0, 0.0), (96.0, 97.0, 96.0, 96.0)]
    result = simulate(scene(rows, signals=[buy(0, entry_trail_amount=2.0)]))
    assert fills(result) == [(3, "trailing", 100.0, 97.0)]


def test_the_level_of_a_bar_is_the_one_known_before_it():
    # the bar falls to 90 and rises to 101: 102 is not met, and 92 is the next bar's level
    result = simulate(scene([flat(100.0), (100.0, 101.0, 90.0, 100.0), flat(91.0), flat(93.0)], signals=[buy(0, entry_trail_amount=2.0)]))
    assert fills(result) == [(3, "trailing", 100.0, 93.0)]


def test_a_trailing_entry_that_its_position_holds_back_goes_on_trailing():
    rows = [flat(90.0), flat(90.0), (90.0, 90.0, 80.0, 82.0), (82.0, 96.0, 82.0, 90.0), flat(85.0)]
    signals = [buy(0), sell(1, limit=95.75), buy(1, entry_trail_amount=3.0)]
    result = simulate(scene(rows, signals=signals))
    # sold inside slot 3, at whose open the entry could not look; the low of 80 has left 83, and slot 4 opens beyond it
    assert fills(result)[1:] == [(3, "limit", 100.0, 95.75), (4, "trailing", 100.0, 85.0)]
    assert result.orders[-1].stop == 83.0


def test_slippage_is_paid_and_the_stop_of_the_new_position_looks_at_the_rest_of_the_bar():
    rows = [flat(100.0), (100.0, 103.0, 97.0, 98.0)]
    slipped = simulate(scene(rows, signals=[buy(0, entry_trail_amount=2.0)], slippage_bps=100.0))
    assert [fill["price"] for fill in slipped.fills] == [102.0 * 1.01]
    stopped = simulate(scene(rows, signals=[buy(0, entry_trail_amount=2.0, trailing_amount=4.0)]))
    assert fills(stopped) == [(1, "trailing", 100.0, 102.0), (1, "trailing", 100.0, 98.0)]
    assert ([fill["ambiguous"] for fill in stopped.fills], stopped.trades[0]["exit_reason"]) == ([False, True], "trailing")


def test_it_expires_with_the_day_and_waits_beyond_the_end():
    day = simulate(scene([flat(100.0)] * 2, [flat(110.0)], signals=[buy(0, entry_trail_amount=5.0)], time_in_force="day"))
    gtc = simulate(scene([flat(100.0)] * 2, [flat(110.0)], signals=[buy(0, entry_trail_amount=5.0)]))
    never = simulate(scene([flat(100.0)] * 2, signals=[buy(0, entry_trail_amount=5.0)]))
    assert (reasons(day), states(day)) == (["expired"], [("trailing", "expired", "expired")])
    assert (fills(gtc), reasons(never)) == ([(2, "trailing", 100.0, 110.0)], ["no_bar_to_fill"])


def test_a_split_divides_level_and_amount():
    made = scene(
        [flat(100.0), flat(96.0)], [None], [flat(47.0), flat(46.0), (46.0, 49.0, 46.0, 48.0)], signals=[buy(0, entry_trail_amount=4.0)]
    )
    result = simulate(replace(made, actions=(Action("A", 1, "split", 2.0),)))
    # 104, then 96 + 4 = 100; halved 50 and 2; 47 + 2 = 49 and 46 + 2 = 48
    assert fills(result) == [(5, "trailing", 200.0, 48.0)]


def test_what_is_left_of_a_trailing_entry_works_on_at_the_market_and_trails_no_more():
    rows = [flat(100.0, 120.0), (100.0, 103.0, 99.0, 99.0, 120.0), flat(90.0, 120.0)]
    result = simulate(scene(rows, signals=[buy(0, entry_trail_amount=2.0)], max_participation=0.5))
    assert fills(result) == [(1, "trailing", 60.0, 102.0), (2, "trailing", 40.0, 90.0)]
    assert result.orders[0].stop == 102.0
    unlucky = simulate(scene([*rows[:1], (100.0, 103.0, 90.0, 99.0, 1.0), flat(95.0, 0.0), flat(96.0)], max_participation=1.0,
                             lot=2.0, signals=[buy(0, entry_trail_amount=2.0, size=2.0)]))  # fmt: skip
    assert (fills(unlucky), unlucky.orders[0].stop) == ([], 102.0)


def test_weights_and_exits_do_not_look_at_it():
    weight = replace(buy(0, entry_trail=0.5), action="target", target=0.5)
    assert fills(simulate(scene([flat(100.0)] * 2, signals=[weight]))) == [(1, "market", 500.0, 100.0)]
    result = simulate(scene([flat(100.0)] * 3, signals=[buy(0), sell(1, entry_trail_amount=1.0)]))
    assert fills(result)[1] == (2, "market", 100.0, 100.0)


@pytest.mark.parametrize("fill", ["next_open", "next_close", "same_close"])
def test_it_waits_whatever_the_fill(fill: str):
    result = simulate(scene([flat(100.0), (100.0, 102.0, 99.0, 101.0)], signals=[buy(0, entry_trail=0.02)], fill=fill))
    assert fills(result) == [(1, "trailing", 100.0, 102.0)]

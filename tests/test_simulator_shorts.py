"""The slow simulator where it sells short, borrows and reverses: literal bars, sums done by hand."""

from __future__ import annotations

import pytest

from tests.simulator import simulate
from tests.tiny import buy, cover, fills, flat, reasons, scene, sell, short, states

LEVELS = {"stop_price": 110.0, "target_price": 90.0}


def test_a_short_earns_the_fall_and_equity_counts_it_below_zero():
    result = simulate(
        scene([flat(100.0), flat(100.0), flat(95.0), flat(90.0)], signals=[short(0), cover(2)], allow_short=True, per_share=0.01)
    )
    assert fills(result) == [(1, "market", 100.0, 100.0), (3, "market", 100.0, 90.0)]
    assert [fill["order"].side for fill in result.fills] == ["sell", "buy"]
    assert result.equity[2] == {"t": 2, "cash": 109_999_000_000, "equity": 100_499_000_000, "gross": 9_500_000_000, "net": -9_500_000_000}
    (trade,) = result.trades
    assert (trade["direction"], trade["pnl"], trade["fees"], trade["return"]) == ("short", 998_000_000, 2_000_000, 0.0998)
    assert (trade["mae"], trade["mfe"]) == (0.0, pytest.approx(0.1, abs=1e-15))


def test_slippage_is_against_the_side():
    result = simulate(scene([flat(100.0)] * 4, signals=[short(0), cover(1)], allow_short=True, slippage_bps=100.0))
    assert [fill["price"] for fill in result.fills] == [99.0, 101.0]


def test_an_account_that_may_not_sell_short_says_so_and_each_exit_needs_its_direction():
    assert reasons(simulate(scene([flat(100.0)] * 3, signals=[short(0)]))) == ["short_not_allowed"]
    signals = [short(0), sell(1), cover(1)]
    assert reasons(simulate(scene([flat(100.0)] * 3, signals=signals, allow_short=True))) == ["approved", "no_position", "approved"]


@pytest.mark.parametrize(
    ("bar", "fill"),
    [
        ((100.0, 110.0, 95.0, 100.0), ("stop", 110.0)),
        ((112.0, 113.0, 80.0, 100.0), ("stop", 112.0)),
        ((90.0, 95.0, 90.0, 95.0), ("target", 90.0)),
        ((88.0, 120.0, 80.0, 95.0), ("target", 88.0)),
        ((95.0, 96.0, 89.0, 95.0), ("target", 90.0)),
        ((95.0, 96.0, 90.0, 95.0), None),
    ],
)
def test_stops_and_targets_of_a_short_are_those_of_a_long_in_the_mirror(bar: tuple[float, ...], fill: tuple[str, float] | None):
    result = simulate(scene([flat(100.0), flat(100.0), bar], signals=[short(0, **LEVELS)], allow_short=True))
    assert [f[1::2] for f in fills(result)[1:]] == ([fill] if fill else [])


def test_fractions_of_a_short_lie_above_and_below_its_price():
    result = simulate(scene([flat(100.0)] * 2, signals=[short(0)], allow_short=True, stop_loss=0.25, take_profit=0.5))
    assert [(order.type, order.side, order.stop or order.limit) for order in result.orders[1:]] == [
        ("stop", "buy", 125.0),
        ("target", "buy", 50.0),
    ]


@pytest.mark.parametrize(
    ("intrabar", "opened", "price"),
    [
        ("pessimistic", 101.0, 90.0),
        ("optimistic", 99.0, 110.0),
        ("open_to_nearest", 99.0, 90.0),
        ("open_to_nearest", 100.0, 90.0),
        ("open_to_nearest", 101.0, 110.0),
    ],
)
def test_a_bar_with_both_levels_fills_what_the_policy_says(intrabar: str, opened: float, price: float):
    rows = [flat(100.0), flat(100.0), (opened, 120.0, 80.0, 100.0)]
    result = simulate(scene(rows, signals=[buy(0, stop_price=90.0, target_price=110.0)], intrabar=intrabar))
    assert (result.fills[1]["price"], result.fills[1]["ambiguous"]) == (price, True)


def test_a_touch_is_enough_where_the_rules_say_so():
    rows = [flat(100.0), flat(100.0), (101.0, 110.0, 101.0, 102.0)]
    assert fills(simulate(scene(rows, signals=[buy(0, target_price=110.0)], limit_fill="touch")))[1] == (2, "target", 100.0, 110.0)
    at_open = simulate(scene([flat(100.0), flat(110.0)], signals=[buy(0, target_price=110.0)], limit_fill="touch"))
    assert fills(at_open)[1] == (1, "target", 100.0, 110.0)


def test_an_exit_and_an_entry_of_one_slot_reverse_at_one_open():
    result = simulate(scene([flat(100.0), flat(100.0), flat(104.0)], signals=[buy(0), sell(1), short(1)], allow_short=True))
    assert fills(result) == [(1, "market", 100.0, 100.0), (2, "market", 100.0, 104.0), (2, "market", 100.0, 104.0)]
    assert [(trade["direction"], trade["is_open"]) for trade in result.trades] == [("long", False), ("short", True)]


def test_a_position_that_stays_cannot_be_entered_again_and_one_that_leaves_can():
    rows = [flat(100.0)] * 4
    assert reasons(simulate(scene(rows, signals=[buy(0), buy(1)]))) == ["approved", "already_in_position"]
    renewed = simulate(scene(rows, signals=[buy(0), sell(1), buy(1), buy(1)]))
    assert reasons(renewed) == ["approved", "approved", "approved", "already_in_position"]
    assert [fill[0] for fill in fills(renewed)] == [1, 2, 2]


def test_leverage_lets_positions_exceed_equity_and_cash_fall_below_zero():
    rules = {"cash": 5_000.0, "leverage": 2.0}
    result = simulate(scene([flat(100.0)] * 2, signals=[buy(0)], **rules))
    assert (fills(result), result.cash) == ([(1, "market", 100.0, 100.0)], -5_000_000_000)
    # with a fee of 1 the backing is 4,999 and the power 9,998; 99 lots fit where 100 were approved at a lower price
    assert reasons(simulate(scene([flat(100.0)] * 2, signals=[buy(0)], minimum=1.0, **rules))) == ["insufficient_cash"]
    cut = simulate(scene([flat(99.0), flat(100.0)], signals=[buy(0, 99.0)], minimum=1.0, **rules))
    assert (fills(cut), states(cut)) == ([(1, "market", 99.0, 100.0)], [("market", "partial", "insufficient_cash")])


def test_a_short_needs_backing_as_a_long_does():
    rows = [flat(100.0)] * 3
    assert reasons(simulate(scene(rows, signals=[short(0)], allow_short=True, cash=9_999.0))) == ["insufficient_cash"]
    assert reasons(simulate(scene(rows, signals=[short(0)], allow_short=True, cash=10_000.0))) == ["approved"]


def test_a_short_pays_for_every_night_between_two_sessions():
    # tiny sessions lie 1,000 minutes apart: starts on days 0, 0, 1, 2; a mark of 9,500 at 3.6 percent of 360 days is 0.95 a night
    rows = [flat(100.0), flat(100.0), flat(95.0)]
    result = simulate(scene(rows, [flat(95.0)], [flat(95.0)], [flat(95.0)], signals=[short(0)], allow_short=True, borrow_bps=360.0))
    assert [row["cash"] for row in result.equity[2:]] == [110_000_000_000, 110_000_000_000, 109_999_050_000, 109_998_100_000]
    (trade,) = result.trades
    assert (trade["borrow"], trade["fees"], trade["pnl"], trade["is_open"]) == (1_900_000, 1_900_000, 498_100_000, True)


def test_flat_at_close_buys_a_short_back():
    result = simulate(scene([flat(100.0), flat(100.0), flat(98.0)], signals=[short(0)], allow_short=True, flat_at_close=True))
    assert (fills(result)[1], result.fills[1]["order"].side) == ((2, "close", 100.0, 98.0), "buy")
    assert result.trades[0]["exit_reason"] == "flat_at_close"


def test_the_worst_of_a_short_is_its_highest_price():
    rows = [flat(100.0), (100.0, 104.0, 98.0, 101.0), flat(101.0)]
    (trade,) = simulate(scene(rows, signals=[short(0), cover(1)], allow_short=True)).trades
    assert (trade["mae"], trade["mfe"]) == (-(104.0 / 100.0 - 1.0), -(98.0 / 100.0 - 1.0))

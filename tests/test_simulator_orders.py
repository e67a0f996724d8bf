"""The slow simulator where orders wait for a price or for their time: literal bars, answers found by hand."""

from __future__ import annotations

import pytest

from tests.simulator import simulate
from tests.tiny import Row, buy, cover, fills, flat, reasons, scene, sell, short, states


@pytest.mark.parametrize(
    ("levels", "bar", "fill"),
    [
        ({"limit": 98.0}, (99.0, 99.0, 97.0, 99.0), (1, "limit", 100.0, 98.0)),
        ({"limit": 98.0}, (99.0, 99.0, 98.0, 99.0), None),
        ({"limit": 98.0}, (97.0, 99.0, 96.0, 99.0), (1, "limit", 100.0, 97.0)),
        ({"limit": 101.0}, flat(100.0), (1, "limit", 100.0, 100.0)),
        ({"entry_stop": 102.0}, (100.0, 102.0, 99.0, 101.0), (1, "stop", 100.0, 102.0)),
        ({"entry_stop": 102.0}, (103.0, 104.0, 99.0, 101.0), (1, "stop", 100.0, 103.0)),
        ({"entry_stop": 102.0}, (100.0, 101.0, 99.0, 101.0), None),
        ({"entry_stop": 102.0, "limit": 103.0}, (100.0, 102.0, 99.0, 101.0), (1, "stop_limit", 100.0, 102.0)),
        ({"entry_stop": 102.0, "limit": 103.0}, (102.5, 104.0, 99.0, 101.0), (1, "stop_limit", 100.0, 102.5)),
        ({"entry_stop": 102.0, "limit": 103.0}, (104.0, 104.0, 99.0, 101.0), (1, "stop_limit", 100.0, 103.0)),
        ({"entry_stop": 102.0, "limit": 101.0}, (100.0, 102.0, 99.0, 101.0), None),
        ({"entry_stop": 102.0, "limit": 101.0}, (102.0, 102.0, 99.0, 101.0), (1, "stop_limit", 100.0, 101.0)),
    ],
)
@pytest.mark.parametrize("fill_at", ["next_open", "next_close", "same_close"])
def test_an_entry_that_waits_for_a_price_fills_at_the_open_or_at_its_level(
    fill_at: str, levels: dict[str, float], bar: Row, fill: tuple[object, ...] | None
):
    result = simulate(scene([flat(100.0), bar], signals=[buy(0, **levels)], fill=fill_at))
    assert fills(result) == ([fill] if fill else [])
    mirrored = tuple(200.0 - price for price in (bar[0], bar[2], bar[1], bar[3]))
    turned = short(0, **{name: 200.0 - level for name, level in levels.items()})
    result = simulate(scene([flat(100.0), mirrored], signals=[turned], fill=fill_at, allow_short=True))
    assert fills(result) == ([(*fill[:3], 200.0 - fill[3])] if fill else [])


def test_a_stop_limit_once_triggered_rests_as_a_limit():
    rows = [flat(100.0), (100.0, 102.0, 99.0, 101.0), (101.0, 101.0, 100.0, 100.5)]
    result = simulate(scene(rows, signals=[buy(0, entry_stop=102.0, limit=100.5)]))
    assert fills(result) == [(2, "stop_limit", 100.0, 100.5)]


def test_a_touch_fills_a_limit_where_the_rules_say_so():
    assert simulate(scene([flat(100.0), flat(98.0)], signals=[buy(0, limit=98.0)])).fills == []
    at_open = simulate(scene([flat(100.0), flat(98.0)], signals=[buy(0, limit=98.0)], limit_fill="touch"))
    inside = simulate(scene([flat(100.0), (99.0, 99.0, 98.0, 99.0)], signals=[buy(0, limit=98.0)], limit_fill="touch"))
    assert fills(at_open) == fills(inside) == [(1, "limit", 100.0, 98.0)]


def test_slippage_is_paid_on_stops_and_not_on_limits():
    rows = [flat(100.0), (100.0, 102.0, 98.0, 100.0)]
    prices = [
        simulate(scene(rows, signals=[buy(0, **levels)], slippage_bps=100.0)).fills[0]["price"]
        for levels in ({"entry_stop": 101.0}, {"limit": 99.0}, {"entry_stop": 101.0, "limit": 101.0})
    ]
    assert prices == [101.0 * 1.01, 99.0, 101.0]


def test_a_limit_exit_is_a_waiting_exit_and_is_cancelled_with_its_position():
    rows = [flat(100.0), flat(100.0), (100.0, 102.0, 100.0, 101.0), (100.0, 104.0, 100.0, 101.0)]
    result = simulate(scene(rows, signals=[buy(0), sell(1, limit=103.0), buy(2)]))
    assert (reasons(result)[:2], fills(result)[1]) == (["approved", "approved"], (3, "limit", 100.0, 103.0))
    assert result.trades[0]["exit_reason"] == "signal"
    stopped = simulate(
        scene([flat(100.0), flat(100.0), (100.0, 104.0, 98.0, 100.0)], signals=[buy(0, stop_price=99.0), sell(1, limit=103.0)])
    )
    assert states(stopped)[1:] == [("stop", "filled", ""), ("limit", "cancelled", "position_closed")]
    assert reasons(stopped) == ["approved", "approved"]


def test_an_entry_waits_while_its_position_is_held_and_first_looks_at_the_next_bar():
    rows = [flat(100.0), flat(100.0), (100.0, 106.0, 95.0, 100.0), (100.0, 100.0, 100.0, 100.0)]
    result = simulate(scene(rows, signals=[buy(0), sell(1, limit=105.0), buy(1, limit=104.0)]))
    assert fills(result)[1:] == [(2, "limit", 100.0, 105.0), (3, "limit", 100.0, 100.0)]


@pytest.mark.parametrize(
    ("entry", "levels", "intrabar", "fill", "ambiguous"),
    [
        ({"limit": 98.0}, {"stop_price": 97.0}, "pessimistic", ("stop", 97.0), False),
        ({"limit": 98.0}, {"stop_price": 97.0, "target_price": 101.0}, "pessimistic", ("stop", 97.0), True),
        ({"entry_stop": 101.0}, {"stop_price": 97.0}, "open_to_nearest", ("stop", 97.0), True),
        ({"entry_stop": 101.0}, {"stop_price": 97.0}, "optimistic", None, False),
        ({"entry_stop": 101.0}, {"stop_price": 110.0}, "pessimistic", ("stop", 101.0), True),
        ({"entry_stop": 101.0}, {"target_price": 101.5}, "pessimistic", None, False),
    ],
)
def test_a_position_entered_inside_a_bar_may_be_stopped_in_it(
    entry: dict[str, float], levels: dict[str, float], intrabar: str, fill: tuple[str, float] | None, ambiguous: bool
):
    result = simulate(scene([flat(100.0), (100.0, 102.0, 96.0, 100.0)], signals=[buy(0, **entry, **levels)], intrabar=intrabar))
    assert [f[1::2] for f in fills(result)[1:]] == ([fill] if fill else [])
    assert result.fills[-1]["ambiguous"] == ambiguous


def test_a_position_entered_inside_a_bar_has_seen_the_whole_bar():
    rows = [flat(100.0), (100.0, 104.0, 96.0, 100.0), flat(100.0)]
    (trade,) = simulate(scene(rows, signals=[buy(0, limit=100.0)], limit_fill="touch")).trades
    (inside,) = simulate(scene(rows, signals=[buy(0, limit=98.0)])).trades
    assert (trade["mae"], trade["mfe"]) == (96.0 / 100.0 - 1.0, 104.0 / 100.0 - 1.0)
    assert (inside["mae"], inside["mfe"]) == (96.0 / 98.0 - 1.0, 104.0 / 98.0 - 1.0)


def test_orders_that_wait_for_a_price_expire_with_the_day_or_stay_open():
    sessions = ([flat(100.0), flat(100.0)], [flat(90.0)])
    day = simulate(scene(*sessions, signals=[buy(0, limit=95.0)], time_in_force="day"))
    gtc = simulate(scene(*sessions, signals=[buy(0, limit=95.0)]))
    never = simulate(scene(*sessions, signals=[buy(0, limit=85.0)]))
    assert (reasons(day), fills(gtc), reasons(never)) == (["expired"], [(2, "limit", 100.0, 90.0)], ["no_bar_to_fill"])


def test_a_trailing_stop_follows_the_high_of_the_bars_before():
    rows = [flat(100.0), (100.0, 108.0, 100.0, 108.0), (108.0, 120.0, 103.0, 119.0), (119.0, 120.0, 110.0, 110.0)]
    by_amount = simulate(scene(rows, signals=[buy(0, trailing_amount=6.0)]))
    assert fills(by_amount)[1] == (3, "trailing", 100.0, 114.0)
    by_fraction = simulate(scene(rows, signals=[buy(0)], trailing_stop=0.0625))
    assert fills(by_fraction)[1] == (3, "trailing", 100.0, 112.5)
    assert (by_fraction.orders[1].stop, by_fraction.trades[0]["exit_reason"]) == (112.5, "trailing")


def test_a_trailing_stop_of_a_short_follows_the_low_and_a_tighter_fixed_stop_wins_at_first():
    rows = [flat(100.0), (100.0, 100.0, 94.0, 95.0), (95.0, 96.0, 95.0, 95.0), (95.0, 99.0, 95.0, 95.0)]
    result = simulate(scene(rows, signals=[short(0, trailing_amount=5.0, stop_price=101.0)], allow_short=True))
    assert fills(result)[1] == (3, "trailing", 100.0, 99.0)
    held = simulate(scene([*rows[:1], flat(100.0)], signals=[short(0, trailing_amount=5.0, stop_price=101.0)], allow_short=True))
    assert [(order.type, order.stop) for order in held.orders[1:]] == [("trailing", 101.0)]


def test_a_time_stop_sells_what_was_held_for_so_many_bars_or_minutes():
    rows = [flat(100.0)] * 6
    bars = simulate(scene(rows, signals=[buy(0)], max_hold_bars=3))
    minutes = simulate(scene(rows, signals=[buy(0)], max_hold_minutes=2.0))
    at_close = simulate(scene(rows, signals=[buy(0)], max_hold_minutes=2.0, fill="same_close"))
    assert [fills(result)[1][:2] for result in (bars, minutes, at_close)] == [(4, "time"), (3, "time"), (2, "time")]
    assert [result.trades[0]["exit_reason"] for result in (bars, minutes, at_close)] == ["time_stop"] * 3
    assert len(bars.decisions) == 1


def test_a_time_stop_expires_with_the_day_and_is_made_anew():
    rows = [flat(100.0), flat(100.0), flat(100.0)]
    result = simulate(scene(rows, [flat(100.0)] * 3, signals=[buy(0)], max_hold_bars=2, time_in_force="day"))
    assert states(result)[1:] == [("time", "expired", "expired"), ("time", "filled", "")]
    assert fills(result)[1][0] == 4


def test_after_an_exit_the_strategy_waits_for_its_cooldown():
    signals = [buy(0), sell(1), buy(2), buy(3), cover(3), buy(4)]
    result = simulate(scene([flat(100.0)] * 6, signals=signals, cooldown_minutes=2.0))
    assert reasons(result) == ["approved", "approved", "cooldown", "no_position", "cooldown", "approved"]

"""The slow simulator where positions are entered and left in several fills: literal bars, sums done by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.scene import Action
from tests.simulator import simulate
from tests.tiny import buy, cover, fills, flat, reasons, scene, sell, short, states


def test_an_entry_that_adds_averages_the_price_and_sums_value_and_fees():
    # 100 at 100 and 50 at 106 are 150 at 102, worth 15,300; sold at 110 for 16,500; fees of 1 a fill
    rows = [flat(100.0), flat(100.0), flat(106.0), flat(110.0)]
    result = simulate(scene(rows, signals=[buy(0), buy(1, size=50.0), sell(2)], max_entries=2, minimum=1.0))
    assert fills(result) == [(1, "market", 100.0, 100.0), (2, "market", 50.0, 106.0), (3, "market", 150.0, 110.0)]
    (trade,) = result.trades
    assert (trade["quantity"], trade["entry_price"], trade["entry"], trade["bars"]) == (150.0, 102.0, 1, 2)
    assert (trade["pnl"], trade["fees"], trade["order"].order_id) == (1_197_000_000, 3_000_000, 3)
    assert (trade["mae"], trade["mfe"]) == (100.0 / 102.0 - 1.0, 110.0 / 102.0 - 1.0)


def test_a_position_takes_max_entries_orders_and_none_of_the_other_direction():
    signals = [buy(0), buy(1), short(1), buy(2)]
    result = simulate(scene([flat(100.0)] * 4, signals=signals, max_entries=2, allow_short=True))
    assert reasons(result) == ["approved", "approved", "already_in_position", "already_in_position"]
    assert reasons(simulate(scene([flat(100.0)] * 4, signals=signals, allow_short=True)))[1] == "already_in_position"


def test_an_entry_that_adds_needs_no_place_among_the_positions():
    rows = [flat(100.0)] * 4
    result = simulate(scene(rows, signals=[buy(0), buy(1), buy(2)], max_entries=3, max_open_positions=1, cash=30_000.0))
    assert (reasons(result), result.trades[0]["quantity"]) == (["approved"] * 3, 300.0)


def test_marks_take_the_price_of_the_entry_that_adds_until_the_close():
    # the first 100 are marked at 110 when 50 more are bought there: equity 21,000, of which 16,500 + 5,500 can not be held
    rows = [flat(100.0), flat(100.0), (110.0, 110.0, 90.0, 100.0)]
    result = simulate(scene(rows, signals=[buy(0), buy(1, size=100.0)], max_entries=2, cash=20_000.0))
    assert fills(result) == [(1, "market", 100.0, 100.0), (2, "market", 90.0, 110.0)]  # 10,000 of cash buy 90 at 110
    assert states(result)[1] == ("market", "partial", "insufficient_cash")
    assert result.equity[-1]["equity"] == (100 + 19_000) * 1_000_000


def test_a_part_is_a_trade_with_its_share_of_the_amounts_and_the_rest_goes_on_under_a_new_number():
    # entry value 10,000 and fee 1; a quarter of them goes with 25 sold at 108, the rest with 75 sold at 104
    rows = [flat(100.0), flat(100.0), flat(108.0), (104.0, 120.0, 104.0, 104.0)]
    result = simulate(scene(rows, signals=[buy(0, stop_price=50.0), sell(1, exit_fraction=0.25), sell(2)], minimum=1.0))
    assert fills(result)[1:] == [(2, "market", 25.0, 108.0), (3, "market", 75.0, 104.0)]
    part, rest = result.trades
    assert (part["trade_id"], part["quantity"], part["pnl"], part["fees"]) == (1, 25.0, 198_750_000, 1_250_000)
    assert (rest["trade_id"], rest["quantity"], rest["pnl"], rest["fees"]) == (2, 75.0, 298_250_000, 1_750_000)
    assert (part["mfe"], rest["mfe"]) == (108.0 / 100.0 - 1.0, 108.0 / 100.0 - 1.0)  # the bar of slot 2 belongs to what was left
    assert [(order.type, order.quantity, order.filled) for order in result.orders] == [
        ("market", 100.0, 100.0), ("stop", 75.0, 0.0), ("market", 25.0, 25.0), ("market", 75.0, 75.0),
    ]  # fmt: skip
    assert states(result)[1] == ("stop", "cancelled", "position_closed")


@pytest.mark.parametrize(("fraction", "quantity"), [(0.5, 5.0), (0.39, 3.0), (1.0, 10.0), (0.95, 9.0)])
def test_a_fraction_of_a_position_is_whole_lots(fraction: float, quantity: float):
    result = simulate(scene([flat(100.0)] * 3, signals=[buy(0, size=10.0), sell(1, exit_fraction=fraction)]))
    assert fills(result)[1] == (2, "market", quantity, 100.0)
    assert result.trades[-1]["is_open"] == (quantity < 10.0)


def test_a_fraction_of_less_than_a_lot_is_refused():
    result = simulate(scene([flat(100.0)] * 3, signals=[buy(0, size=10.0), sell(1, exit_fraction=0.09)]))
    assert (reasons(result), result.decisions[1]["quantity"]) == (["approved", "below_lot"], 0.0)


def test_an_exit_takes_the_place_of_one_that_waits_for_a_price_but_not_of_one_at_the_market():
    rows = [flat(100.0), flat(100.0), flat(100.0), flat(100.0, 0.0), flat(100.0)]
    result = simulate(scene(rows, signals=[buy(0), sell(1, limit=103.0), sell(2), sell(3)]))
    assert reasons(result) == ["approved", "approved", "approved", "no_position"]
    assert states(result)[1:] == [("limit", "cancelled", "replaced"), ("market", "filled", "")]
    part = simulate(scene(rows, signals=[buy(0), sell(2, exit_fraction=0.5), sell(3)]))
    assert states(part)[1:] == [("market", "cancelled", "replaced"), ("market", "filled", "")]
    assert fills(part)[1] == (4, "market", 100.0, 100.0)


def test_a_time_stop_takes_the_place_of_an_exit_that_waits_for_a_price():
    later = simulate(scene([flat(100.0)] * 5, signals=[buy(0), sell(1, limit=103.0)], max_hold_bars=3))
    assert states(later)[1:] == [("limit", "cancelled", "replaced"), ("time", "filled", "")]


def test_an_entry_that_adds_moves_the_levels_that_it_gives_itself():
    rows = [flat(100.0), flat(100.0), flat(104.0), (103.0, 103.0, 98.5, 99.0)]
    signals = [buy(0, stop_price=95.0), buy(1, stop_price=99.0, take_profit=0.5)]
    result = simulate(scene(rows, signals=signals, max_entries=2, stop_loss=0.5, take_profit=None))
    # the average of 100 and 104 is 102: half of it above is 153
    assert [(o.type, o.quantity, o.stop, o.limit, o.reason) for o in result.orders[1:]] == [
        ("stop", 200.0, 99.0, None, ""), ("market", 100.0, None, None, ""), ("target", 200.0, None, 153.0, "oco"),
    ]  # fmt: skip
    assert fills(result)[-1] == (3, "stop", 200.0, 99.0)


def test_neither_the_configs_fractions_nor_a_trailing_distance_move_levels():
    signals = [buy(0), buy(1, trailing_stop=0.01)]
    result = simulate(scene([flat(100.0), flat(100.0), flat(110.0)], signals=signals, max_entries=2, stop_loss=0.25, take_profit=0.5))
    assert [(o.type, o.stop or o.limit) for o in result.orders if o.role == "exit"] == [("stop", 75.0), ("target", 150.0)]


def test_a_trailing_stop_moves_to_a_level_that_is_tighter_only():
    rows = [flat(100.0), flat(100.0), flat(100.0)]
    for price, level in [(97.0, 97.0), (92.0, 95.0)]:
        result = simulate(scene(rows, signals=[buy(0, trailing_amount=5.0), buy(1, stop_price=price)], max_entries=2))
        assert [(o.type, o.stop) for o in result.orders if o.role == "exit"] == [("trailing", level)]


def test_a_level_moved_inside_a_bar_is_first_looked_at_in_the_next():
    rows = [flat(100.0), flat(100.0), (100.0, 101.0, 90.0, 100.0), flat(100.0), (100.0, 100.0, 97.0, 97.0)]
    signals = [buy(0), buy(1, limit=98.0, stop_price=97.5)]
    result = simulate(scene(rows, signals=signals, max_entries=2))
    assert fills(result) == [(1, "market", 100.0, 100.0), (2, "limit", 100.0, 98.0), (4, "stop", 200.0, 97.5)]


def test_an_entry_that_joins_is_cancelled_with_its_position_or_when_it_is_to_leave():
    rows = [flat(100.0), flat(100.0), (100.0, 100.0, 94.0, 95.0), flat(95.0)]
    stopped = simulate(scene(rows, signals=[buy(0, stop_price=95.0), buy(1, limit=90.0)], max_entries=2))
    assert states(stopped)[2] == ("limit", "cancelled", "position_closed")
    assert reasons(stopped) == ["approved", "position_closed"]
    leaves = simulate(scene(rows, signals=[buy(0), buy(1, limit=90.0), sell(2)], max_entries=2))
    assert (reasons(leaves), leaves.orders[1].resolved) == (["approved", "position_closed", "approved"], 2)
    part = simulate(scene(rows, signals=[buy(0), buy(1, limit=90.0), sell(2, exit_fraction=0.5)], max_entries=2))
    assert reasons(part) == ["approved", "no_bar_to_fill", "approved"]


def test_an_entry_that_joins_waits_while_a_time_stop_leaves():
    # held for two bars the position leaves at the open of slot 3, where the entry (limit 101) would fill
    rows = [flat(100.0), flat(102.0), flat(102.0), flat(100.0)]
    result = simulate(scene(rows, signals=[buy(0), buy(1, limit=101.0)], max_entries=2, max_hold_bars=2))
    assert states(result) == [("market", "filled", ""), ("limit", "cancelled", "position_closed"), ("time", "filled", "")]


def test_an_entry_made_while_its_position_leaves_opens_one_of_its_own():
    result = simulate(scene([flat(100.0)] * 3, signals=[buy(0), sell(1), buy(1)], max_entries=2))
    assert [(trade["trade_id"], trade["quantity"], trade["is_open"]) for trade in result.trades] == [(1, 100.0, False), (2, 100.0, True)]


def test_what_a_part_exit_leaves_counts_against_limits():
    # 40 of 100 are to be sold: 6,000 stay, 4,000 more fit under 10,000 and 4,001 do not
    rows = [flat(100.0)] * 2 + [flat(100.0, 0.0)] * 2
    for size, reason in [(40.0, "no_bar_to_fill"), (41.0, "max_per_symbol")]:
        signals = [buy(0), sell(1, exit_fraction=0.4), buy(2, size=size)]
        result = simulate(scene(rows, signals=signals, max_entries=2, max_per_symbol=10_000.0))
        assert reasons(result)[2] == reason


def test_a_fee_is_expected_of_what_a_waiting_exit_will_sell():
    # equity 10,000; 60 stay: 6,000 and 4,000 need a backing of 10,000, which the fee of the exit, 40 x 0.01, takes away
    rows = [flat(100.0)] * 2 + [flat(100.0, 0.0)] * 2
    for per_share, reason in [(0.0, "no_bar_to_fill"), (0.01, "insufficient_cash")]:
        signals = [buy(0, size=50.0), sell(1, exit_fraction=0.4), buy(2, size=70.0)]
        result = simulate(scene(rows, signals=signals, max_entries=2, cash=10_000.0, per_share=per_share))
        assert reasons(result)[2] == reason


def test_a_cover_of_a_part_pays_a_part_of_the_borrow():
    # 95 a share at 3.6 percent of 360 days: 0.95 a night for 100; half of it goes with the 50 bought back in slot 4
    rows = [flat(100.0), flat(100.0), flat(95.0)]
    signals = [short(0), cover(4, exit_fraction=0.5)]
    result = simulate(scene(rows, [flat(95.0)], [flat(95.0)], [flat(95.0)], signals=signals, allow_short=True, borrow_bps=360.0))
    assert [(t["quantity"], t["borrow"], t["is_open"]) for t in result.trades] == [(50.0, 950_000, False), (50.0, 950_000, True)]


def test_a_split_multiplies_a_part_that_waits_to_leave():
    made = scene(
        [flat(100.0), flat(100.0)], [flat(100.0, 0.0)], [flat(50.0)], signals=[buy(0, size=7.0), sell(1, exit_fraction=0.5, limit=90.0)]
    )
    result = simulate(replace(made, actions=(Action("A", 1, "split", 2.0),)))
    assert fills(result)[1] == (3, "limit", 6.0, 50.0)
    assert [(trade["quantity"], trade["is_open"]) for trade in result.trades] == [(6.0, False), (8.0, True)]


def test_quantities_stay_whole_lots():
    # 0.3 - 0.1 is 0.19999999999999998 in floats, two lots are 0.2
    result = simulate(scene([flat(100.0)] * 3, signals=[buy(0, size=0.3), sell(1, exit_fraction=0.34)], lot=0.1))
    assert [trade["quantity"] for trade in result.trades] == [0.1, 0.2]
    # 33,463.2 shares are 33,463,200 lots of 0.001, in floats an ulp less
    all_of_it = simulate(scene([flat(100.0)] * 3, signals=[buy(0, size=33463.2001), sell(1, exit_fraction=1.0)], lot=0.001, cash=1e9))
    assert [(trade["quantity"], trade["is_open"]) for trade in all_of_it.trades] == [(33463.2, False)]
    # and so with many lots: 2597023.7 less five parts is 209938.50000000056 in floats, 2099385 lots are 209938.5
    sizes, parts = (1299149.0, 1297874.7), (259702.3, 2337.3, 233498.4, 1891337.1, 210.1)
    signals, held = [buy(k, size=size) for k, size in enumerate(sizes)], sum(sizes)
    for k, part in enumerate(parts):
        signals.append(sell(2 + k, exit_fraction=(part + 0.05) / held))
        held -= part
    many = simulate(scene([flat(100.0)] * 9, signals=[*signals, sell(7)], lot=0.1, max_entries=2, cash=1e9))
    assert [(trade["quantity"], trade["is_open"]) for trade in many.trades[-1:]] == [(209938.5, False)]
    assert len(many.trades) == 6

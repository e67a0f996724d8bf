"""The slow simulator against sums done by hand: literal bars, literal answers."""

from __future__ import annotations

import pytest

from tests.scene import Bar, Quote, Rules, Scene, Signal, Slot
from tests.simulator import fee_of, money, simulate
from tests.tiny import buy, fills, flat, reasons, scene, sell, states


def test_a_buy_fills_at_the_next_open_with_slippage_and_fee():
    result = simulate(
        scene([flat(100.0), (100.0, 102.0, 99.0, 101.0)], signals=[buy(0)], slippage_bps=1.0, per_share=0.005, minimum=1.0, cap_bps=100.0)
    )
    (fill,) = result.fills
    assert fill["price"] == pytest.approx(100.01, abs=1e-12)
    assert (fill["value"], fill["fee"], fill["slippage"]) == (10_001_000_000, 1_000_000, 1_000_000)
    assert result.cash == 89_998_000_000
    assert [(row["t"], row["cash"], row["equity"]) for row in result.equity] == [
        (0, 100_000_000_000, 100_000_000_000),
        (1, 89_998_000_000, 100_098_000_000),
    ]


def test_a_missing_bar_and_a_bar_without_volume_fill_nothing():
    result = simulate(scene([flat(100.0), None, flat(90.0, 0.0), flat(110.0)], signals=[buy(0)]))
    assert fills(result) == [(3, "market", 100.0, 110.0)]


def test_a_bar_without_volume_marks_the_position():
    result = simulate(scene([flat(100.0), flat(100.0), flat(90.0, 0.0)], signals=[buy(0)]))
    assert result.equity[-1] == {"t": 2, "cash": 90_000_000_000, "equity": 99_000_000_000, "gross": 9_000_000_000, "net": 9_000_000_000}


def test_a_slot_without_any_bar_has_no_equity_row():
    result = simulate(scene([flat(100.0), None, flat(100.0)], signals=[]))
    assert [row["t"] for row in result.equity] == [0, 2]


def test_next_close_fills_at_the_close_of_the_next_bar():
    result = simulate(scene([flat(100.0), (100.0, 105.0, 95.0, 104.0)], signals=[buy(0)], fill="next_close"))
    assert fills(result) == [(1, "market", 100.0, 104.0)]


def test_same_close_fills_on_the_signal_bar_and_an_exit_waits_for_a_fillable_close():
    rows = [flat(100.0), flat(101.0, 0.0), None, (102.0, 104.0, 101.0, 103.0)]
    result = simulate(scene(rows, signals=[buy(0), sell(1)], fill="same_close"))
    assert fills(result) == [(0, "market", 100.0, 100.0), (3, "market", 100.0, 103.0)]
    assert result.trades[0]["bars"] == 3


def test_a_stop_fills_at_its_level_and_where_the_bar_gaps_through_at_the_open():
    inside = simulate(scene([flat(100.0), flat(100.0), (99.0, 99.0, 90.0, 91.0)], signals=[buy(0)], stop_loss=0.05))
    gapped = simulate(scene([flat(100.0), flat(100.0), (93.0, 99.0, 90.0, 91.0)], signals=[buy(0)], stop_loss=0.05))
    assert fills(inside)[1] == (2, "stop", 100.0, 95.0)
    assert fills(gapped)[1] == (2, "stop", 100.0, 93.0)
    assert states(gapped) == [("market", "filled", ""), ("stop", "filled", "")]


def test_a_target_needs_a_price_beyond_it_and_pays_no_slippage():
    touched = simulate(scene([flat(100.0), flat(100.0), (101.0, 110.0, 101.0, 102.0)], signals=[buy(0, target_price=110.0)]))
    through = simulate(
        scene([flat(100.0), flat(100.0), (101.0, 110.5, 101.0, 102.0)], signals=[buy(0, target_price=110.0)], slippage_bps=10.0)
    )
    at_open = simulate(scene([flat(100.0), flat(100.0), (110.0, 112.0, 101.0, 102.0)], signals=[buy(0, target_price=110.0)]))
    assert len(touched.fills) == 1
    assert fills(through)[1] == (2, "target", 100.0, 110.0)
    assert fills(at_open)[1] == (2, "target", 100.0, 110.0)


def test_a_bar_with_both_levels_is_ambiguous_and_fills_the_stop():
    result = simulate(scene([flat(100.0), flat(100.0), (100.0, 120.0, 80.0, 110.0)], signals=[buy(0)], stop_loss=0.1, take_profit=0.1))
    assert fills(result)[1] == (2, "stop", 100.0, 90.0)
    assert [fill["ambiguous"] for fill in result.fills] == [False, True]
    assert states(result) == [("market", "filled", ""), ("stop", "filled", ""), ("target", "cancelled", "oco")]
    assert result.trades[0]["pnl"] == -1_000_000_000
    assert result.trades[0]["return"] == -0.1


def test_a_bar_that_opens_beyond_the_stop_is_not_ambiguous():
    result = simulate(scene([flat(100.0), flat(100.0), (85.0, 120.0, 80.0, 110.0)], signals=[buy(0)], stop_loss=0.1, take_profit=0.1))
    assert fills(result)[1] == (2, "stop", 100.0, 85.0)
    assert not result.fills[1]["ambiguous"]


def test_the_entry_bar_is_looked_at_after_its_open_and_after_a_close_only_the_next_bar():
    rows = [flat(100.0), (100.0, 120.0, 99.0, 100.0), flat(100.0), (111.0, 111.0, 100.0, 100.0)]
    at_open = simulate(scene(rows, signals=[buy(0)], take_profit=0.1))
    at_close = simulate(scene(rows, signals=[buy(0)], take_profit=0.1, fill="next_close"))
    assert fills(at_open)[1][:2] == (1, "target")
    assert fills(at_open)[1][3] == pytest.approx(110.0, abs=1e-12)
    assert fills(at_close)[1] == (3, "target", 100.0, 111.0)


def test_a_target_at_the_entry_open_itself_waits_for_a_higher_price():
    still = simulate(scene([flat(100.0), flat(110.0)], signals=[buy(0, target_price=110.0)]))
    higher = simulate(scene([flat(100.0), (110.0, 111.0, 110.0, 110.0)], signals=[buy(0, target_price=110.0)]))
    assert len(still.fills) == 1
    assert fills(higher)[1] == (1, "target", 100.0, 110.0)


def test_a_price_wins_over_a_fraction_and_the_signal_over_the_config():
    result = simulate(
        scene([flat(100.0)] * 2, signals=[buy(0, stop_loss=0.5, target_price=130.0, take_profit=0.9)], stop_loss=0.1, take_profit=0.2)
    )
    assert [(order.type, order.stop, order.limit) for order in result.orders[1:]] == [("stop", 50.0, None), ("target", None, 130.0)]


def test_flat_at_close_sells_at_the_last_fillable_close_and_says_where_it_is_stale():
    rows = [flat(100.0), flat(100.0), flat(98.0), flat(97.0, 0.0), None]
    result = simulate(scene(rows, signals=[buy(0), sell(2)], flat_at_close=True, fill="next_close"))
    assert fills(result) == [(1, "market", 100.0, 100.0), (2, "close", 100.0, 98.0)]
    assert reasons(result) == ["approved", "no_position"]
    assert result.fills[1]["flags"] == ["stale_close"]


def test_flat_at_close_on_the_last_slot_is_not_stale_and_cancels_what_waits():
    rows = [flat(100.0), flat(100.0), (97.0, 99.0, 96.0, 98.0)]
    result = simulate(scene(rows, rows, signals=[buy(0), sell(1)], flat_at_close=True, fill="same_close", stop_loss=0.5))
    assert fills(result) == [(0, "market", 100.0, 100.0), (1, "market", 100.0, 100.0)]
    held = simulate(scene(rows, rows, signals=[buy(0), buy(2)], flat_at_close=True, stop_loss=0.5))
    assert fills(held) == [(1, "market", 100.0, 100.0), (2, "close", 100.0, 98.0)]
    assert held.fills[1]["flags"] == []
    assert states(held) == [("market", "filled", ""), ("stop", "cancelled", "position_closed"), ("close", "filled", "")]
    assert reasons(held) == ["approved", "session_closed"]


def test_a_stop_cancels_the_exit_that_waits():
    rows = [flat(100.0), flat(100.0), (100.0, 100.0, 80.0, 100.0)]
    result = simulate(scene(rows, signals=[buy(0), sell(1)], fill="next_close", stop_loss=0.1))
    assert states(result) == [("market", "filled", ""), ("stop", "filled", ""), ("market", "cancelled", "position_closed")]


def test_an_entry_that_cash_does_not_cover_is_cut_and_one_that_pays_no_lot_is_cancelled():
    cut = simulate(scene([flat(10.0), flat(11.0)], signals=[buy(0, 10.0)], cash=1000.0))
    none = simulate(scene([flat(10.0), flat(1001.0)], signals=[buy(0, 10.0)], cash=1000.0))
    assert fills(cut) == [(1, "market", 90.0, 11.0)]
    assert states(cut) == [("market", "partial", "insufficient_cash")]
    assert cut.cash == 10_000_000
    assert states(none) == [("market", "cancelled", "insufficient_cash")]


def test_day_orders_expire_at_the_session_end_and_gtc_orders_wait():
    sessions = ([flat(100.0), None], [flat(90.0)])
    day = simulate(scene(*sessions, signals=[buy(0)], time_in_force="day"))
    gtc = simulate(scene(*sessions, signals=[buy(0)]))
    assert (states(day), reasons(day), day.fills) == ([("market", "expired", "expired")], ["expired"], [])
    assert fills(gtc) == [(2, "market", 100.0, 90.0)]


def test_what_still_waits_at_the_end_of_the_run_is_open():
    result = simulate(scene([flat(100.0), None], signals=[buy(0)]))
    assert (states(result), reasons(result)) == ([("market", "open", "no_bar_to_fill")], ["no_bar_to_fill"])


@pytest.mark.parametrize(
    ("reason", "signal", "rules"),
    [
        ("short_not_allowed", Signal(0, "s", "A", "enter_short", 100.0), {}),
        ("no_position", Signal(0, "s", "A", "exit_short", 100.0), {}),
        ("no_position", sell(0), {}),
        ("no_bar_to_fill", buy(0, None), {}),
        ("low_quality", buy(0, quality=94.9), {}),
        ("low_confidence", buy(0, confidence=0.49), {}),
        ("session_closed", buy(2), {"flat_at_close": True}),
        ("session_closed", buy(2), {"time_in_force": "day"}),
        ("session_closed", buy(2), {"flat_at_close": True, "fill": "same_close"}),
        ("approved", buy(2), {"time_in_force": "day", "fill": "same_close"}),
        ("after_last_entry", buy(1), {"flat_at_close": True, "no_entry_minutes": 2.0}),
        ("approved", buy(1), {"flat_at_close": True, "no_entry_minutes": 1.0}),
        ("below_lot", buy(0, size=0.99), {}),
        ("approved", buy(0, size=0.99), {"lot": 0.01}),
        ("below_lot", buy(0), {"sizing": "notional", "value": 99.99}),
        ("no_stop", buy(0), {"sizing": "risk_fraction", "value": 0.01}),
        ("no_stop", buy(0, stop_price=100.0), {"sizing": "risk_fraction", "value": 0.01}),
        ("approved", buy(0, size=5.0), {"sizing": "risk_fraction", "value": 0.01}),
        ("max_per_trade", buy(0), {"max_per_trade": 9999.0}),
        ("below_lot", buy(0), {"max_per_trade": 99.0}),
        ("max_per_symbol", buy(0), {"max_per_symbol": 9999.0}),
        ("approved", buy(0), {"max_per_symbol": 10_000.0}),
        ("max_buying_power", buy(0), {"max_buying_power": 9999.0}),
        ("insufficient_cash", buy(0), {"cash": 10_000.0, "minimum": 0.01}),
        ("approved", buy(0), {"cash": 10_000.0}),
    ],
)
def test_each_check_gives_its_reason(reason: str, signal: Signal, rules: dict[str, object]):
    result = simulate(scene([flat(100.0)] * 3, [flat(100.0)], signals=[signal], **rules))
    assert reasons(result) == [reason]
    assert result.decisions[0]["approved"] == (reason in ("approved", "max_per_trade"))


def test_a_waiting_entry_counts_against_later_entries():
    signals = (Signal(0, "s", "B", "enter_long", 100.0), Signal(0, "s", "A", "enter_long", 100.0), buy(0))
    slots = tuple(Slot(t, t + 1, 0, 4, {"A": Bar(100.0, 100.0, 100.0, 100.0), "B": Bar(100.0, 100.0, 100.0, 100.0)}) for t in range(3))
    for rules, reason in [
        (Rules(max_open_positions=1), "max_open_positions"),
        (Rules(max_buying_power=15_000.0), "max_buying_power"),
        (Rules(cash=15_000.0), "insufficient_cash"),
        (Rules(max_per_symbol=15_000.0), "approved"),
    ]:
        result = simulate(Scene(("A", "B"), ("s",), slots, signals, rules))
        assert [(row["signal"].symbol, row["reason"]) for row in result.decisions] == [
            ("A", "approved"),
            ("A", "already_in_position"),
            ("B", reason),
        ]


def test_a_waiting_exit_frees_its_place_and_its_money_for_another_symbol():
    signals = (Signal(0, "s", "B", "enter_long", 100.0), Signal(1, "s", "A", "enter_long", 100.0), Signal(1, "s", "B", "exit_long", 100.0))
    slots = tuple(Slot(t, t + 1, 0, 4, {"A": Bar(100.0, 100.0, 100.0, 100.0), "B": Bar(100.0, 100.0, 100.0, 100.0)}) for t in range(3))
    rules = Rules(cash=10_000.0, max_open_positions=1, max_buying_power=10_000.0)
    result = simulate(Scene(("A", "B"), ("s",), slots, signals, rules))
    assert reasons(result) == ["approved"] * 3
    assert [(f["order"].symbol, f["order"].side) for f in result.fills] == [("B", "buy"), ("B", "sell"), ("A", "buy")]


def test_equity_fraction_buys_the_most_lots_that_it_pays_with_the_fee():
    # 0.5 x 10,000 = 5,000; 49 x 100 + 49 = 4,949; 50 x 100 + 50 = 5,050
    result = simulate(scene([flat(100.0)] * 2, signals=[buy(0)], cash=10_000.0, sizing="equity_fraction", value=0.5, per_share=1.0))
    assert fills(result) == [(1, "market", 49.0, 100.0)]


def test_a_size_by_risk_loses_the_fraction_of_equity_down_to_the_nearer_stop():
    # 1 percent of 100,000 is 1,000: 200 shares at a distance of 5, 333 whole ones at 3
    risk = {"sizing": "risk_fraction", "value": 0.01}
    assert fills(simulate(scene([flat(100.0)] * 2, signals=[buy(0, stop_price=95.0)], **risk))) == [(1, "market", 200.0, 100.0)]
    assert fills(simulate(scene([flat(100.0)] * 2, signals=[buy(0, stop_price=95.0, trailing_amount=3.0)], **risk)))[0][2] == 333.0
    assert fills(simulate(scene([flat(100.0)] * 2, signals=[buy(0)], stop_loss=0.0625, **risk)))[0][2] == 160.0


def test_the_cap_of_a_fee_wins_over_its_minimum():
    rules = Rules(per_share=0.005, minimum=1.0, cap_bps=100.0)
    assert fee_of(rules, 10.0, 1000.0) == 5_000_000
    assert fee_of(rules, 10.0, 100.0) == 1_000_000
    assert fee_of(rules, 10.0, 5.0) == 500_000


def test_money_is_rounded_half_to_even():
    assert [money(x * 2**-7) for x in (1.0, 3.0)] == [7812, 23438]  # 7812.5 and 23437.5


def test_quotes_fill_at_the_ask_and_the_bid_and_a_hole_is_flagged():
    quotes = {1: Quote(99.0, 99.5, 101.0, 101.5)}
    result = simulate(scene([flat(100.0)] * 3, signals=[buy(0), sell(1)], quotes=quotes, price="quote"))
    assert fills(result) == [(1, "market", 100.0, 101.0), (2, "market", 100.0, 100.0)]
    assert [fill["flags"] for fill in result.fills] == [[], ["synthetic_quote"]]
    assert [fill["slippage"] for fill in result.fills] == [0, 0]


def test_excursions_take_whole_bars_between_the_entry_and_the_exit():
    rows = [flat(100.0), (100.0, 104.0, 98.0, 101.0), (101.0, 110.0, 95.0, 100.0, 0.0), (100.0, 150.0, 50.0, 100.0)]
    (trade,) = simulate(scene(rows, signals=[buy(0), sell(2)])).trades
    assert (trade["bars"], trade["mae"], trade["mfe"]) == (2, 95.0 / 100.0 - 1.0, 110.0 / 100.0 - 1.0)
    (trade,) = simulate(scene(rows, signals=[buy(0), sell(1)], fill="next_close")).trades
    assert (trade["bars"], trade["mae"], trade["mfe"]) == (2, 50.0 / 101.0 - 1.0, 150.0 / 101.0 - 1.0)


def test_a_position_open_at_the_end_is_a_trade_marked_at_the_last_close():
    result = simulate(scene([flat(100.0), flat(100.0), flat(103.0)], signals=[buy(0)], minimum=1.0))
    (trade,) = result.trades
    assert (trade["is_open"], trade["exit_price"], trade["pnl"], trade["fees"]) == (True, 103.0, 299_000_000, 1_000_000)

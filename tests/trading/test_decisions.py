"""Decisions: each check, in order; sizes; what waits counts as done."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trading.tiny import Wish, at, buy, market, play, sell

FLAT = market({"A": [[100.0] * 3, [100.0]]})


@pytest.mark.parametrize(
    ("reason", "wish", "execution", "risk"),
    [
        ("short_not_allowed", Wish(0, "enter_short"), {}, {}),
        ("no_position", Wish(0, "exit_short"), {}, {}),
        ("no_position", sell(0), {}, {}),
        ("no_bar_to_fill", buy(0, price=float("nan")), {}, {}),
        ("low_quality", buy(0, quality=94.99), {}, {}),
        ("approved", buy(0, quality=95.0), {}, {}),
        ("low_quality", buy(0, quality=99.0), {}, {"min_quality": 100.0}),
        ("low_confidence", buy(0, confidence=0.49), {}, {}),
        ("approved", buy(0, confidence=0.5), {}, {}),
        ("session_closed", buy(2), {"flat_at_close": True}, {}),
        ("session_closed", buy(2), {"time_in_force": "day"}, {}),
        ("session_closed", buy(2), {"flat_at_close": True, "fill": "same_close"}, {}),
        ("approved", buy(2), {"time_in_force": "day", "fill": "same_close"}, {}),
        ("approved", buy(2), {}, {}),
        ("after_last_entry", buy(1), {"flat_at_close": True, "no_entry_minutes": 1.5}, {}),
        ("approved", buy(1), {"flat_at_close": True, "no_entry_minutes": 1.0}, {}),
        ("approved", buy(1), {"no_entry_minutes": 1.5}, {}),
        ("below_lot", buy(0, size=0.99), {}, {}),
        ("approved", buy(0, size=0.99), {"lot": 0.01}, {}),
        ("below_lot", buy(0), {"sizing": {"type": "notional", "value": 99.99}}, {}),
        ("below_lot", buy(0), {"sizing": {"type": "equity_fraction", "value": 0.000999}}, {}),
        ("max_per_trade", buy(0), {}, {"max_per_trade": 9999.0}),
        ("approved", buy(0), {}, {"max_per_trade": 10_000.0}),
        ("below_lot", buy(0), {}, {"max_per_trade": 99.0}),
        ("max_per_symbol", buy(0), {}, {"max_per_symbol": 9999.99}),
        ("approved", buy(0), {}, {"max_per_symbol": 10_000.0}),
        ("max_buying_power", buy(0), {}, {"max_buying_power": 9999.99}),
        ("approved", buy(0), {}, {"max_buying_power": 10_000.0}),
        ("insufficient_cash", buy(0, size=1001.0), {}, {}),
        ("approved", buy(0, size=1000.0), {}, {}),
        ("insufficient_cash", buy(0, size=1000.0), {"commission": {"minimum": 0.01}}, {}),
    ],
)
def test_each_check_gives_its_reason(reason: str, wish: Wish, execution: dict[str, Any], risk: dict[str, Any]):
    """100 shares at 100 are 10,000 of 100,000; session of three slots."""
    run = play(FLAT, [wish], risk=risk, **execution)
    (row,) = run.rows("decisions")
    assert row["reason"] == reason
    assert row["approved"] == (reason in ("approved", "max_per_trade"))
    assert (row["order_id"] is not None) == row["approved"]


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        ({"price": float("nan")}, "no_bar_to_fill"),
        ({"quality": 1.0, "confidence": 0.1}, "low_quality"),
        ({"confidence": 0.1}, "low_confidence"),
        ({"size": 0.1}, "session_closed"),
    ],
)
def test_the_first_check_that_fails_gives_the_reason(worse: dict[str, float], better: str):
    run = play(FLAT, [buy(2, **worse)], flat_at_close=True, no_entry_minutes=9.0)
    assert run.reasons() == [better]


def test_an_exit_is_never_blocked_by_quality_confidence_price_or_hour():
    wishes = [buy(0), sell(1, quality=0.0, confidence=0.0, price=float("nan"))]
    run = play(FLAT, wishes, flat_at_close=True, no_entry_minutes=9.0)
    assert run.reasons()[1] == "no_position"  # the entry came too late
    run = play(FLAT, wishes)
    assert run.reasons() == ["approved", "approved"]
    assert run.column("decisions", "quantity") == [100.0, 100.0]


def test_an_exit_needs_a_position_that_is_not_leaving_already():
    run = play(market({"A": [[100.0, 100.0, 100.0, None, 100.0]]}), [buy(0), sell(0), sell(1), sell(2), sell(3)], fill="next_close")
    assert run.column("decisions", "action")[:2] == ["exit_long", "enter_long"]
    assert run.reasons() == ["no_position", "approved", "approved", "no_position", "no_position"]


def test_a_waiting_entry_is_no_position_and_no_room_for_another():
    run = play(market({"A": [[100.0, None, None, 100.0]]}), [buy(0), sell(1), buy(2)])
    assert run.reasons() == ["approved", "no_position", "already_in_position"]


def test_a_waiting_exit_frees_its_symbol_for_one_entry():
    run = play(market({"A": [[100.0, 100.0, None, 100.0, 100.0]]}), [buy(0), sell(1), buy(2), buy(3)])
    assert run.reasons() == ["approved", "approved", "approved", "already_in_position"]


def test_under_same_close_an_exit_frees_its_symbol_for_an_entry_of_the_same_slot():
    run = play(FLAT, [buy(0), buy(1), sell(1)], fill="same_close")
    assert run.column("decisions", "action") == ["enter_long", "exit_long", "enter_long"]
    assert run.reasons() == ["approved"] * 3


def test_max_open_positions_counts_positions_and_waiting_entries_of_all_strategies():
    two = market({"A": [[1.0] * 3], "B": [[1.0] * 3], "C": [[1.0] * 3]}, strategies=("s", "z"))
    run = play(two, [buy(0, "A"), buy(0, "B", "z"), buy(0, "C"), buy(1, "C", "z")], risk={"max_open_positions": 2})
    assert run.reasons() == ["approved", "approved", "max_open_positions", "max_open_positions"]


def test_a_position_with_a_waiting_exit_does_not_count():
    run = play(market({"A": [[1.0] * 3], "B": [[1.0] * 3]}), [buy(0), sell(1), buy(1, "B")], risk={"max_open_positions": 1})
    assert run.reasons() == ["approved"] * 3


def test_a_fixed_number_of_shares_is_rounded_down_to_lots():
    """0.3 / 0.1 is 2.9999999999999996 in floats, and still three lots; 0.35 is three."""
    assert play(FLAT, [buy(0, size=0.3)], lot=0.1).column("orders", "quantity") == [pytest.approx(0.3)]
    assert play(FLAT, [buy(0, size=0.35)], lot=0.1).column("orders", "quantity") == [pytest.approx(0.3)]
    assert play(FLAT, [buy(0)], lot=30.0, sizing={"type": "shares", "value": 100.0}).column("orders", "quantity") == [90.0]


def test_notional_buys_the_most_lots_whose_value_does_not_exceed_it():
    assert play(FLAT, [buy(0)], sizing={"type": "notional", "value": 999.99}).column("orders", "quantity") == [9.0]
    assert play(FLAT, [buy(0)], sizing={"type": "notional", "value": 1000.0}).column("orders", "quantity") == [10.0]
    assert play(FLAT, [buy(0)], sizing={"type": "notional", "value": 1000.0}, lot=0.25).column("orders", "quantity") == [10.0]
    assert play(FLAT, [buy(0)], sizing={"type": "notional", "value": 1024.99}, lot=0.25).column("orders", "quantity") == [10.0]


def test_equity_fraction_buys_the_most_lots_that_it_pays_for_with_the_fee():
    """0.5 x 10,000 = 5,000: 49 x 100 + 49 = 4,949 fits, 50 x 100 + 50 = 5,050 does not."""
    run = play(FLAT, [buy(0)], cash=10_000.0, sizing={"type": "equity_fraction", "value": 0.5}, commission={"per_share": 1.0})
    assert run.column("orders", "quantity") == [49.0]


def test_equity_fraction_is_of_cash_and_marks():
    """100 x 100 held, now worth 20,000; cash 90,000: half of 110,000 pays for 550 of B at 100."""
    both = market({"A": [[100.0, 100.0, 200.0, 200.0]], "B": [[100.0] * 4]})
    run = play(both, [buy(0, size=100.0), buy(2, "B")], sizing={"type": "equity_fraction", "value": 0.5})
    assert run.column("orders", "quantity") == [100.0, 550.0]


def test_a_signals_own_size_wins_over_the_sizing():
    run = play(FLAT, [buy(0, size=7.0)], sizing={"type": "equity_fraction", "value": 0.5})
    assert run.column("orders", "quantity") == [7.0]


def test_max_per_trade_cuts_the_size_and_says_so():
    run = play(FLAT, [buy(0)], risk={"max_per_trade": 5_050.0})
    (row,) = run.rows("decisions")
    assert (row["quantity"], row["approved"], row["reason"], row["flags"]) == (50.0, True, "max_per_trade", "size_cut")
    assert run.column("fills", "quantity") == [50.0]


def test_a_refused_size_is_the_size_after_the_cut():
    run = play(FLAT, [buy(0)], risk={"max_per_trade": 5_050.0, "max_per_symbol": 4_000.0})
    (row,) = run.rows("decisions")
    assert (row["quantity"], row["approved"], row["reason"], row["flags"]) == (50.0, False, "max_per_symbol", "size_cut")


def test_max_per_symbol_adds_positions_and_waiting_entries_of_all_strategies_in_the_symbol():
    """10,000 held by s, 10,000 waiting for t (its bar has not come), u asks for 10,000 more: 30,000 > 25,000."""
    three = market({"A": [[100.0, 100.0, 100.0, None]], "B": [[100.0] * 4]}, strategies=("s", "t", "u"))
    wishes = [buy(0), buy(2, "A", "t"), buy(2, "A", "u"), buy(2, "B", "u")]
    run = play(three, wishes, risk={"max_per_symbol": 25_000.0})
    assert run.reasons() == ["approved", "no_bar_to_fill", "max_per_symbol", "approved"]
    run = play(three, wishes, risk={"max_per_symbol": 30_000.0})
    assert run.reasons() == ["approved", "no_bar_to_fill", "no_bar_to_fill", "approved"]


def test_max_buying_power_adds_everything_at_its_mark():
    """A's 100 shares are worth 15,000 now: with 10,000 of B that is 25,000."""
    both = market({"A": [[100.0, 100.0, 150.0, 150.0]], "B": [[100.0] * 4]})
    wishes = [buy(0), buy(2, "B")]
    assert play(both, wishes, risk={"max_buying_power": 24_999.0}).reasons() == ["approved", "max_buying_power"]
    assert play(both, wishes, risk={"max_buying_power": 25_000.0}).reasons() == ["approved", "approved"]


def test_a_position_that_is_leaving_counts_as_gone():
    both = market({"A": [[100.0, 100.0, 150.0, 150.0]], "B": [[100.0] * 4]})
    run = play(both, [buy(0), sell(2), buy(2, "B")], risk={"max_buying_power": 10_000.0, "max_per_symbol": 10_000.0})
    assert run.reasons() == ["approved"] * 3


def test_two_strategies_compete_for_the_cash_in_their_order():
    """15,000 pay for one of two buys of 10,000; the config's first strategy comes first, whatever the symbols' names."""
    both = market({"A": [[100.0] * 2], "B": [[100.0] * 2]}, strategies=("zeta", "alpha"))
    run = play(both, [buy(0, "A", "alpha"), buy(0, "B", "zeta")], cash=15_000.0)
    assert [(row["strategy"], row["reason"]) for row in run.rows("decisions")] == [("zeta", "approved"), ("alpha", "insufficient_cash")]


def test_the_proceeds_of_a_waiting_exit_count_as_cash_less_its_fee():
    """All 10,000 are in A, now leaving at 100: 10,000 - 1 pay for 9,999 with the fee, so not for 100 x 100 + 1."""
    both = market({"A": [[100.0] * 3], "B": [[100.0] * 3]})
    wishes = [buy(0), sell(1), buy(1, "B", size=100.0)]
    assert play(both, wishes, cash=10_001.0, commission={"minimum": 1.0}).reasons()[2] == "insufficient_cash"
    wishes = [buy(0), sell(1), buy(1, "B", size=99.0)]
    assert play(both, wishes, cash=10_001.0, commission={"minimum": 1.0}).reasons()[2] == "approved"


def test_exits_are_decided_before_entries_and_doubles_in_a_fixed_order():
    wishes = [Wish(0, "enter_short"), buy(0), Wish(0, "exit_short"), sell(0)]
    run = play(FLAT, wishes)
    assert run.column("decisions", "action") == ["exit_long", "exit_short", "enter_long", "enter_short"]


def test_a_decision_tells_what_it_saw():
    run = play(FLAT, [buy(0, tag="first", quality=99.5), buy(1, size=3.0, confidence=0.75)])
    first, second = run.rows("decisions")
    assert (first["strategy"], first["symbol"], first["ts"], first["action"]) == ("s", "A", at(1), "enter_long")
    assert (first["price"], first["confidence"], first["quality"], first["tag"], first["order_id"]) == (100.0, 1.0, 99.5, "first", 1)
    assert (second["reason"], second["quantity"], second["tag"], second["order_id"]) == ("already_in_position", 0.0, None, None)
    assert second["confidence"] == 0.75

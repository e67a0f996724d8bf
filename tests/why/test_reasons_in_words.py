"""Every reason for which a signal does not become a fill, on runs made by hand: the sentence, and the figures in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backtester.why.answer import why
from tests.why.hand import DAY, run, stamp

BOTH = {DAY: {"A": {}, "B": {}}}
BUY, SELL = "enter_long", "exit_long"
LATE = {DAY: {"A": dict.fromkeys(range(380, 390))}}


def wish(slot: int, action: str = BUY, symbol: str = "A", **numbers: float) -> tuple[Any, ...]:
    return (DAY, symbol, slot, action, numbers)


CASES: dict[str, tuple[Any, Any, dict[str, Any], str, int, str]] = {
    # 4 of the first 6 minutes are missing: 2 / 6.
    "low_quality": ({DAY: {"A": dict.fromkeys(range(4))}}, [wish(5)], {}, "A", 5,
                    "refused: A had 33.33 % of its bars by 09:36, below min_quality 95"),
    "low_confidence": (BOTH, [wish(5, confidence=0.4)], {}, "A", 5, "refused: confidence 0.4 is below min_confidence 0.5"),
    "max_open_positions": (BOTH, [wish(5), wish(7, symbol="B")], {"trading_config__max_open_positions": 1}, "B", 7,
                           "refused: 1 positions are held, with entries that wait they reach max_open_positions 1"),
    # 10 x 100 held by one, 10 x 100 wanted by the other.
    "max_per_symbol": (BOTH, {"one": [wish(5)], "told": [wish(7)]}, {"trading_config__max_per_symbol": 1500}, "A", 7,
                       "refused: 10 at 100.00 are 1,000.00; with 1,000.00 held in A and what waits that is above max_per_symbol 1,500.00"),
    # 100 x 100 wanted, 50 x 100 allowed.
    "max_per_trade": (BOTH, [wish(5, size=100)], {"trading_config__max_per_trade": 5000}, "A", 5,
                      "approved, but cut: buy 50, worth 5,000.00 at the price seen; more would exceed max_per_trade 5,000.00"),
    "max_buying_power": (BOTH, [wish(5), wish(7, symbol="B")], {"trading_config__max_buying_power": 1500}, "B", 7,
                         "refused: 10 at 100.00 are 1,000.00; with 1,000.00 held and what waits that is above max_buying_power 1,500.00"),
    "insufficient_cash": (BOTH, [wish(5, size=20)], {"account__cash": 1000}, "A", 5,
                          "refused: 20 at 100.00 are 2,000.00; with 0.00 held and what waits, and the fees, that is more than equity "
                          "1,000.00 carries"),
    "short_not_allowed": (BOTH, [wish(5, "enter_short")], {}, "A", 5, "refused: account.allow_short is false"),
    "already_in_position": (BOTH, [wish(5), wish(9)], {}, "A", 9, "refused: 10 shares are held long already"),
    "already_in_position, waiting": (BOTH, [wish(5, limit=90), wish(7)], {}, "A", 7,
                                     "refused: an entry of this strategy in it waits already"),
    "no_position": (BOTH, [wish(5, SELL)], {}, "A", 5, "refused: no position to sell, or its exit waits already"),
    "below_lot": (BOTH, [wish(5)], {"execution__sizing": {"type": "notional", "value": 50}}, "A", 5,
                  "refused: the size (sizing notional 50, or the signal's own) is not one lot of 1 at 100.00"),
    "below_lot, part": (BOTH, [wish(5, size=1), wish(9, SELL, exit_fraction=0.4)], {}, "A", 9,
                        "refused: its exit_fraction of 1 held is not one lot of 1"),
    "insufficient_cash, purse": (BOTH, {"one": [], "told": [wish(5, size=20)]}, {"account__capital": {"one": 99_000, "told": 1000}}, "A", 5,
                                 "refused: 20 at 100.00 are 2,000.00; with what it holds and what waits that is more than its purse "
                                 "carries, which began with 1,000.00"),
    "after_last_entry": (BOTH, [wish(330)], {"execution__flat_at_close": True, "execution__no_entry_minutes": 60}, "A", 330,
                         "refused: at 15:01 entries had ended: flat_at_close with no_entry_minutes 60"),
    "session_closed": (BOTH, [wish(389)], {"execution__flat_at_close": True}, "A", 389,
                       "refused: at 16:00 no bar of the session was left to fill an order that may not outlive it"),
    "no_bar_to_fill": (BOTH, [wish(389)], {}, "A", 389, "approved (buy 10), but no bar came that could fill it before the run ended"),
    "expired": (LATE, [wish(379)], {"execution__time_in_force": "day"}, "A", 379,
                "approved (buy 10), but the session ended first (time_in_force day, or flat_at_close)"),
    # Closed at the open of the slot of 09:41; 30 minutes from its end are not over at 09:51.
    "cooldown": (BOTH, [wish(5), wish(10, SELL), wish(20)], {"trading_config__cooldown_minutes": 30}, "A", 20,
                 "refused: its last position was closed, at 09:41, not cooldown_minutes 30 ago"),
    "no_stop": (BOTH, [wish(5)], {"execution__sizing": {"type": "risk_fraction", "value": 0.01}}, "A", 5,
                "refused: sizing by risk_fraction needs a stop below the price seen, and there is none"),
    "within_threshold": (BOTH, [wish(5, "target", weight=0.1), wish(9, "target", weight=0.101)],
                         {"execution__rebalance_threshold": 0.05}, "A", 9,
                         "refused: the position is within rebalance_threshold 0.05 of its weight, or there is nothing to do for it"),
    # 1 % of a thousand shares are 10 in each bar; the order on the open gets no second one.
    "participation": ({DAY: {"A": {}}, "2024-11-06": {"A": {}}}, [wish(5, size=25, on_open=1)],
                      {"execution__max_participation": 0.01}, "A", 5, "approved (buy 25), but the bar's volume left no more for it"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_reason_is_said_with_its_figures(name: str, tmp_path: Path) -> None:
    days, wishes, changes, symbol, slot, sentence = CASES[name]
    made = run(tmp_path, days, wishes, **changes)
    (found,) = why(made, symbol, stamp(DAY, slot), "told")["strategies"]
    assert [row["reason"] for row in found["decisions"]] == [name.partition(",")[0]]
    assert found["verdict"] == sentence


def test_several_decisions_of_one_bar_are_told_apart(tmp_path: Path) -> None:
    """A single share is held; it is sold and bought again on one bar."""
    made = run(tmp_path, BOTH, [wish(5, size=1), wish(7, size=1), wish(9, SELL), wish(9)])
    assert why(made, "A", stamp(DAY, 7))["strategies"][0]["verdict"] == "refused: 1 share is held long already"
    assert why(made, "A", stamp(DAY, 9))["strategies"][0]["verdict"] == "exit_long approved: sell 1; enter_long approved: buy 10"


def test_a_signal_on_a_slot_without_a_bar_is_refused_for_want_of_a_price(tmp_path: Path) -> None:
    """The clock layout: symbols side by side, B's minute is missing."""
    made = run(tmp_path, {DAY: {"A": {}, "B": {5: None}}}, [wish(5, symbol="B")], kind="ToldByTheClock")
    answer = why(made, "B", stamp(DAY, 5))
    (found,) = answer["strategies"]
    assert found["verdict"] == "refused: B had no bar for the signal to stand on, so no price was seen"
    assert answer["bar"]["missing"] == "it belongs to a gap of 1 bar from 09:35 to 09:36 (inside)"
    # 5 of the 6 minutes up to then are there.
    assert answer["quality"]["as_of"] == pytest.approx(500 / 6)


def test_an_approved_order_is_followed_to_its_fill_and_the_account(tmp_path: Path) -> None:
    """10 shares seen at 100, filled at 101 the next minute, 10 bps on it (101.101), a cent a share; then marked at its close, 102."""
    made = run(
        tmp_path, {DAY: {"A": {6: (101, 103, 100, 102)}}}, [wish(5), wish(10, SELL)],
        execution__commission={"per_share": 0.01}, execution__slippage={"bps": 10}, execution__stop_loss=0.1,
    )  # fmt: skip
    (found,) = why(made, "A", stamp(DAY, 5))["strategies"]
    (decision,) = found["decisions"]
    assert found["verdict"] == "approved: buy 10"
    assert [order["words"] for order in decision["orders"]] == ["buy 10, market: filled"]
    assert [fill["words"] for fill in decision["fills"]] == [
        "buy 10 at 101.101 (101.00 and 0.101 slippage), value 1,011.01, fee 0.10, at the open of its bar"
    ]
    # 101.101 x 0.9; sold at the open of 09:41, 100 less 0.1.
    assert [guard["words"] for guard in decision["guards"]] == ["sell 10, stop at 90.9909: cancelled: the position was closed otherwise"]
    assert [(trade["exit_reason"], trade["pnl"]) for trade in decision["trades"]] == [("signal", pytest.approx(999 - 1011.01 - 0.2))]
    before, after = (decision["account"][when] for when in ("before", "after"))
    assert (before["cash"], before["equity"], before["position"]) == (100_000, 100_000, 0)
    assert (after["cash"], after["position"]) == (pytest.approx(100_000 - 1011.01 - 0.1), 10)
    assert after["equity"] == pytest.approx(100_000 - 1011.01 - 0.1 + 1020)


def test_a_stop_is_explained_on_the_bar_that_it_filled_on(tmp_path: Path) -> None:
    """Bought at 100 at 09:36; the bar of 09:50 falls through 95."""
    made = run(tmp_path, {DAY: {"A": {20: (99, 99, 90, 92)}}}, [wish(5)], execution__stop_loss=0.05)
    (found,) = why(made, "A", stamp(DAY, 20))["strategies"]
    assert found["decisions"] == []
    (fill,) = found["on_this_bar"]
    assert fill["source"] == "a stop order of the position"
    assert fill["words"] == "sell 10 at 95.00, value 950.00, fee 0.00, by a stop order"
    assert (fill["account"]["before"]["position"], fill["account"]["after"]["position"]) == (10, 0)
    assert found["verdict"] == "told asked for nothing on this bar; on it a stop order of the position was filled"


def test_an_ambiguous_fill_says_what_else_it_might_have_been(tmp_path: Path) -> None:
    """The bar of 09:50 reaches both 95 and 105."""
    made = run(tmp_path, {DAY: {"A": {20: (100, 106, 94, 100)}}}, [wish(5)], execution__stop_loss=0.05, execution__take_profit=0.05)
    (found,) = why(made, "A", stamp(DAY, 20))["strategies"]
    assert found["on_this_bar"][0]["words"] == (
        "sell 10 at 95.00, value 950.00, fee 0.00, by a stop order; ambiguous: the bar does not say what came first, "
        "or it had been the target at 105.00"
    )
    (entry,) = why(made, "A", stamp(DAY, 5))["strategies"]
    assert [guard["words"] for guard in entry["decisions"][0]["guards"]] == [
        "sell 10, stop at 95.00: filled",
        "sell 10, target at 105.00: cancelled: the position's other order filled first",
    ]

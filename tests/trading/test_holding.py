"""Time stops and cooldown. 100 shares at 100 unless said; slots are minutes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trading.tiny import at, buy, cover, market, play, sell, short

FLAT = market({"A": [[100.0] * 8]})
SHORT = {"allow_short": True}


@pytest.mark.parametrize(
    ("settings", "entry", "leaves"),
    [
        ({"max_hold_bars": 1}, 1, 2),
        ({"max_hold_bars": 3}, 1, 4),
        ({"max_hold_minutes": 3.0}, 1, 4),
        ({"max_hold_minutes": 2.5}, 1, 4),
        ({"max_hold_bars": 5, "max_hold_minutes": 2.0}, 1, 3),
        ({"max_hold_bars": 3, "fill": "next_close"}, 1, 4),
        ({"max_hold_minutes": 3.0, "fill": "next_close"}, 1, 5),
        ({"max_hold_bars": 3, "fill": "same_close"}, 0, 2),
        ({"max_hold_minutes": 3.0, "fill": "same_close"}, 0, 3),
        ({"max_hold_bars": 1, "fill": "same_close"}, 0, 1),
    ],
)
def test_a_position_is_left_when_its_time_is_up(settings: dict[str, Any], entry: int, leaves: int):
    """Held 3 slots from slot 1: decided at the end of slot 3. Entered at a close, minutes count from there."""
    for enter in (buy, short):
        run = play(FLAT, [enter(0)], account=SHORT, **settings)
        assert [(minute, kind) for minute, _, kind, _, _ in run.fills()] == [(entry, "market"), (leaves, "time")]
        assert run.column("trades", "exit_reason") == ["time_stop"]
        assert len(run.rows("decisions")) == 1


def test_its_order_is_made_at_the_end_of_the_slot_at_the_last_close():
    run = play(market({"A": [[100.0, 101.0, 102.0, 103.0]]}), [buy(0)], max_hold_bars=2, slippage={"bps": 100.0})
    order = run.rows("orders")[1]
    assert (order["type"], order["side"], order["ts"], order["price_seen"], order["limit"]) == ("time", "sell", at(3), 102.0, None)
    assert run.fills()[1][-1] == 103.0 * 0.99


def test_it_comes_before_the_signals_of_its_slot():
    """The exit is refused, for one waits; a new entry of the same slot finds the pair on its way out."""
    run = play(FLAT, [buy(0), sell(2), buy(2)], max_hold_bars=2)
    assert run.reasons()[:3] == ["approved", "no_position", "approved"]
    assert [kind for _, _, kind, _, _ in run.fills()][:3] == ["market", "time", "market"]


def test_a_waiting_market_exit_is_enough_and_a_limit_exit_is_replaced():
    run = play(FLAT, [buy(0), sell(1, limit=200.0)], max_hold_bars=2)
    assert run.orders() == [("market", "filled", None), ("limit", "cancelled", "replaced"), ("time", "filled", None)]
    run = play(FLAT, [buy(0), sell(1)], max_hold_bars=2)
    assert run.orders() == [("market", "filled", None), ("market", "filled", None)]


def test_it_waits_for_a_bar_that_fills():
    run = play(market({"A": [[100.0, 100.0, None, None, 90.0]]}), [buy(0)], max_hold_bars=2)
    assert run.fills()[1] == (4, "sell", "time", 100.0, 90.0)
    still = play(market({"A": [[100.0, 100.0, None, None]]}), [buy(0)], max_hold_bars=2)
    assert still.orders()[1] == ("time", "open", "no_bar_to_fill")
    assert still.column("trades", "is_open") == [True]


def test_a_day_order_expires_and_is_made_anew():
    bars = market({"A": [[100.0, 100.0], [None, None], [90.0, 91.0]]})
    for cuts in ((), (1, 2)):
        run = play(bars, [buy(0)], cuts=cuts, max_hold_bars=1, time_in_force="day")
        assert run.orders()[1:] == [("time", "expired", "expired"), ("time", "expired", "expired"), ("time", "filled", None)]
        assert run.fills()[1] == (2 * 1440 + 1, "sell", "time", 100.0, 91.0)


def test_a_stop_cancels_it():
    bars = [100.0, 100.0, None, (100.0, 100.0, 80.0, 90.0)]
    run = play(market({"A": [bars]}), [buy(0)], max_hold_bars=1, fill="next_close", stop_loss=0.1)
    assert run.orders() == [("market", "filled", None), ("stop", "filled", None), ("time", "cancelled", "position_closed")]


@pytest.mark.parametrize(
    ("minutes", "reasons"), [(0.0, ["approved"] * 2), (1.0, ["cooldown", "approved"]), (2.0, ["cooldown", "cooldown"])]
)
def test_a_closed_position_is_followed_by_a_pause(minutes: float, reasons: list[str]):
    """Left at the open of slot 2, which ends at minute 3; entries at the ends of slots 2 and 3."""
    for wish in (2, 3):
        run = play(FLAT, [buy(0), sell(1), buy(wish)], risk={"cooldown_minutes": minutes})
        assert run.reasons()[2] == reasons[wish - 2]
        assert run.column("decisions", "approved")[2] == (reasons[wish - 2] == "approved")


def test_the_pause_is_of_one_strategy_and_symbol_and_of_both_directions():
    both = market({"A": [[100.0] * 4], "B": [[100.0] * 4]}, strategies=("s", "z"))
    wishes = [buy(0), sell(1), short(2), buy(2, "B"), buy(2, "A", "z")]
    run = play(both, wishes, account=SHORT, risk={"cooldown_minutes": 5.0})
    reasons = {(row["strategy"], row["symbol"], row["action"]): row["reason"] for row in run.rows("decisions") if row["ts"] == at(3)}
    refused = {key for key, reason in reasons.items() if reason == "cooldown"}
    assert (len(reasons), refused) == (3, {("s", "A", "enter_short")})


def test_a_reversal_is_no_new_entry_after_a_close_unless_it_fills_at_once():
    """At the next open the position is still held when the entry is decided; at the same close it is closed by then."""
    wishes = [short(0), cover(1), buy(1)]
    assert play(FLAT, wishes, account=SHORT, risk={"cooldown_minutes": 5.0}).reasons() == ["approved"] * 3
    assert play(FLAT, wishes, account=SHORT, risk={"cooldown_minutes": 5.0}, fill="same_close").reasons()[2] == "cooldown"


@pytest.mark.parametrize(("minutes", "reason"), [(1438.0, "approved"), (1438.5, "cooldown")])
def test_the_pause_passes_from_chunk_to_chunk(minutes: float, reason: str):
    """Left in the slot that ends at 13:33, wished again at 13:31 of the next day."""
    bars = market({"A": [[100.0, 100.0, 100.0], [100.0, 100.0]]})
    for cuts in ((), (1,)):
        assert play(bars, [buy(0), sell(1), buy(3)], cuts=cuts, risk={"cooldown_minutes": minutes}).reasons()[2] == reason

"""Stops that follow the price. A position is 100 shares entered at 100 at the open of slot 1 unless said."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from backtester.trading.execution import ExecutionSettings
from tests.trading.tiny import Bar, Played, at, buy, market, play, sell, short

SHORT = {"allow_short": True}


def held(*bars: Bar, enter: Any = buy, given: dict[str, float] | None = None, **settings: Any) -> Played:
    """A position entered at the open of slot 1, then the bars."""
    return play(market({"A": [[100.0, *bars]]}), [enter(0, **(given or {}))], account=SHORT, **settings)


def left(run: Played) -> list[tuple[int, str, float]]:
    """(minute, type, price) of the fill that closed the position."""
    return [(minute, kind, price) for minute, _, kind, _, price in run.fills()[1:]]


RISING: tuple[Bar, ...] = ((100.0, 110.0, 100.0, 108.0), (108.0, 120.0, 105.0, 118.0), (118.0, 119.0, 107.0, 112.0))
FALLING: tuple[Bar, ...] = tuple(tuple(200.0 - bar[k] for k in (0, 2, 1, 3)) for bar in RISING)  # type: ignore[index]


@pytest.mark.parametrize(("setting", "price"), [({"trailing_amount": 12.0}, 108.0), ({"trailing_stop": 0.1}, 108.0)])
def test_it_follows_the_highest_price_of_the_bars_before(setting: dict[str, float], price: float):
    """High of 120 in bar 2: 12 or a tenth below it; bar 2 itself only knows the 110 of bar 1, and its low of 105 stays above."""
    run = held(*RISING, **setting)
    assert left(run) == [(3, "trailing", price)]
    (trade,) = run.rows("trades")
    assert (trade["exit_reason"], trade["pnl"]) == ("trailing", 800.0)
    assert [(row["type"], row["stop"], row["status"]) for row in run.rows("orders")[1:]] == [("trailing", price, "filled")]


def test_that_of_a_short_follows_the_lowest():
    """Low of 80 in bar 2: 12 above it."""
    assert left(held(*FALLING, enter=short, trailing_amount=12.0)) == [(3, "trailing", 92.0)]
    assert left(held(*FALLING, enter=short, trailing_stop=0.15)) == [(3, "trailing", 80.0 * 1.15)]


def test_it_never_moves_away():
    """Highs of 110 and 104: the level stays at 99."""
    run = held((100.0, 110.0, 100.0, 104.0), (104.0, 104.0, 100.0, 100.0), trailing_amount=11.0)
    assert run.column("orders", "stop") == [None, 99.0]
    assert run.orders()[1] == ("trailing", "open", None)


def test_it_begins_at_its_distance_from_the_entry():
    assert left(held((100.0, 100.0, 94.0, 96.0), trailing_stop=0.05)) == [(1, "trailing", 95.0)]
    assert left(held((100.0, 106.0, 100.0, 105.0), enter=short, trailing_amount=5.0)) == [(1, "trailing", 105.0)]


@pytest.mark.parametrize(
    ("given", "setting", "level"),
    [
        ({"stop_price": 97.0}, {"trailing_amount": 5.0}, 97.0),
        ({"stop_price": 90.0}, {"trailing_amount": 5.0}, 95.0),
        ({}, {"trailing_amount": 5.0, "stop_loss": 0.02}, 98.0),
        ({"trailing_amount": 3.0}, {"trailing_stop": 0.5}, 97.0),
        ({"trailing_stop": 0.25}, {"trailing_amount": 1.0}, 75.0),
        ({"trailing_stop": 0.25, "trailing_amount": 4.0}, {}, 96.0),
    ],
)
def test_the_tighter_level_counts_and_the_signal_wins(given: dict[str, float], setting: dict[str, float], level: float):
    run = held(100.0, given=given, **setting)
    assert [(row["type"], row["stop"]) for row in run.rows("orders")[1:]] == [("trailing", level)]


def test_a_tighter_stop_of_a_short_is_the_lower_one():
    run = held(100.0, enter=short, given={"stop_price": 103.0}, trailing_amount=5.0)
    assert run.column("orders", "stop")[1] == 103.0


def test_it_acts_as_a_stop():
    """Slippage of 100 bps, the target cancelled by it, ambiguity, a gap."""
    run = held(100.0, (100.0, 130.0, 90.0, 100.0), trailing_amount=5.0, take_profit=0.25, slippage={"bps": 100.0})
    assert left(run) == [(2, "trailing", (101.0 - 5.0) * 0.99)]
    assert run.orders()[1:] == [("trailing", "filled", None), ("target", "cancelled", "oco")]
    assert run.column("fills", "ambiguous") == [False, True]
    assert left(held(100.0, 93.0, trailing_amount=5.0)) == [(2, "trailing", 93.0)]


def test_after_an_entry_at_a_close_it_follows_from_the_next_bar_on():
    bars = [100.0, (90.0, 150.0, 90.0, 100.0), (100.0, 104.0, 100.0, 104.0)]
    run = play(market({"A": [bars]}), [buy(0)], fill="next_close", trailing_amount=5.0)
    assert run.column("orders", "stop") == [None, 99.0]


def test_bars_without_volume_move_it_and_do_not_trigger_it():
    run = held(100.0, (100.0, 120.0, 80.0, 100.0, 0.0), 116.0, 115.0, trailing_amount=5.0)
    assert left(run) == [(4, "trailing", 115.0)]


def test_what_a_bar_moved_counts_only_if_the_position_outlives_it():
    """Sold at the close of bar 2 by the signal of bar 2: its order shows the level of bar 1."""
    run = play(market({"A": [[100.0, 110.0, (110.0, 130.0, 110.0, 130.0)]]}), [buy(0), sell(2)], fill="same_close", trailing_amount=50.0)
    assert run.column("orders", "stop") == [None, 60.0, None]


def test_it_passes_from_chunk_to_chunk():
    bars = market({"A": [[100.0, 100.0], [(100.0, 120.0, 100.0, 118.0)], [(118.0, 119.0, 107.0, 112.0)]]})
    whole, cut = (play(bars, [buy(0)], cuts=cuts, trailing_amount=12.0) for cuts in ((), (1, 2)))
    assert [row[2:] for row in whole.fills()[1:]] == [("trailing", 100.0, 108.0)]
    assert all(frame.equals(cut.frames[name]) for name, frame in whole.frames.items())


def test_an_entry_inside_a_bar_is_followed_from_that_bar_on():
    """Entered at 98 with a stop at 93; the bar's high of 104 lifts it to 99 for the next one."""
    run = held((100.0, 104.0, 96.0, 104.0), (104.0, 104.0, 98.0, 100.0), given={"limit": 98.0}, trailing_amount=5.0)
    assert left(run) == [(2, "trailing", 99.0)]
    assert run.rows("orders")[1]["ts"] == at(1)


def test_both_settings_at_once_are_an_error():
    with pytest.raises(ValidationError, match="leave out one"):
        ExecutionSettings(trailing_stop=0.1, trailing_amount=1.0)

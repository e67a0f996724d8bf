"""Entries by a stop that follows the price: a signal at the end of slot 0, whose close is 100 unless said."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trading.test_adjustments import SECOND, actions
from tests.trading.test_adjustments import run as adjusted
from tests.trading.tiny import Bar, Played, at, buy, market, play, sell, short

SHORT = {"allow_short": True}
FALLING: tuple[Bar, ...] = ((100.0, 102.0, 96.0, 97.0), (97.0, 101.0, 95.0, 100.0))
RISING: tuple[Bar, ...] = ((100.0, 104.0, 98.0, 103.0), (103.0, 105.0, 99.0, 100.0))


def waiting(*bars: Bar, enter: Any = buy, seen: Bar = 100.0, **given: Any) -> Played:
    """The entry, then the bars."""
    settings = {name: given.pop(name) for name in ("slippage", "intrabar", "time_in_force", "max_participation") if name in given}
    return play(market({"A": [[seen, *bars]]}), [enter(0, **given)], account=SHORT, **settings)


def test_it_comes_nearer_bar_by_bar_and_fills_at_the_level_known_before():
    """Level 105; the low of 96 makes it 101, which the next bar's high meets while its own low of 95 would have made it 100."""
    run = waiting(*FALLING, entry_trail_amount=5.0)
    assert run.fills() == [(2, "buy", "trailing", 100.0, 101.0)]
    assert [(row["type"], row["stop"], row["status"]) for row in run.rows("orders")] == [("trailing", 101.0, "filled")]


def test_a_fraction_is_of_the_price():
    assert waiting(*FALLING, entry_trail=0.0625).fills() == []
    assert waiting(*FALLING, (95.0, 101.0, 95.0, 100.0), entry_trail=0.0625).fills() == [(3, "buy", "trailing", 100.0, 95.0 * 1.0625)]
    assert waiting(*FALLING, entry_trail=0.5, entry_trail_amount=5.0).fills() == [(2, "buy", "trailing", 100.0, 101.0)]


def test_that_of_a_short_follows_the_high():
    """Level 95; the high of 104 makes it 99."""
    assert waiting(*RISING, enter=short, entry_trail_amount=5.0).fills() == [(2, "sell", "trailing", 100.0, 99.0)]
    assert waiting(*RISING, enter=short, entry_trail=0.046875).fills() == [(2, "sell", "trailing", 100.0, 104.0 * 0.953125)]


def test_it_never_moves_away():
    """Lows of 96 and 99: the level stays at 101.5."""
    run = waiting((100.0, 100.0, 96.0, 99.0), (99.0, 101.0, 99.0, 100.0), entry_trail_amount=5.5)
    assert run.column("orders", "stop") == [101.5]
    assert run.orders() == [("trailing", "open", "no_bar_to_fill")]


def test_the_first_level_is_of_the_close_seen_and_its_own_bar_does_not_move_it():
    run = waiting(100.0, seen=(100.0, 100.0, 80.0, 98.0), entry_trail_amount=5.0)
    assert run.column("orders", "stop") == [103.0]


def test_an_open_beyond_the_level_fills_at_the_open():
    run = waiting(FALLING[0], (103.0, 104.0, 102.0, 103.0), entry_trail_amount=5.0, slippage={"bps": 100.0})
    assert run.fills() == [(2, "buy", "trailing", 100.0, 103.0 * 1.01)]


def test_a_bar_without_volume_moves_it_and_does_not_fill_it():
    run = waiting((100.0, 106.0, 90.0, 97.0, 0.0), None, (94.0, 94.5, 93.0, 94.0), (94.0, 96.0, 94.0, 96.0), entry_trail_amount=5.0)
    assert run.fills() == [(4, "buy", "trailing", 100.0, 95.0)]


def test_it_moves_while_its_position_is_held():
    """Sold by a limit that no price meets; the entry waits for it, its level follows the low of 90 to 95; sold at last at slot 4."""
    bars: list[Bar] = [100.0, 100.0, 100.0, (100.0, 106.0, 90.0, 91.0), (91.0, 92.0, 91.0, 92.0), (93.0, 97.0, 93.0, 96.0)]
    wishes = [buy(0), sell(1, limit=200.0), buy(1, entry_trail_amount=5.0), sell(3)]
    run = play(market({"A": [bars]}), wishes)
    assert run.fills()[1:] == [(4, "sell", "market", 100.0, 91.0), (5, "buy", "trailing", 100.0, 95.0)]


def test_a_bar_that_holds_its_level_and_the_stop_is_ambiguous():
    run = waiting(FALLING[0], (97.0, 101.0, 90.0, 100.0), entry_trail_amount=5.0, stop_loss=0.05)
    assert run.fills()[1][2:] == ("stop", 100.0, 101.0 * 0.95)
    assert run.column("fills", "ambiguous") == [False, True]
    assert len(waiting(FALLING[0], (97.0, 101.0, 90.0, 100.0), entry_trail_amount=5.0, stop_loss=0.05, intrabar="optimistic").fills()) == 1


def test_a_day_order_expires():
    assert waiting(99.0, entry_trail_amount=5.0, time_in_force="day").orders() == [("trailing", "expired", "expired")]


def test_filled_in_part_it_works_on_as_a_market_order():
    """30 shares of volume 60 at its level of 105, 40 at the next open, its level stays; 30 are left."""
    run = waiting((100.0, 106.0, 100.0, 105.0, 60.0), (90.0, 90.0, 90.0, 90.0, 80.0), 91.0, entry_trail_amount=5.0, max_participation=0.5)
    assert [fill[1:] for fill in run.fills()] == [("buy", "trailing", 30.0, 105.0), ("buy", "trailing", 40.0, 90.0)]
    assert run.column("orders", "stop") == [105.0]


def test_an_exit_and_a_weight_do_not_read_it():
    run = play(market({"A": [[100.0] * 4]}), [buy(0), sell(1, entry_trail_amount=5.0)])
    assert run.fills()[1][:3] == (2, "sell", "market")


@pytest.mark.parametrize("cuts", [(), (1,)])
def test_its_level_passes_from_one_chunk_to_the_next(cuts: tuple[int, ...]):
    run = play(market({"A": [[100.0, FALLING[0]], [FALLING[1]]]}), [buy(0, entry_trail_amount=5.0)], cuts=cuts)
    assert run.fills() == [((at(0, 1) - at(0)) // 60_000_000, "buy", "trailing", 100.0, 101.0)]


def test_a_split_divides_level_and_amount():
    """Level 101 before 2 for 1, 50.5 and an amount of 2.5 after it: the low of 47 makes it 49.5, 200 shares."""
    bars = {"A": [[100.0, FALLING[0]], [(48.0, 49.0, 47.0, 48.0), (48.0, 50.0, 48.0, 50.0)]]}
    run = adjusted(bars, [buy(0, entry_trail_amount=5.0)], actions(("A", SECOND, "split", 2.0)))
    assert [fill[1:] for fill in run.fills()] == [("buy", "trailing", 200.0, 49.5)]

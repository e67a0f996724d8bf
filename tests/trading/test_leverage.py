"""Leverage: what may be held for each unit of equity, at the decision and at the fill."""

from __future__ import annotations

import pytest

from tests.trading.tiny import buy, market, play, sell, short

TWICE = {"leverage": 2.0, "allow_short": True}
FLAT = market({"A": [[100.0] * 4], "B": [[100.0] * 4]})


@pytest.mark.parametrize(("leverage", "most"), [(1.0, 1000.0), (2.0, 2000.0), (2.5, 2500.0)])
def test_a_decision_may_use_the_whole_power(leverage: float, most: float):
    """100,000 of equity at 100 a share."""
    account = {"leverage": leverage, "allow_short": True}
    for enter in (buy, short):
        assert play(FLAT, [enter(0, size=most)], account=account).reasons() == ["approved"]
        assert play(FLAT, [enter(0, size=most + 1.0)], account=account).reasons() == ["insufficient_cash"]


def test_fees_are_taken_off_before_the_power_is_worked_out():
    """(100,000 - 1) x 2 = 199,998 pay for 1,999 shares, not for 2,000."""
    assert play(FLAT, [buy(0, size=2000.0)], account=TWICE, commission={"minimum": 1.0}).reasons() == ["insufficient_cash"]
    assert play(FLAT, [buy(0, size=1999.0)], account=TWICE, commission={"minimum": 1.0}).reasons() == ["approved"]


def test_an_entry_is_cut_to_what_the_equity_carries_at_its_fill():
    """200,000 / 110 = 1,818.18; cash is then 100,000 - 199,980."""
    run = play(market({"A": [[100.0, 110.0]]}), [buy(0, size=2000.0)], account=TWICE)
    assert run.fills() == [(1, "buy", "market", 1818.0, 110.0)]
    assert run.reasons() == ["insufficient_cash"]
    assert run.orders() == [("market", "partial", "insufficient_cash")]
    assert run.column("equity", "cash") == [100_000.0, -99_980.0]


def test_a_short_is_cut_like_a_long():
    """100,000 / 110 = 909.09."""
    run = play(market({"A": [[100.0, 110.0]]}), [short(0, size=1000.0)], account={"allow_short": True})
    assert run.fills() == [(1, "sell", "market", 909.0, 110.0)]


def test_an_entry_sees_another_of_the_same_open_at_its_fill_price_not_at_its_close():
    """A is sold at 100 and closes at 200; at the open 100,000 of equity and 50,000 of it behind A leave 500 shares of B."""
    bars = market({"A": [[100.0, (100.0, 200.0, 100.0, 200.0)]], "B": [[100.0, 100.0]]})
    run = play(bars, [short(0, "A", size=500.0), buy(0, "B", size=500.0)], account={"allow_short": True})
    assert [quantity for *_, quantity, _ in run.fills()] == [500.0, 500.0]


def test_a_waiting_exit_frees_its_power():
    run = play(FLAT, [buy(0, size=2000.0), sell(1), buy(1, "B", size=2000.0)], account=TWICE)
    assert run.reasons() == ["approved"] * 3
    assert [row[3] for row in run.fills()] == [2000.0, 2000.0, 2000.0]


def test_a_waiting_entry_takes_its_power():
    wishes = [buy(0, size=1500.0), short(0, "B", size=501.0)]
    assert play(FLAT, wishes, account=TWICE).reasons() == ["approved", "insufficient_cash"]
    assert play(FLAT, [wishes[0], short(0, "B", size=500.0)], account=TWICE).reasons() == ["approved", "approved"]


def test_losses_count_twice_under_leverage():
    """2,000 shares from 100 to 90: 20,000 of 100,000 are gone; 80,000 x 2 - 180,000 leave no room."""
    run = play(market({"A": [[100.0, 100.0, 90.0]], "B": [[1.0] * 3]}), [buy(0, size=2000.0), buy(2, "B", size=1.0)], account=TWICE)
    assert run.column("equity", "equity")[-1] == 80_000.0
    assert run.reasons() == ["approved", "insufficient_cash"]


def test_a_fraction_of_the_equity_may_exceed_it():
    """1.5 x 100,000 at 100 a share."""
    run = play(FLAT, [buy(0)], account=TWICE, sizing={"type": "equity_fraction", "value": 1.5})
    assert run.column("decisions", "quantity") == [1500.0]

"""Slippage in ticks and in parts of the quoted spread. 100 shares; a tick is 0.25 unless said."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from backtester.trading.execution import ExecutionSettings
from tests.trading.tiny import buy, cover, market, play, sell, short

Quote = tuple[float, float, float, float]
"""Bid at the open and close, ask at the open and close."""
SHORT = {"allow_short": True}
NARROW, WIDE = (99.0, 99.5, 101.0, 100.5), (98.0, 98.0, 102.0, 102.0)


def prices(wishes: list[Any], bars: list[Any], quotes: list[Quote | None] | None = None, **settings: Any) -> list[float]:
    """The prices of all fills."""
    quoted = None if quotes is None else {"A": [quotes]}
    return play(market({"A": [bars]}, quotes=quoted), wishes, account=SHORT, **settings).column("fills", "price")


def test_ticks_go_against_the_trader():
    """Two ticks of 0.25 on either side; with 100 bps before them."""
    ticks = {"slippage": {"ticks": 2.0}, "tick": 0.25}
    assert prices([buy(0), sell(1)], [100.0] * 3, **ticks) == [100.5, 99.5]
    assert prices([short(0), cover(1)], [100.0] * 3, **ticks) == [99.5, 100.5]
    assert prices([buy(0), sell(1)], [100.0] * 3, slippage={"ticks": 2.0, "bps": 100.0}, tick=0.25) == [101.5, 98.5]
    assert prices([buy(0)], [100.0] * 2, slippage={"ticks": 3.0}) == [100.0 + 3.0 * 0.01]


def test_they_are_counted_as_slippage():
    run = play(market({"A": [[100.0, 100.0]]}), [buy(0)], slippage={"ticks": 2.0}, tick=0.25)
    assert run.column("fills", "slippage") == [50.0]
    assert run.column("equity", "equity")[-1] == 99_950.0


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, [101.0, 98.0]),
        ({"fill": "next_close"}, [100.5, 98.0]),
        ({"fill": "same_close"}, [100.0, 99.5]),
    ],
)
def test_a_part_of_the_spread_is_paid_at_the_open_or_the_close(settings: dict[str, Any], wanted: list[float]):
    """Half of 101 - 99 at the open of slot 1, of 100.5 - 99.5 at its close, of 102 - 98 in slot 2; slot 0 has no spread."""
    quotes: list[Quote | None] = [(100.0, 100.0, 100.0, 100.0), NARROW, WIDE]
    assert prices([buy(0), sell(1)], [100.0] * 3, quotes, slippage={"spread": 0.5}, **settings) == wanted


def test_without_a_quote_no_spread_is_paid_and_the_fill_says_so():
    run = play(market({"A": [[100.0] * 3]}, quotes={"A": [[None, None, NARROW]]}), [buy(0), sell(1)], slippage={"spread": 0.5})
    assert run.column("fills", "price") == [100.0, 99.0]
    assert run.column("fills", "flags") == ["synthetic_quote", ""]
    bare = play(market({"A": [[100.0] * 3]}), [buy(0), sell(1)], slippage={"spread": 0.5})
    assert bare.column("fills", "flags") == ["synthetic_quote", "synthetic_quote"]


def test_a_crossed_quote_pays_nothing():
    assert prices([buy(0)], [100.0] * 2, [NARROW, (101.0, 101.0, 99.0, 99.0)], slippage={"spread": 0.5}) == [100.0]


def test_stops_pay_it_too_and_limits_and_targets_do_not():
    """A stop at 95 less half of 4 and a tick; a limit buy and a target at their levels, without a flag."""
    costs = {"slippage": {"spread": 0.5, "ticks": 1.0}, "tick": 0.25}
    free: Quote = (100.0, 100.0, 100.0, 100.0)
    bars = [100.0, 100.0, (100.0, 100.0, 90.0, 95.0)]
    assert prices([buy(0, stop_price=95.0)], bars, [free, free, WIDE], **costs) == [100.25, 92.75]
    bars = [100.0, (100.0, 100.0, 90.0, 95.0), (95.0, 120.0, 95.0, 120.0)]
    run = play(market({"A": [bars]}), [buy(0, limit=95.0, target_price=110.0)], **costs)
    assert run.column("fills", "price") == [95.0, 110.0]
    assert run.column("fills", "flags") == ["", ""]


def test_the_close_of_a_session_pays_the_spread_of_its_close():
    run = play(market({"A": [[100.0] * 3]}, quotes={"A": [[NARROW] * 3]}), [buy(0)], flat_at_close=True, slippage={"spread": 0.5})
    assert run.column("fills", "price") == [101.0, 99.5]


def test_a_spread_that_the_quote_holds_already_is_an_error():
    with pytest.raises(ValidationError, match="leave out one"):
        ExecutionSettings.model_validate({"price": "quote", "slippage": {"spread": 0.5}})


def test_impact_is_the_root_of_the_part_of_the_volume():
    """100 of 400 shares are a quarter, of which the root is a half: 50 of 100 bps. 100 of 10,000: a tenth."""
    bars = [100.0, (100.0, 100.0, 100.0, 100.0, 400.0), (100.0, 100.0, 100.0, 100.0, 10_000.0)]
    impact = {"impact_bps": 100.0}
    assert prices([buy(0), sell(1)], bars, slippage=impact) == [100.5, 99.9]
    assert prices([short(0), cover(1)], bars, slippage=impact) == [99.5, 100.1]
    assert prices([buy(0)], bars, slippage=impact | {"bps": 100.0, "ticks": 2.0}, tick=0.25) == [102.0]


def test_impact_is_of_the_price_before_slippage_and_counts_as_slippage():
    """A stop at 90 in a bar of 100 shares: 1 % of 90; the target, a limit, pays nothing."""
    bars = [100.0, (100.0, 100.0, 100.0, 100.0, 1e6), (100.0, 100.0, 90.0, 95.0, 100.0)]
    run = play(market({"A": [bars]}), [buy(0, stop_price=90.0)], slippage={"impact_bps": 100.0})
    assert run.column("fills", "price") == [100.01, 89.1]
    assert run.column("fills", "slippage") == [1.0, 90.0]
    run = play(market({"A": [[100.0, 100.0, (100.0, 120.0, 100.0, 110.0, 1.0)]]}), [buy(0, limit=101.0, target_price=110.0)],
               slippage={"impact_bps": 100.0})  # fmt: skip
    assert run.column("fills", "price") == [100.0, 110.0]


def test_impact_is_of_the_quantity_that_the_account_cuts_afterwards():
    """Four times the volume is asked for: twice 100 bps, though 20,000 pay for 196 at 102."""
    run = play(
        market({"A": [[50.0, (100.0, 100.0, 100.0, 100.0, 100.0)]]}), [buy(0, size=400.0)], cash=20_000.0, slippage={"impact_bps": 100.0}
    )
    assert [(row["quantity"], row["price"]) for row in run.rows("fills")] == [(196.0, 102.0)]

"""Fills at a bar's mean price, and sizes worked out at the fill. 100 shares unless said."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from backtester.trading.execution import ExecutionSettings
from tests.trading.tiny import Bar, Wish, buy, market, play, sell, short

WITH_MEAN: Bar = (100.0, 108.0, 96.0, 102.0, 1.0, 101.5)
WITHOUT: Bar = (100.0, 108.0, 96.0, 102.0)
BEYOND: Bar = (100.0, 108.0, 96.0, 102.0, 1.0, 108.5)


def fills(bars: list[Bar], wishes: list[Wish], **settings: Any) -> list[tuple[str, float, str]]:
    """(type, price, flags) of every fill."""
    run = play(market({"A": [bars]}), wishes, fill="next_vwap", account={"allow_short": True}, **settings)
    return [(row["type"], row["price"], row["flags"]) for row in run.rows("fills")]


def test_an_order_fills_at_the_mean_price_of_the_next_bar():
    assert fills([100.0, WITH_MEAN, WITH_MEAN], [buy(0), sell(1)]) == [("market", 101.5, ""), ("market", 101.5, "")]
    assert fills([100.0, WITH_MEAN], [short(0)], slippage={"bps": 100.0}) == [("market", 101.5 * 0.99, "")]


def test_where_there_is_none_in_the_bar_its_typical_price_serves():
    """(108 + 96 + 102) / 3."""
    for bar in (WITHOUT, BEYOND):
        assert fills([100.0, bar, WITH_MEAN], [buy(0)]) == [("market", 102.0, "typical_price")]


def test_such_a_fill_is_one_at_the_close_in_every_other_rule():
    """A stop that the bar of the entry has passed is looked at in the next one; the mark is the close; so is the end of a session."""
    run = play(market({"A": [[100.0, WITH_MEAN, 102.0]]}), [buy(0, stop_price=97.0)], fill="next_vwap")
    assert [row["type"] for row in run.rows("fills")] == ["market"]
    assert run.column("equity", "gross") == [0.0, 10_200.0, 10_200.0]
    assert fills([100.0, WITH_MEAN, WITH_MEAN], [buy(0)], flat_at_close=True)[1] == ("close", 102.0, "")
    assert fills([100.0, WITH_MEAN], [buy(0, on_close=True)]) == [("market_on_close", 102.0, "")]


def test_a_mean_price_is_none_of_quotes():
    with pytest.raises(ValidationError, match="next_vwap"):
        ExecutionSettings(fill="next_vwap", price="quote")


def test_a_size_at_the_fill_is_the_money_s_at_its_price():
    """1,000 buy 10 at 100; at a fill at 125 they buy 8, at 80 they buy 12."""
    for price, quantity in ((125.0, 8.0), (80.0, 12.0)):
        run = play(market({"A": [[100.0, price]]}), [buy(0)], sizing={"type": "notional", "value": 1000.0, "at": "fill"})
        assert run.column("fills", "quantity") == [quantity]
        assert run.column("orders", "quantity") == [quantity]
        assert run.column("decisions", "quantity") == [quantity]
        assert run.orders() == [("market", "filled", None)]


def test_it_counts_the_fee_and_the_slippage_but_not_the_impact_of_its_own_size():
    """Half of 10,000 at 50.50 (1 % slippage) with 1 a share: 5,000 / 51.50 = 97; impact makes the price 51 and no other size."""
    sizing = {"type": "equity_fraction", "value": 0.5, "at": "fill"}
    costs = {"commission": {"per_share": 1.0}, "slippage": {"bps": 100.0, "impact_bps": 100.0}}
    run = play(market({"A": [[40.0, (50.0, 50.0, 50.0, 50.0, 97.0)]]}), [buy(0)], cash=10_000.0, sizing=sizing, **costs)
    assert [(row["quantity"], row["price"]) for row in run.rows("fills")] == [(97.0, 51.0)]


def test_the_limit_of_a_trade_cuts_it_again():
    run = play(market({"A": [[40.0, 100.0]]}), [buy(0)], sizing={"type": "notional", "value": 1000.0, "at": "fill"},
               risk={"max_per_trade": 500.0})  # fmt: skip
    assert run.column("fills", "quantity") == [5.0]
    assert run.reasons() == ["max_per_trade"]


def test_no_lot_at_the_fill_cancels_the_entry():
    run = play(market({"A": [[100.0, 1001.0]]}), [buy(0)], sizing={"type": "notional", "value": 1000.0, "at": "fill"})
    assert run.orders() == [("market", "cancelled", "below_lot")]
    assert run.reasons() == ["below_lot"]


def test_a_size_that_the_signal_gives_stays():
    run = play(market({"A": [[100.0, 125.0]]}), [buy(0, size=10.0)], sizing={"type": "notional", "value": 1000.0, "at": "fill"})
    assert run.column("fills", "quantity") == [10.0]


def test_a_limit_order_is_sized_at_its_limit():
    run = play(market({"A": [[100.0, (100.0, 100.0, 70.0, 80.0)]]}), [buy(0, limit=80.0)],
               sizing={"type": "notional", "value": 1000.0, "at": "fill"})  # fmt: skip
    assert [(row["quantity"], row["price"]) for row in run.rows("fills")] == [(12.0, 80.0)]


@pytest.mark.parametrize("kind", ["shares", "risk_fraction"])
def test_sizes_that_are_no_money_have_no_price(kind: str):
    with pytest.raises(ValidationError, match="means nothing"):
        ExecutionSettings.model_validate({"sizing": {"type": kind, "at": "fill"}})

"""Commission and its presets; money to whole millionths."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from backtester.trading.costs import CommissionFigures, CommissionSettings, fee_of, micro
from tests.trading.tiny import buy, market, play


@pytest.mark.parametrize(
    ("price", "quantity", "fee"),
    [
        (10.0, 1000.0, 5.0),  # 1,000 x 0.005
        (10.0, 100.0, 1.0),  # 0.50 is less than the minimum
        (10.0, 5.0, 0.5),  # the minimum is more than 1 % of 50: the cap wins
        (0.10, 1000.0, 1.0),  # 5.00 is more than 1 % of 100
    ],
)
def test_ibkr_fixed_is_half_a_cent_a_share_at_least_a_dollar_at_most_one_percent(price: float, quantity: float, fee: float):
    run = play(market({"A": [[price, price]]}), [buy(0, size=quantity)], commission={"preset": "ibkr_fixed"})
    assert run.column("fills", "fee") == [fee]
    assert fee_of(CommissionSettings(preset="ibkr_fixed"))(price, quantity) == fee


def test_basis_points_add_to_the_fee_a_share():
    """100 x 0.01 + 10,000 x 5 / 10,000 = 1 + 5."""
    run = play(market({"A": [[100.0, 100.0]]}), [buy(0)], commission={"per_share": 0.01, "bps": 5.0})
    assert run.column("fills", "fee") == [6.0]


def test_without_settings_a_fill_is_free():
    assert play(market({"A": [[100.0, 100.0]]}), [buy(0)]).column("fills", "fee") == [0.0]
    assert CommissionSettings(preset="zero").figures == CommissionFigures(0.0, 0.0, 0.0, math.inf)


def test_a_fee_is_rounded_to_a_millionth_half_to_even():
    """3 x 0.0000015 = 0.0000045 is 4.5 millionths, which is 4; 5 x 0.0000015 is 7.5, which is 8."""
    for quantity, fee in ((3.0, 4e-6), (5.0, 8e-6)):
        run = play(market({"A": [[1.0, 1.0]]}), [buy(0, size=quantity)], commission={"per_share": 0.0000015})
        assert run.column("fills", "fee") == [fee]


def test_a_preset_and_a_figure_together_are_an_error():
    with pytest.raises(ValidationError, match="preset 'zero' sets every figure; leave out bps, minimum"):
        CommissionSettings.model_validate({"preset": "zero", "minimum": 1.0, "bps": 2.0})


def test_a_fee_of_five_hundred_percent_is_refused():
    """CFG-18."""
    with pytest.raises(ValidationError):
        CommissionSettings(bps=50_000.0)


def test_money_is_rounded_half_to_even():
    """2^-7 has few enough digits to be exact: 0.0078125 is 7,812.5 millionths, three times that 23,437.5."""
    assert (micro(2.0**-7), micro(3 * 2.0**-7)) == (7812, 23438)

"""Commission and its presets; money to whole millionths."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from backtester.trading.costs import CommissionFigures, CommissionSettings, fee_of, micro
from tests.trading.tiny import Wish, buy, market, play, sell


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


def fees(wishes: list[Wish], sessions: list[int], **settings: Any) -> list[float]:
    """Fees of all fills at a price of 10 in sessions of so many bars, from 2025-07-02 on; each alone is cut in two runs as well."""
    whole = market({"A": [[10.0] * count for count in sessions]})
    once = play(whole, wishes, cash=1e9, **settings)
    assert once.frames["fills"].equals(play(whole, wishes, cash=1e9, cuts=range(1, len(sessions)), **settings).frames["fills"])
    return once.column("fills", "fee")


TIERS = {"per_share": 0.01, "bps": 1.0, "minimum": 0.3, "tiers": ({"above": 100.0, "per_share": 0.004}, {"above": 250.0, "bps": 2.0})}


def test_a_fill_pays_the_rates_of_the_shares_before_it():
    """100 shares: 1.00 and 0.10; after 100 still the same, for a tier begins above; after 200: 0.40; after 300: the minimum."""
    assert fees([buy(0), sell(1), buy(2), sell(3)], [6], commission=TIERS) == [1.1, 1.1, 0.4, 0.3]


def test_a_fill_pays_one_rate_even_where_it_crosses_a_boundary():
    """1,000 shares from none: all at the first rate; the next at the last tier's 2 bps of 10,000."""
    assert fees([buy(0, size=1000.0), sell(1)], [4], commission=TIERS) == [11.0, 2.0]


def test_shares_are_counted_from_none_in_another_month():
    """Session 29 of 2025-07-02 on is 2025-07-31, 30 is 2025-08-01: 200 shares before it count no more."""
    wishes = [buy(0), sell(27), buy(28), sell(29), buy(30)]
    assert fees(wishes, [1] * 32, commission=TIERS) == [1.1, 1.1, 0.4, 1.1, 1.1]


def test_expected_fees_are_of_the_rates_of_the_moment():
    """With cash for 100 shares and 0.40 of fee, the entry that expects the first rate's 1.10 is refused, the later one is not."""
    wishes = [buy(0, size=50.0), sell(1, size=50.0), buy(2, size=51.0), sell(3), buy(4), buy(5)]
    run = play(market({"A": [[10.0] * 8]}), [buy(0), *wishes[2:]], cash=1_001.0, commission=TIERS | {"minimum": 0.0})
    assert run.reasons()[0] == "insufficient_cash"
    run = play(market({"A": [[10.0] * 8]}), wishes, cash=1_002.5, commission=TIERS | {"minimum": 0.0})
    assert run.column("fills", "fee") == [0.55, 0.55, 0.561, 0.204, 0.4]


def test_ibkr_tiered_falls_with_the_shares_of_the_month():
    """As in the broker's own examples: 2,700,000 at 0.002, 17,000,000 at 0.0015, 10,000,000 at 0.001, after one share more than 300,000."""
    sizes = (300_001.0, 2_700_000.0, 17_000_000.0, 10_000_000.0)
    wishes = [buy(t, strategy=name, size=size) for t, (name, size) in enumerate(zip("abcd", sizes, strict=True))]
    run = play(market({"A": [[5.0] * 6]}, strategies=tuple("abcd")), wishes, cash=1e9, commission={"preset": "ibkr_tiered"})
    assert run.column("fills", "fee") == [1050.0035, 5_400.0, 25_500.0, 10_000.0]


def test_tiers_must_rise():
    with pytest.raises(ValidationError, match="begin above more shares"):
        CommissionSettings.model_validate({"tiers": ({"above": 5.0}, {"above": 5.0})})
    with pytest.raises(ValidationError, match="preset 'zero' sets every figure; leave out tiers"):
        CommissionSettings.model_validate({"preset": "zero", "tiers": ({"above": 5.0},)})

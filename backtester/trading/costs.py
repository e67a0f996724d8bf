"""Costs of a fill: commission and slippage.

Place in the flow: `config` nests the settings, `execution` hands their figures to the kernel, which applies them to every fill
and to every size. Never sees a fill itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from backtester.settings import Settings

MAX_MICRO = 3_000_000_000_000_000_000
"""The largest amount of money an account can hold, in 1e-6 currency: three of them still fit into an int64."""


class Rates(NamedTuple):
    """The rates of a tier: from more than `above` shares a month on, currency a share and basis points."""

    above: float
    per_share: float
    bps: float


class CommissionFigures(NamedTuple):
    """What a commission is made of: currency a share, basis points, currency at least, basis points at most (inf: no cap), tiers."""

    per_share: float
    bps: float
    minimum: float
    cap_bps: float
    tiers: tuple[Rates, ...] = ()


PRESETS = {
    "zero": CommissionFigures(0.0, 0.0, 0.0, math.inf),
    "ibkr_fixed": CommissionFigures(0.005, 0.0, 1.0, 100.0),
    "ibkr_tiered": CommissionFigures(
        0.0035, 0.0, 0.35, 100.0,
        (Rates(300_000.0, 0.002, 0.0), Rates(3_000_000.0, 0.0015, 0.0), Rates(20_000_000.0, 0.001, 0.0), Rates(100_000_000.0, 0.0005, 0.0)),
    ),
}  # fmt: skip
"""Commissions by name: the plans for US shares of Interactive Brokers; docs/costs.md says where the figures are from."""


class TierSettings(Settings):
    """Other rates, from more than `above` shares in the calendar month on."""

    above: float = Field(gt=0.0)
    per_share: float = Field(default=0.0, ge=0.0, le=1000.0)
    bps: float = Field(default=0.0, ge=0.0, le=1000.0)


class CommissionSettings(Settings):
    """Commission of one fill: per_share * quantity + bps of its value, at least `minimum`, at most `cap_bps` of its value.

    tiers: rates that take the place of per_share and bps once more shares than `above` have been filled in the calendar month.
    `preset` sets all of it; `ibkr_fixed` is 0.005 USD a share, at least 1 USD, at most 1 % of the value (the cap wins over
    the minimum). A preset and a figure together are an error.
    """

    preset: Literal["zero", "ibkr_fixed", "ibkr_tiered"] | None = None
    per_share: float = Field(default=0.0, ge=0.0, le=1000.0)
    bps: float = Field(default=0.0, ge=0.0, le=1000.0)
    minimum: float = Field(default=0.0, ge=0.0)
    cap_bps: float | None = Field(default=None, gt=0.0, le=10000.0)
    tiers: tuple[TierSettings, ...] = Field(default=(), max_length=100)

    @model_validator(mode="after")
    def _tiers_rise(self) -> Self:
        if any(one.above >= other.above for one, other in pairwise(self.tiers)):
            raise ValueError("each tier must begin above more shares than the one before it")
        return self

    @model_validator(mode="after")
    def _preset_stands_alone(self) -> Self:
        figures = sorted(self.model_fields_set - {"preset"})
        if self.preset is not None and figures:
            raise ValueError(f"preset '{self.preset}' sets every figure; leave out {', '.join(figures)}, or leave out the preset")
        return self

    @property
    def figures(self) -> CommissionFigures:
        """All figures, the preset's where one is named.

        >>> CommissionSettings(preset="ibkr_fixed").figures
        CommissionFigures(per_share=0.005, bps=0.0, minimum=1.0, cap_bps=100.0, tiers=())
        """
        if self.preset is not None:
            return PRESETS[self.preset]
        tiers = tuple(Rates(tier.above, tier.per_share, tier.bps) for tier in self.tiers)
        return CommissionFigures(self.per_share, self.bps, self.minimum, math.inf if self.cap_bps is None else self.cap_bps, tiers)


class SlippageSettings(Settings):
    """Slippage against the trader on every order without a limit: basis points of the price, ticks, a part of the quoted spread, and
    impact: basis points of the price that a fill of a whole bar's volume pays, a smaller one by the root of its part of it.
    """

    bps: float = Field(default=0.0, ge=0.0, le=1000.0)
    ticks: float = Field(default=0.0, ge=0.0)
    spread: float = Field(default=0.0, ge=0.0)
    impact_bps: float = Field(default=0.0, ge=0.0, le=10000.0)


def fee_of(commission: CommissionSettings) -> Callable[[float, float], float]:
    """The commission of one fill as a function of price and quantity, in currency, rounded as the account books it.

    >>> fee = fee_of(CommissionSettings(preset="ibkr_fixed"))
    >>> fee(10.0, 1000.0), fee(10.0, 100.0), fee(10.0, 5.0)
    (5.0, 1.0, 0.5)
    """
    figures = commission.figures

    def fee(price: float, quantity: float) -> float:
        value = price * quantity
        amount = max(figures.per_share * quantity + value * figures.bps / 10000.0, figures.minimum)
        return micro(min(amount, value * figures.cap_bps / 10000.0)) / 1e6

    return fee


def micro(amount: float) -> int:
    """Currency to whole 1e-6 currency, half to even.

    >>> micro(1.5), micro(0.0000005), micro(0.0000015)
    (1500000, 0, 2)
    """
    return round(amount * 1e6)

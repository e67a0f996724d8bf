"""Costs of a fill: commission and slippage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from backtester.settings import Settings


class CommissionSettings(Settings):
    """Commission of one fill: per_share * quantity + bps of its value, at least `minimum`, at most `cap_bps` of its value.

    `preset` sets all four; `ibkr_fixed` is 0.005 USD a share, at least 1 USD, at most 1 % of the value (the cap wins over
    the minimum). A preset and a figure together are an error.
    """

    preset: Literal["zero", "ibkr_fixed"] | None = None
    per_share: float = Field(0.0, ge=0.0, le=1000.0)
    bps: float = Field(0.0, ge=0.0, le=1000.0)
    minimum: float = Field(0.0, ge=0.0)
    cap_bps: float | None = Field(None, gt=0.0, le=10000.0)


class SlippageSettings(Settings):
    """Slippage in basis points of the price, against the trader, on market, stop and close orders."""

    bps: float = Field(0.0, ge=0.0, le=1000.0)

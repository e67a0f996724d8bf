"""Execution: orders to fills, and the account; the compiled kernel and nothing else around it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from backtester.settings import Settings
from backtester.trading.costs import CommissionSettings, SlippageSettings


class SizingSettings(Settings):
    """How much an entry buys, at the price seen: whole lots of `value` shares, currency units, or fraction of equity."""

    type: Literal["shares", "notional", "equity_fraction"] = "shares"
    value: float = Field(100.0, gt=0.0)


class ExecutionSettings(Settings):
    """`execution`: when, at what price and how large orders fill. stop_loss and take_profit are fractions of the entry price."""

    fill: Literal["next_open", "next_close", "same_close"] = "next_open"
    price: Literal["trade", "quote"] = "trade"
    sizing: SizingSettings = SizingSettings()
    lot: float = Field(1.0, gt=0.0)
    commission: CommissionSettings = CommissionSettings()
    slippage: SlippageSettings = SlippageSettings()
    time_in_force: Literal["gtc", "day"] = "gtc"
    flat_at_close: bool = False
    no_entry_minutes: float = Field(0.0, ge=0.0)
    stop_loss: float | None = Field(None, gt=0.0, lt=1.0)
    take_profit: float | None = Field(None, gt=0.0)
    intrabar: Literal["pessimistic"] = "pessimistic"


class AccountSettings(Settings):
    """One cash account shared by all strategies."""

    cash: float = Field(gt=0.0, le=1e12)

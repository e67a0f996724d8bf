"""Settings of execution and of the account.

Place in the flow: `config` nests them, `inputs` turns them into numbers for the kernel. Never sees a market.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from backtester.settings import Settings
from backtester.trading.costs import CommissionSettings, SlippageSettings, micro


def _currency(text: str) -> str:
    if not re.fullmatch("[A-Z]{3}", text):
        raise ValueError("a currency is three capital letters, such as USD")
    return text


Currency = Annotated[str, AfterValidator(_currency), WithJsonSchema({"type": "string", "pattern": "^[A-Z]{3}$"})]


WHOLE = 1e-9
"""Fractions that add up to 1 but for so much are all of a position."""


class SizingSettings(Settings):
    """How much an entry buys, at the price seen: whole lots of `value` shares, currency units, or fraction of equity; or as many lots as
    lose that fraction of equity between the price seen and the position's stop. at: with `fill`, sizes in money are worked out anew at the
    price of the fill.
    """

    type: Literal["shares", "notional", "equity_fraction", "risk_fraction"] = "shares"
    value: float = Field(default=100.0, gt=0.0)
    at: Literal["decision", "fill"] = "decision"

    @model_validator(mode="after")
    def _money_at_the_fill(self) -> Self:
        if self.at == "fill" and self.type in ("shares", "risk_fraction"):
            raise ValueError(
                f"at 'fill' means nothing for sizes of type '{self.type}'; leave it out, or size by notional or equity_fraction"
            )
        return self


class InstrumentSettings(Settings):
    """What one symbol has of its own: lot, tick in currency, currency; the run's where it is not given."""

    lot: float | None = Field(default=None, gt=0.0)
    tick: float | None = Field(default=None, gt=0.0)
    currency: Currency | None = None


class RungSettings(Settings):
    """One rung of `scale_out`: the fraction of what was entered that is sold at a target, itself a fraction of the entry price."""

    take_profit: float = Field(gt=0.0)
    fraction: float = Field(gt=0.0, le=1.0)


class ExecutionSettings(Settings):
    """`execution`: when, at what price and how large orders fill. stop_loss and take_profit are fractions of the entry price; scale_out:
    several targets instead of one, each for a part of the position; tick is the size of a tick in currency, borrow_bps what a short
    position costs, in basis points a year; instruments: symbols with a lot or tick of their own; actions: what becomes of the lake's
    splits and dividends; rebalance_threshold: the part of equity that a position may be off its weight; max_participation: the part of a
    bar's volume that orders can fill; cost_ladder: multiples of all costs at which the same signals are traded once more, for the
    figures `costs` of metrics.json; stop_watch: what stops look at, fixed and trailing; stop_fill: whether one that is met fills at its
    level (or at an open beyond it), or at the worse of its level and the close of the bar.
    """

    fill: Literal["next_open", "next_close", "same_close", "next_vwap"] = "next_open"
    price: Literal["trade", "quote"] = "trade"
    sizing: SizingSettings = SizingSettings()
    lot: float = Field(default=1.0, gt=0.0)
    instruments: dict[str, InstrumentSettings] = {}
    commission: CommissionSettings = CommissionSettings()
    slippage: SlippageSettings = SlippageSettings()
    tick: float = Field(default=0.01, gt=0.0)
    time_in_force: Literal["gtc", "day"] = "gtc"
    flat_at_close: bool = False
    no_entry_minutes: float = Field(default=0.0, ge=0.0)
    stop_loss: float | None = Field(default=None, gt=0.0, lt=1.0)
    take_profit: float | None = Field(default=None, gt=0.0)
    scale_out: tuple[RungSettings, ...] = Field(default=(), max_length=20)
    trailing_stop: float | None = Field(default=None, gt=0.0, lt=1.0)
    trailing_amount: float | None = Field(default=None, gt=0.0)
    max_hold_bars: int | None = Field(default=None, ge=1)
    max_hold_minutes: float | None = Field(default=None, gt=0.0)
    intrabar: Literal["pessimistic", "optimistic", "open_to_nearest", "drill_down"] = "pessimistic"
    limit_fill: Literal["through", "touch"] = "through"
    stop_watch: Literal["trade", "quote"] = "trade"
    stop_fill: Literal["level", "close"] = "level"
    rebalance_threshold: float = Field(default=0.0, ge=0.0, lt=1.0)
    max_participation: float | None = Field(default=None, gt=0.0, le=1.0)
    borrow_bps: float = Field(default=0.0, ge=0.0)
    actions: Literal["apply", "ignore"] = "apply"
    cost_ladder: tuple[Annotated[float, Field(ge=0.0, le=100.0)], ...] = Field(default=(), max_length=10)

    @model_validator(mode="after")
    def _one_trailing_stop(self) -> Self:
        if self.trailing_stop is not None and self.trailing_amount is not None:
            raise ValueError("trailing_stop and trailing_amount are two ways to say the same; leave out one")
        return self

    @model_validator(mode="after")
    def _rising_rungs(self) -> Self:
        if self.scale_out and self.take_profit is not None:
            raise ValueError("take_profit and scale_out are two ways to set targets; leave out one")
        if any(rung.take_profit <= before.take_profit for before, rung in pairwise(self.scale_out)):
            raise ValueError("the rungs of scale_out do not rise; order them by take_profit, each above the one before")
        if (parts := sum(rung.fraction for rung in self.scale_out)) > 1.0 + WHOLE:
            raise ValueError(f"the fractions of scale_out add up to {parts:g}; at most 1 of a position can be sold")
        return self

    @model_validator(mode="after")
    def _one_price(self) -> Self:
        if self.fill == "next_vwap" and self.price == "quote":
            raise ValueError("a bar's mean price is one of trades, not of quotes; leave out fill 'next_vwap' or price 'quote'")
        return self

    @model_validator(mode="after")
    def _one_spread(self) -> Self:
        if self.price == "quote" and self.slippage.spread > 0.0:
            raise ValueError("slippage.spread is paid already where price is 'quote'; leave out one")
        return self

    @model_validator(mode="after")
    def _one_bar_to_watch(self) -> Self:
        if self.stop_watch == "quote" and self.intrabar == "drill_down":
            raise ValueError("finer quotes are not looked at; leave out stop_watch 'quote' or intrabar 'drill_down'")
        return self

    @property
    def quoted(self) -> bool:
        """Whether fills or stops ask for quotes."""
        return self.price == "quote" or self.slippage.spread > 0.0 or self.stop_watch == "quote"

    def lot_of(self, symbol: str) -> float:
        """The lot of a symbol."""
        own = self.instruments.get(symbol)
        return self.lot if own is None or own.lot is None else own.lot

    def tick_of(self, symbol: str) -> float:
        """The tick of a symbol, in currency."""
        own = self.instruments.get(symbol)
        return self.tick if own is None or own.tick is None else own.tick


class AccountSettings(Settings):
    """The account: its cash and currency, whether it may sell what it has not, how much it may hold for each unit of equity. capital: by
    strategy, what each has of the cash for its own; where it is left out all share it. margin_call: with `liquidate`, positions are sold
    once equity is below `maintenance`, a fraction of what they are worth.
    """

    cash: float = Field(gt=0.0, le=1e12)
    currency: Currency = "USD"
    allow_short: bool = False
    leverage: float = Field(default=1.0, ge=1.0, le=100.0)
    capital: dict[str, Annotated[float, Field(ge=0.0, le=1e12)]] = {}
    margin_call: Literal["reject", "liquidate"] = "reject"
    maintenance: float = Field(default=0.25, ge=0.0, le=1.0)

    def purses(self, strategies: Sequence[str]) -> tuple[int, ...]:
        """What each strategy starts with, in 1e-6 currency; nothing where all share the cash.

        >>> AccountSettings(cash=50.0, capital={"b": 20.0, "a": 30.0}).purses(["a", "b"])
        (30000000, 20000000)
        """
        return tuple(micro(self.capital[name]) for name in strategies) if self.capital else ()

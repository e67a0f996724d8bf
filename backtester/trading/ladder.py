"""The cost ladder: the same signals traded at none, once, twice the costs, and the multiple of them at which no profit is left.

Place in the flow: `pipeline` hands it every part's market and events where `execution.cost_ladder` asks for it, and its figures to
metrics.json. Strategies are not called again. Never touches the run itself: each rung has an account of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from backtester.trading.adjustments import trade_through
from backtester.trading.costs import CommissionSettings, TierSettings, micro
from backtester.trading.execution import AccountSettings, Carry, Events, ExecutionSettings, Market
from backtester.trading.finer import Drilled, Reading
from backtester.trading.risk import RiskSettings
from backtester.trading.rows import Outcome


@dataclass(frozen=True)
class Account:
    """The account of a rung between two parts; sums in 1e-6 currency, trades closed."""

    carry: Carry
    fees: int = 0
    slippage: int = 0
    trades: int = 0


class Ladder:
    """One account for each multiple of the costs, all trading the same signals."""

    def __init__(
        self,
        execution: ExecutionSettings,
        risk: RiskSettings,
        account: AccountSettings,
        actions: pl.DataFrame,
        strategies: Sequence[str],
        symbols: int,
    ) -> None:
        self._risk, self._account, self._actions = risk, account, actions
        start = Carry.start(micro(account.cash), len(strategies), symbols, account.purses(strategies))
        self._rungs = [_Rung(scale, scaled(execution, scale), Account(start), start.cash) for scale in execution.cost_ladder]

    def add(self, market: Market, events: Events, reading: Reading | None = None) -> list[Drilled]:
        """Trade one more part on every rung, with finer bars where `reading` finds them; the bars that were looked into."""
        drilled = []
        for rung in self._rungs:
            settings = rung.execution, self._risk, self._account, self._actions
            outcomes, carry = trade_through(market, events, rung.account.carry, *settings, reading)
            rung.go_on(carry, outcomes)
            drilled += [outcome.drilled for outcome in outcomes]
        return drilled

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The rungs' accounts as they are now."""
        return tuple(rung.account for rung in self._rungs)

    def go_on_from(self, accounts: Sequence[Account]) -> None:
        """Take over the accounts of a run that was stopped."""
        for rung, account in zip(self._rungs, accounts, strict=True):
            rung.account = account

    def figures(self) -> dict[str, Any]:
        """`rungs`: cost multiple, final_equity, net_profit, fees, slippage (currency), trades closed; `break_even`: see there."""
        rungs = [rung.figures() for rung in self._rungs]
        return {"rungs": rungs, "break_even": break_even([(rung["costs"], rung["net_profit"]) for rung in rungs])}


def scaled(execution: ExecutionSettings, scale: float) -> ExecutionSettings:
    """The settings with every cost multiplied: commission (its minimum and cap too), slippage and borrow fee.

    >>> scaled(ExecutionSettings(commission=CommissionSettings(preset="ibkr_fixed")), 2.0).commission.figures
    CommissionFigures(per_share=0.01, bps=0.0, minimum=2.0, cap_bps=200.0, tiers=())
    """
    fees = execution.commission.figures
    figures = {name: value * scale for name, value in fees._asdict().items() if name != "tiers" and math.isfinite(value)}
    tiers = tuple(TierSettings.model_construct(above=above, per_share=each * scale, bps=bps * scale) for above, each, bps in fees.tiers)
    commission = CommissionSettings.model_construct(preset=None, tiers=tiers, **({"cap_bps": None} | figures))
    slipped = execution.slippage
    slippage = slipped.model_copy(update={name: getattr(slipped, name) * scale for name in ("bps", "ticks", "spread", "impact_bps")})
    return execution.model_copy(update={"commission": commission, "slippage": slippage, "borrow_bps": execution.borrow_bps * scale})


def break_even(rungs: Sequence[tuple[float, float]]) -> float | None:
    """The multiple of the costs at which the profit is used up, on a straight line between two rungs; rungs are (multiple, profit).

    None where even the lowest rung earns nothing, or the highest still does.

    >>> break_even([(0.0, 300.0), (1.0, 100.0), (2.0, -300.0)])
    1.25
    """
    for (low, gain), (high, loss) in pairwise(sorted(rungs)):
        if gain > 0.0 >= loss:
            return low + (high - low) * gain / (gain - loss)
    return None


class _Rung:
    """One multiple of the costs: its settings, its account, the cash that it began with in 1e-6 currency."""

    def __init__(self, scale: float, execution: ExecutionSettings, account: Account, start: int) -> None:
        self.scale, self.execution, self.account = scale, execution, account
        self._start = start

    def go_on(self, carry: Carry, outcomes: Sequence[Outcome]) -> None:
        """The account after a part, its sums with those of what came of it."""
        before = self.account
        fees, slippage = (sum(int(np.sum(one.fills[name], dtype=np.int64)) for one in outcomes) for name in ("fee", "slippage"))
        trades = sum(len(one.trades["trade_id"]) for one in outcomes)
        self.account = Account(carry, before.fees + fees, before.slippage + slippage, before.trades + trades)

    def figures(self) -> dict[str, Any]:
        account = self.account
        final = account.carry.cash + account.carry.marks
        return {
            "costs": self.scale,
            "final_equity": final / 1e6,
            "net_profit": (final - self._start) / 1e6,
            "fees": account.fees / 1e6,
            "slippage": account.slippage / 1e6,
            "trades": account.trades,
        }

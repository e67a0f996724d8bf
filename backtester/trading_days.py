"""Trading days: the account of a run, and those of its cost ladder, on their way through its parts.

Place in the flow: phase 5 of a day, after the signals. Parts come in order and each begins where the one before it ended, whoever
looks at strategies meanwhile: signals never hang on the account. Never calls a strategy.
"""

from __future__ import annotations

import os

import numpy as np
import polars as pl

from backtester.checkpoint import Moment
from backtester.market.finer import Finer
from backtester.market.prepare import Prepared
from backtester.planning import Setup
from backtester.trading import ledger
from backtester.trading.adjustments import joined, trade_through
from backtester.trading.execution import Carry, Events, Market
from backtester.trading.ladder import Account, Ladder

Tables = dict[str, pl.DataFrame]


class Accounts:
    """The account and the ladder's rungs after the parts so far; used by one thread at a time."""

    def __init__(self, made: Setup, moment: Moment) -> None:
        self.carry: Carry = moment.carry
        self._made, self._ladder, self._finer = made, _ladder(made, moment), finer_of(made)

    def trade(self, prepared: Prepared, events: Events) -> tuple[Tables, list[pl.DataFrame]]:
        """Decisions, fills and equity of a part's sessions, and the catalog's rows of the finer files that were looked into."""
        config, market = self._made.config, market_of(self._made, prepared)
        settings = config.execution, config.trading_config, config.account
        outcomes, self.carry = trade_through(market, events, self.carry, *settings, self._made.acting, self._finer)
        drilled = [outcome.drilled for outcome in outcomes]
        tables = joined([ledger.tables(outcome) for outcome in outcomes])
        if self._ladder is not None:
            drilled += self._ladder.add(market, events, self._finer)
        return tables, [] if self._finer is None else [self._finer.files(bars.symbol, bars.ts) for bars in drilled]

    @property
    def rungs(self) -> tuple[Account, ...]:
        """The accounts of the cost ladder as they are now."""
        return () if self._ladder is None else self._ladder.accounts

    def costs(self) -> dict[str, object]:
        """The key figures of the cost ladder, where there is one."""
        return {} if self._ladder is None else {"costs": self._ladder.figures()}


def market_of(made: Setup, prepared: Prepared) -> Market:
    """The grid as the kernel reads it."""
    grid, clock, days = prepared.grid, prepared.grid.clock, prepared.sessions
    quotes = prepared.quotes or {}
    return Market(
        symbols=made.symbols, strategies=made.names, ts=clock.ts, end=clock.end, session=clock.session.astype(np.int32), labels=days.label,
        session_open=days.open, session_close=days.close,
        open=grid.open, high=grid.high, low=grid.low, close=grid.close, volume=grid.volume, vwap=grid.vwap, **quotes,
    )  # fmt: skip


def finer_of(made: Setup) -> Finer | None:
    """Finds finer bars where the config asks for them."""
    if made.config.execution.intrabar != "drill_down":
        return None
    data, resources = made.config.session_data_config, made.config.resources
    threads = resources.threads or os.cpu_count() or 1
    return Finer(made.lake, made.needs.base, made.symbols, made.needs.calendar, data.verify, threads, resources.max_memory)


def _ladder(made: Setup, moment: Moment) -> Ladder | None:
    """The accounts of `execution.cost_ladder` as they are at a moment; None where it is empty."""
    config = made.config
    if not config.execution.cost_ladder:
        return None
    ladder = Ladder(config.execution, config.trading_config, config.account, made.acting, made.names, len(made.symbols))
    if moment.sessions:
        ladder.go_on_from(moment.rungs)
    return ladder

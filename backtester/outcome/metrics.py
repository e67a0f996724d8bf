"""Key figures of a run: what metrics.json holds.

Place in the flow: the pipeline makes one `Score`, adds each chunk's tables as it writes them, and asks for `metrics` at the end.
Never looks at bars. Memory grows with sessions (8 bytes each) and trades (60 bytes each) only.

    final_equity, net_profit        currency; at the last session's end, and what it is more than the start's cash
    total_return, annual_return     fractions; the latter compounded by sessions a year
    volatility, sharpe, sortino, calmar            see ratios.py
    max_drawdown, max_drawdown_sessions            of equity at the ends of sessions; see ratios.drawdown
    max_drawdown_intraday           the same depth over every row of the equity table
    exposure                        share of the equity table's rows with a position (gross is not 0)
    turnover                        sum of all fill values, buys and sells / mean equity at the ends of sessions
    trades, open_trades, win_rate, profit_factor, expectancy, best_trade, worst_trade, avg_hold_minutes, avg_mae, avg_mfe
                                    see per_group.statistics
    fees, slippage                  currency, sums over fills
    ambiguous_fills                 fills of bars that held both stop and target
    ambiguity_low, ambiguity_high   bounds of net_profit: every such bar at its stop (as run, `pessimistic`), and at its target
    by_symbol, by_strategy          name -> the figures of per_group.statistics
    benchmark                       buy and hold: total_return, annual_return, volatility, sharpe, max_drawdown, alpha, beta

A figure that has no meaning is null: no trade, one session, a ratio over fewer than ratios.MIN_SESSIONS sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtester.errors import InternalError
from backtester.outcome import ratios
from backtester.outcome.per_group import Trips, exact_sum, micro, money

Floats = NDArray[np.float64]
Fee = Callable[[float, float], float]
"""The commission of a fill: price, quantity -> currency."""


class Score:
    """Collects a run's tables, piece by piece, into its key figures."""

    def __init__(self, cash: float, per_year: float, fee: Fee | None = None) -> None:
        self._cash, self._per_year, self._fee = cash, per_year, fee
        self._equity: list[Floats] = []
        self._trips = Trips()
        self._value = self._fees = self._slippage = 0
        self._rows = self._invested = self._ambiguous = 0
        self._peak, self._deepest = cash, 0.0
        self._gain: int | None = 0

    def add(self, tables: Mapping[str, pl.DataFrame]) -> None:
        """Append rows of sessions, equity, fills, trades and orders, as schema.py has them; missing tables have no rows.

        The orders of an ambiguous fill, its stop and its target, come with the fill: both are resolved in its bar.
        """
        if "sessions" in tables:
            self._equity.append(tables["sessions"]["equity"].to_numpy())
        if "equity" in tables:
            self._add_equity(tables["equity"])
        if "fills" in tables:
            self._add_fills(tables["fills"], tables.get("orders"))
        if "trades" in tables:
            self._trips.add(tables["trades"])

    def metrics(self, benchmark: Floats | None = None) -> dict[str, Any]:
        """All key figures as plain values; `benchmark` holds the returns a session of buy and hold, shape (sessions,)."""
        equity = np.concatenate([np.empty(0), *self._equity])
        final = float(equity[-1]) if len(equity) else self._cash
        profit = round(final * 1e6) - round(self._cash * 1e6)
        trips = self._trips.overall()
        del trips["net_profit"], trips["fees"]
        returns = ratios.returns(equity, self._cash)
        found = {
            "final_equity": final,
            "net_profit": money(profit),
            **_growth(returns, final / self._cash - 1.0, equity, self._cash, self._per_year),
            "max_drawdown_intraday": self._deepest if self._rows else None,
            "exposure": self._invested / self._rows if self._rows else None,
            "turnover": _turnover(self._value, equity),
            **trips,
            "fees": money(self._fees),
            "slippage": money(self._slippage),
            "ambiguous_fills": self._ambiguous,
            "ambiguity_low": money(profit),
            "ambiguity_high": None if self._gain is None else money(profit + self._gain),
            "by_symbol": self._trips.by("symbol"),
            "by_strategy": self._trips.by("strategy"),
            "benchmark": _benchmark(benchmark, returns, self._per_year),
        }
        return found

    def check(self) -> None:
        """Raise InternalError where trades, the open ones at their marks, do not add up to the profit of equity, or fees to fees.

        To the last 1e-6 of the currency, or to what a float of that size can tell apart.
        """
        final = float(self._equity[-1][-1]) if self._equity and len(self._equity[-1]) else self._cash
        trades, fees = self._trips.totals()
        pairs = {"profit": (round(final * 1e6) - round(self._cash * 1e6), trades), "fees": (self._fees, fees)}
        for what, (whole, parts) in pairs.items():
            if abs(whole - parts) > 2e6 * float(np.spacing(max(final, self._cash))):
                value = f"{money(whole)} against {money(parts)} of the trades"
                raise InternalError(f"the account's {what} and its trades disagree", value=value)

    def _add_equity(self, rows: pl.DataFrame) -> None:
        """Count invested slots and follow the drawdown from slot to slot."""
        if rows.is_empty():
            return
        equity = rows["equity"].to_numpy()
        peak = np.maximum(np.maximum.accumulate(equity), self._peak)
        self._deepest = max(self._deepest, float(np.max(1.0 - equity / peak)))
        self._peak = float(peak[-1])
        self._rows += rows.height
        self._invested += int((rows["gross"] != 0).sum())

    def _add_fills(self, fills: pl.DataFrame, orders: pl.DataFrame | None) -> None:
        self._value += exact_sum(micro(fills["value"]))
        self._fees += exact_sum(micro(fills["fee"]))
        self._slippage += exact_sum(micro(fills["slippage"]))
        ambiguous = fills.filter("ambiguous")
        if ambiguous.is_empty():
            return
        self._ambiguous += ambiguous.height
        for row in _with_targets(ambiguous, orders).iter_rows(named=True):
            self._gain = None if self._gain is None or row["limit"] is None else self._gain + self._forgone(row)

    def _forgone(self, row: Mapping[str, Any]) -> int:
        """What the target would have brought more than the stop did, fees included, in 1e-6 units; never less than nothing."""
        worth: int = round(row["limit"] * row["quantity"] * 1e6) - round(row["value"] * 1e6)
        fee: int = 0 if self._fee is None else round(self._fee(row["limit"], row["quantity"]) * 1e6) - round(row["fee"] * 1e6)
        return max((worth if row["side"] == "sell" else -worth) - fee, 0)


def _with_targets(fills: pl.DataFrame, orders: pl.DataFrame | None) -> pl.DataFrame:
    """Each ambiguous fill of a stop with `limit`, the level of its position's target; null where the target is not among the orders.

    Stop and target of a position are made one after the other at the same moment, so the target's order_id is the next one.
    """
    if orders is None:
        return fills.with_columns(pl.lit(None, pl.Float64).alias("limit"))
    targets = orders.filter(pl.col("type") == "target").select("strategy", "symbol", "limit", order_id=pl.col("order_id") - 1)
    return fills.join(targets, on=["strategy", "symbol", "order_id"], how="left", maintain_order="left")


def _growth(returns: Floats | None, total: float, equity: Floats, start: float, per_year: float) -> dict[str, Any]:
    """Figures of equity at the ends of sessions."""
    count = len(equity)
    depth, length = ratios.drawdown(equity, start)
    annual = ratios.annual_return(total, count, per_year)
    return {
        "total_return": total if count else None,
        "annual_return": annual,
        "volatility": None if returns is None else ratios.volatility(returns, per_year),
        "sharpe": None if returns is None else ratios.sharpe(returns, per_year),
        "sortino": None if returns is None else ratios.sortino(returns, per_year),
        "calmar": ratios.calmar(annual, depth),
        "max_drawdown": depth if count else None,
        "max_drawdown_sessions": length if count else None,
    }


def _turnover(value: int, equity: Floats) -> float | None:
    """Sum of fill values / mean equity at the ends of sessions; None where equity was not above 0 on average."""
    mean = exact_sum(micro(pl.Series(equity))) / len(equity) if len(equity) else 0.0
    return value / mean if mean > 0 else None


def _benchmark(market: Floats | None, returns: Floats | None, per_year: float) -> dict[str, Any] | None:
    """Figures of buy and hold over the same sessions, and the run against it; None where no benchmark was given."""
    if market is None or not len(market) or not np.isfinite(market).all():
        return None
    worth = np.asarray(np.cumprod(1.0 + market), np.float64)
    total = float(worth[-1]) - 1.0
    alpha, beta = (None, None) if returns is None else ratios.alpha_beta(returns, market, per_year)
    return {
        "total_return": total,
        "annual_return": ratios.annual_return(total, len(market), per_year),
        "volatility": ratios.volatility(market, per_year),
        "sharpe": ratios.sharpe(market, per_year),
        "max_drawdown": ratios.drawdown(worth, 1.0)[0],
        "alpha": alpha,
        "beta": beta,
    }

"""The figures of one trial: those of a run's metrics.json that need no table, under the same names and to the same bit.

Place in the flow: the end of a block of trials. Formulas are those of `outcome`; nothing is worked out in another way here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backtester.columns import Floats
from backtester.outcome import ratios
from backtester.outcome.growth import growth, turnover
from backtester.outcome.money import money
from backtester.trading.accounts import Sums

MINUTE = 60_000_000

FIGURES = (
    "final_equity", "net_profit", "total_return", "annual_return", "volatility", "sharpe", "sortino", "omega", "calmar", "max_drawdown",
    "max_drawdown_sessions", "recovery_sessions", "ulcer_index", "exposure", "exposure_long", "exposure_short", "turnover", "trades",
    "open_trades", "win_rate", "profit_factor", "expectancy", "best_trade", "worst_trade", "avg_hold_minutes", "fees", "slippage",
    "borrow", "dividends", "profit_before_costs",
)  # fmt: skip
"""Names of the figures, in the order of the table of trials."""
COUNTS = {"max_drawdown_sessions", "recovery_sessions", "trades", "open_trades"}
"""Those that are whole numbers."""


def figures(account: Sums, equity: Floats, per_year: float) -> dict[str, Any]:
    """The figures of a finished account; `equity` is its equity at the ends of sessions in currency, None where one has no meaning."""
    cash = account.start / 1e6
    final = float(equity[-1]) if len(equity) else cash
    profit = round(final * 1e6) - account.start
    returns = ratios.returns(equity, cash)
    count, rows, losses = account.trades, account.rows, account.gains - account.total
    return {
        "final_equity": final,
        "net_profit": money(profit),
        **growth(returns, final / cash - 1.0, equity, cash, per_year),
        "exposure": account.invested / rows if rows else None,
        "exposure_long": account.long / rows if rows else None,
        "exposure_short": account.short / rows if rows else None,
        "turnover": turnover(account.value, equity),
        "trades": count,
        "open_trades": account.open_trades,
        "win_rate": account.wins / count if count else None,
        "profit_factor": account.gains / losses if losses else None,
        "expectancy": money(account.total) / count if count else None,
        "best_trade": money(account.best) if count else None,
        "worst_trade": money(account.worst) if count else None,
        "avg_hold_minutes": account.hold / MINUTE / count if count else None,
        "fees": money(account.fees),
        "slippage": money(account.slippage),
        "borrow": money(account.borrow),
        "dividends": money(account.dividends),
        "profit_before_costs": money(profit + account.fees + account.slippage + account.borrow),
    }


def closing(account: Sums) -> Floats:
    """Equity at the ends of sessions in currency, shape (sessions,)."""
    return np.array(account.equity, np.float64) / 1e6

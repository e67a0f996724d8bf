"""Figures of equity at the ends of sessions, as metrics.json names them.

Place in the flow: metrics.py works them out for a run, sweeps for each of their trials. Never looks at trades.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backtester.columns import Floats
from backtester.outcome import ratios
from backtester.outcome.money import exact_sum


def growth(returns: Floats | None, total: float, equity: Floats, start: float, per_year: float) -> dict[str, Any]:
    """Growth, risk and drawdown of equity, shape (sessions,), that began with `start`; returns as `ratios.returns` gives them."""
    count = len(equity)
    depth, length = ratios.drawdown(equity, start)
    annual = ratios.annual_return(total, count, per_year)
    known = ratios.centre_and_spread(returns) if returns is not None and count > 1 else None
    return {
        "total_return": total if count else None,
        "annual_return": annual,
        "volatility": None if returns is None else ratios.volatility(returns, per_year, known),
        "sharpe": None if returns is None else ratios.sharpe(returns, per_year, known),
        "sortino": None if returns is None else ratios.sortino(returns, per_year, known),
        "omega": None if returns is None else ratios.omega(returns),
        "calmar": ratios.calmar(annual, depth),
        "max_drawdown": depth if count else None,
        "max_drawdown_sessions": length if count else None,
        "recovery_sessions": ratios.recovery(equity, start),
        "ulcer_index": ratios.ulcer_index(equity, start),
    }


def turnover(value: int, equity: Floats) -> float | None:
    """Sum of fill values (1e-6 currency) / mean equity at the ends of sessions; None where equity was not above 0 on average."""
    mean = exact_sum(np.rint(equity * 1e6).astype(np.int64)) / len(equity) if len(equity) else 0.0
    return value / mean if mean > 0 else None

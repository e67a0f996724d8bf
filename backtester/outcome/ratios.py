"""Formulas over returns a session: growth, risk, ratios, drawdown, benchmark.

Place in the flow: metrics.py calls them at the end of a run. Pure functions of float64 arrays of shape (sessions,); a figure that
has no meaning is None, never 0, NaN or infinity. Never knows where returns come from.

Sums are exact (math.fsum), so that no figure depends on how an array came together. Annualization is by `per_year`, the sessions
that the run's calendar has in a year. The risk-free rate is 0. Ratios are estimates and need at least MIN_SESSIONS returns.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_SESSIONS = 20
_TINY = 1e-12


def returns(equity: Floats, start: float) -> Floats | None:
    """Return of each session, equity / equity before - 1, the first against the start's cash; None where equity was not above 0."""
    before = np.concatenate([[start], equity[:-1]])
    if len(equity) == 0 or not (before > 0).all():
        return None
    return np.asarray(equity / before - 1.0, np.float64)


def annual_return(total: float, sessions: int, per_year: float) -> float | None:
    """Growth a year, (1 + total) ** (per_year / sessions) - 1; None for one session, or where nothing was left.

    Source: compound annual growth rate; empyrical `annual_return`.
    """
    if sessions < 2 or total <= -1.0:
        return None
    return _finite(lambda: (1.0 + total) ** (per_year / sessions) - 1.0)


def volatility(values: Floats, per_year: float) -> float | None:
    """Standard deviation (ddof 1) of returns x sqrt(per_year); None below 2. Source: empyrical `annual_volatility`."""
    if len(values) < 2:
        return None
    return _deviation(values) * math.sqrt(per_year)


def sharpe(values: Floats, per_year: float) -> float | None:
    """Mean / standard deviation (ddof 1) x sqrt(per_year); None below MIN_SESSIONS or where returns do not vary.

    "Do not vary" is a deviation of at most 1e-12 of the mean: constant returns have rounding noise, not risk.
    Source: Sharpe (1994), with a risk-free rate of 0; empyrical `sharpe_ratio`.
    """
    if len(values) < MIN_SESSIONS:
        return None
    mean, deviation = _mean(values), _deviation(values)
    return None if deviation <= _TINY * abs(mean) else mean / deviation * math.sqrt(per_year)


def sortino(values: Floats, per_year: float) -> float | None:
    """Mean x sqrt(per_year) / downside deviation sqrt(mean(min(r, 0)**2)), over all sessions; None as in `sharpe`.

    Source: Sortino and Price (1994), with a required return of 0; empyrical `sortino_ratio` and `downside_risk`.
    """
    if len(values) < MIN_SESSIONS:
        return None
    mean = _mean(values)
    downside = math.sqrt(math.fsum(min(value, 0.0) ** 2 for value in values.tolist()) / len(values))
    return None if downside <= _TINY * abs(mean) else mean / downside * math.sqrt(per_year)


def calmar(annual: float | None, depth: float | None) -> float | None:
    """Annual return / max drawdown; None without a drawdown. Source: Young (1991), over the whole run; empyrical `calmar_ratio`."""
    return None if annual is None or not depth else annual / depth


def drawdown(equity: Floats, start: float) -> tuple[float, int]:
    """Depth and length of drawdowns of equity at the ends of sessions, the start's cash being the first peak.

    Depth: the largest of 1 - equity / highest equity so far, as a positive fraction (above 1 only where equity is below 0).
    Length: the most sessions in a row that ended below an earlier peak. Source: Magdon-Ismail and Atiya (2004); empyrical
    `max_drawdown` with the sign turned.
    """
    whole = np.concatenate([[start], equity])
    peak = np.maximum.accumulate(whole)
    under = whole < peak
    depth = float(np.max(1.0 - whole / peak, initial=0.0, where=under))
    ends = np.flatnonzero(np.diff(np.concatenate([[False], under, [False]]).astype(np.int8)))
    return depth, int(np.max(ends[1::2] - ends[::2], initial=0))


def alpha_beta(values: Floats, market: Floats, per_year: float) -> tuple[float | None, float | None]:
    """Alpha a year and beta against the benchmark's returns of the same sessions; None below MIN_SESSIONS or where it stands still.

    beta = cov(r, m) / var(m); alpha = (1 + mean(r - beta m)) ** per_year - 1.
    Source: Jensen (1968), with a risk-free rate of 0; empyrical `alpha_beta`.
    """
    if len(values) < MIN_SESSIONS or len(values) != len(market):
        return None, None
    mean, spread = _mean(market), _deviation(market)
    if spread <= _TINY * abs(mean):
        return None, None
    products = ((values - _mean(values)) * (market - mean)).tolist()
    beta = math.fsum(products) / (len(market) - 1) / spread**2
    rest = _mean(values - beta * market)
    return (_finite(lambda: (1.0 + rest) ** per_year - 1.0) if rest > -1.0 else None), beta


def _mean(values: Floats) -> float:
    return math.fsum(values.tolist()) / len(values)


def _deviation(values: Floats) -> float:
    """The standard deviation with ddof 1."""
    mean = _mean(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values.tolist()) / (len(values) - 1))


def _finite(power: Callable[[], float]) -> float | None:
    """The value of a power, or None where it is beyond what a float holds."""
    try:
        value = power()
    except OverflowError:
        return None
    return value if math.isfinite(value) else None

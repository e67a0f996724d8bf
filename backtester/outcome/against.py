"""Formulas over returns a session beside those of a benchmark: alpha and beta, correlation, information ratio, capture.

Place in the flow: metrics.py calls `against` at the end of a run that has a benchmark. Pure functions of two float64 arrays of shape
(sessions,), the run's returns and the benchmark's of the same sessions; a figure that has no meaning is None. Never chooses the
benchmark.
"""

from __future__ import annotations

import math

from backtester.columns import Bools, Floats
from backtester.outcome.ratios import MIN_SESSIONS, annual_return, deviation, finite, mean, sharpe, still, volatility

NAMES = ("alpha", "beta", "correlation", "tracking_error", "information_ratio", "up_capture", "down_capture")


def against(values: Floats | None, market: Floats, per_year: float) -> dict[str, float | None]:
    """All figures of NAMES; each None where the run has no returns or fewer than MIN_SESSIONS of them."""
    if values is None or len(values) < MIN_SESSIONS or len(values) != len(market):
        return dict.fromkeys(NAMES)
    active = values - market
    figures = (
        *alpha_beta(values, market, per_year),
        correlation(values, market),
        volatility(active, per_year),
        sharpe(active, per_year),
        capture(values, market, market > 0, per_year),
        capture(values, market, market < 0, per_year),
    )
    return dict(zip(NAMES, figures, strict=True))


def alpha_beta(values: Floats, market: Floats, per_year: float) -> tuple[float | None, float | None]:
    """Alpha a year and beta against the benchmark's returns of the same sessions; None below MIN_SESSIONS or where it stands still.

    beta = cov(r, m) / var(m); alpha = (1 + mean(r - beta m)) ** per_year - 1.
    Source: Jensen (1968), with a risk-free rate of 0; empyrical `alpha_beta`.
    """
    if len(values) < MIN_SESSIONS or len(values) != len(market) or still(market):
        return None, None
    beta = _covariance(values, market) / deviation(market) ** 2
    rest = mean(values - beta * market)
    return (finite(lambda: (1.0 + rest) ** per_year - 1.0) if rest > -1.0 else None), beta


def correlation(values: Floats, market: Floats) -> float | None:
    """Pearson's correlation cov(r, m) / (sd(r) sd(m)); None below MIN_SESSIONS or where one of them stands still."""
    if len(values) < MIN_SESSIONS or len(values) != len(market) or still(values) or still(market):
        return None
    found = _covariance(values, market) / (deviation(values) * deviation(market))
    return max(-1.0, min(1.0, found))  # rounding may carry it past either end


def capture(values: Floats, market: Floats, which: Bools, per_year: float) -> float | None:
    """Annual return of some sessions, taken as if there were no others / that of the benchmark; None below 2 such sessions.

    None too where either annual return has no meaning or the benchmark's is 0. Source: Morningstar's capture ratios, compounded;
    empyrical `up_capture` and `down_capture`.
    """
    own, its = (annual_return(_total(part[which]), int(which.sum()), per_year) for part in (values, market))
    return own / its if own is not None and its else None


def _total(values: Floats) -> float:
    """Growth over all sessions, product of 1 + r - 1."""
    grown: list[float] = (1.0 + values).tolist()
    return math.prod(grown) - 1.0


def _covariance(values: Floats, market: Floats) -> float:
    """The covariance with ddof 1."""
    return math.fsum(((values - mean(values)) * (market - mean(market))).tolist()) / (len(market) - 1)

"""Formulas over returns a session and equity at their ends: growth, risk, ratios, drawdown.

Place in the flow: metrics.py calls them at the end of a run. Pure functions of float64 arrays of shape (sessions,); a figure that
has no meaning is None, never 0, NaN or infinity. Never knows where returns come from.

Sums are exact (math.fsum), so that no figure depends on how an array came together. Annualization is by `per_year`, the sessions
that the run's calendar has in a year. The risk-free rate is 0. Ratios are estimates and need at least MIN_SESSIONS returns.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from backtester.columns import Bools, Floats

MIN_SESSIONS = 20
TINY = 1e-12
"""What counts as rounding: a deviation, or a sum of losses, of at most this share of what it is compared with."""

Known = tuple[float, float]
"""Mean and standard deviation of returns, as `centre_and_spread` gives them; figures work them out where nobody knows them."""


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
    return finite(lambda: (1.0 + total) ** (per_year / sessions) - 1.0)


def volatility(values: Floats, per_year: float, known: Known | None = None) -> float | None:
    """Standard deviation (ddof 1) of returns x sqrt(per_year); None below 2. Source: empyrical `annual_volatility`."""
    if len(values) < 2:
        return None
    return (known or centre_and_spread(values))[1] * math.sqrt(per_year)


def sharpe(values: Floats, per_year: float, known: Known | None = None) -> float | None:
    """Mean / standard deviation (ddof 1) x sqrt(per_year); None below MIN_SESSIONS or where returns do not vary.

    "Do not vary" is a deviation of at most 1e-12 of the mean: constant returns have rounding noise, not risk.
    Source: Sharpe (1994), with a risk-free rate of 0; empyrical `sharpe_ratio`.
    """
    if len(values) < MIN_SESSIONS:
        return None
    centre, spread = known or centre_and_spread(values)
    return None if spread <= TINY * abs(centre) else centre / spread * math.sqrt(per_year)


def sortino(values: Floats, per_year: float, known: Known | None = None) -> float | None:
    """Mean x sqrt(per_year) / downside deviation sqrt(mean(min(r, 0)**2)), over all sessions; None as in `sharpe`.

    Source: Sortino and Price (1994), with a required return of 0; empyrical `sortino_ratio` and `downside_risk`.
    """
    if len(values) < MIN_SESSIONS:
        return None
    centre = mean(values) if known is None else known[0]
    downside = math.sqrt(math.fsum([value**2 for value in values[values < 0].tolist()]) / len(values))
    return None if downside <= TINY * abs(centre) else centre / downside * math.sqrt(per_year)


def omega(values: Floats) -> float | None:
    """Sum of returns above 0 / sum of those below, as a positive number; None below MIN_SESSIONS or where no session lost.

    Source: Keating and Shadwick (2002), with a threshold of 0; empyrical `omega_ratio`.
    """
    if len(values) < MIN_SESSIONS:
        return None
    gains, losses = math.fsum(values[values > 0].tolist()), -math.fsum(values[values < 0].tolist())
    return None if losses <= TINY * gains else gains / losses


def calmar(annual: float | None, depth: float | None) -> float | None:
    """Annual return / max drawdown; None without a drawdown. Source: Young (1991), over the whole run; empyrical `calmar_ratio`."""
    return None if annual is None or not depth else annual / depth


def drawdown(equity: Floats, start: float) -> tuple[float, int]:
    """Depth and length of drawdowns of equity at the ends of sessions, the start's cash being the first peak.

    Depth: the largest of 1 - equity / highest equity so far, as a positive fraction (above 1 only where equity is below 0).
    Length: the most sessions in a row that ended below an earlier peak. Source: Magdon-Ismail and Atiya (2004); empyrical
    `max_drawdown` with the sign turned.
    """
    depths = _depths(equity, start)
    return float(np.max(depths, initial=0.0)), longest(depths > 0)


def recovery(equity: Floats, start: float) -> int | None:
    """Sessions from the trough of the deepest drawdown to the first that ends at its peak again, or higher.

    None where there was no drawdown, or where the peak was not seen again. Of equally deep ones the first counts.
    """
    depths = _depths(equity, start)
    trough = int(np.argmax(depths)) if len(depths) else 0
    after = np.flatnonzero(depths[trough:] <= 0)
    return int(after[0]) if len(after) and depths[trough] > 0 else None


def ulcer_index(equity: Floats, start: float) -> float | None:
    """Root of the mean of the squared drawdowns at the ends of sessions, as a fraction; None without a session.

    Source: Martin and McCann (1989), over the whole run; quantstats `ulcer_index` divides by n - 1.
    """
    if not len(equity):
        return None
    return math.sqrt(math.fsum([depth**2 for depth in _depths(equity, start).tolist()]) / len(equity))


def mean(values: Floats) -> float:
    """The mean, of an exact sum."""
    return math.fsum(values.tolist()) / len(values)


def deviation(values: Floats) -> float:
    """The standard deviation with ddof 1."""
    return centre_and_spread(values)[1]


def centre_and_spread(values: Floats) -> Known:
    """Mean and standard deviation (ddof 1), both of exact sums."""
    listed = values.tolist()
    centre = math.fsum(listed) / len(listed)
    return centre, math.sqrt(math.fsum([(value - centre) ** 2 for value in listed]) / (len(listed) - 1))


def still(values: Floats) -> bool:
    """Do the values not vary, but for rounding?"""
    centre, spread = centre_and_spread(values)
    return spread <= TINY * abs(centre)


def moving(columns: Floats) -> Bools:
    """Which columns of values, shape (sessions, columns), are not still: shape (columns,).

    A standard deviation is at least range / sqrt(2 (n - 1)), and a mean at most the largest size: where the first is far above what
    rounding makes of the second, and its square no number that vanishes, no sum is needed.
    """
    most = 2.0 * TINY * math.sqrt(2.0 * (len(columns) - 1)) * np.abs(columns).max(axis=0)
    found: Bools = columns.max(axis=0) - columns.min(axis=0) > np.maximum(most, 1e-150)
    for place in np.flatnonzero(~found):
        found[place] = not still(columns[:, place])
    return found


def finite(power: Callable[[], float]) -> float | None:
    """The value of a power, or None where it is beyond what a float holds."""
    try:
        value = power()
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def longest(flags: Bools) -> int:
    """The most True in a row.

    >>> longest(np.array([True, False, True, True]))
    2
    """
    ends = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return int(np.max(ends[1::2] - ends[::2], initial=0))


def _depths(equity: Floats, start: float) -> Floats:
    """1 - equity / highest equity so far, the start's cash included, at each session's end; exactly 0 at a peak."""
    peak = np.maximum(np.maximum.accumulate(equity), start) if len(equity) else equity
    return np.asarray(np.where(equity < peak, 1.0 - equity / peak, 0.0), np.float64)

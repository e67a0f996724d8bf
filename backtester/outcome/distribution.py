"""Formulas over the distribution of returns a session: tails, shape, best and worst, streaks.

Place in the flow: metrics.py calls them at the end of a run. Pure functions of float64 arrays of shape (sessions,); a figure that
has no meaning is None, never 0, NaN or infinity. Never looks at the order of sessions, but for `streak`.

Tails are historical: they are counted in the returns that were, no distribution is assumed. Estimates need at least
ratios.MIN_SESSIONS returns.
"""

from __future__ import annotations

import math

import numpy as np

from backtester.columns import Bools, Floats
from backtester.outcome.ratios import MIN_SESSIONS, TINY, longest, mean, still

TAIL = 0.05
"""The share of sessions in a tail."""


def value_at_risk(values: Floats) -> float | None:
    """The return that 5 % of sessions fall short of, interpolated linearly; below 0 where it is a loss. None below MIN_SESSIONS.

    Source: historical simulation; empyrical `value_at_risk`.
    """
    return None if len(values) < MIN_SESSIONS else _quantile(values, TAIL)


def expected_shortfall(values: Floats) -> float | None:
    """Mean of the worst floor(0.05 (n - 1)) + 1 returns; below 0 where it is a loss. None below MIN_SESSIONS.

    Source: Acerbi and Tasche (2002), historical; empyrical `conditional_value_at_risk`.
    """
    if len(values) < MIN_SESSIONS:
        return None
    worst = np.sort(values)[: int((len(values) - 1) * TAIL) + 1]
    return mean(worst)


def tail_ratio(values: Floats) -> float | None:
    """The size of the return that 5 % exceed / that of the return that 5 % fall short of; None below MIN_SESSIONS or where it is 0.

    Source: empyrical `tail_ratio`.
    """
    if len(values) < MIN_SESSIONS:
        return None
    high, low = abs(_quantile(values, 1.0 - TAIL)), abs(_quantile(values, TAIL))
    return None if low <= TINY * high else high / low


def skew(values: Floats) -> float | None:
    """Skewness of the sample, corrected for its size (G1); None below MIN_SESSIONS or where returns do not vary.

    G1 = sqrt(n (n - 1)) / (n - 2) x m3 / m2**1.5, mk being the mean of (r - mean)**k. Source: Joanes and Gill (1998); pandas `skew`.
    """
    if len(values) < MIN_SESSIONS or still(values):
        return None
    count, second, third = len(values), moment(values, 2), moment(values, 3)
    return math.sqrt(count * (count - 1)) / (count - 2) * third / (second * math.sqrt(second))


def kurtosis(values: Floats) -> float | None:
    """Kurtosis of the sample above that of a normal distribution, corrected for its size (G2); None as in `skew`.

    G2 = (n - 1) / ((n - 2) (n - 3)) x ((n + 1) (m4 / m2**2 - 3) + 6). Source: Joanes and Gill (1998); pandas `kurt`.
    """
    if len(values) < MIN_SESSIONS or still(values):
        return None
    count, excess = len(values), moment(values, 4) / moment(values, 2) ** 2 - 3.0
    return (count - 1) / ((count - 2) * (count - 3)) * ((count + 1) * excess + 6.0)


def share(which: Bools) -> float | None:
    """The share of sessions of which something is true; None of no session."""
    return int(which.sum()) / len(which) if len(which) else None


def losing_streak(values: Floats) -> int:
    """The most sessions in a row that lost; a session without profit or loss ends a streak. Source: quantstats `consecutive_losses`."""
    return longest(values < 0)


def _quantile(values: Floats, share: float) -> float:
    """The value at place share x (n - 1) of the sorted ones, between two places by linear interpolation."""
    ordered = np.sort(values)
    place = share * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return float(ordered[low] + (ordered[high] - ordered[low]) * (place - low))


def moment(values: Floats, power: int) -> float:
    """The mean of (r - mean)**power."""
    centre = mean(values)
    return math.fsum((value - centre) ** power for value in values.tolist()) / len(values)

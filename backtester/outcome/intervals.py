"""How far headline figures of a run may lie from what they seem: intervals from sessions drawn anew.

Place in the flow: called over the returns of one trial with the Resampling that superiority.py used, so that both speak of the same
draws. Pure; a figure that has no meaning is None, never NaN or infinity.

Each figure is that of metrics.json, worked out over the sessions of every draw in their drawn order; the interval leaves the same
share of draws out at either end (Efron's percentile interval). Sums go from a draw's first session to its last, by plain additions
of whole columns: the same bits for any number of threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from backtester.columns import Floats
from backtester.errors import ConfigError, InternalError
from backtester.outcome.bootstrap import CELLS, Resampling
from backtester.outcome.ratios import MIN_SESSIONS, TINY

NAMES = ("sharpe", "annual_return", "max_drawdown")


@dataclass(frozen=True)
class Interval:
    """From low to high, in the figure's own unit."""

    low: float
    high: float


def intervals(values: Floats, resampling: Resampling, per_year: float, level: float = 0.95) -> dict[str, Interval | None]:
    """An interval for each of NAMES that holds a share `level` of draws, from returns a session, shape (sessions,).

    sharpe and annual_return are a year, max_drawdown is a positive fraction. All None below MIN_SESSIONS; one is None where its
    figure has no meaning in some draw, as the Sharpe ratio of a draw without a trade: an interval of the other draws would be too
    narrow. ConfigError for a level outside (0, 1), InternalError for a resampling of another number of sessions.
    Source: Efron and Tibshirani (1993), "An Introduction to the Bootstrap", section 13.3, quantiles interpolated linearly.
    """
    if not 0.0 < level < 1.0:
        raise ConfigError("cannot make an interval", where="level", value=level, allowed="above 0, below 1")
    if resampling.sessions != len(values):
        raise InternalError("returns and resampling are of different sessions", where="intervals", value=len(values))
    if len(values) < MIN_SESSIONS:
        return dict.fromkeys(NAMES)
    parts = [_figures(np.ascontiguousarray(values[rows.T]), per_year) for rows in resampling.parts(CELLS // len(values))]
    drawn = np.concatenate(parts, axis=1)
    return {name: _interval(figures, level) for name, figures in zip(NAMES, drawn, strict=True)}


def _interval(figures: Floats, level: float) -> Interval | None:
    """The middle share `level` of the figures; None where one of them is not finite."""
    if not np.isfinite(figures).all():
        return None
    low, high = np.quantile(figures, [(1.0 - level) / 2.0, (1.0 + level) / 2.0]).tolist()
    return Interval(low, high)


def _figures(drawn: Floats, per_year: float) -> Floats:
    """Figures of draws of shape (sessions, draws): shape (names, draws); NaN where one has no meaning."""
    count = len(drawn)
    total, squares, deepest = np.zeros((3, drawn.shape[1]))
    worth, peak, sound = np.ones_like(total), np.ones_like(total), np.ones(drawn.shape[1], np.bool_)
    for session in drawn:
        total += session
    average = total / count
    for session in drawn:
        squares += (session - average) ** 2
    with np.errstate(all="ignore"):
        for session in drawn:
            sound &= worth > 0  # there is no return on equity that is gone
            worth = worth * (1.0 + session)
            peak = np.maximum(peak, worth)
            deepest = np.maximum(deepest, 1.0 - worth / peak)
        spread = np.sqrt(squares / (count - 1))
        ratio = np.where(spread > TINY * np.abs(average), average / spread * math.sqrt(per_year), np.nan)
        annual = np.where(worth > 0, worth ** (per_year / count) - 1.0, np.nan)
    return np.where(sound, np.stack([ratio, annual, deepest]), np.nan)

"""The table `rolling`: return, risk and drawdown of the last 20 and the last 60 sessions, at each session's end.

Place in the flow: metrics.py asks for it once, at the end of a run, from the equity of all sessions. So it does not depend on how
the run was cut into parts. Never annualizes by anything but the calendar's sessions a year.

Every sum goes through a window's sessions from the oldest to the newest, by plain additions of whole columns: the same bits on every
machine. A window's first peak, and the base of its return, is the equity before its first session.
"""

from __future__ import annotations

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtester.columns import Floats
from backtester.outcome.ratios import MIN_SESSIONS, TINY
from backtester.schema import ROLLING, WINDOWS, frame


def rolling(labels: NDArray[np.datetime64], equity: Floats, start: float, per_year: float) -> pl.DataFrame:
    """The table for sessions of these labels and closing equities, shape (sessions,); `start` is the equity before the first."""
    columns: dict[str, NDArray[np.generic]] = {"session": labels}
    for window in WINDOWS:
        columns |= {f"{name}_{window}": values for name, values in _figures(np.concatenate([[start], equity]), window, per_year).items()}
    return frame(ROLLING, columns)


def _figures(whole: Floats, window: int, per_year: float) -> dict[str, Floats]:
    """Each figure of the last `window` sessions, shape (sessions,), NaN until there are so many, and where equity was not above 0."""
    count = len(whole) - window  # windows; whole begins with the equity before the first session
    found = {name: np.full(len(whole) - 1, np.nan) for name in ("return", "volatility", "sharpe", "drawdown")}
    if count <= 0:
        return found
    base = whole[:count]
    peak, deepest, sound = base.copy(), np.zeros(count), base > 0
    for back in range(1, window + 1):
        worth = whole[back : back + count]
        peak = np.maximum(peak, worth)
        with np.errstate(divide="ignore", invalid="ignore"):
            deepest = np.maximum(deepest, 1.0 - worth / peak)
        sound &= (worth > 0) if back < window else True
    with np.errstate(divide="ignore", invalid="ignore"):
        returns = whole[1:] / whole[:-1] - 1.0
        growth = whole[window:] / base - 1.0
        mean, deviation = _spread(returns, window, count)
        ratio = np.where(deviation > TINY * np.abs(mean), mean / deviation * math.sqrt(per_year), np.nan)
    values = (growth, deviation * math.sqrt(per_year), ratio if window >= MIN_SESSIONS else np.full(count, np.nan), deepest)
    for column, value in zip(found.values(), values, strict=True):
        column[window - 1 :] = np.where(sound, value, np.nan)
    return found


def _spread(returns: Floats, window: int, count: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation (ddof 1) of each window."""
    total, squares = np.zeros(count), np.zeros(count)
    for back in range(window):
        total += returns[back : back + count]
    mean = total / window
    for back in range(window):
        squares += (returns[back : back + count] - mean) ** 2
    return mean, np.sqrt(squares / (window - 1))

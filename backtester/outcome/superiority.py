"""Is the best of many trials better than a benchmark, or is it the best of many draws? White's reality check and Hansen's test.

Place in the flow: called over the returns of all trials of a search, shape (sessions, trials), with a benchmark's of the same sessions
and a Resampling. Pure; a figure that has no meaning is None, never NaN or infinity.

Both ask how often the mean return above the benchmark of the best trial is as high as it was where no trial is truly better. Sums
go over sessions from the oldest to the newest, by plain additions of whole columns: the same bits for any number of threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from backtester.columns import Floats
from backtester.errors import InternalError
from backtester.outcome.bootstrap import CELLS, Resampling
from backtester.outcome.ratios import MIN_SESSIONS, mean, moving

NEGLIGIBLE = 1e-18
"""Weights of autocovariances below it cannot be seen in their sum."""


@dataclass(frozen=True)
class Superiority:
    """The tests' figures; p-values are shares of draws, small where the best trial is better than luck explains.

    best           index of the trial with the highest mean return above the benchmark
    excess         that mean, a fraction a session
    reality_check  White's p-value: all trials are supposed to be as good as the benchmark
    statistic      Hansen's: the largest sqrt(n) mean / w of a trial, at least 0, w**2 being the variance of sqrt(n) mean
    lower          Hansen's p-value where trials worse than the benchmark are supposed to be as bad as they were
    consistent     where only those are that are clearly worse; the one to read
    upper          where none is; lower <= consistent <= upper
    """

    best: int
    excess: float
    reality_check: float
    statistic: float
    lower: float
    consistent: float
    upper: float


def superiority(returns: Floats, benchmark: Floats | None, resampling: Resampling) -> Superiority | None:
    """The figures of Superiority for returns of shape (sessions, trials) above a benchmark of shape (sessions,), or above 0.

    A trial that does not vary beside the benchmark is left out; None where none is left, and below MIN_SESSIONS.
    A draw counts where its figure is as high as the one observed or higher, so that a p-value is 1 where no trial was better.
    InternalError for a resampling or a benchmark of another number of sessions.
    Source: White (2000), "A Reality Check for Data Snooping", Econometrica 68(5); Hansen (2005), "A Test for Superior Predictive
    Ability", Journal of Business and Economic Statistics 23(4), sections 2.2 to 2.4.
    """
    from backtester.outcome import drawn  # numba is heavy

    count = len(returns)
    if resampling.sessions != count or (benchmark is not None and len(benchmark) != count):
        raise InternalError("returns, benchmark and resampling are of different sessions", where="superiority", value=count)
    if count < MIN_SESSIONS:
        return None
    above = returns if benchmark is None else returns - benchmark[:, None]
    means = np.array([mean(column) for column in above.T])
    apart = above - means
    spread = np.sqrt(_variance(apart, 1.0 / resampling.block) / count)
    used = np.flatnonzero((spread > 0) & moving(above))
    if not len(used):
        return None
    means, spread, apart = means[used], spread[used], np.ascontiguousarray(apart[:, used])
    statistic = max(0.0, float(np.max(means / spread)))
    # what is left of each mean once it is centred: nothing (upper), that of clearly worse trials, that of all worse trials (lower)
    kept = np.stack([means * 0.0, np.where(means < -spread * math.sqrt(2.0 * math.log(math.log(count))), means, 0.0), np.minimum(means, 0)])
    reached = np.zeros(4, np.int64)
    for rows in resampling.parts(max(1, CELLS // len(used))):
        sampled = drawn.means(apart, rows)
        reached[0] += np.count_nonzero(sampled.max(axis=1) >= means.max())
        for place, left in enumerate(kept, 1):
            best = np.maximum(((sampled + left) / spread).max(axis=1), 0.0)
            reached[place] += np.count_nonzero(best >= statistic)
    check, upper, consistent, lower = (reached / resampling.draws).tolist()
    best = int(np.argmax(means))
    return Superiority(int(used[best]), float(means[best]), check, statistic, lower, consistent, upper)


def _variance(apart: Floats, share: float) -> Floats:
    """The variance of sqrt(sessions) x mean under the stationary bootstrap, of every trial; `apart` is less its mean.

    R(0) + 2 sum k(i) R(i), R(i) the autocovariance at lag i, k(i) = (n - i) / n (1 - share)**i + i / n (1 - share)**(n - i).
    Source: Politis and Romano (1994), lemma 1; Hansen (2005), section 2.4.
    """
    count = len(apart)
    found = (apart * apart).sum(axis=0) / count
    for lag in range(1, count):
        weight = (1.0 - lag / count) * (1.0 - share) ** lag + lag / count * (1.0 - share) ** (count - lag)
        if weight > NEGLIGIBLE:
            found += 2.0 * weight * (apart[lag:] * apart[: count - lag]).sum(axis=0) / count
    return np.asarray(np.maximum(found, 0.0), np.float64)

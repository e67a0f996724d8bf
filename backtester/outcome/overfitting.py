"""Sharpe ratios judged as estimates: how sure, after how many sessions, and against the best that luck makes of many trials.

Place in the flow: called over the returns of finished trials, each of shape (sessions,), or of all of them, shape (sessions, trials).
Pure functions; a figure that has no meaning is None, never NaN or infinity. Never annualizes: every Sharpe ratio here is per session
(`ratios.sharpe` with one session a year), and so is every benchmark that it is compared with.

    Track                     what an estimate rests on: sessions, Sharpe ratio, skewness, kurtosis
    probabilistic_sharpe      how probable it is that the true ratio is above a benchmark
    minimum_track_record      after how many sessions that probability is as high as wished
    expected_maximum_sharpe   the best ratio that trials without skill show
    deflated_sharpe           the probabilistic ratio against that best
    effective_trials          how many independent trials correlated ones amount to
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from backtester.columns import Floats
from backtester.errors import ConfigError
from backtester.outcome.distribution import moment
from backtester.outcome.ratios import MIN_SESSIONS, TINY, mean, moving, sharpe

NORMAL = NormalDist()


@dataclass(frozen=True)
class Track:
    """What the probable error of a Sharpe ratio depends on.

    sharpe: mean / standard deviation (ddof 1) per session; skew: m3 / m2**1.5; kurtosis: m4 / m2**2, 3 for a normal distribution,
    mk being the mean of (r - mean)**k. Without the corrections for size of metrics.json: the formulas below were derived for these.
    """

    sessions: int
    sharpe: float
    skew: float = 0.0
    kurtosis: float = 3.0

    @property
    def variance(self) -> float:
        """Variance of the estimated Sharpe ratio x (sessions - 1), returns being independent; never below 0.

        Source: Mertens (2002), "Comments on variance of the IID estimator in Lo (2002)".
        """
        return max(0.0, 1.0 - self.skew * self.sharpe + (self.kurtosis - 1.0) / 4.0 * self.sharpe**2)


def track(values: Floats) -> Track | None:
    """The track of returns a session, shape (sessions,); None below MIN_SESSIONS or where returns do not vary."""
    ratio = sharpe(values, 1.0)
    if ratio is None:
        return None
    apart = values - mean(values)
    scaled = apart / np.max(np.abs(apart))  # both figures are free of scale; the powers of small returns would vanish
    second = moment(scaled, 2)
    return Track(len(values), ratio, moment(scaled, 3) / second**1.5, moment(scaled, 4) / second**2)


def probabilistic_sharpe(found: Track, benchmark: float = 0.0) -> float | None:
    """The probability that the true Sharpe ratio is above `benchmark` (per session), between 0 and 1.

    Z((SR - benchmark) sqrt(n - 1) / sqrt(1 - skew SR + (kurtosis - 1) / 4 SR**2)), Z being the normal distribution. None where that
    root is 0, and below 2 sessions. Source: Bailey and Lopez de Prado (2012), "The Sharpe Ratio Efficient Frontier", Journal of Risk
    15(2), section "Probabilistic Sharpe ratio".

    >>> round(probabilistic_sharpe(Track(24, 0.458, -2.448, 10.164)), 3)
    0.913
    """
    if found.sessions < 2 or found.variance <= TINY:
        return None
    return _normal((found.sharpe - benchmark) * math.sqrt((found.sessions - 1) / found.variance))


def minimum_track_record(found: Track, benchmark: float = 0.0, confidence: float = 0.95) -> float | None:
    """Sessions after which `probabilistic_sharpe` reaches `confidence`, if sessions to come are like those seen.

    1 + (1 - skew SR + (kurtosis - 1) / 4 SR**2) (Z^-1(confidence) / (SR - benchmark))**2. None where the Sharpe ratio is not above the
    benchmark: no length would do. Source: the same paper, section "Track record length". ConfigError for a confidence outside [0.5, 1).

    >>> round(minimum_track_record(Track(134, 0.7079, -0.2250, 2.9570)) / 12, 4)  # of months, in years
    0.7152
    """
    if not 0.5 <= confidence < 1.0:
        raise ConfigError("cannot reach a confidence", where="confidence", value=confidence, allowed="0.5 or more, below 1")
    above = found.sharpe - benchmark
    length = 1.0 + found.variance * (NORMAL.inv_cdf(confidence) / above) ** 2 if above > TINY else math.inf
    return length if math.isfinite(length) else None


def expected_maximum_sharpe(trials: float, variance: float) -> float | None:
    """The Sharpe ratio per session that the best of so many independent trials without skill shows; never below 0.

    sqrt(variance) ((1 - g) Z^-1(1 - 1 / N) + g Z^-1(1 - 1 / (N e))), g being Euler's 0.577...; `variance` is that of the trials' Sharpe
    ratios. One trial is no choice: 0, and so is what the formula, made for many, gives below 0 near one. `trials` may be a fraction,
    as `effective_trials` is. None below one trial or for a variance below 0. Source: Bailey and Lopez de Prado (2014), "The Deflated
    Sharpe Ratio", Journal of Portfolio Management 40(5), equation 1 with a mean of 0.

    >>> round(expected_maximum_sharpe(100, 0.5 / 250), 4)
    0.1132
    """
    if not 1.0 <= trials < math.inf or not 0.0 <= variance < math.inf:
        return None
    if trials == 1.0:
        return 0.0
    best = (np.euler_gamma - 1.0) * NORMAL.inv_cdf(1.0 / trials) - np.euler_gamma * NORMAL.inv_cdf(1.0 / (trials * math.e))
    return max(0.0, math.sqrt(variance) * best)


def deflated_sharpe(found: Track, trials: float, variance: float) -> float | None:
    """The probability that the chosen trial's Sharpe ratio is above what luck makes of `trials` trials, between 0 and 1.

    `probabilistic_sharpe` with `expected_maximum_sharpe` as its benchmark; None where either is. `variance`: that of all trials' Sharpe
    ratios per session (`sharpe_variance`). Source: Bailey and Lopez de Prado (2014), equation 2.

    >>> round(deflated_sharpe(Track(1250, 2.5 / math.sqrt(250), -3.0, 10.0), 100, 0.5 / 250), 4)
    0.9004
    """
    benchmark = expected_maximum_sharpe(trials, variance)
    return None if benchmark is None else probabilistic_sharpe(found, benchmark)


def sharpe_variance(returns: Floats) -> float | None:
    """Variance (ddof 1) of the Sharpe ratios per session of trials, shape (sessions, trials); those that do not vary are left out.

    None below MIN_SESSIONS or where fewer than two are left.
    """
    ratios = [ratio for column in returns.T if (ratio := sharpe(column, 1.0)) is not None]
    if len(ratios) < 2:
        return None
    centre = math.fsum(ratios) / len(ratios)
    return math.fsum((ratio - centre) ** 2 for ratio in ratios) / (len(ratios) - 1)


def effective_trials(returns: Floats) -> float | None:
    """How many independent trials those of shape (sessions, trials) amount to: c + (1 - c) N, between 1 and N.

    c is the mean correlation of all pairs; N counts the trials that vary, the others are left out. Trials that move as one are 1, those
    without correlation are N. It counts groups too high rather than too low: two groups, each of trials that move as one, are not 2
    but about N / 2. None below MIN_SESSIONS or where no trial varies.
    Source: Bailey and Lopez de Prado (2014), appendix A.3, equation 9.
    """
    if len(returns) < MIN_SESSIONS:
        return None
    apart = [column - mean(column) for column in returns[:, moving(returns)].T]
    scaled = [column / _length(column) for column in apart]
    count = len(scaled)
    if count < 2:
        return float(count) if count else None
    total = np.zeros(len(returns))
    for column in scaled:  # the sum of all correlations is the squared length of the sum of the scaled returns: no matrix of pairs
        total += column
    average = (_length(total) ** 2 - count) / (count * (count - 1))
    return min(float(count), max(1.0, average + (1.0 - average) * count))


def _length(values: Floats) -> float:
    """The Euclidean length."""
    return math.sqrt(math.fsum((values * values).tolist()))


def _normal(value: float) -> float:
    """The normal distribution function, exact in both tails."""
    return 0.5 * math.erfc(-value / math.sqrt(2.0))

"""The stationary bootstrap: sessions drawn anew in blocks, so that what hangs together in time stays together.

Place in the flow: superiority.py and intervals.py draw from one `Resampling`, so that all their figures speak of the same draws.
Never looks at returns but to choose the length of blocks.

A drawn row of sessions is made of blocks, each beginning at a session drawn evenly and ending after each session with probability
1 / block; the first session follows the last. Source: Politis and Romano (1994), "The Stationary Bootstrap", Journal of the American
Statistical Association 89(428).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from backtester.columns import Floats, Ints
from backtester.errors import ConfigError
from backtester.outcome.ratios import MIN_SESSIONS, mean, still

CELLS = 1 << 17
"""Numbers (draws x sessions, or draws x trials) held at a time; no figure depends on it."""

INSIGNIFICANT = 5
"""Autocorrelations in a row that must be insignificant: the K_N of Politis and White for any number of sessions below 10**25."""


@dataclass(frozen=True)
class Resampling:
    """So many draws of a number of sessions, in blocks of a mean length (in sessions, from 1 to all), from a seed: a value.

    The generator is numpy's PCG64. Equal values give equal indices on every machine, for any number of threads.
    """

    sessions: int
    block: float
    draws: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, least in (("sessions", self.sessions, 1), ("draws", self.draws, 1), ("seed", self.seed, 0)):
            if value < least:
                raise ConfigError("cannot resample sessions", where=name, value=value, allowed=f"{least} or more")
        if not 1.0 <= self.block <= self.sessions:
            raise ConfigError("cannot resample sessions", where="block", value=self.block, allowed=f"1 to {self.sessions}, the sessions")

    def parts(self, most: int) -> Iterator[Ints]:
        """Indices of sessions, shape (rows, sessions), at most `most` rows at a time (one at least); all parts together are the draws."""
        generator = np.random.Generator(np.random.PCG64(self.seed))
        step = max(1, min(most, CELLS // self.sessions))
        for first in range(0, self.draws, step):
            yield self._rows(generator.random((min(step, self.draws - first), self.sessions)))

    def _rows(self, drawn: Floats) -> Ints:
        """One number a session says both whether a block begins (below 1 / block) and, if so, at which session."""
        share = 1.0 / self.block
        places = np.arange(self.sessions)
        begin = np.maximum.accumulate(np.where(drawn < share, places, 0), axis=1)
        even = np.where(places > 0, drawn / share, drawn)  # the first session begins a block whatever its number
        first = np.minimum(np.take_along_axis(even, begin, axis=1) * self.sessions, self.sessions - 1).astype(np.int64)
        return np.asarray((first + places - begin) % self.sessions, np.int64)


def automatic_block(returns: Floats) -> float | None:
    """One block length for all trials, shape (sessions, trials): the median of `block_lengths`; None where no trial has one."""
    known = [length for length in block_lengths(returns) if length is not None]
    return statistics.median(known) if known else None


def block_lengths(returns: Floats) -> list[float | None]:
    """The mean block length that suits each trial best, in sessions; None below MIN_SESSIONS and for a trial that does not vary.

    (2 G**2 / D)**(1/3) n**(1/3) with D = 2 S**2, S = sum w(k / M) R(k) and G = sum w(k / M) |k| R(k) over lags -M ... M, R the
    autocovariance and w the flat-top window: 1 up to one half, then falling to 0 at 1. M is twice the first lag from which
    INSIGNIFICANT autocorrelations in a row are below 2 sqrt(log10(n) / n), but at most ceil(sqrt(n)) + INSIGNIFICANT. Between 1 and
    ceil(min(3 sqrt(n), n / 3)).
    Source: Politis and White (2004), "Automatic Block-Length Selection for the Dependent Bootstrap", section 3, as corrected by Patton,
    Politis and White (2009), with the rules for M and for the bounds of the code that Patton published with it.
    """
    count = len(returns)
    if count < MIN_SESSIONS:
        return [None] * returns.shape[1]
    apart = returns - np.array([mean(column) for column in returns.T])
    most = math.ceil(math.sqrt(count)) + INSIGNIFICANT
    lagged = np.stack([(apart[lag:] * apart[: count - lag]).sum(axis=0) / count for lag in range(most + 1)], axis=1)
    return [None if still(column) else _block_length(lags, count) for column, lags in zip(returns.T, lagged.tolist(), strict=True)]


def _block_length(lags: list[float], count: int) -> float:
    """The length from the autocovariances at lags 0, 1, ... of a number of sessions."""
    width = min(2 * _first_insignificant(lags, count), len(lags) - 1)
    weights = [1.0 if lag <= width / 2 else 2.0 * (1.0 - lag / width) for lag in range(width + 1)]
    slope = 2.0 * math.fsum(weights[lag] * lag * lags[lag] for lag in range(1, width + 1))
    density = lags[0] + 2.0 * math.fsum(weights[lag] * lags[lag] for lag in range(1, width + 1))
    bound = float(math.ceil(min(3.0 * math.sqrt(count), count / 3.0)))
    if abs(slope) >= abs(density) * count:  # next to no density at frequency 0: the formula goes beyond all bounds
        return bound
    return min(max(1.0, math.cbrt((slope / density) ** 2 * count)), bound)


def _first_insignificant(lags: list[float], count: int) -> int:
    """The first lag, from 1 on, at which a row of insignificant autocorrelations begins; the largest significant lag without one."""
    bound = 2.0 * math.sqrt(math.log10(count) / count) * lags[0]
    large = [lag for lag in range(1, len(lags)) if abs(lags[lag]) >= bound]
    starts = range(1, len(lags) - INSIGNIFICANT + 1)
    return next((lag for lag in starts if not any(lag <= other < lag + INSIGNIFICANT for other in large)), max(large, default=1))

"""Probability of backtest overfitting: does the trial that was best in one half of the sessions stay good in the other half?

Place in the flow: called over the returns of all trials of a search, shape (sessions, trials). Pure; never draws anything at random.
A figure that has no meaning is None, never NaN or infinity.

Combinatorially symmetric cross-validation: the sessions are cut into an even number S of blocks; each choice of S / 2 of them is a
half to choose in, the others are the half to judge in. Source: Bailey, Borwein, Lopez de Prado and Zhu (2017), "The Probability of
Backtest Overfitting", Journal of Computational Finance 20(4), sections 2 and 3.

Sums go over a half's blocks in their order, columns of trials side by side: the same bits for any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from backtester.columns import Floats, Ints
from backtester.errors import ConfigError
from backtester.outcome.ratios import MIN_SESSIONS, TINY, mean

MOST_BLOCKS = 20
CELLS = 1 << 16
"""Numbers (halves x trials) held at a time."""


@dataclass(frozen=True, eq=False)
class Overfitting:
    """What the choices of halves say. Arrays have shape (choices,): the trial chosen in a half, its Sharpe ratios per session, its logit.

    Choices come in the order of their blocks, 0 1 2 ... first. A trial that stands still in a half counts as 0 there.

    chosen         index of the trial with the highest Sharpe ratio in the half to choose in, the first of equals
    inside         that ratio
    outside        the same trial's ratio in the other half
    logits         ln(w / (1 - w)), w = rank of `outside` among all trials' / (trials + 1), equal ones sharing their mean rank
    probability    share of choices with a logit of 0 or below: the chosen trial is no better than the median of all (PBO)
    slope          of the line outside = intercept + slope x inside, by least squares (performance degradation)
    intercept      of the same line, per session; None like the slope where `inside` does not vary
    r_squared      share of the variance of `outside` that the line explains; None where `outside` does not vary either
    loss           share of choices with `outside` below 0 (probability of loss)
    """

    chosen: Ints
    inside: Floats
    outside: Floats
    logits: Floats
    probability: float
    slope: float | None
    intercept: float | None
    r_squared: float | None
    loss: float


def overfitting(returns: Floats, blocks: int = 16) -> Overfitting | None:
    """The figures of Overfitting for the returns of all trials, shape (sessions, trials), sessions cut into so many blocks.

    Blocks are of equal length; sessions % blocks of the oldest sessions are left out. None for fewer than two trials, or fewer than
    MIN_SESSIONS sessions in a half. ConfigError for a number of blocks that is odd, below 2 or above MOST_BLOCKS: 20 blocks are
    184,756 choices.
    """
    if blocks % 2 or not 2 <= blocks <= MOST_BLOCKS:
        raise ConfigError("cannot cut sessions into blocks", where="blocks", value=blocks, allowed=f"an even number, 2 to {MOST_BLOCKS}")
    length, trials = len(returns) // blocks, returns.shape[1]
    if trials < 2 or length * blocks // 2 < MIN_SESSIONS:
        return None
    used = returns[len(returns) - length * blocks :]
    halves = np.array(list(combinations(range(blocks), blocks // 2)), np.int64)
    chosen, inside, outside, rank = np.empty(len(halves), np.int64), *np.empty((3, len(halves)))
    for rows, own, other in _ratios(used, length, halves):
        best = np.argmax(own, axis=1)
        lines = np.arange(len(best))
        judged = other[lines, best][:, None]
        chosen[rows], inside[rows], outside[rows] = best, own[lines, best], judged[:, 0]
        rank[rows] = (other < judged).sum(axis=1) + ((other == judged).sum(axis=1) + 1) / 2
    share = rank / (trials + 1)
    logits = np.log(share / (1.0 - share))
    slope, intercept, r_squared = _line(inside, outside)
    found = (float(np.count_nonzero(logits <= 0)), float(np.count_nonzero(outside < 0)))
    return Overfitting(chosen, inside, outside, logits, found[0] / len(halves), slope, intercept, r_squared, found[1] / len(halves))


def _ratios(used: Floats, length: int, halves: Ints) -> Iterator[tuple[slice | Ints, Floats, Floats]]:
    """Rows of `halves`, and the Sharpe ratios of all trials in these halves and in the others, each of shape (rows, trials).

    The other half of row i of the combinations in their order is row -1 - i, so each pair of halves is worked out once.
    """
    centre = np.array([mean(column) for column in used.T])
    apart = (used - centre).reshape(-1, length, used.shape[1])
    sums, squares = apart.sum(axis=1), (apart * apart).sum(axis=1)
    step = max(1, CELLS // used.shape[1])
    for first in range(0, len(halves) // 2, step):
        rows = np.arange(first, min(first + step, len(halves) // 2))
        own, other = (_sharpe(halves[some], sums, squares, centre, length) for some in (rows, -1 - rows))
        yield rows, own, other
        yield -1 - rows, other, own


def _sharpe(halves: Ints, sums: Floats, squares: Floats, centre: Floats, length: int) -> Floats:
    """Sharpe ratios per session of every trial in each half, shape (halves, trials); 0 where a trial stands still.

    sums and squares, shape (blocks, trials), are of the returns less `centre`, each trial's mean over all sessions.
    """
    count = halves.shape[1] * length
    total, square = np.zeros((2, len(halves), len(centre)))
    for place in halves.T:
        total += sums[place]
        square += squares[place]
    average = centre + total / count
    variance = np.maximum(square - total * total / count, 0.0) / (count - 1)
    # what is left of equal returns is rounding: of their mean, or of the difference of the two sums
    moves = (variance > (TINY * average) ** 2) & (variance > TINY * square / (count - 1))
    return np.asarray(np.divide(average, np.sqrt(variance), out=np.zeros_like(average), where=moves), np.float64)


def _line(x: Floats, y: Floats) -> tuple[float | None, float | None, float | None]:
    """Slope, intercept and explained share of variance of the line of least squares."""
    dx, dy = x - mean(x), y - mean(y)
    across, own, other = _dot(dx, dy), _dot(dx, dx), _dot(dy, dy)
    if own <= (TINY * mean(x)) ** 2 * len(x):
        return None, None, None
    slope = across / own
    return slope, mean(y) - slope * mean(x), None if other <= (TINY * mean(y)) ** 2 * len(y) else min(1.0, slope * across / other)


def _dot(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    return math.fsum((left * right).tolist())

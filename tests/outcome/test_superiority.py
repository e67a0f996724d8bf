"""White's reality check and Hansen's test: slow loops over the same draws, known answers, and what has no meaning."""

from __future__ import annotations

import dataclasses
import math
import os
import statistics
import subprocess
import sys

import numpy as np
import pytest

from backtester.errors import InternalError
from backtester.outcome import drawn
from backtester.outcome import superiority as module
from backtester.outcome.bootstrap import Resampling
from backtester.outcome.superiority import superiority


def trials(count: int, sessions: int = 120, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.normal(0.0, 0.01, (sessions, count)) + generator.normal(0.0, 0.005, (sessions, 1))


def variance(values: list[float], share: float) -> float:
    """Of sqrt(n) x the mean of a draw: two drawn sessions are from one block with (1 - share)**distance, or else independent."""
    count, centre = len(values), statistics.fmean(values)
    apart = [value - centre for value in values]
    around = [sum(apart[t] * apart[(t + lag) % count] for t in range(count)) / count for lag in range(count)]
    return sum((1 - share) ** abs(i - j) * around[abs(i - j)] for i in range(count) for j in range(count)) / count


def slow(returns: np.ndarray, resampling: Resampling) -> list[float]:
    """p-values of the reality check and of Hansen's test, lower, consistent, upper, trial by trial and draw by draw."""
    columns, count = returns.T.tolist(), len(returns)
    means = [statistics.fmean(column) for column in columns]
    root = math.sqrt(count)
    spread = [math.sqrt(variance(column, 1 / resampling.block)) for column in columns]
    statistic = max(0.0, max(root * m / w for m, w in zip(means, spread, strict=True)))
    bound = math.sqrt(2 * math.log(math.log(count)))
    centres = [
        [max(m, 0.0) for m in means],
        [m if root * m / w >= -bound else 0.0 for m, w in zip(means, spread, strict=True)],
        means,
    ]
    reached = [0, 0, 0, 0]
    for part in resampling.parts(10):
        for row in part.tolist():
            again = [statistics.fmean(column[place] for place in row) for column in columns]
            reached[0] += max(root * (a - m) for a, m in zip(again, means, strict=True)) >= root * max(means)
            for test, centre in enumerate(centres, 1):
                best = max(root * (a - c) / w for a, c, w in zip(again, centre, spread, strict=True))
                reached[test] += max(0.0, best) >= statistic
    return [number / resampling.draws for number in reached]


@pytest.mark.parametrize("block", [1.0, 4.0, 11.5])
def test_p_values_are_those_of_a_slow_loop(block: float) -> None:
    returns = trials(6, 50) + np.array([0.0, 0.0, -0.001, -0.004, -0.01, -0.001])
    resampling = Resampling(50, block, draws=200, seed=5)
    found = superiority(returns, None, resampling)
    assert found is not None
    expected = slow(returns, resampling)
    assert [found.reality_check, found.lower, found.consistent, found.upper] == expected
    assert found.excess == pytest.approx(max(returns.mean(axis=0)), rel=1e-12)
    assert found.best == int(np.argmax(returns.mean(axis=0)))
    assert 0 < expected[0] < 1
    assert (len(set(expected[1:])) > 1) is (block < 10)  # the three differ but for the longest blocks, where none is reached


def test_the_statistic_is_the_best_mean_in_units_of_its_deviation() -> None:
    returns = trials(3, 40) + 0.002
    found = superiority(returns, None, Resampling(40, 5.0, draws=1))
    assert found is not None
    each = [math.sqrt(40) * statistics.fmean(column) / math.sqrt(variance(column, 1 / 5)) for column in returns.T.tolist()]
    assert found.statistic == pytest.approx(max(each), rel=1e-10)


def test_a_benchmark_is_taken_off_every_trial() -> None:
    returns, market = trials(5), trials(1, seed=8)[:, 0]
    resampling = Resampling(120, 3.0, draws=300)
    found, alone = superiority(returns + market[:, None], market, resampling), superiority(returns, None, resampling)
    assert found is not None
    assert alone is not None
    assert dataclasses.astuple(found) == pytest.approx(dataclasses.astuple(alone), rel=1e-9)


def test_a_trial_with_skill_is_found_among_noise() -> None:
    returns = trials(100, 250)
    returns[:, 42] += 0.005
    found = superiority(returns, None, Resampling(250, 2.0))
    assert found is not None
    assert found.best == 42
    assert max(found.reality_check, found.upper) <= 0.002


def test_noise_is_found_as_often_as_the_level_says() -> None:
    """Sixty searches of twenty trials without skill: their p-values are spread evenly."""
    found = [superiority(trials(20, 250, seed), None, Resampling(250, 1.0, draws=200, seed=seed)) for seed in range(60)]
    checks = sorted(result.reality_check for result in found if result)
    assert statistics.fmean(checks) == pytest.approx(0.5, abs=0.1)
    assert checks[6] == pytest.approx(0.1, abs=0.1)
    assert checks[54] == pytest.approx(0.9, abs=0.1)


def test_hopeless_trials_weaken_the_reality_check_but_not_hansens_test() -> None:
    """Hansen's reason for his test: a hundred trials that lose without doubt, and swing wildly."""
    good = trials(3, 250) + np.array([0.0035, 0.0, 0.0])
    bad = trials(100, 250, seed=3) * 5 - 0.05
    resampling = Resampling(250, 1.0)
    alone, crowded = (superiority(returns, None, resampling) for returns in (good, np.concatenate([good, bad], axis=1)))
    assert alone is not None
    assert crowded is not None
    assert crowded.reality_check > alone.reality_check + 0.2
    assert crowded.consistent == alone.consistent < 0.05
    assert crowded.lower == alone.lower


def test_trials_that_are_all_worse_are_never_superior() -> None:
    found = superiority(trials(4) - 0.05, None, Resampling(120, 2.0, draws=200))
    assert found is not None
    assert found.statistic == 0.0
    assert (found.reality_check, found.lower, found.consistent, found.upper) == (1.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize("seed", range(8))
def test_the_three_p_values_are_in_order(seed: int) -> None:
    found = superiority(trials(8, seed=seed) + np.linspace(-0.01, 0.001, 8), None, Resampling(120, 2.0, draws=300, seed=seed))
    assert found is not None
    assert found.lower <= found.consistent <= found.upper


def test_trials_that_do_not_vary_are_left_out() -> None:
    returns = trials(3)
    still = np.concatenate([np.zeros((120, 1)), returns[:, :2], np.full((120, 1), 0.1), returns[:, 2:]], axis=1)
    resampling = Resampling(120, 2.0, draws=200)
    found, alone = superiority(still, None, resampling), superiority(returns, None, resampling)
    assert found is not None
    assert alone is not None
    assert found.best == {0: 1, 1: 2, 2: 4}[alone.best]
    assert (found.reality_check, found.consistent, found.statistic) == (alone.reality_check, alone.consistent, alone.statistic)


def test_too_little_is_null() -> None:
    assert superiority(np.zeros((120, 3)), None, Resampling(120, 2.0)) is None
    assert superiority(trials(3, 19), None, Resampling(19, 2.0)) is None
    assert superiority(np.zeros((120, 0)), None, Resampling(120, 2.0)) is None


def test_different_sessions_are_an_error() -> None:
    with pytest.raises(InternalError, match="different sessions"):
        superiority(trials(3), None, Resampling(119, 2.0))
    with pytest.raises(InternalError, match="different sessions"):
        superiority(trials(3), np.zeros(119), Resampling(120, 2.0))


def test_how_much_is_held_at_a_time_does_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    resampling = Resampling(120, 2.0, draws=100)
    whole = superiority(trials(9), None, resampling)
    monkeypatch.setattr(module, "CELLS", 1)
    assert superiority(trials(9), None, resampling) == whole


PROGRAM = """
import numpy as np
from backtester.outcome import bootstrap, cscv, intervals, overfitting, superiority
returns = np.random.default_rng(1).normal(0.0004, 0.01, (252, 60))
resampling = bootstrap.Resampling(252, bootstrap.automatic_block(returns), 200, seed=4)
found = cscv.overfitting(returns, 10)
print(repr(resampling), superiority.superiority(returns, returns[:, 3], resampling))
print(intervals.intervals(returns[:, 0], resampling, 251.3), overfitting.effective_trials(returns), overfitting.sharpe_variance(returns))
print(found.slope, found.probability, found.outside.tobytes().hex())
"""


def test_threads_do_not_change_a_bit() -> None:
    def printed(threads: str) -> str:
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
        environment = os.environ | dict.fromkeys(names, threads)
        return subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True, capture_output=True, text=True).stdout

    assert printed("1") == printed("2")


def test_means_of_draws_add_sessions_from_the_oldest_to_the_newest() -> None:
    returns, resampling = trials(7, 60), Resampling(60, 3.0, 40, 5)
    (rows,) = resampling.parts(40)
    for row, found in zip(rows.tolist(), drawn.means(returns, rows).tolist(), strict=True):
        total = [0.0] * 7
        for session in range(60):
            total = [so_far + row.count(session) * value for so_far, value in zip(total, returns[session].tolist(), strict=True)]
        assert found == [value / 60 for value in total]

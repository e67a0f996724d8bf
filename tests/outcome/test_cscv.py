"""Probability of backtest overfitting: a slow loop over every choice of halves, cases with a known answer, and what has no meaning."""

from __future__ import annotations

import math
import statistics
from itertools import combinations

import numpy as np
import pytest

from backtester.errors import ConfigError
from backtester.outcome import cscv
from backtester.outcome.cscv import overfitting
from tests.outcome.returns import drawn


def trials(count: int, sessions: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.01, (sessions, count))


def slow(returns: list[list[float]], blocks: int) -> list[tuple[int, float, float, float]]:
    """For every choice of halves: chosen trial, its ratio inside and outside, its logit; all sessions given count."""
    length = len(returns) // blocks
    found = []
    for chosen in combinations(range(blocks), blocks // 2):
        ratios: list[list[float]] = []
        for inside in (True, False):
            rows = [row for place, row in enumerate(returns) if (place // length in chosen) is inside]
            columns = list(zip(*rows, strict=True))
            ratios.append([0.0 if len(set(column)) == 1 else statistics.mean(column) / statistics.stdev(column) for column in columns])
        best = max(range(len(ratios[0])), key=lambda trial: (ratios[0][trial], -trial))
        outside = ratios[1][best]
        rank = sum(value < outside for value in ratios[1]) + (sum(value == outside for value in ratios[1]) + 1) / 2
        share = rank / (len(ratios[1]) + 1)
        found.append((best, ratios[0][best], outside, math.log(share / (1 - share))))
    return found


@pytest.mark.parametrize(("count", "sessions", "blocks"), [(7, 60, 6), (2, 47, 4), (5, 41, 2), (9, 85, 8)])
def test_every_choice_is_that_of_a_slow_loop(count: int, sessions: int, blocks: int) -> None:
    returns = trials(count, sessions, seed=count) + np.linspace(0.0, 0.003, count)
    expected = slow(returns[sessions % blocks :].tolist(), blocks)
    found = overfitting(returns, blocks)
    assert found is not None
    best, inside, outside, logits = zip(*expected, strict=True)
    assert found.chosen.tolist() == list(best)
    assert found.inside == pytest.approx(inside, rel=1e-9)
    assert found.outside == pytest.approx(outside, rel=1e-9)
    assert found.logits == pytest.approx(logits, rel=1e-12)
    assert found.probability == sum(value <= 0 for value in logits) / len(logits)
    assert found.loss == sum(value < 0 for value in outside) / len(outside)
    slope, intercept = statistics.linear_regression(inside, outside)
    assert found.slope == pytest.approx(slope, rel=1e-7)
    assert found.intercept == pytest.approx(intercept, rel=1e-7)
    assert found.r_squared == pytest.approx(statistics.correlation(inside, outside) ** 2, rel=1e-7, abs=1e-12)


def test_trials_of_the_same_mean_are_overfit_for_certain() -> None:
    """The paper's first test case: what a trial earns in one half it loses in the other, so the best inside is the worst outside."""
    returns = trials(100, 1000)
    returns = (returns - returns.mean(axis=0)) / returns.std(axis=0)
    found = overfitting(returns, 8)
    assert found is not None
    assert found.probability == 1.0
    assert found.loss == 1.0
    assert found.slope == pytest.approx(-1.0, abs=0.1)


def test_noise_is_overfit_half_of_the_time() -> None:
    found = [overfitting(trials(50, 400, seed), 8) for seed in range(40)]
    assert statistics.mean(result.probability for result in found if result) == pytest.approx(0.5, abs=0.05)


def test_a_trial_with_skill_is_not_overfit() -> None:
    returns = trials(50, 400)
    returns[:, 17] += 0.01
    found = overfitting(returns)
    assert found is not None
    assert set(found.chosen.tolist()) == {17}
    assert found.probability == 0.0
    assert found.loss == 0.0
    assert len(found.logits) == math.comb(16, 8)
    assert found.logits[0] == pytest.approx(math.log(50))  # rank 50 of 50: 50/51 against 1/51


def test_a_trial_without_trades_in_a_half_counts_as_0_there() -> None:
    half = drawn(1, 40)
    returns = np.stack([np.concatenate([np.zeros(40), np.abs(half)]), np.concatenate([half, half]) - half.mean() - 0.001], axis=1)
    found = overfitting(returns, 2)
    assert found is not None
    assert found.chosen.tolist() == [0, 0]
    assert found.inside[0] == 0.0
    assert found.outside[1] == 0.0
    assert np.isfinite(found.inside).all()


def test_trials_that_all_stand_still_have_no_line() -> None:
    found = overfitting(np.full((80, 3), 0.1), 4)
    assert found is not None
    assert (found.slope, found.intercept, found.r_squared) == (None, None, None)
    assert found.logits.tolist() == [0.0] * 6  # all share the middle rank
    assert found.probability == 1.0


def test_equal_trials_share_a_rank_and_the_first_is_chosen() -> None:
    values = drawn(2, 80)
    found = overfitting(np.stack([values, values, values - 0.01], axis=1), 4)
    assert found is not None
    assert set(found.chosen.tolist()) == {0}
    assert found.logits == pytest.approx(math.log(2.5 / 1.5))  # ranks 2 and 3 of 3 share 2.5 of 4


@pytest.mark.parametrize("shape", [(39, 5), (200, 1), (0, 5), (200, 0)], ids=["too few", "one trial", "no session", "no trial"])
def test_too_little_is_null(shape: tuple[int, int]) -> None:
    assert overfitting(np.random.default_rng(0).normal(size=shape), 4) is None


@pytest.mark.parametrize("blocks", [0, 1, 7, 22, -2])
def test_a_number_of_blocks_that_does_not_fit_is_an_error(blocks: int) -> None:
    with pytest.raises(ConfigError, match=f"blocks.*got {blocks}; allowed: an even number, 2 to 20"):
        overfitting(trials(3, 100), blocks)


def test_the_oldest_sessions_are_left_out_where_blocks_do_not_divide_them() -> None:
    returns = trials(4, 83)
    changed = returns.copy()
    changed[:3] = 9.0
    ours, theirs = overfitting(returns, 8), overfitting(changed, 8)
    assert ours is not None
    assert theirs is not None
    assert ours.outside.tolist() == theirs.outside.tolist()


def test_how_much_is_held_at_a_time_does_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = trials(6, 80)
    whole = overfitting(returns, 8)
    monkeypatch.setattr(cscv, "CELLS", 1)
    single = overfitting(returns, 8)
    assert whole is not None
    assert single is not None
    assert whole.inside.tobytes() == single.inside.tobytes()
    assert whole.outside.tobytes() == single.outside.tobytes()
    assert whole.logits.tobytes() == single.logits.tobytes()
    assert (whole.slope, whole.probability) == (single.slope, single.probability)

"""Sharpe ratios judged as estimates: the papers' own numerical examples, scipy, plain loops, and what has no meaning."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from backtester.errors import ConfigError
from backtester.outcome import overfitting
from backtester.outcome.overfitting import Track
from tests.outcome.returns import drawn

DAY = math.sqrt(250)
"""Turns a ratio a year into one a day where the papers count 250 days."""


@pytest.fixture
def stats() -> Any:
    return pytest.importorskip("scipy.stats")


@pytest.mark.parametrize(
    ("skew", "kurtosis", "probability"),
    [(0.0, 3.0, 0.982), (-2.448, 10.164, 0.913)],
    ids=["as if normal", "skewed with fat tails"],
)
def test_probable_ratios_are_those_of_the_paper(skew: float, kurtosis: float, probability: float) -> None:
    """Bailey and Lopez de Prado (2012): two years of months with a Sharpe ratio of 0.458."""
    assert overfitting.probabilistic_sharpe(Track(24, 0.458, skew, kurtosis)) == pytest.approx(probability, abs=5e-4)


@pytest.mark.parametrize(
    ("track", "years"),
    [(Track(134, 0.7079, -0.2250, 2.9570), 0.7152), (Track(134, 0.8183, -1.4455, 7.0497), 1.1593)],
    ids=["steady", "skewed"],
)
def test_track_records_of_hedge_funds_are_those_of_the_paper(track: Track, years: float) -> None:
    """The same paper's table of hedge fund indices, in months, against a ratio of 0."""
    assert overfitting.minimum_track_record(track) / 12 == pytest.approx(years, abs=5e-5)


@pytest.mark.parametrize(
    ("periods", "skew", "kurtosis", "years"),
    [(250, 0.0, 3.0, 2.73), (52, 0.0, 3.0, 2.83), (12, 0.0, 3.0, 3.24), (12, -0.72, 5.78, 4.99)],
    ids=["days", "weeks", "months", "months of a hedge fund"],
)
def test_years_until_a_ratio_of_two_is_above_one_are_those_of_the_paper(periods: int, skew: float, kurtosis: float, years: float) -> None:
    track = Track(1, 2 / math.sqrt(periods), skew, kurtosis)
    assert overfitting.minimum_track_record(track, 1 / math.sqrt(periods)) / periods == pytest.approx(years, abs=5e-3)


@pytest.mark.parametrize(
    ("trials", "skew", "kurtosis", "probability"),
    [(100, -3.0, 10.0, 0.9004), (46, -3.0, 10.0, 0.9505), (88, 0.0, 3.0, 0.9505)],
    ids=["a hundred trials", "fewer trials", "as if normal"],
)
def test_deflated_ratios_are_those_of_the_paper(trials: int, skew: float, kurtosis: float, probability: float) -> None:
    """Bailey and Lopez de Prado (2014): a ratio of 2.5 a year over five years of days, variance of trials 1 / 2 a year."""
    track = Track(1250, 2.5 / DAY, skew, kurtosis)
    assert overfitting.deflated_sharpe(track, trials, 0.5 / DAY**2) == pytest.approx(probability, abs=5e-5)


def test_expected_maxima_are_those_of_the_papers() -> None:
    assert overfitting.expected_maximum_sharpe(100, 0.5 / DAY**2) == pytest.approx(0.1132, abs=5e-5)
    # Bailey, Borwein, Lopez de Prado and Zhu (2014): ten trials show 1.57; 45 trials over five years show a ratio of 1 a year
    assert overfitting.expected_maximum_sharpe(10, 1.0) == pytest.approx(1.57, abs=5e-3)
    assert overfitting.expected_maximum_sharpe(45, 1 / 5) == pytest.approx(1.0, abs=5e-3)


@pytest.mark.parametrize("trials", [20, 100, 1000])
def test_the_expected_maximum_is_the_mean_of_simulated_maxima(trials: int) -> None:
    simulated = np.random.default_rng(trials).normal(0.0, 0.3, (4000, trials)).max(axis=1).mean()
    assert overfitting.expected_maximum_sharpe(trials, 0.09) == pytest.approx(simulated, rel=0.03)  # the formula is a limit


@given(some.floats(1.0, 1e6), some.floats(0.0, 10.0))
def test_luck_never_makes_the_best_worse_than_one_trial(trials: float, variance: float) -> None:
    assert overfitting.expected_maximum_sharpe(trials, variance) >= 0.0


def test_one_trial_needs_no_deflation() -> None:
    track = overfitting.track(drawn(3))
    assert overfitting.deflated_sharpe(track, 1.0, 0.04) == overfitting.probabilistic_sharpe(track)


@pytest.mark.parametrize("sessions", [20, 250])
def test_a_track_is_that_of_scipy(stats: Any, sessions: int) -> None:
    values = drawn(sessions, sessions) + np.random.default_rng(1).exponential(0.01, sessions)
    track = overfitting.track(values)
    assert track.sessions == sessions
    assert track.sharpe == pytest.approx(np.mean(values) / np.std(values, ddof=1), rel=1e-12)
    assert track.skew == pytest.approx(stats.skew(values), rel=1e-10)
    assert track.kurtosis == pytest.approx(stats.kurtosis(values, fisher=False), rel=1e-10)
    assert overfitting.probabilistic_sharpe(track, 0.05) == pytest.approx(
        stats.norm.cdf((track.sharpe - 0.05) * np.sqrt(sessions - 1) / np.sqrt(track.variance)), rel=1e-12
    )


def test_the_probability_of_a_normal_ratio_is_the_share_of_simulated_ones() -> None:
    """Ten thousand years of normal returns with a true ratio of 0.1 a day: how many showed more than 0.1 + one standard error?"""
    ratios = [values.mean() / values.std(ddof=1) for values in np.random.default_rng(5).normal(0.1, 1.0, (10_000, 252))]
    track = Track(252, 0.1 + math.sqrt((1 + 0.1**2 / 2) / 251))
    share = float(np.mean(np.array(ratios) < track.sharpe))
    assert overfitting.probabilistic_sharpe(track, 0.1) == pytest.approx(share, abs=0.02)


def test_probabilities_far_from_even_are_exact(stats: Any) -> None:
    track = Track(2500, -0.5)
    exact = stats.norm.cdf(-0.5 * math.sqrt(2499 / track.variance))
    assert 0 < exact < 1e-100
    assert overfitting.probabilistic_sharpe(track) == pytest.approx(exact, rel=1e-9)


def test_after_the_minimum_track_record_the_confidence_is_reached() -> None:
    track = Track(300, 0.08, -0.7, 6.0)
    length = overfitting.minimum_track_record(track, 0.02, 0.9)
    for sessions, reached in [(math.floor(length), False), (math.ceil(length), True)]:
        later = Track(sessions, track.sharpe, track.skew, track.kurtosis)
        assert (overfitting.probabilistic_sharpe(later, 0.02) >= 0.9) is reached


def test_what_cannot_be_estimated_is_null() -> None:
    assert overfitting.track(drawn(1, 19)) is None
    assert overfitting.track(np.full(30, 0.1)) is None
    assert overfitting.minimum_track_record(Track(250, 0.1), benchmark=0.1) is None
    assert overfitting.minimum_track_record(Track(250, -0.1)) is None
    assert overfitting.probabilistic_sharpe(Track(1, 0.1)) is None
    assert overfitting.probabilistic_sharpe(Track(250, 1.0, 2.0, 5.0)) is None  # 1 - 2 + (5 - 1) / 4: no probable error at all
    assert overfitting.expected_maximum_sharpe(0.5, 1.0) is None
    assert overfitting.expected_maximum_sharpe(math.nan, 1.0) is None
    assert overfitting.expected_maximum_sharpe(10, math.inf) is None
    assert overfitting.deflated_sharpe(Track(250, 0.1), 10, -1.0) is None


def test_a_confidence_out_of_bounds_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"confidence.*got 1.0; allowed: 0.5 or more, below 1"):
        overfitting.minimum_track_record(Track(250, 0.1), confidence=1.0)


@given(some.lists(some.floats(-0.2, 0.2), min_size=20, max_size=60))
def test_probabilities_are_between_0_and_1(values: list[float]) -> None:
    track = overfitting.track(np.array(values))
    if track is not None and (found := overfitting.probabilistic_sharpe(track)) is not None:
        assert 0.0 <= found <= 1.0


def test_the_variance_of_ratios_leaves_out_what_does_not_vary() -> None:
    returns = np.stack([drawn(1), np.zeros(250), drawn(2), drawn(3)], axis=1)
    ratios = [np.mean(column) / np.std(column, ddof=1) for column in returns.T[[0, 2, 3]]]
    assert overfitting.sharpe_variance(returns) == pytest.approx(np.var(ratios, ddof=1), rel=1e-12)
    assert overfitting.sharpe_variance(returns[:, :2]) is None
    assert overfitting.sharpe_variance(returns[:19]) is None


def test_effective_trials_follow_the_mean_correlation_of_all_pairs() -> None:
    market = drawn(9)
    returns = np.stack([share * market + drawn(seed) for seed, share in enumerate([0.0, 0.5, 1.0, 2.0, 1.0])], axis=1)
    correlation = np.corrcoef(returns, rowvar=False)
    average = np.mean([correlation[pair] for pair in combinations(range(5), 2)])
    assert 0.1 < average < 0.9
    assert overfitting.effective_trials(returns) == pytest.approx(average + (1 - average) * 5, rel=1e-12)


def test_trials_that_move_as_one_are_one() -> None:
    values = drawn(4)
    assert overfitting.effective_trials(np.stack([values, 3 * values + 0.001, values], axis=1)) == pytest.approx(1.0)


def test_two_groups_of_trials_are_half_of_all() -> None:
    # Twice ten equal series without correlation between them: 90 of 190 pairs are 1, the others 0.
    left = np.tile([1.0, -1.0, 1.0, -1.0], 10)
    right = np.tile([1.0, 1.0, -1.0, -1.0], 10)
    returns = np.stack([left] * 10 + [right] * 10, axis=1)
    assert overfitting.effective_trials(returns) == pytest.approx(90 / 190 + (1 - 90 / 190) * 20)


def test_trials_against_each_other_are_no_more_than_there_are() -> None:
    values = drawn(4)
    assert overfitting.effective_trials(np.stack([values, -values], axis=1)) == 2.0


def test_trials_that_stand_still_do_not_count() -> None:
    returns = np.stack([drawn(1), np.zeros(250), np.full(250, 0.1)], axis=1)
    assert overfitting.effective_trials(returns) == 1.0
    assert overfitting.effective_trials(returns[:, 1:]) is None
    assert overfitting.effective_trials(returns[:19]) is None

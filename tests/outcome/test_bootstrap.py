"""The stationary bootstrap: a loop over its definition, the lengths of its blocks, and the length that suits a series."""

from __future__ import annotations

import numpy as np
import pytest

from backtester.errors import ConfigError
from backtester.outcome.bootstrap import Resampling, automatic_block, block_lengths
from tests.outcome.returns import drawn


def rows(resampling: Resampling, most: int = 1000) -> np.ndarray:
    return np.concatenate(list(resampling.parts(most)))


def slow(resampling: Resampling) -> list[list[int]]:
    """The definition, session by session, from the same numbers."""
    numbers = np.random.Generator(np.random.PCG64(resampling.seed)).random((resampling.draws, resampling.sessions)).tolist()
    share = 1 / resampling.block
    found = []
    for row in numbers:
        places: list[int] = []
        for number in row:
            if not places:
                places.append(int(number * resampling.sessions))
            elif number < share:
                places.append(min(int(number / share * resampling.sessions), resampling.sessions - 1))
            else:
                places.append((places[-1] + 1) % resampling.sessions)
        found.append(places)
    return found


@pytest.mark.parametrize("block", [1.0, 1.5, 6.25, 40.0])
def test_drawn_sessions_are_those_of_the_definition(block: float) -> None:
    resampling = Resampling(40, block, draws=50, seed=11)
    assert rows(resampling).tolist() == slow(resampling)


@pytest.mark.parametrize("most", [1, 7, 50, 1000])
def test_how_many_are_drawn_at_a_time_changes_nothing(most: int) -> None:
    resampling = Resampling(30, 5.0, draws=50, seed=1)
    parts = list(resampling.parts(most))
    assert max(len(part) for part in parts) == min(most, 50)
    assert np.concatenate(parts).tolist() == rows(resampling).tolist()


@pytest.mark.parametrize("block", [2.0, 5.0, 12.5])
def test_blocks_have_their_mean_length(block: float) -> None:
    found = rows(Resampling(500, block, draws=200, seed=3))
    breaks = np.count_nonzero((np.diff(found, axis=1) % 500) != 1) / (200 * 499)
    assert breaks == pytest.approx((1 / block) * (1 - 1 / 500), rel=0.03)  # one new block in 500 goes on where the old one ended


def test_every_session_is_drawn_equally_often() -> None:
    counts = np.bincount(rows(Resampling(50, 4.0, draws=4000, seed=9)).ravel(), minlength=50)
    assert counts.min() > 0.9 * 4000
    assert counts.max() < 1.1 * 4000


def test_another_seed_draws_other_sessions_and_the_same_seed_the_same() -> None:
    assert rows(Resampling(60, 4.0, 10, seed=1)).tolist() == rows(Resampling(60, 4.0, 10, seed=1)).tolist()
    assert rows(Resampling(60, 4.0, 10, seed=1)).tolist() != rows(Resampling(60, 4.0, 10, seed=2)).tolist()


@pytest.mark.parametrize(
    ("name", "wrong"), [("sessions", 0), ("block", 0.5), ("block", 61), ("block", float("nan")), ("draws", 0), ("seed", -1)]
)
def test_a_resampling_out_of_bounds_is_an_error(name: str, wrong: float) -> None:
    with pytest.raises(ConfigError, match=rf"\({name}\): got {wrong}; allowed: "):
        Resampling(**{"sessions": 60, "block": 4.0, name: wrong})  # type: ignore[arg-type]


def autoregressive(share: float, sessions: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0.0, 0.01, sessions)
    values = np.zeros(sessions)
    for place in range(1, sessions):
        values[place] = share * values[place - 1] + noise[place]
    return values


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_the_length_for_an_autoregressive_series_is_the_theory_s(share: float) -> None:
    """R(k) is share**k: G / S = 2 share / (1 - share**2), so that the length is that, squared, times n, to the power of 1 / 3."""
    found = block_lengths(np.stack([autoregressive(share, 40_000, seed) for seed in range(6)], axis=1))
    assert np.median(np.array(found)) == pytest.approx(((2 * share / (1 - share**2)) ** 2 * 40_000) ** (1 / 3), rel=0.15)


def test_one_length_for_all_is_the_median_of_those_that_vary() -> None:
    returns = np.stack([drawn(1), autoregressive(0.6, 250, 1), autoregressive(0.8, 250, 2), np.zeros(250)], axis=1)
    lengths = block_lengths(returns)
    assert lengths[3] is None
    assert sorted(lengths[:3])[1] == automatic_block(returns)
    assert 1.0 <= lengths[0] < lengths[2] <= np.ceil(3 * np.sqrt(250))


def test_blocks_are_never_longer_than_allowed() -> None:
    # what one session gains the next one loses: the density at frequency 0, by which the length is divided, is 0
    noise = np.random.default_rng(0).normal(size=(401, 8))
    assert max(length for length in block_lengths(np.diff(noise, axis=0)) if length) == 60.0  # 3 sqrt(400), below 400 / 3
    assert max(length for length in block_lengths(np.diff(noise[:31], axis=0)) if length) == 10.0  # 30 / 3, below 3 sqrt(30)


def test_too_few_sessions_or_no_variance_have_no_length() -> None:
    assert block_lengths(np.ones((19, 2))) == [None, None]
    assert automatic_block(np.ones((300, 2))) is None
    assert automatic_block(drawn(1, 19)[:, None]) is None

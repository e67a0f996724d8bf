"""Given equal returns: skfolio's Sharpe ratios as estimates and folds of sessions; arch's block lengths, draws and tests."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtester.folds import combinatorial, walk_forward
from backtester.outcome import overfitting
from backtester.outcome.bootstrap import Resampling, block_lengths
from backtester.outcome.superiority import superiority
from tests.bench.market import PLACE
from tests.bench.peers import SKFOLIO

pytestmark = pytest.mark.differential
PROGRAM = Path(__file__).parent / "programs" / "skfolio_figures.py"
BLOCK = 6.5
DRAWS = Resampling(200, BLOCK, draws=400, seed=21)
WALKS = [
    (sessions, dict(train_size=train, test_size=test, purged_size=purge, expand_train=anchored, reduce_test=partial))
    for sessions, train, test, purge in [(60, 20, 7, 0), (61, 20, 7, 3), (100, 31, 10, 1), (37, 36, 1, 0)]
    for anchored in (False, True)
    for partial in (False, True)
]
COMBINATIONS = [
    (sessions, dict(n_folds=folds, n_test_folds=tests, purged_size=purge, embargo_size=embargo))
    for sessions, folds, tests in [(60, 6, 2), (120, 10, 8), (80, 4, 3), (90, 5, 2)]
    for purge, embargo in [(0, 0), (2, 0), (0, 3), (1, 2)]
]


def returns() -> np.ndarray:
    """Twelve trials over 200 sessions that hang together in time and with each other; some clearly worse than nothing."""
    generator = np.random.default_rng(12)
    noise = generator.normal(0.0, 0.01, (204, 12)) + generator.standard_t(4, (204, 1)) * 0.004
    return (noise[4:] + noise[3:-1] + noise[:-4]) / 2 + np.linspace(-0.006, 0.0009, 12)


def mixed() -> np.ndarray:
    """A hundred moving averages of noise over 500 sessions, of one to nine terms."""
    generator = np.random.default_rng(0)
    return np.stack(
        [np.convolve(generator.normal(size=500 + terms), np.ones(terms + 1), "valid") for terms in (k % 9 for k in range(100))], axis=1
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the other libraries make."""
    folder = tmp_path_factory.mktemp("skfolio")
    rows = np.concatenate(list(DRAWS.parts(400)))
    numbers = np.random.Generator(np.random.PCG64(DRAWS.seed)).random(rows.shape)
    np.savez(folder / "given.npz", returns=returns(), mixed=mixed(), rows=rows, numbers=numbers, block=BLOCK)
    (folder / "sizes.json").write_text(json.dumps({"walks": WALKS, "combinations": COMBINATIONS}))
    subprocess.run([SKFOLIO.python(PLACE), PROGRAM, folder], check=True)
    found: dict[str, Any] = json.loads((folder / "made.json").read_text())
    return found


def test_sharpe_ratios_as_estimates_are_skfolios(made: dict[str, Any]) -> None:
    values = returns()
    tracks = [overfitting.track(column) for column in values.T]
    variance = overfitting.sharpe_variance(values)
    assert [track.sharpe for track in tracks] == pytest.approx(made["ratios"], rel=1e-12)
    assert [overfitting.probabilistic_sharpe(track) for track in tracks] == pytest.approx(made["probable"], rel=1e-10)
    assert [overfitting.probabilistic_sharpe(track, 0.03) for track in tracks] == pytest.approx(made["probable_above"], rel=1e-10)
    assert [overfitting.deflated_sharpe(track, 12, variance) for track in tracks] == pytest.approx(made["deflated"], rel=1e-10)
    expected = [overfitting.expected_maximum_sharpe(trials, 0.07**2) for trials in (2, 7.5, 100, 12345)]
    assert expected == pytest.approx(made["expected"], rel=1e-10)


def test_block_lengths_are_archs(made: dict[str, Any]) -> None:
    """Arch divides each autocovariance by the variance of its overlap: what is next to the bound of significance may fall otherwise."""
    values, compared = mixed(), 0
    bound = 2 * np.sqrt(np.log10(500) / 500)
    apart = values - values.mean(axis=0)
    shares = np.stack([(apart[lag:] * apart[: 500 - lag]).sum(axis=0) for lag in range(1, 29)]) / (apart**2).sum(axis=0)
    for ours, theirs, near in zip(block_lengths(values), made["blocks"], (abs(abs(shares) - bound) < 0.003).any(axis=0), strict=True):
        if not near:
            compared += 1
            assert ours == pytest.approx(max(1.0, theirs), rel=1e-9)  # a block is a session at least
    assert compared > 50


def test_drawn_sessions_are_those_of_archs_sampler(made: dict[str, Any]) -> None:
    assert np.concatenate(list(DRAWS.parts(7))).tolist() == made["rows"]


def test_p_values_are_archs_from_the_same_draws(made: dict[str, Any]) -> None:
    found = superiority(returns(), None, DRAWS)
    assert found is not None
    ours = {"lower": found.lower, "consistent": found.consistent, "upper": found.upper}
    assert found.reality_check == made["check"]
    assert ours == made["given"]
    assert len(set(ours.values())) == 3
    assert found.lower > 0.02


def test_p_values_are_near_archs_from_draws_of_its_own(made: dict[str, Any]) -> None:
    found = superiority(returns(), None, Resampling(200, BLOCK, draws=5000, seed=3))
    assert found is not None
    ours = {"lower": found.lower, "consistent": found.consistent, "upper": found.upper}
    assert ours == pytest.approx(made["own"], abs=0.03)  # three standard errors of a share of 5,000 draws, on either side


@pytest.mark.parametrize("case", range(len(WALKS)))
def test_walk_forward_windows_are_skfolios(made: dict[str, Any], case: int) -> None:
    sessions, how = WALKS[case]
    found = walk_forward(
        sessions, how["train_size"], how["test_size"], anchored=how["expand_train"], purge=how["purged_size"], partial=how["reduce_test"]
    )
    assert [[list(window.train), list(window.test)] for window in found] == made["walks"][case]


@pytest.mark.parametrize("case", range(len(COMBINATIONS)))
def test_combinatorial_folds_are_skfolios(made: dict[str, Any], case: int) -> None:
    sessions, how = COMBINATIONS[case]
    found = combinatorial(sessions, how["n_folds"], how["n_test_folds"], purge=how["purged_size"], embargo=how["embargo_size"])
    parts = [[choice.train.tolist(), [list(test) for test in choice.tests]] for choice in found.choices]
    assert parts == made["combinations"][case]["parts"]
    assert found.paths.tolist() == made["combinations"][case]["paths"]

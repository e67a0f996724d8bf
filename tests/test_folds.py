"""Folds of sessions: published examples, examples by hand, what always holds, and what cannot be cut."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from backtester.errors import ConfigError
from backtester.folds import combinatorial, walk_forward


def listed(sessions: int, train: int, test: int, **how: int | bool) -> list[tuple[list[int], list[int]]]:
    return [(list(window.train), list(window.test)) for window in walk_forward(sessions, train, test, **how)]  # type: ignore[arg-type]


def test_rolling_windows_are_those_of_skfolios_documentation() -> None:
    """skfolio 1.12, WalkForward, examples of six sessions."""
    assert listed(6, 2, 1) == [([0, 1], [2]), ([1, 2], [3]), ([2, 3], [4]), ([3, 4], [5])]
    assert listed(6, 2, 1, purge=1) == [([0, 1], [3]), ([1, 2], [4]), ([2, 3], [5])]
    assert listed(6, 3, 2) == [([0, 1, 2], [3, 4])]
    assert listed(6, 3, 2, partial=True) == [([0, 1, 2], [3, 4]), ([2, 3, 4], [5])]
    assert listed(6, 3, 2, anchored=True, partial=True) == [([0, 1, 2], [3, 4]), ([0, 1, 2, 3, 4], [5])]


def test_windows_move_by_the_step() -> None:
    assert listed(8, 3, 2, step=1, purge=1) == [([0, 1, 2], [4, 5]), ([1, 2, 3], [5, 6]), ([2, 3, 4], [6, 7])]
    assert listed(9, 2, 2, step=3) == [([0, 1], [2, 3]), ([3, 4], [5, 6])]
    assert listed(8, 2, 3, step=2, anchored=True, partial=True) == [
        ([0, 1], [2, 3, 4]),
        ([0, 1, 2, 3], [4, 5, 6]),
        ([0, 1, 2, 3, 4, 5], [6, 7]),
    ]


def test_one_window_that_fits_exactly_is_one() -> None:
    assert listed(7, 4, 2, purge=1) == [([0, 1, 2, 3], [5, 6])]


sizes = some.integers(1, 12)


@given(some.integers(1, 80), sizes, sizes, sizes, some.integers(0, 5), some.booleans(), some.booleans())
def test_windows_always_train_before_they_test(
    sessions: int, train: int, test: int, step: int, purge: int, anchored: bool, partial: bool
) -> None:
    if sessions < train + purge + (1 if partial else test):
        with pytest.raises(ConfigError, match="no window fits"):
            walk_forward(sessions, train, test, step, anchored=anchored, purge=purge, partial=partial)
        return
    windows = walk_forward(sessions, train, test, step, anchored=anchored, purge=purge, partial=partial)
    for place, window in enumerate(windows):
        assert window.test.start == train + purge + place * step
        assert window.test.start - window.train.stop == purge
        assert window.train.start == (0 if anchored else place * step)
        assert len(window.train) == train + (place * step if anchored else 0)
        assert len(window.test) == test or (partial and window.test.stop == sessions)
        assert 0 < len(window.test) <= test
    after = windows[-1].test.start + step
    assert after + (1 if partial else test) > sessions  # not one more would fit


@pytest.mark.parametrize(("name", "value"), [("train", 0), ("test", 0), ("step", 0), ("purge", -1)])
def test_sizes_out_of_bounds_are_errors(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=rf"\({name}\): got {value}; allowed: "):
        walk_forward(**{"sessions": 50, "train": 5, "test": 5, "step": 5, "purge": 0, name: value})  # type: ignore[arg-type]


def test_a_window_that_does_not_fit_says_what_would() -> None:
    with pytest.raises(ConfigError, match=r"got 9 sessions; allowed: 10 or more for 6 train, 1 purge, 3 test"):
        walk_forward(9, 6, 3, purge=1)


@pytest.mark.parametrize(
    ("how", "trained"),
    [
        ({}, [[8, 9, 10, 11], [4, 5, 6, 7], [0, 1, 2, 3]]),
        ({"purge": 1}, [[9, 10, 11], [5, 6], [0, 1, 2]]),
        ({"embargo": 1}, [[9, 10, 11], [5, 6, 7], [0, 1, 2, 3]]),
    ],
    ids=["plain", "purge", "embargo"],
)
def test_combinations_are_those_of_skfolios_documentation(how: dict[str, int], trained: list[list[int]]) -> None:
    """skfolio 1.12, CombinatorialPurgedCV, examples of twelve sessions in three folds."""
    found = combinatorial(12, 3, 2, **how)
    assert [choice.train.tolist() for choice in found.choices] == trained
    assert [choice.folds for choice in found.choices] == [(0, 1), (0, 2), (1, 2)]
    assert found.choices[1].tests == (range(4), range(8, 12))


def test_six_folds_with_two_tests_make_the_books_five_paths() -> None:
    """Lopez de Prado (2018), figures 12.1 and 12.2: fifteen choices S1 to S15, and for each group the one that each path takes."""
    found = combinatorial(60, 6, 2)
    assert len(found.choices) == 15
    groups = [[1, 2, 3, 4, 5], [1, 6, 7, 8, 9], [2, 6, 10, 11, 12], [3, 7, 10, 13, 14], [4, 8, 11, 13, 15], [5, 9, 12, 14, 15]]
    assert (found.paths.T + 1).tolist() == groups


def test_purge_and_embargo_reach_over_folds_and_ends() -> None:
    # ten sessions in five folds, 4 and 5 are judged: 1 before them, 1 + 2 after
    found = combinatorial(10, 5, 1, purge=1, embargo=2)
    assert [choice.train.tolist() for choice in found.choices] == [
        [5, 6, 7, 8, 9],
        [0, 7, 8, 9],
        [0, 1, 2, 9],
        [0, 1, 2, 3, 4],
        [0, 1, 2, 3, 4, 5, 6],
    ]


def test_unequal_folds_begin_with_the_longer_ones() -> None:
    assert combinatorial(11, 4, 1).folds == (range(3), range(3, 6), range(6, 9), range(9, 11))


def trained(parts: list[list[int]], chosen: tuple[int, ...], purge: int, embargo: int) -> list[int]:
    """Sessions that are not judged on and not near one that is."""
    near = {session + away for fold in chosen for session in parts[fold] for away in range(-purge, purge + embargo + 1)}
    return sorted({session for part in parts for session in part} - near)


@given(some.integers(2, 7), some.integers(1, 6), some.integers(0, 60), some.integers(0, 4), some.integers(0, 4))
def test_each_path_judges_every_session_once(folds: int, tests: int, more: int, purge: int, embargo: int) -> None:
    tests, sessions = min(tests, folds - 1), folds + more
    parts = [part.tolist() for part in np.array_split(np.arange(sessions), folds)]
    expected = {chosen: trained(parts, chosen, purge, embargo) for chosen in combinations(range(folds), tests)}
    if not all(expected.values()):
        with pytest.raises(ConfigError, match="no session is left to train on"):
            combinatorial(sessions, folds, tests, purge=purge, embargo=embargo)
        return
    found = combinatorial(sessions, folds, tests, purge=purge, embargo=embargo)
    assert [list(fold) for fold in found.folds] == parts
    assert {choice.folds: choice.train.tolist() for choice in found.choices} == expected
    assert [choice.tests for choice in found.choices] == [tuple(found.folds[fold] for fold in chosen) for chosen in expected]
    assert found.paths.shape == (math.comb(folds - 1, tests - 1), folds)
    used = [(place, fold) for path in found.paths.tolist() for fold, place in enumerate(path)]
    assert len(used) == len(set(used)) == len(found.choices) * tests
    assert all(fold in found.choices[place].folds for place, fold in used)


def test_combinations_that_cannot_be_made_are_errors() -> None:
    with pytest.raises(ConfigError, match=r"\(folds\): got 3; allowed: 4 or more"):
        combinatorial(30, 3, 3)
    with pytest.raises(ConfigError, match=r"\(sessions\): got 5; allowed: 6 or more"):
        combinatorial(5, 6, 2)
    with pytest.raises(ConfigError, match=r"\(embargo\): got -1"):
        combinatorial(30, 6, 2, embargo=-1)
    with pytest.raises(ConfigError, match=r"no session is left to train on \(test folds 0, 1\)"):
        combinatorial(9, 3, 2, purge=3)
    with pytest.raises(ConfigError, match=r"too many choices.*got 184,756"):
        combinatorial(400, 20, 10)

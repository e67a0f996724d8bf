"""A trial beside its neighbours on the grid: a hand-made grid, a search over all pairs, and what has no meaning."""

from __future__ import annotations

import math
import statistics
from itertools import product

import numpy as np
import pytest

from backtester.errors import InternalError
from backtester.outcome.stability import Neighbourhood, stability

GRID = np.array([[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]])


def test_neighbours_differ_in_one_parameter_by_one_step() -> None:
    #        0    1    2       the middle one, 9, is a peak; below it and beside it are 2, 3 and 1
    #   0   1.0  2.0  4.0
    #   1   3.0  9.0  1.0
    found = stability(GRID, np.array([1.0, 2.0, 4.0, 3.0, 9.0, 1.0]))
    assert found[4] == Neighbourhood(3, 2.0, 1.0, 3.0, 7.0)
    assert found[0] == Neighbourhood(2, 2.5, 2.0, 3.0, -1.5)


def test_a_plateau_drops_nothing() -> None:
    assert [each.drop for each in stability(GRID, np.full(6, 0.7))] == pytest.approx([0.0] * 6)


def test_a_trial_without_an_objective_is_no_neighbour_and_has_no_drop() -> None:
    found = stability(GRID, np.array([1.0, math.nan, 4.0, 3.0, math.inf, 1.0]))
    assert found[0] == Neighbourhood(1, 3.0, 3.0, 3.0, -2.0)
    assert found[4] == Neighbourhood(2, 2.0, 1.0, 3.0, None)


def test_a_trial_alone_has_nothing_to_be_compared_with() -> None:
    assert stability(np.array([[0, 0], [1, 1], [2, 0]]), np.array([1.0, 2.0, 3.0])) == [Neighbourhood(0, None, None, None, None)] * 3
    assert stability(np.empty((0, 2), np.int64), np.empty(0)) == []


@pytest.mark.parametrize("seed", range(5))
def test_neighbourhoods_are_those_of_a_search_over_all_pairs(seed: int) -> None:
    generator = np.random.default_rng(seed)
    places = [place for place in product(range(4), range(3), range(3)) if generator.random() < 0.7]
    objective = generator.normal(size=len(places)).tolist()
    found = stability(np.array(places), np.array(objective))
    for place, own, each in zip(places, objective, found, strict=True):
        apart = [sum(abs(one - two) for one, two in zip(place, other, strict=True)) for other in places]
        beside = [value for value, distance in zip(objective, apart, strict=True) if distance == 1]
        assert each.neighbours == len(beside)
        if beside:
            mean = statistics.fmean(beside)
            assert (each.mean, each.drop) == pytest.approx((mean, own - mean))
            assert (each.lowest, each.highest) == (min(beside), max(beside))


def test_two_trials_at_one_place_are_an_error() -> None:
    with pytest.raises(InternalError, match="1 places, 2 trials, 2 objectives"):
        stability(np.array([[0, 1], [0, 1]]), np.array([1.0, 2.0]))


def test_trials_and_objectives_of_different_number_are_an_error() -> None:
    with pytest.raises(InternalError, match="6 places, 6 trials, 5 objectives"):
        stability(GRID, np.zeros(5))

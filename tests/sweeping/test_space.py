"""Parameters of a sweep, their values, and the trials that a search takes from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from backtester.errors import ConfigError
from backtester.sweeping.space import space_of
from backtester.sweeping.values import Listed, values_of


def listed(given: Any) -> tuple[Any, ...]:
    found = values_of(given, "/here")
    assert isinstance(found, Listed)
    return found.values


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2:20:2", (2, 4, 6, 8, 10, 12, 14, 16, 18, 20)),
        ("22:120:49", (22, 71, 120)),
        ("1:2:0.25", (1.0, 1.25, 1.5, 1.75, 2.0)),
        ("0.1:0.5:0.1", (0.1, 0.2, 0.3, 0.4, 0.5)),
        ("5,10,20", (5, 10, 20)),
        ("next_open, same_close", ("next_open", "same_close")),
        ("0.5,null", (0.5, None)),
        ("log:1e-4:1e-1:4", (0.0001, 0.001, 0.01, 0.1)),
        ("log:3:3:1", (3.0,)),
        ([5, "x", None], (5, "x", None)),
    ],
)
def test_values_are_listed_ranged_or_scaled(given: Any, expected: tuple[Any, ...]) -> None:
    found = listed(given)
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("", "a parameter without values"),
        ([], "a parameter without values"),
        ("20:2:2", "an empty range"),
        ("2:20:0", "an empty range"),
        ("2:20", "not the values"),
        ("2:x:1", "not the values"),
        ("0:1e9:1", "too many values"),
        ("log:0:1:5", "not a logarithmic scale"),
        ("log:1:10:2.5", "not a logarithmic scale"),
        ("5,5", "stands more than once"),
        ("int:1.5:3", "whole numbers"),
        ("loguniform:0:1", "not a range to draw from"),
        ("uniform:nan:1", "not the values"),
        (7, "not the values"),
    ],
)
def test_what_means_no_values_is_refused_with_its_place(given: Any, what: str) -> None:
    with pytest.raises(ConfigError, match=what) as caught:
        values_of(given, "/sweep/parameters/x")
    assert caught.value.where == "/sweep/parameters/x"


def test_a_range_to_draw_from_covers_both_of_its_ends() -> None:
    whole, even, scaled = (values_of(text, "") for text in ("int:2:4", "uniform:1:3", "loguniform:1:100"))
    assert [whole.at(part) for part in (0.0, 0.33, 0.34, 0.67, 0.99)] == [2, 2, 3, 4, 4]
    assert [even.at(part) for part in (0.0, 0.25, 0.5)] == [1.0, 1.5, 2.0]
    assert scaled.at(0.5) == pytest.approx(10.0)


def test_a_grid_is_every_combination_that_the_constraints_allow_in_order() -> None:
    space = space_of({"strategies.0.params.fast": "1:3:1", "strategies.0.params.slow": "2:4:2"}, ["fast < slow"])
    assert space.names == ("fast", "slow")
    assert list(space.grid()) == [(1, 2), (1, 4), (2, 4), (3, 4)]
    assert space.size == 6


def test_parameters_that_end_alike_are_called_by_their_whole_paths() -> None:
    space = space_of({"strategies.0.params.fast": [1], "strategies.1.params.fast": [2], "account.cash": [3]})
    assert space.names == ("strategies.0.params.fast", "strategies.1.params.fast", "cash")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a < b", [(1, 2)]),
        ("a + b == 3 and not a == b", [(1, 2), (2, 1)]),
        ("1 < a <= 2 or b > 5", [(2, 1), (2, 2)]),
        ("-a + b * 2 >= 3", [(1, 2)]),
        ("a % 2 == 0", [(2, 1), (2, 2)]),
    ],
)
def test_constraints_compare_and_calculate(text: str, expected: list[tuple[int, int]]) -> None:
    assert list(space_of({"x.a": [1, 2], "x.b": [1, 2]}, [text]).grid()) == expected


@pytest.mark.parametrize("text", ["a < c", "__import__('os')", "a.b < 1", "[a]", "a <", "lambda: 1", "a if b else 1", "a ** 9", "a is b"])
def test_a_constraint_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        space_of({"x.a": [1, 2], "x.b": [1, 2]}, [text])
    assert caught.value.problems[0].where == "/sweep/constraints/0"


def test_all_problems_of_a_space_are_told_together() -> None:
    with pytest.raises(ConfigError) as caught:
        space_of({"x.a": [], "x..b": [1], "x.c": "9:1:1"}, ["d < 1"])
    assert len(caught.value.problems) == 4


def test_a_space_too_large_to_walk_shows_the_product() -> None:
    parameters = {f"x.p{number}": "1:2000:1" for number in range(3)}
    with pytest.raises(ConfigError, match=r"2000 x 2000 x 2000 = 8,000,000,000"):
        space_of(parameters).grid()


def test_a_grid_cannot_be_drawn_from() -> None:
    with pytest.raises(ConfigError, match="a grid needs values"):
        space_of({"x.a": "uniform:0:1"}).grid()


def test_a_random_search_takes_one_trial_of_every_stratum() -> None:
    space = space_of({"x.a": "uniform:0:1", "x.b": "uniform:0:10"})
    trials = space.random(50, seed=3)
    assert sorted(int(a * 50) for a, _ in trials) == list(range(50))
    assert sorted(int(b * 5) for _, b in trials) == list(range(50))


def test_a_random_search_is_decided_by_its_seed() -> None:
    space = space_of({"x.a": "int:1:1000", "x.b": "loguniform:0.001:1"})
    assert space.random(20, 1) == space.random(20, 1) != space.random(20, 2)


@pytest.mark.parametrize(
    ("parameters", "constraints", "asked", "found"),
    [({"x.a": "1:3:1", "x.b": "1:4:1"}, [], 50, 12), ({"x.a": "1:9:1", "x.b": "1:9:1"}, ["a < b"], 20, 20), ({"x.a": "1:9:1"}, [], 4, 4)],
)
def test_a_random_search_never_tries_a_combination_twice(
    parameters: Mapping[str, Any], constraints: list[str], asked: int, found: int
) -> None:
    space = space_of(parameters, constraints)
    trials = space.random(asked, seed=11)
    assert len(set(trials)) == len(trials) == found
    assert all(space.wanted(trial) for trial in trials)

"""The distribution of returns a session: equal to empyrical and pandas where they define the same, null where without meaning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from backtester.outcome import distribution
from tests.outcome.returns import EXACT, drawn

ESTIMATES = [distribution.value_at_risk, distribution.expected_shortfall, distribution.tail_ratio, distribution.skew, distribution.kurtosis]


@pytest.mark.parametrize("sessions", [20, 21, 40, 41, 250, 251, 999])
def test_tails_equal_those_of_empyrical(empyrical: Any, sessions: int) -> None:
    """D-08."""
    values = drawn(sessions, sessions)
    assert distribution.value_at_risk(values) == pytest.approx(empyrical.value_at_risk(values), **EXACT)
    assert distribution.expected_shortfall(values) == pytest.approx(empyrical.conditional_value_at_risk(values), **EXACT)
    assert distribution.tail_ratio(values) == pytest.approx(empyrical.tail_ratio(values), **EXACT)


@pytest.mark.parametrize("sessions", [20, 250])
def test_the_shape_equals_that_of_pandas(sessions: int) -> None:
    pandas = pytest.importorskip("pandas")
    values = drawn(sessions, sessions)
    assert distribution.skew(values) == pytest.approx(pandas.Series(values).skew(), rel=1e-10)
    assert distribution.kurtosis(values) == pytest.approx(pandas.Series(values).kurt(), rel=1e-10)


def test_tails_by_hand() -> None:
    # 21 returns -10 % ... +10 %: place 0.05 x 20 = 1 is -9 %; the worst floor(1) + 1 = 2 are -10 % and -9 %.
    values = np.arange(-10, 11) / 100
    assert distribution.value_at_risk(values) == pytest.approx(-0.09)
    assert distribution.expected_shortfall(values) == pytest.approx(-0.095)
    assert distribution.tail_ratio(values) == pytest.approx(1.0)
    assert distribution.skew(values) == pytest.approx(0.0, abs=1e-12)
    assert distribution.kurtosis(values) == pytest.approx(-1.2)  # whole numbers side by side


@pytest.mark.parametrize("estimate", ESTIMATES)
@pytest.mark.parametrize("values", [np.array([]), drawn(1, 19)], ids=["none", "too few"])
def test_an_estimate_of_too_few_sessions_is_null(estimate: Any, values: np.ndarray) -> None:
    assert estimate(values) is None


@pytest.mark.parametrize("estimate", [distribution.skew, distribution.kurtosis])
@pytest.mark.parametrize("values", [np.zeros(30), np.full(30, 0.1)])
def test_what_does_not_vary_has_no_shape(estimate: Any, values: np.ndarray) -> None:
    assert estimate(values) is None


def test_without_a_lower_tail_there_is_no_tail_ratio() -> None:
    assert distribution.tail_ratio(np.array([0.0] * 20 + [0.01] * 20)) is None


@given(some.lists(some.sampled_from([-0.01, 0.0, 0.02]), max_size=40))
def test_a_losing_streak_ends_with_any_session_that_does_not_lose(values: list[float]) -> None:
    words = "".join("x" if value < 0 else " " for value in values).split()
    assert distribution.losing_streak(np.array(values)) == max(map(len, words), default=0)


def test_a_share_of_no_session_is_null() -> None:
    assert distribution.share(np.array([], bool)) is None
    assert distribution.share(np.array([True, False, False, False])) == 0.25


@given(some.lists(some.floats(-0.5, 0.5), min_size=20, max_size=60))
def test_the_shortfall_is_never_better_than_the_value_at_risk(values: list[float]) -> None:
    found = np.array(values)
    assert distribution.expected_shortfall(found) <= distribution.value_at_risk(found) + 1e-15

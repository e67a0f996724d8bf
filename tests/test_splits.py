"""Splits: how many shares of a session one of an earlier session has become, by hand and by a loop over days."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.splits import Splits, in_terms

DAYS = np.array(["2014-06-05", "2014-06-06", "2014-06-09", "2014-06-10"], "datetime64[D]")


def splits(*rows: tuple[str, int, float]) -> Splits:
    """Splits of (ex-date, index of the symbol, new shares for one old), in order of time."""
    day, symbol, value = zip(*rows, strict=True)
    return Splits(np.array(day, "datetime64[D]"), np.array(symbol), np.array(value, np.float64))


APPLE = splits(("2014-06-09", 0, 7.0))


def test_a_split_is_not_known_before_its_session_opens() -> None:
    """SPEC 12: history is adjusted only by what was known by then; 7 new shares for one old on 2014-06-09."""
    known = APPLE.on(DAYS)
    seen = [None if (found := known.ratio(0, 0, current)) is None else found.tolist() for current in range(4)]
    assert seen == [None, None, [7.0, 7.0], [7.0, 7.0, 1.0]]


def test_sessions_from_the_split_on_are_as_they_are() -> None:
    assert APPLE.on(DAYS).ratio(0, 2, 3) is None
    assert APPLE.on(DAYS[2:]).ratio(0, 0, 1) is None
    assert not APPLE.on(DAYS[2:])


def test_a_split_of_one_symbol_leaves_the_others_alone() -> None:
    assert APPLE.on(DAYS).ratio(1, 0, 3) is None


def test_splits_one_after_the_other_multiply() -> None:
    """2:1 and then ten into one: one share of before is 0.2 shares."""
    known = splits(("2014-06-06", 0, 2.0), ("2014-06-10", 0, 0.1)).on(DAYS)
    assert [known.ratio(0, first, 3).tolist() for first in (0, 1)] == [[0.2, 0.1, 0.1], [0.1, 0.1]]  # type: ignore[union-attr]
    assert known.ratio(0, 0, 2).tolist() == [2.0, 1.0]  # type: ignore[union-attr]


def test_a_split_between_two_sessions_acts_on_the_second() -> None:
    """2014-06-07 was a Saturday."""
    known = splits(("2014-06-07", 0, 2.0)).on(DAYS)
    assert known.sessions() == [2]
    assert known.ratio(0, 0, 1) is None
    assert known.ratio(0, 0, 2).tolist() == [2.0, 2.0]  # type: ignore[union-attr]


def test_splits_before_or_after_all_sessions_are_none_of_theirs() -> None:
    assert not splits(("2014-06-01", 0, 2.0), ("2014-06-05", 0, 2.0), ("2014-06-11", 0, 2.0)).on(DAYS)
    assert not Splits.none().on(DAYS)


@pytest.mark.parametrize(("name", "expected"), [("close", 645.57 / 7), ("high", 645.57 / 7), ("volume", 645.57 * 7), ("slot", 645.57)])
def test_prices_are_divided_and_volumes_multiplied(name: str, expected: float) -> None:
    """645.57 was Apple's last close before its split: 92.2242857... a new share."""
    values = np.array([645.57])
    in_terms(values, name, np.array([7.0]))
    assert values.tolist() == [expected]


SPLIT = st.tuples(st.integers(-2, 13), st.integers(0, 1), st.sampled_from([2.0, 3.0, 0.1, 1.5]))


@given(st.lists(SPLIT, max_size=8), st.integers(0, 11), st.data())
def test_ratios_are_the_products_of_the_splits_between(drawn: list[tuple[int, int, float]], current: int, data: st.DataObject) -> None:
    """Day by day: every third day is no session; a split counts where it is after the one and not after the other."""
    days = np.datetime64("2024-01-01", "D") + np.array([day for day in range(18) if day % 3 != 2])
    first = data.draw(st.integers(0, current))
    rows = [(str(days[0] + day), symbol, value) for day, symbol, value in sorted(drawn, key=lambda row: row[0])]
    known = (splits(*rows) if rows else Splits.none()).on(days)
    for symbol in (0, 1):
        expected = []
        for session in range(first, current):
            product = 1.0
            for day, owner, value in rows:
                if owner == symbol and days[session] < np.datetime64(day) <= days[current]:
                    product *= value
            expected.append(product)
        found = known.ratio(symbol, first, current)
        assert ([1.0] * len(expected) if found is None else found.tolist()) == expected

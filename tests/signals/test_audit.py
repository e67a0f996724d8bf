"""Tracks compared row by row, and where signals change; literal rows."""

from __future__ import annotations

import numpy as np
import pytest

from backtester.signals.audit import NOTHING, Difference, Track, changes, differences, largest_change, track_of
from backtester.signals.batch import Found

EVER = np.full(2, 99)
NAN = float("nan")
ENTER, EXIT, TARGET = 0, 1, 4


def track(*rows: tuple[int, int, float]) -> Track:
    """Rows of (symbol, slot, value)."""
    symbol, slot, value = (np.array([row[column] for row in rows]) for column in range(3))
    return Track(symbol.astype(np.int64), slot.astype(np.int64), np.zeros(len(rows), np.int64), ("value",), {"": value.astype(float)})


def found(*rows: tuple[int, int, int, int], **numbers: list[float]) -> Found:
    """Signals of (session, symbol, slot, action)."""
    session, symbol, slot, action = (np.array([row[column] for row in rows], np.int64) for column in range(4))
    columns = {name: np.array(values) for name, values in numbers.items()}
    return Found(symbol, session, slot, action, np.full(len(rows), 10.0), np.full(len(rows), 100.0), columns, None)


def test_equal_rows_in_another_order_are_no_difference() -> None:
    one, two = track((0, 1, 1.0), (1, 2, NAN)), track((1, 2, NAN), (0, 1, 1.0))
    assert differences(one, two, EVER) == (0, None)


def test_the_first_difference_is_the_first_in_time_with_both_values() -> None:
    one, two = track((0, 5, 1.0), (1, 2, 3.0), (1, 9, 4.0)), track((0, 5, 2.0), (1, 2, 3.5), (1, 9, 4.0))
    assert differences(one, two, EVER) == (2, Difference(1, 2, "value 3.0", "value 3.5"))


@pytest.mark.parametrize(("usual", "other", "said"), [
    (1.0, np.nextafter(1.0, 2.0), ("value 1.0", "value 1.0000000000000002")),
    (0.0, -0.0, ("value 0.0", "value -0.0")),
    (NAN, 1.0, ("value nan", "value 1.0")),
])  # fmt: skip
def test_a_single_bit_is_a_difference(usual: float, other: float, said: tuple[str, str]) -> None:
    assert differences(track((0, 0, usual)), track((0, 0, other)), EVER) == (1, Difference(0, 0, *said))


def test_what_is_known_later_than_the_limit_of_its_symbol_does_not_count() -> None:
    one, two = track((0, 3, 1.0), (1, 3, 1.0)), track((0, 3, 1.0), (1, 3, 2.0))
    assert differences(one, two, np.array([3, 2])) == (0, None)
    assert differences(one, two, np.array([2, 3]))[0] == 1


def test_a_row_that_is_not_there_is_nothing() -> None:
    one = track_of(found((0, 0, 4, ENTER), (0, 0, 6, EXIT)), np.zeros(1, np.int64))
    two = track_of(found((0, 0, 6, EXIT)), np.zeros(1, np.int64))
    assert differences(one, two, EVER) == (1, Difference(0, 4, "enter_long", NOTHING))
    assert differences(two, one, EVER) == (1, Difference(0, 4, NOTHING, "enter_long"))


def test_a_number_that_is_not_given_is_like_one_that_is_nan() -> None:
    plain, given = found((0, 0, 4, ENTER)), found((0, 0, 4, ENTER), limit=[NAN])
    one, two, three = (track_of(of, np.zeros(1, np.int64)) for of in (plain, given, found((0, 0, 4, ENTER), limit=[9.5])))
    assert differences(one, two, EVER) == (0, None)
    assert differences(one, three, EVER) == (1, Difference(0, 4, "enter_long", "enter_long limit 9.5"))


def test_signals_change_where_they_begin_and_on_the_bar_after_their_last() -> None:
    """Minutes 3, 4, 5 and 8 of one day, and minute 0 of the next."""
    said = found((0, 0, 3, ENTER), (0, 0, 4, ENTER), (0, 0, 5, ENTER), (0, 0, 8, ENTER), (1, 0, 0, ENTER))
    session, slot = changes(said, 1)
    assert list(zip(session.tolist(), slot.tolist(), strict=True)) == [(0, 3), (0, 6), (0, 8), (0, 9), (1, 0), (1, 1)]


def test_bars_of_five_minutes_follow_each_other_five_slots_apart() -> None:
    session, slot = changes(found((0, 0, 4, ENTER), (0, 0, 9, ENTER), (0, 1, 9, EXIT)), 5)
    assert list(zip(session.tolist(), slot.tolist(), strict=True)) == [(0, 4), (0, 9), (0, 14)]


def test_a_weight_changes_when_it_is_another() -> None:
    said = found((0, 0, 1, TARGET), (0, 0, 2, TARGET), (0, 0, 3, TARGET), target=[0.5, 0.5, 0.25])
    assert changes(said, 1)[1].tolist() == [1, 3, 4]


def test_no_signal_never_changes() -> None:
    assert [len(part) for part in changes(found(), 1)] == [0, 0]


def test_the_largest_change_is_of_rows_that_both_have() -> None:
    """100 to 99 is one percent; what stands alone, NaN and zero do not count."""
    one = track((0, 0, 100.0), (0, 1, 50.0), (0, 2, 0.0), (0, 3, NAN), (1, 0, 7.0))
    two = track((0, 0, 99.0), (0, 1, 50.1), (0, 2, 1.0), (0, 3, 1.0), (1, 5, 8.0))
    assert largest_change(one, two) == pytest.approx(0.01)
    assert largest_change(one, one) == 0.0

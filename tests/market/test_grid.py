"""Stored rows on the calendar's slots: which rows count, and where they stand on the tape."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester.columns import NO_BREAK, OHLCV, Sessions
from backtester.market.grid import KINDS, Grid, clock_of, place_on_slots, quotes_on_slots, tape_of
from tests.market.days import MINUTE, Row, chunk, flat, sessions

NAN, INF = float("nan"), float("inf")


def strays(found: Grid) -> list[tuple[str, int, int, str]]:
    """(symbol, session, ts, kind) of every row that does not count."""
    columns = (found.strays.symbol, found.strays.session, found.strays.ts, found.strays.kind)
    return [
        (found.symbols[symbol], session, ts, KINDS[kind])
        for symbol, session, ts, kind in zip(*(column.tolist() for column in columns), strict=True)
    ]


def test_slots_of_a_day_and_of_an_early_close_stand_side_by_side() -> None:
    days = sessions([390, 210], opens_at=570)
    found = clock_of(days, "1m")
    assert found.offset.tolist() == [0, 390, 600]
    assert found.slot[[0, 389, 390, 599]].tolist() == [0, 389, 0, 209]
    assert (found.ts[390] - days.open[1], found.end[599] - days.close[1]) == (0, 0)
    assert ((found.end - found.ts) == MINUTE).all()


def test_slots_count_on_over_the_break() -> None:
    """CAL-06: 150 minutes, a break of an hour, 150 minutes: slot 150 opens when the break ends."""
    days = sessions([360], lunch=(150, 210))
    found = clock_of(days, "1m")
    assert len(found.ts) == 300
    assert ((found.ts[[149, 150, 299]] - days.open[0]) // MINUTE).tolist() == [149, 210, 359]


def test_the_last_slot_before_a_break_and_before_the_close_is_cut() -> None:
    """A break after 90.5 minutes of a session of 150.25 minutes that resumes at 120: slot 90 is half a minute long, the last a quarter."""
    days = sessions([150])
    half, quarter = MINUTE // 2, MINUTE // 4
    days = replace(days, close=days.close + quarter, break_start=days.open + 90 * MINUTE + half, break_end=days.open + 120 * MINUTE)
    found = clock_of(days, "1m")
    assert len(found.ts) == 91 + 31
    assert ((found.ts[90] - days.open[0]), (found.end[90] - found.ts[90])) == (90 * MINUTE, half)
    assert (found.ts[91] - days.open[0], found.end[-1] - found.ts[-1]) == (120 * MINUTE, quarter)
    assert days.slots(MINUTE).tolist() == [122]


def test_a_day_of_daily_bars_has_one_slot_from_open_to_close() -> None:
    days = sessions([390, 210])
    found = clock_of(days, "1d")
    assert found.count.tolist() == [1, 1]
    assert (found.ts.tolist(), found.end.tolist()) == (days.open.tolist(), days.close.tolist())


def test_bars_stand_on_their_slots_and_the_rest_is_nan() -> None:
    days = sessions([3, 2])
    rows = [flat(days, 0, 0, "A", 1.0), flat(days, 0, 2, "A", 2.0), flat(days, 1, 1, "B", 3.0)]
    found = place_on_slots(chunk(days, ("A", "B"), rows), "1m")
    np.testing.assert_array_equal(found.close, [[1, NAN, 2, NAN, NAN], [NAN, NAN, NAN, NAN, 3]])
    assert found.present.tolist() == [[True, False, True, False, False], [False, False, False, False, True]]
    assert found.count.tolist() == [[2, 0], [0, 1]]
    assert (found.full, strays(found)) == (False, [])


def test_rows_before_the_open_and_from_the_close_on_are_out_of_session() -> None:
    """DAT-37, DAT-38: kept out and counted; on the day of an early close also what follows it."""
    days = sessions([390, 210])
    rows = [flat(days, 0, -1), flat(days, 0, 0), flat(days, 0, 389), flat(days, 0, 390), flat(days, 1, 209), flat(days, 1, 210)]
    found = place_on_slots(chunk(days, ("A",), rows), "1m")
    assert found.count.tolist() == [[2], [1]]
    assert strays(found) == [
        ("A", 0, int(days.open[0]) - MINUTE, "out_of_session"),
        ("A", 0, int(days.close[0]), "out_of_session"),
        ("A", 1, int(days.close[1]), "out_of_session"),
    ]


def test_rows_inside_the_break_are_out_of_session() -> None:
    days = sessions([360], lunch=(150, 210))
    rows = [flat(days, 0, minute) for minute in (149, 150, 209, 210)]
    found = place_on_slots(chunk(days, ("A",), rows), "1m")
    assert np.flatnonzero(found.present[0]).tolist() == [149, 150]
    assert [(ts - int(days.open[0])) // MINUTE for _, _, ts, _ in strays(found)] == [150, 209]


def test_a_row_between_two_slots_is_off_the_grid() -> None:
    """On either side of a break that does not begin on a slot's boundary, too."""
    days = sessions([150])
    days = replace(days, break_start=days.open + 90 * MINUTE + MINUTE // 2, break_end=days.open + 120 * MINUTE + MINUTE // 2)
    rows = [flat(days, 0, minute) for minute in (0.5, 1, 120.5, 121)]
    found = place_on_slots(chunk(days, ("A",), rows), "1m")
    assert np.flatnonzero(found.present[0]).tolist() == [1, 91]
    assert [((ts - int(days.open[0])) / MINUTE, kind) for _, _, ts, kind in strays(found)] == [(0.5, "off_grid"), (121, "off_grid")]


@pytest.mark.parametrize("column", range(5))
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_row_with_a_value_that_is_not_a_number_is_missing(column: int, value: float) -> None:
    """DAT-23, DAT-24: such a bar is invalid, and so neither counted nor filled on."""
    days = sessions([2])
    good = flat(days, 0, 0)
    bad = list(flat(days, 0, 1))
    bad[3 + column] = value
    found = place_on_slots(chunk(days, ("A",), [good, tuple(bad)]), "1m")  # type: ignore[list-item]
    assert found.present.tolist() == [[True, False]]
    assert strays(found) == [("A", 0, int(days.open[0]) + MINUTE, "invalid")]
    assert np.isnan([getattr(found, name)[0, 1] for name in OHLCV]).all()


@pytest.mark.filterwarnings("error")
def test_infinities_of_both_signs_are_invalid_without_a_warning() -> None:
    days = sessions([1])
    row = (0, int(days.open[0]), "A", INF, -INF, 1.0, 1.0, 1.0)
    assert [kind for _, _, _, kind in strays(place_on_slots(chunk(days, ("A",), [row]), "1m"))] == ["invalid"]


@pytest.mark.filterwarnings("error")
def test_huge_prices_are_numbers() -> None:
    """Their sum is beyond float64; each of them is not."""
    days = sessions([1])
    found = place_on_slots(chunk(days, ("A",), [flat(days, 0, 0, price=1.7e308)]), "1m")
    assert found.present.tolist() == [[True]]


def test_of_rows_for_one_slot_the_first_counts() -> None:
    """DAT-19, DAT-20: the others are duplicates, whether equal or not."""
    days = sessions([2])
    rows = [flat(days, 0, 0, "A", 1.0), flat(days, 0, 0, "A", 2.0), flat(days, 0, 0, "A", 3.0), flat(days, 0, 0, "B", 5.0)]
    found = place_on_slots(chunk(days, ("A", "B"), rows), "1m")
    assert found.close[:, 0].tolist() == [1, 5]
    assert found.count.tolist() == [[1, 1]]
    assert [kind for _, _, _, kind in strays(found)] == ["duplicate", "duplicate"]


def test_an_invalid_row_leaves_the_slot_to_the_next() -> None:
    days = sessions([1])
    bad = (0, int(days.open[0]), "A", NAN, 1.0, 1.0, 1.0, 1.0)
    found = place_on_slots(chunk(days, ("A",), [bad, flat(days, 0, 0, "A", 2.0)]), "1m")
    assert found.close.tolist() == [[2]]
    assert [kind for _, _, _, kind in strays(found)] == ["invalid"]


def test_a_daily_row_counts_for_its_session_whatever_its_time() -> None:
    days = sessions([390, 390])
    rows = [flat(days, 0, 0), flat(days, 1, 5), flat(days, 1, 6)]
    found = place_on_slots(chunk(days, ("A",), rows), "1d")
    assert found.count.tolist() == [[1], [1]]
    assert [kind for _, _, _, kind in strays(found)] == ["duplicate"]
    assert tape_of(found).end.tolist() == days.close.tolist()


def test_a_chunk_without_rows_is_a_grid_of_nan() -> None:
    days = sessions([3])
    found = place_on_slots(chunk(days, ("A",), []), "1m")
    assert found.count.tolist() == [[0]]
    assert np.isnan(found.close).all()
    assert len(tape_of(found)) == 0


def test_a_tape_lies_symbol_by_symbol_and_session_by_session() -> None:
    """The example of columns.py: B's first session has a hole."""
    days = sessions([3, 3])
    rows = [flat(days, day, minute, symbol, 10.0 * day + minute) for symbol in "AB" for day in (0, 1) for minute in range(3)]
    rows.remove(flat(days, 0, 1, "B", 1.0))
    found = tape_of(place_on_slots(chunk(days, ("A", "B"), rows), "1m"))
    assert found.slot.tolist() == [0, 1, 2, 0, 1, 2, 0, 2, 0, 1, 2]
    assert found.start.tolist() == [[0, 6], [3, 8]]
    assert found.count.tolist() == [[3, 2], [3, 3]]
    assert found.close.tolist() == [0, 1, 2, 10, 11, 12, 0, 2, 10, 11, 12]
    assert ((found.ts - found.per_bar(days.open)) // MINUTE).tolist() == found.slot.tolist()
    assert found.base_slot.tolist() == found.slot.tolist()
    assert found.complete.all()


def test_as_of_quality_counts_only_slots_so_far() -> None:
    """SPEC 7: the bar of slot 3 is the third of four; a hole after it cannot show in it."""
    days = sessions([6])
    rows = [flat(days, 0, minute) for minute in (0, 1, 3, 5)]
    found = tape_of(place_on_slots(chunk(days, ("A",), rows), "1m"))
    assert found.quality.tolist() == [100.0, 100.0, 75.0, 100.0 * 4 / 6]


def test_as_of_quality_begins_anew_with_every_session_and_symbol() -> None:
    days = sessions([2, 2])
    rows = [flat(days, 0, 1, "A"), flat(days, 1, 0, "A"), flat(days, 1, 1, "B")]
    found = tape_of(place_on_slots(chunk(days, ("A", "B"), rows), "1m"))
    assert found.quality.tolist() == [50, 100, 50]


def test_without_looking_quality_is_100() -> None:
    days = sessions([4])
    found = tape_of(place_on_slots(chunk(days, ("A",), [flat(days, 0, 3)]), "1m"), look=False)
    assert found.quality.tolist() == [100]


def test_quotes_stand_on_the_slots_of_the_bars() -> None:
    days = sessions([3])
    trades = place_on_slots(chunk(days, ("A",), [flat(days, 0, 0)]), "1m")
    made = chunk(days, ("A",), [(0, int(days.open[0]) + 2 * MINUTE, "A", 1.0, 2.0, 3.0, 4.0, 0.0)])
    table = made.table.rename_columns(["day", "ts", "symbol_id", "bid_open", "bid_close", "ask_open", "ask_close", "left"])
    found = quotes_on_slots(replace(made, table=table), trades.clock)
    assert {name: values[0, 2] for name, values in found.items()} == {"bid_open": 1, "bid_close": 2, "ask_open": 3, "ask_close": 4}
    assert np.isnan(found["bid_open"][0, :2]).all()


Expected = tuple[dict[tuple[str, int, int], Row], list[tuple[str, int, int, str]]]


def one_by_one(days: Sessions, rows: list[Row]) -> Expected:
    """Where each row belongs, by looking at one row and one slot at a time: the rows that count by (symbol, session, slot)."""
    counted: dict[tuple[str, int, int], Row] = {}
    left: list[tuple[str, int, int, str]] = []
    for row in rows:
        session, ts, symbol = row[:3]
        slot, inside, at = 0, False, int(days.open[session])
        while at < days.close[session]:
            if days.break_start[session] != NO_BREAK and days.break_start[session] <= at < days.break_end[session]:
                at = int(days.break_end[session])
            if at == ts:
                break
            slot, at = slot + 1, at + MINUTE
        on_slot = at == ts and at < days.close[session]
        inside = days.open[session] <= ts < days.close[session]
        if days.break_start[session] != NO_BREAK:
            inside &= not days.break_start[session] <= ts < days.break_end[session]
        if not inside:
            left.append((symbol, session, ts, "out_of_session"))
        elif not on_slot:
            left.append((symbol, session, ts, "off_grid"))
        elif not all(np.isfinite(row[3:])):
            left.append((symbol, session, ts, "invalid"))
        elif (symbol, session, slot) in counted:
            left.append((symbol, session, ts, "duplicate"))
        else:
            counted[symbol, session, slot] = row
    return counted, left


@settings(max_examples=60)
@given(data=st.data(), lunch=st.sampled_from([None, (3, 5)]))
def test_rows_are_placed_as_a_loop_over_single_rows_places_them(data: st.DataObject, lunch: tuple[int, int] | None) -> None:
    """I-25, I-28, DAT-07: each stored row is either one bar of the grid or one stray."""
    days = sessions([8, 6, 8], lunch=lunch)
    price = st.sampled_from([1.0, 2.0, 3.0, NAN, INF])
    halves = st.integers(-4, 20)
    drawn = data.draw(st.lists(st.tuples(st.integers(0, 2), halves, st.sampled_from("AB"), price), max_size=40))
    again = data.draw(st.lists(st.tuples(st.sampled_from(drawn), price), max_size=8)) if drawn else []
    drawn += [(*cell[:3], value) for cell, value in again]
    rows = [flat(days, session, half / 2, symbol, value) for session, half, symbol, value in drawn]
    rows.sort(key=lambda row: row[:3])
    found = place_on_slots(chunk(days, ("A", "B"), rows), "1m")
    counted, left = one_by_one(days, rows)
    bars = {
        (found.symbols[line], int(found.clock.session[slot]), int(found.clock.slot[slot])): float(found.close[line, slot])
        for line, slot in zip(*np.nonzero(found.present), strict=True)
    }
    assert bars == {key: row[6] for key, row in counted.items()}
    assert strays(found) == left
    assert int(found.count.sum()) + len(left) == len(rows)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), lines=st.integers(1, 3))
def test_a_full_grid_gives_the_tape_that_a_grid_with_a_hole_gives(seed: int, lines: int) -> None:
    """The short way of full grids equals the long one: all bars, then all bars and one more symbol that has none."""
    days = sessions([4, 3])
    random = np.random.default_rng(seed)
    symbols = ("A", "B", "C")[:lines]
    rows = [
        flat(days, day, minute, symbol, float(random.integers(1, 9)), float(random.integers(0, 9)))
        for day, minutes in ((0, 4), (1, 3)) for minute in range(minutes) for symbol in symbols
    ]  # fmt: skip
    whole = place_on_slots(chunk(days, symbols, rows), "1m")
    wider = place_on_slots(chunk(days, (*symbols, "Z"), rows), "1m")
    assert (whole.full, wider.full) == (True, False)
    short, long = tape_of(whole), tape_of(wider)
    for name in ("ts", "end", "slot", "base_slot", *OHLCV, "quality", "complete"):
        assert short.column(name).tobytes() == long.column(name).tobytes()
        assert short.column(name).dtype == long.column(name).dtype
    assert (short.start == long.start[:, :lines]).all()

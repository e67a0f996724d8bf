"""Derived bars: buckets from the open, cut by break and close; held against a loop over single bars and against pandas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester.columns import NO_BREAK, OHLCV, Sessions, Tape, place
from backtester.intervals import Interval
from backtester.market.grid import Grid, tape_of
from backtester.market.resample import DerivedSettings, buckets_of, derive, derive_long, spans_of
from tests.market.days import MINUTE, grid, sessions, tape

EXACT = DerivedSettings()


def test_an_hour_is_counted_from_the_open_and_the_last_is_cut_at_the_close() -> None:
    """SPEC 6: 1h on a day of 6.5 hours has a last bucket of 30 minutes."""
    found = buckets_of(sessions([390]), "1h", "1m")
    assert (found.ts // MINUTE - found.ts[0] // MINUTE).tolist() == [0, 60, 120, 180, 240, 300, 360]
    assert found.expected.tolist() == [60, 60, 60, 60, 60, 60, 30]
    assert found.base_slot.tolist() == [59, 119, 179, 239, 299, 359, 389]


def test_no_bucket_crosses_the_break() -> None:
    """Nine to half past eleven and half past twelve to three (Tokyo): two hours from nine, cut at the break on both sides."""
    found = buckets_of(sessions([360], lunch=(150, 210)), "2h", "1m")
    minutes = [(int(start), int(end)) for start, end in zip(found.ts // MINUTE % 1440, found.end // MINUTE % 1440, strict=True)]
    assert minutes == [(0, 120), (120, 150), (210, 240), (240, 360)]
    assert found.expected.tolist() == [120, 30, 30, 120]


def test_a_day_is_one_bucket_across_the_break() -> None:
    found = buckets_of(sessions([360], lunch=(150, 210)), "1d", "1m")
    assert found.expected.tolist() == [300]
    assert (found.end - found.ts).tolist() == [360 * MINUTE]


def test_open_high_low_close_and_volume_are_first_max_min_last_and_sum() -> None:
    made, _ = derive(tape(sessions([10]), np.array([[5.0, 3, 9, 4, 6, 1, 2, 3, 4, 5]])), "5m", EXACT)
    assert made.open.tolist() == [5, 1]
    assert made.high.tolist() == [10, 6]
    assert made.low.tolist() == [2, 0]
    assert made.close.tolist() == [6, 5]
    assert made.volume.tolist() == [500, 500]


def test_a_bar_with_a_hole_is_not_made_and_is_counted() -> None:
    close = np.arange(1.0, 11.0)[None, :].copy()
    close[0, 7] = np.nan
    made, dropped = derive(tape(sessions([10]), close), "5m", EXACT)
    assert made.close.tolist() == [5]
    assert dropped.tolist() == [[1]]


def test_a_bar_with_a_hole_is_made_where_the_settings_ask_for_less() -> None:
    close = np.arange(1.0, 11.0)[None, :].copy()
    close[0, 7] = np.nan
    made, dropped = derive(tape(sessions([10]), close), "5m", DerivedSettings(min_completeness=0.8))
    assert made.close.tolist() == [5, 10]
    assert made.complete.tolist() == [True, False]
    assert dropped.tolist() == [[0]]


def test_a_derived_bar_carries_the_as_of_quality_of_its_base() -> None:
    """Nine of ten slots by the end of the second bucket."""
    close = np.arange(1.0, 11.0)[None, :].copy()
    close[0, 1] = np.nan
    made, _ = derive(tape(sessions([10]), close), "5m", EXACT)
    assert made.quality.tolist() == [90.0]


def test_a_missing_first_bar_does_not_shift_the_buckets() -> None:
    close = np.arange(1.0, 11.0)[None, :].copy()
    close[0, 0] = np.nan
    made, _ = derive(tape(sessions([10]), close), "5m", DerivedSettings(min_completeness=0.5))
    assert (made.ts // MINUTE % 1440).tolist() == [0, 5]
    assert made.open.tolist() == [2, 6]


def one_by_one(found: Grid, days: Sessions, interval: str, least: float) -> list[dict[str, Any]]:
    """Every derived bar, by looking at one bucket and one bar at a time."""
    step, out = Interval(interval).step_us, []
    for line in range(len(found.symbols)):
        for session in range(len(days)):
            begin, stop = int(days.open[session]), int(days.close[session])
            parts = [(begin, stop)]
            if days.break_start[session] != NO_BREAK and interval != "1d":
                parts = [(begin, int(days.break_start[session])), (int(days.break_end[session]), stop)]
            slots = [t for t in range(len(found.clock.ts)) if found.clock.session[t] == session]
            slot = 0
            for low, high in parts:
                for number in range(10_000):
                    left, right = begin + number * step, begin + (number + 1) * step
                    if interval == "1d":
                        left, right = begin, stop
                    left, right = max(left, low), min(right, high)
                    if left >= high or (interval == "1d" and number):
                        break
                    if right <= low:
                        continue
                    inside = [t for t in slots if left <= found.clock.ts[t] < right]
                    bars = [t for t in inside if found.present[line, t]]
                    if bars and len(bars) / len(inside) >= least:
                        seen = [t for t in slots if found.clock.ts[t] < right]
                        out.append(
                            {
                                "line": line, "session": session, "ts": left, "end": right, "slot": slot,
                                "base_slot": int(found.clock.slot[inside[-1]]), "open": found.open[line, bars[0]],
                                "high": max(found.high[line, t] for t in bars), "low": min(found.low[line, t] for t in bars),
                                "close": found.close[line, bars[-1]], "volume": sum(found.volume[line, t] for t in bars),
                                "complete": len(bars) == len(inside),
                                "quality": 100.0 * sum(bool(found.present[line, t]) for t in seen) / len(seen),
                            }
                        )  # fmt: skip
                    slot += 1
    return out


def as_rows(made: Tape) -> list[dict[str, Any]]:
    line = np.repeat(np.repeat(np.arange(len(made.symbols)), len(made.sessions)), made.count.T.ravel())
    names = ("ts", "end", "slot", "base_slot", *OHLCV, "complete", "quality")
    columns = {"line": line, "session": made.per_bar(np.arange(len(made.sessions))), **{name: made.column(name) for name in names}}
    return [{name: values[row].item() for name, values in columns.items()} for row in range(len(made))]


@pytest.mark.parametrize("lunch", [None, (150, 210)])
@pytest.mark.parametrize("interval", ["5m", "7m", "45m", "1h", "2h", "1d"])
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.0, 0.02, 0.3]), least=st.sampled_from([1.0, 0.5, 1e-9]))
def test_derived_bars_equal_those_made_one_by_one(
    interval: str, lunch: tuple[int, int] | None, seed: int, share: float, least: float
) -> None:
    """I-22, I-24, I-25, CAL-06: every bar of random markets with holes, two symbols, an early close, with and without a break."""
    days = sessions([360, 240, 360], lunch=lunch, opens_at=571)
    random = np.random.default_rng(seed)
    width = int(days.slots(MINUTE).sum())
    close = np.where(random.random((2, width)) < share, np.nan, random.integers(2, 100, (2, width)).astype(float))
    found = grid(days, close)
    made, dropped = derive(tape_of(found), interval, DerivedSettings(min_completeness=least))
    expected = one_by_one(found, days, interval, least)
    assert as_rows(made) == expected
    assert made.start.tolist() == place(made.count).tolist()
    everything = one_by_one(found, days, interval, 0.0)
    assert int(dropped.sum()) == len(everything) - len(expected)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), interval=st.sampled_from(["2m", "5m", "7m", "1h", "1d"]))
def test_volume_is_conserved(seed: int, interval: str) -> None:
    """I-21: with every bar made, the volume of a symbol and session is that of its base bars."""
    days = sessions([390, 210, 390])
    random = np.random.default_rng(seed)
    close = np.where(random.random((3, 990)) < 0.1, np.nan, 10.0)
    volume = np.where(np.isnan(close), np.nan, random.integers(0, 10_000, close.shape).astype(float))
    base = tape_of(grid(days, close, volume=volume))
    made, _ = derive(base, interval, DerivedSettings(min_completeness=1e-9))
    for session in range(3):
        for line in range(3):
            rows = slice(base.start[session, line], base.start[session, line] + base.count[session, line])
            coarse = slice(made.start[session, line], made.start[session, line] + made.count[session, line])
            assert base.volume[rows].sum() == made.volume[coarse].sum()


def test_resampling_twice_is_resampling_once() -> None:
    """I-23: 30m of 5m equals 30m of 1m."""
    random = np.random.default_rng(7)
    days = sessions([390, 390])
    base = tape(days, random.integers(5, 50, (2, 780)).astype(float))
    five, _ = derive(base, "5m", EXACT)
    direct, _ = derive(base, "30m", EXACT)
    starts = (five.ts - five.per_bar(days.open)) // (30 * MINUTE)
    key = np.repeat(np.arange(4), five.count.T.ravel()) * 1000 + starts
    for name, reduce in (("high", np.maximum), ("low", np.minimum), ("volume", np.add)):
        first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
        assert reduce.reduceat(five.column(name), first).tolist() == direct.column(name).tolist()


def test_a_bucket_of_five_sessions_is_counted_from_the_calendars_own_beginning() -> None:
    """Ordinals 8 to 15: the bucket 10..14 is whole and ends on 14; 5..9 is cut off and 15 has only begun."""
    ordinal = np.arange(8, 16)
    days = sessions([10] * 8)
    spans = spans_of("5d", days.label, ordinal)
    daily, _ = derive(tape(days, np.arange(1.0, 81.0)[None, :]), "1d", EXACT)
    made = derive_long(daily, "5d", spans, days.slots(MINUTE) - 1, EXACT)
    assert made.count[:, 0].tolist() == [0, 0, 0, 0, 0, 0, 1, 0]
    assert (made.open[0], made.close[0], made.base_slot[0]) == (21, 70, 9)
    assert made.ts[0] == days.open[2]
    assert made.end[0] == days.close[6]


def test_a_week_belongs_to_its_last_session_and_needs_all_of_them() -> None:
    """2024-01-01 is a Monday: seven days of a 24/7 calendar are one week, and an eighth begins the next."""
    days = sessions([10] * 8)
    spans = spans_of("1w", days.label, np.arange(8))
    close = np.arange(1.0, 81.0)[None, :].copy()
    daily, _ = derive(tape(days, close), "1d", EXACT)
    whole = derive_long(daily, "1w", spans, days.slots(MINUTE) - 1, EXACT)
    assert whole.count[:, 0].tolist() == [0, 0, 0, 0, 0, 0, 1, 1]
    close[0, 35] = np.nan
    daily, _ = derive(tape(days, close), "1d", EXACT)
    holed = derive_long(daily, "1w", spans, days.slots(MINUTE) - 1, EXACT)
    assert holed.count[:7, 0].tolist() == [0] * 7


def test_the_quality_of_a_bar_whose_last_slot_alone_is_missing_counts_that_slot() -> None:
    """I-15: every base bar that is there has quality 100, and yet five of six slots by the bucket's end are fewer; in any chunk."""
    close = np.array([[1.0, 2, 3, 4, 5, np.nan]])
    half = DerivedSettings(min_completeness=0.5)
    made, _ = derive(tape(sessions([6]), close), "2m", half)
    assert made.quality.tolist() == [100, 100, 100.0 * 5 / 6]
    assert derive(tape(sessions([6]), close), "2m", half, look=False)[0].quality.tolist() == [100, 100, 100]


def test_without_looking_the_quality_of_weeks_is_100_too() -> None:
    """2024-01-01 is a Monday: six of seven days."""
    days = sessions([10] * 7)
    daily, _ = derive(tape(days, np.where(np.arange(70) == 35, np.nan, 1.0)[None, :]), "1d", EXACT)
    spans = spans_of("1w", days.label, np.arange(7))
    for look, expected in ((True, 100.0 * 6 / 7), (False, 100.0)):
        made = derive_long(daily, "1w", spans, days.slots(MINUTE) - 1, DerivedSettings(min_completeness=0.5), look)
        assert made.quality.tolist() == [expected]

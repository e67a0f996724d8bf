"""Windows of sessions and historical indicators, by hand on tiny data and against a loop over dates."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from backtester.columns import OHLCV, Sessions
from backtester.errors import ConfigError
from backtester.market.grid import tape_of
from backtester.market.history import (
    Daily,
    HistoricalIndicatorSettings,
    HistorySettings,
    ListedIndicatorSettings,
    daily_of,
    days_back,
    indicator,
    indicator_by_slot,
    preferred,
    sessions_back,
    window,
)
from tests.market.days import grid, sessions
from tests.signals.views import splits_on

NAN = float("nan")


def weekdays(count: int, first: str = "2024-01-01", early: tuple[int, ...] = ()) -> Sessions:
    """So many sessions on Mondays to Fridays, those of the given indices closing early."""
    labels = np.busday_offset(np.datetime64(first, "D"), np.arange(count), roll="forward")
    days = sessions([390] * count)
    return replace(days, label=labels, early=np.isin(np.arange(count), early))


def daily(days: Sessions, **columns: list[list[float]]) -> Daily:
    """Daily values, each given as one list a symbol; what is not given is NaN."""
    lines = len(next(iter(columns.values())))
    blank = np.full((len(days), lines), NAN)
    values = {name: np.array(columns[name]).T if name in columns else blank for name in OHLCV}
    return Daily(sessions=days, stored=np.zeros((len(days), lines), np.bool_), **values)


def asked(kind: str, period: str = "2d", **more: object) -> HistoricalIndicatorSettings:
    return HistoricalIndicatorSettings(type=kind, period=period, **more)  # type: ignore[arg-type]


def test_a_period_of_days_counts_sessions() -> None:
    """SPEC 8: 10d are 10 sessions, whatever lies between them."""
    chosen = window(weekdays(12), 11, "10d")
    assert chosen is not None
    assert chosen.tolist() == list(range(1, 11))


def test_a_period_of_more_days_than_there_are_sessions_is_none() -> None:
    days = weekdays(12)
    assert window(days, 9, "10d") is None
    assert window(days, 0, "1d") is None


def test_early_closes_are_skipped_and_not_counted() -> None:
    days = weekdays(8, early=(4, 6))
    chosen = window(days, 7, "3d", skip_early_close=True)
    assert chosen is not None
    assert chosen.tolist() == [2, 3, 5]
    assert window(days, 7, "6d", skip_early_close=True) is None
    assert window(days, 7, "6d") is not None


@pytest.mark.parametrize(("period", "days"), [("1w", 7), ("52w", 364), ("3m", 90), ("1y", 365)])
def test_a_period_of_weeks_months_or_years_is_the_sessions_in_so_many_days_before(period: str, days: int) -> None:
    """SPEC 8: 52w are the sessions in the 364 days before, 3m 90 days, 1y 365 days."""
    calendar = weekdays(400)
    current = 390
    chosen = window(calendar, current, period)
    assert chosen is not None
    labels = calendar.label.tolist()
    oldest = labels[current] - dt.timedelta(days=days)
    assert [labels[index] for index in chosen] == [label for label in labels if oldest <= label < labels[current]]


def test_weeks_that_begin_before_the_first_known_session_are_none() -> None:
    """2024-01-01 is a Monday: a week before Monday 01-08 is known, a week before Friday 01-05 is not."""
    days = weekdays(8)
    whole = window(days, 5, "1w")
    assert whole is not None
    assert whole.tolist() == [0, 1, 2, 3, 4]
    assert window(days, 4, "1w") is None


def test_weeks_may_skip_early_closes_too() -> None:
    chosen = window(weekdays(8, early=(1,)), 5, "1w", skip_early_close=True)
    assert chosen is not None
    assert chosen.tolist() == [0, 2, 3, 4]


@settings(max_examples=200)
@given(
    number=st.integers(1, 12), unit=st.sampled_from("dw"), current=st.integers(0, 29), skip=st.booleans(),
    early=st.sets(st.integers(0, 29), max_size=8),
)  # fmt: skip
def test_windows_are_those_of_a_loop_over_dates(number: int, unit: str, current: int, skip: bool, early: set[int]) -> None:
    days = weekdays(30, early=tuple(early))
    labels = days.label.tolist()
    before = [index for index in range(current) if not (skip and index in early)]
    if unit == "d":
        expected = before[len(before) - number :] if len(before) >= number else None
    else:
        oldest = labels[current] - dt.timedelta(days=7 * number)
        expected = [index for index in before if labels[index] >= oldest] if current and labels[0] <= oldest else None
    found = window(days, current, f"{number}{unit}", skip)
    assert (None if found is None else found.tolist()) == expected


@pytest.mark.parametrize("period", ["", "d", "0d", "10", "-1d", "1.5d", "10D", "10 d", "1h", "10000d", "10d\n"])
def test_an_unknown_period_is_refused(period: str) -> None:
    with pytest.raises(ConfigError, match="unknown period"):
        window(weekdays(3), 2, period)
    with pytest.raises(ConfigError, match="unknown period"):
        days_back(period)
    with pytest.raises(ValidationError):
        asked("trailing_average", period)


@pytest.mark.parametrize("period", ["10d", "52w", "3m", "1y"])
def test_enough_days_are_read_for_a_period(period: str) -> None:
    """A session a weekday: the window's first session is not further back than days_back says."""
    days = weekdays(500)
    chosen = window(days, 490, period)
    assert chosen is not None
    assert days.label[490] - days.label[chosen[0]] < np.timedelta64(days_back(period), "D")


def test_one_value_a_slot_is_for_trailing_types_only() -> None:
    with pytest.raises(ValidationError, match="granularity minute"):
        asked("avg_volume", granularity="minute")
    assert asked("trailing_max", granularity="minute").granularity == "minute"


def test_the_list_form_says_the_same_as_the_other() -> None:
    listed = HistorySettings(indicators=[ListedIndicatorSettings(name="avg_volume", period=10, unit="days", interval="1d")])
    more = [ListedIndicatorSettings(name="high_low", period=52, unit="weeks")]
    assert listed.named(more) == {"avg_volume": asked("avg_volume", "10d"), "high_low": asked("high_low", "52w")}
    other = HistorySettings(indicators={"mine": asked("trailing_max", "3m", field="high")})
    assert other.named(more) == {"mine": asked("trailing_max", "3m", field="high"), "high_low": asked("high_low", "52w")}


def test_two_different_indicators_of_one_name_are_refused() -> None:
    """One of them would silently win."""
    short, long = (ListedIndicatorSettings(name="avg_volume", period=period) for period in (10, 20))
    with pytest.raises(ConfigError, match="avg_volume"):
        HistorySettings(indicators=[short, long]).named()
    with pytest.raises(ConfigError, match="avg_volume"):
        HistorySettings(indicators={"avg_volume": asked("avg_volume", "20d")}).named([short])
    assert list(HistorySettings(indicators=[short, short]).named()) == ["avg_volume"]


HIGH, LOW, CLOSE = [12.0, 13, 15, 14, 20], [9.0, 10, 11, 11, 13], [10.0, 12, 14, 11, 20]
OPEN, VOLUME = [10.0, 11, 12, 7, 22], [100.0, 300, 200, 400, 800]
FIVE = {"open": [OPEN], "high": [HIGH], "low": [LOW], "close": [CLOSE], "volume": [VOLUME]}


by_hand = pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        ("trailing_average", {"field": "volume"}, {"": [NAN, NAN, 200, 250, 300]}),
        ("trailing_average", {"field": "close"}, {"": [NAN, NAN, 11, 13, 12.5]}),
        ("trailing_max", {"field": "high"}, {"": [NAN, NAN, 13, 15, 15]}),
        ("trailing_min", {"field": "low"}, {"": [NAN, NAN, 9, 10, 11]}),
        ("avg_volume", {}, {"": [NAN, NAN, 200, 250, 300]}),
        ("avg_range", {}, {"": [NAN, NAN, 3, 3.5, 3.5]}),
        # Ranges 3 3 4 3; true ranges NaN, 13-10, 15-11, 14-11.
        ("atr_daily", {}, {"": [NAN, NAN, NAN, 3.5, 3.5]}),
        ("high_low", {}, {".high": [NAN, NAN, 13, 15, 15], ".low": [NAN, NAN, 9, 10, 11]}),
        # The last range over the mean of the two: 3/3, 4/3.5, 3/3.5.
        ("range_ratio", {}, {"": [NAN, NAN, 1, 4 / 3.5, 3 / 3.5]}),
        # Gaps NaN, 11/10, 12/12, 7/14: +10 %, 0, -50 %.
        ("gap_stats", {}, {".mean": [NAN, NAN, NAN, 0.05, -0.25], ".size": [NAN, NAN, NAN, 0.05, 0.25],
                           ".largest": [NAN, NAN, NAN, 0.1, 0.5]}),
    ],
)  # fmt: skip


@by_hand
def test_every_type_by_hand(kind: str, more: dict[str, str], expected: dict[str, list[float]]) -> None:
    """Two sessions back of five; the current session's own values never count, and too few sessions give NaN."""
    found = indicator(asked(kind, **more), "x", daily(weekdays(5), **FIVE), 0)
    assert set(found) == {"x" + suffix for suffix in expected}
    for suffix, values in expected.items():
        np.testing.assert_allclose(found["x" + suffix][:, 0], values, rtol=1e-15)


@by_hand
def test_every_type_sees_what_was_before_a_split_in_the_terms_of_its_session(
    kind: str, more: dict[str, str], expected: dict[str, list[float]]
) -> None:
    """The same five sessions, of which the first two stand in the lake at twice the price and half the volume: 2:1 on the third."""
    raw = {name: [[value * (0.5 if name == "volume" else 2.0) for value in values[0][:2]] + values[0][2:]] for name, values in FIVE.items()}
    days = weekdays(5)
    found = indicator(asked(kind, **more), "x", daily(days, **raw), 0, splits_on(days, (2, 0, 2.0)))
    for suffix, values in expected.items():
        np.testing.assert_allclose(found["x" + suffix][:, 0], values, rtol=1e-15)


def test_a_split_is_none_of_the_business_of_sessions_before_it_and_of_other_symbols() -> None:
    """4:1 of the first symbol on the fourth session; each session's own terms."""
    days, close = weekdays(5), [[80.0, 80, 80, 20, 20], [80.0, 80, 80, 80, 80]]
    found = indicator(asked("trailing_average", "1d"), "x", daily(days, close=close), 1, splits_on(days, (3, 0, 4.0)))["x"]
    assert found.T.tolist() == [[80, 80, 20, 20], [80, 80, 80, 80]]


def test_minute_values_see_what_was_before_a_split_in_the_terms_of_their_session() -> None:
    """4:1 on the third session: 80 and 120 a minute are 20 and 30 to it; volumes of 100 are 400."""
    days = sessions([2, 2, 2, 2])
    base = tape_of(grid(days, np.array([[80.0, 120, 80, 120, 22, 33, 24, 36]])))
    splits = splits_on(days, (2, 0, 4.0))
    found = indicator_by_slot(asked("trailing_average", "1d", granularity="minute"), base, 1, 2, splits)
    assert found[:, 0].tolist() == [[80, 120], [20, 30], [22, 33]]
    found = indicator_by_slot(asked("trailing_average", "2d", granularity="minute", field="volume"), base, 2, 2, splits)
    assert found[:, 0].tolist() == [[400, 400], [250, 250]]


def test_the_true_range_takes_the_way_from_the_close_before() -> None:
    """Closes 10 and 20: a session of 15 to 16 has a true range of 6, one of 14 to 17 after 20 one of 6."""
    days = daily(weekdays(4), high=[[10, 16, 17, 1]], low=[[10, 15, 14, 1]], close=[[10.0, 20, 15, 1]])
    assert indicator(asked("atr_daily", "1d"), "x", days, 0)["x"][2:, 0].tolist() == [6, 6]


def test_a_range_ratio_of_sessions_without_range_is_nan() -> None:
    flat_days = daily(weekdays(3), high=[[5.0, 5, 5]], low=[[5.0, 5, 5]])
    assert np.isnan(indicator(asked("range_ratio"), "x", flat_days, 0)["x"]).all()


def test_the_current_session_and_later_ones_cannot_change_a_value() -> None:
    """SPEC 8: only data before the session."""
    random = np.random.default_rng(3)
    days = weekdays(12)
    values = {name: random.integers(1, 100, (2, 12)).astype(float) for name in OHLCV}
    before = {name: value.tolist() for name, value in values.items()}
    later = {name: np.where(np.arange(12) >= 8, 777.0, value).tolist() for name, value in values.items()}
    for kind in ("trailing_average", "trailing_max", "trailing_min", "avg_volume", "avg_range", "atr_daily", "gap_stats", "range_ratio"):
        first, second = (indicator(asked(kind, "3d"), "x", daily(days, **given), 0) for given in (before, later))
        for name in first:
            assert first[name][:9].tobytes() == second[name][:9].tobytes()


def test_a_session_of_the_window_without_a_bar_gives_nan() -> None:
    """Too little history gives NaN, never the mean of fewer sessions."""
    days = daily(weekdays(5), volume=[[100, NAN, 200, 400, 1], [1, 2, 3, 4, 5]])
    found = indicator(asked("avg_volume"), "x", days, 2)["x"]
    np.testing.assert_array_equal(found, [[NAN, 1.5], [NAN, 2.5], [300, 3.5]])


def test_early_closes_are_left_out_of_an_average() -> None:
    days = daily(weekdays(5, early=(2,)), volume=[[100, 200, 9, 300, 1]])
    assert indicator(asked("avg_volume", "2d", skip_early_close=True), "x", days, 4)["x"].tolist() == [[250]]
    assert indicator(asked("avg_volume", "2d"), "x", days, 4)["x"].tolist() == [[154.5]]


def test_only_early_closes_in_the_weeks_give_nan() -> None:
    days = daily(weekdays(6, early=(0, 1, 2, 3, 4)), volume=[[1.0] * 6])
    assert np.isnan(indicator(asked("avg_volume", "1w", skip_early_close=True), "x", days, 5)["x"]).all()


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["avg_volume", "avg_range", "atr_daily", "gap_stats", "trailing_average"]))
def test_a_subset_of_symbols_gives_the_same_bits(seed: int, kind: str) -> None:
    """I-13: sums are added up in the order of the sessions, whatever stands beside them."""
    random = np.random.default_rng(seed)
    days = weekdays(25)
    given = {name: random.lognormal(0, 3, (9, 25)).tolist() for name in OHLCV}
    every = indicator(asked(kind, "20d"), "x", daily(days, **given), 21)
    for chosen in ([0], [8, 3], [7, 6, 5, 4]):
        part = indicator(
            asked(kind, "20d"), "x", daily(days, **{name: [rows[line] for line in chosen] for name, rows in given.items()}), 21
        )
        for name, values in part.items():
            assert values.tobytes() == every[name][:, chosen].tobytes()


def test_minute_values_are_aligned_by_the_time_since_the_open() -> None:
    """Two sessions before: the slot's mean over those that have a bar there; an early close has none after it."""
    days = sessions([4, 2, 4])
    close = np.array([[1.0, 2, 3, NAN, 5, 6, 7, 7, 7, 7], [1, 1, 1, 1, NAN, NAN, 1, 1, 1, 1]])
    base = tape_of(grid(days, close))
    found = indicator_by_slot(asked("trailing_average", "2d", granularity="minute"), base, 2, 4)
    np.testing.assert_array_equal(found, [[[3, 4, 3, NAN], [NAN] * 4]])


@pytest.mark.parametrize(("kind", "expected"), [("trailing_max", [5.0, 6, 3, NAN]), ("trailing_min", [1.0, 2, 3, NAN])])
def test_minute_values_may_be_the_highest_or_lowest(kind: str, expected: list[float]) -> None:
    base = tape_of(grid(sessions([4, 2, 4]), np.array([[1.0, 2, 3, NAN, 5, 6, 7, 7, 7, 7]])))
    found = indicator_by_slot(asked(kind, "2d", granularity="minute"), base, 2, 4)
    np.testing.assert_array_equal(found[0, 0], expected)


def test_minute_values_of_too_short_a_history_are_nan() -> None:
    base = tape_of(grid(sessions([2, 2, 2]), np.arange(6.0)[None, :]))
    found = indicator_by_slot(asked("trailing_average", "2d", granularity="minute", field="volume"), base, 0, 2)
    np.testing.assert_array_equal(found[:, 0], [[NAN, NAN], [NAN, NAN], [100, 100]])


def test_a_full_day_has_390_minute_values() -> None:
    found = indicator_by_slot(
        asked("trailing_average", "1d", granularity="minute"), tape_of(grid(sessions([390, 390]), np.ones((1, 780)))), 1, 390
    )
    assert found.shape == (1, 1, 390)
    assert (found == 1).all()


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["trailing_average", "trailing_max", "trailing_min"]), number=st.integers(1, 4))
def test_minute_values_are_those_of_a_loop(seed: int, kind: str, number: int) -> None:
    random = np.random.default_rng(seed)
    minutes = [5, 3, 5, 5, 4, 5]
    close = random.integers(1, 50, (3, sum(minutes))).astype(float)
    close[random.random(close.shape) < 0.3] = NAN
    days = sessions(minutes)
    found = indicator_by_slot(asked(kind, f"{number}d", granularity="minute"), tape_of(grid(days, close)), 2, 5)
    split = [close[:, sum(minutes[:day]) : sum(minutes[: day + 1])] for day in range(6)]
    for session in range(2, 6):
        for line in range(3):
            past = [split[day][line] for day in range(max(session - number, 0), session)]
            whole = session >= number and all((~np.isnan(values)).any() for values in past)
            for slot in range(5):
                seen = [float(values[slot]) for values in past if slot < len(values) and not np.isnan(values[slot])]
                reduce = {"trailing_average": lambda values: sum(values) / len(values), "trailing_max": max, "trailing_min": min}[kind]
                expected = reduce(seen) if whole and seen else NAN
                np.testing.assert_equal(found[session - 2, line, slot], expected)


def test_the_lakes_own_daily_bars_are_preferred() -> None:
    """SPEC 8: for the symbol and session that it has them for; the rest is built."""
    days = sessions([2, 2])
    built = daily_of(tape_of(grid(days, np.array([[1.0, 2], [3, 4]]), "1d")), stored=False)
    own = daily_of(tape_of(grid(days, np.array([[NAN, 20.0], [NAN, NAN]]), "1d")), stored=True)
    found = preferred(own, built)
    assert found.close.tolist() == [[1, 3], [20, 4]]
    assert found.stored.tolist() == [[False, False], [True, False]]


def test_daily_values_of_a_session_without_a_bar_are_nan() -> None:
    found = daily_of(tape_of(grid(sessions([2, 2]), np.array([[1.0, NAN]]), "1d")), stored=True)
    np.testing.assert_array_equal(found.high, [[2], [NAN]])
    assert found.stored.tolist() == [[True], [False]]


def test_how_many_sessions_hold_a_lookback_is_counted_in_expected_bars() -> None:
    """Days of 4, 2, 4, 4 bars: 5 bars before the last session are held by the two before it, before the third by both earlier ones."""
    expected = np.array([4, 2, 4, 4])
    assert sessions_back(expected, 5).tolist() == [0, 1, 2, 2]
    assert sessions_back(expected, 4).tolist() == [0, 1, 2, 1]
    assert sessions_back(expected, 0).tolist() == [0, 0, 0, 0]

"""What a strategy can see of its bars: read-only columns, alignment by availability, indicators once a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester.columns import NO_TIME
from backtester.errors import StrategyError
from backtester.market.resample import DerivedSettings
from backtester.signals import batch, indicators
from tests.market.days import MINUTE, sessions
from tests.signals.views import bars_of, grid_of, market, tape_as, view_of, whole

NAN = float("nan")


def two_intervals(close: np.ndarray, coarse: str = "15m", lookback: int = 0) -> tuple[Any, Any, Any]:
    """The sessions, and bars of 1m and of a coarser interval over the same rows, from these closes of days of 30 minutes."""
    days = sessions([30] * (close.shape[1] // 30), opens_at=570)
    grid = grid_of(days, dict.fromkeys(("open", "high", "low", "close", "volume"), close))
    first = 1 if len(days) > 1 else 0
    everyone = np.arange(len(close))
    fine = batch.rows(view_of(tape_as(grid, "1m"), first, 1), everyone, lookback, {})
    return days, fine.bars, batch.rows(view_of(tape_as(grid, coarse), first, 1), everyone, lookback, {}, fine).bars


def test_the_bar_of_a_quarter_is_first_seen_on_the_minute_that_ends_with_it() -> None:
    """SPEC 10: the 15m bar 09:30-09:45 is first seen on the 1m bar 09:44-09:45, both known at 09:45."""
    days, fine, coarse = two_intervals(np.arange(30.0)[None, :])
    seen = coarse.onto(fine, coarse.close)
    np.testing.assert_array_equal(seen[0, :14], [NAN] * 14)
    np.testing.assert_array_equal(seen[0, 14:29], [14.0] * 15)
    assert seen[0, 29] == 29
    minute = np.flatnonzero(~np.isnan(seen[0]))[0]
    assert fine.ts[0, minute] == days.open[0] + 14 * MINUTE
    assert fine.end[0, minute] == coarse.end[0, 0] == days.open[0] + 15 * MINUTE


def test_aligned_bars_show_all_columns_of_the_bar_last_known() -> None:
    _, fine, coarse = two_intervals(np.arange(30.0)[None, :])
    seen = coarse.onto(fine)
    assert seen.shape == fine.shape
    for name in ("open", "high", "low", "close", "volume", "quality", "minutes_to_close"):
        np.testing.assert_array_equal(seen.column(name)[0, 20], coarse.column(name)[0, 0])
        assert np.isnan(seen.column(name)[0, 0])
    assert (seen.ts[0, 20], seen.end[0, 20]) == (coarse.ts[0, 0], coarse.end[0, 0])
    assert (seen.ts[0, 0], seen.slot[0, 0], seen.bar_complete[0, 0], seen.valid[0, 0]) == (NO_TIME, -1, False, False)
    assert (seen.slot[0, 14], seen.slot[0, 29], seen.bar_complete[0, 14], seen.valid[0, 14]) == (0, 1, True, True)


def test_booleans_are_false_and_whole_numbers_the_smallest_where_nothing_is_known_yet() -> None:
    _, fine, coarse = two_intervals(np.arange(30.0)[None, :])
    rising = coarse.onto(fine, coarse.close > 0)
    assert rising.dtype == np.bool_
    assert (rising[0, 13], rising[0, 14]) == (False, True)
    assert coarse.onto(fine, coarse.ts)[0, 13] == NO_TIME


def test_history_of_the_coarse_bars_is_seen_from_the_first_minute() -> None:
    _, fine, coarse = two_intervals(np.arange(60.0)[None, :], lookback=2)
    seen = coarse.onto(fine, coarse.close)
    # Closes 0 to 29 on the day before and 30 to 59 on the day: two minutes of the former, and its last quarter is known all along.
    np.testing.assert_array_equal(seen[0, :5], [14, 29, 29, 29, 29])
    assert seen[0, 2 + 14] == 44


def test_a_symbol_without_a_coarse_bar_keeps_its_row() -> None:
    """A's quarters have holes and are not made: its minutes see none, and B's minutes see B's."""
    close = np.stack([np.where(np.isin(np.arange(30), [3, 20]), NAN, 1.0), np.full(30, 2.0)])
    days = sessions([30], opens_at=570)
    grid = grid_of(days, dict.fromkeys(("open", "high", "low", "close", "volume"), close))
    everyone = np.arange(2)
    fine = batch.rows(view_of(tape_as(grid, "1m"), 0, 0), everyone, 0, {})
    coarse = batch.rows(view_of(tape_as(grid, "15m", DerivedSettings()), 0, 0), everyone, 0, {}, fine).bars
    assert coarse.symbol[:, 0].tolist() == ["A", "B"]
    seen = coarse.onto(fine.bars, coarse.close)
    assert np.isnan(seen[0]).all()
    assert seen[1, 14:].tolist() == [2.0] * 16


def test_bars_of_other_rows_cannot_be_aligned() -> None:
    with pytest.raises(StrategyError, match="other rows"):
        bars_of(close=[[1.0, 2.0]]).onto(bars_of(close=[[1.0], [2.0]]))


def test_only_columns_of_the_bars_themselves_can_be_aligned() -> None:
    _, fine, coarse = two_intervals(np.arange(30.0)[None, :])
    with pytest.raises(StrategyError, match=r"wrong shape .*\(1, 30\).*\(1, 2\)"):
        coarse.onto(fine, fine.close)


def test_alignment_is_worked_out_once_and_never_for_bars_that_are_gone() -> None:
    """Temporary bars follow each other at one address; each is aligned by its own times."""
    _, fine, coarse = two_intervals(np.arange(30.0)[None, :])
    seen = set()
    for shift in range(40):
        moved = fine.end[0] + shift * MINUTE
        other = bars_of(close=fine.close, end=moved[None, :])
        found = coarse.onto(other, coarse.close)[0]
        assert int(np.isnan(found).sum()) == max(14 - shift, 0)
        seen.add(id(other))


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.0, 0.1, 0.6]), coarse=st.sampled_from(["2m", "5m", "7m", "15m"]),
    lookback=st.integers(0, 12),
)  # fmt: skip
def test_alignment_is_that_of_merge_asof(seed: int, share: float, coarse: str, lookback: int) -> None:
    """D-06: of random markets with holes, early closes and history, against pandas."""
    import pandas

    random = np.random.default_rng(seed)
    days = sessions([40, 22, 40, 40], opens_at=570)
    grid = market(days, 3, share, random)
    fine = batch.rows(view_of(tape_as(grid, "1m"), 1, 1), np.arange(3), lookback, {})
    other = batch.rows(view_of(tape_as(grid, coarse), 1, 2), np.arange(3), 3, {}, fine).bars
    found = other.onto(fine.bars, other.close)
    for row in range(fine.bars.shape[0]):
        here, there = fine.bars.valid[row], other.valid[row]
        left = pandas.DataFrame({"end": fine.bars.end[row][here]})
        right = pandas.DataFrame({"end": other.end[row][there], "close": other.close[row][there]})
        expected = pandas.merge_asof(left, right, on="end")["close"].to_numpy()
        np.testing.assert_array_equal(found[row][here], expected)
        assert np.isnan(found[row][~here]).all()


@pytest.mark.parametrize(
    "name", ["open", "high", "low", "close", "volume", "ts", "end", "slot", "quality", "bar_complete", "minutes_to_close",
             "minutes_from_open", "valid", "symbol", "session"],
)  # fmt: skip
def test_columns_cannot_be_written_to(name: str) -> None:
    """R10, STR-11: a strategy that changes its input in place gets an error, and nobody else's column changes."""
    view = view_of(tape_as(market(sessions([5, 5]), 2, 0.2, np.random.default_rng(1)), "1m"), 1, 1)
    bars = whole(view, 3)
    values = getattr(bars, name)
    with pytest.raises(ValueError, match="read-only"):
        values[...] = values
    with pytest.raises(ValueError, match="read-only"):
        values.flat[0] = values.flat[0]


def test_indicators_and_historical_columns_cannot_be_written_to() -> None:
    view = view_of(tape_as(market(sessions([5, 5]), 2, 0.0, np.random.default_rng(1)), "1m"), 1, 1)
    bars = whole(view, 0, {"volume": np.ones((1, 2)), "by_minute": np.ones((1, 2, 5))})
    for values in (bars.indicator("sma", period=2), bars.historical("volume"), bars.historical("by_minute")):
        with pytest.raises(ValueError, match="read-only"):
            values[...] = 0.0


def test_an_input_that_was_not_declared_is_named_with_the_nearest() -> None:
    bars = bars_of(close=[[1.0]])
    bars.bound({"bars": bars, "trend": bars}, {}, {})
    assert bars.input("trend") is bars
    with pytest.raises(StrategyError, match=r"'trent'.*did you mean 'trend'"):
        bars.input("trent")


def test_a_historical_indicator_that_is_not_configured_is_named_with_the_nearest() -> None:
    bars = bars_of(close=[[1.0]])
    bars.bound({}, {}, {"avg_volume": np.ones((1, 1))})
    with pytest.raises(StrategyError, match=r"'avg_volum'.*did you mean 'avg_volume'"):
        bars.historical("avg_volum")


def test_an_indicator_is_reached_by_its_configured_column_or_by_name_and_parameters() -> None:
    bars = bars_of(close=[[1.0, 2.0, 3.0, 5.0]])
    configured = {"sma_3": ("sma", {"period": 3}, "sma"), "bbands_2.upper": ("bbands", {"period": 2}, "upper")}
    bars.bound({}, configured, {})
    np.testing.assert_allclose(bars.indicator("sma_3"), [[NAN, NAN, 2, 10 / 3]], rtol=1e-15)
    assert bars.indicator("sma_3") is bars.indicator("sma", period=3)
    # Means 1.5, 2.5, 4 with population deviations 0.5, 0.5, 1, twice.
    np.testing.assert_array_equal(bars.indicator("bbands_2.upper"), [[NAN, 2.5, 3.5, 6]])
    np.testing.assert_array_equal(bars.indicator("bbands.lower", period=2), [[NAN, 0.5, 1.5, 2]])
    np.testing.assert_array_equal(bars.indicator("bbands", period=2), bars.indicator("bbands_2.upper"))


@pytest.mark.parametrize(("name", "message"), [("smaa", "did you mean 'sma'"), ("sma_3", "no such indicator"), ("bbands.uper", "'upper'")])
def test_an_unknown_indicator_or_output_is_named(name: str, message: str) -> None:
    with pytest.raises(StrategyError, match=message):
        bars_of(close=[[1.0, 2.0]]).indicator(name)


def test_an_indicator_is_computed_once_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    compute = indicators.compute
    monkeypatch.setattr(indicators, "compute", lambda name, *more: calls.append(name) or compute(name, *more))
    bars = bars_of(close=[[1.0, 2.0, 4.0]])
    for _ in range(3):
        bars.indicator("sma", period=2)
        bars.indicator("bbands.upper", period=2)
        bars.indicator("bbands.lower", period=2)
    bars.indicator("sma", period=3)
    assert calls == ["sma", "bbands", "sma"]


def test_the_average_price_by_volume_begins_with_the_session() -> None:
    """Its history columns are not in it."""
    bars = bars_of(lookback=2, close=[[100.0, 100.0, 10.0, 20.0]], volume=[[5.0, 5.0, 1.0, 3.0]])
    np.testing.assert_array_equal(bars.indicator("vwap"), [[NAN, NAN, 10, 17.5]])


def test_columns_of_the_session_are_told_from_its_history() -> None:
    assert bars_of(lookback=2, close=[[1.0, 2.0, 3.0]]).in_session.tolist() == [False, False, True]


def test_historical_columns_of_aligned_bars_are_aligned_too() -> None:
    """One value a row stays as it is; one value a bar is that of the bar last known."""
    _, fine, coarse = two_intervals(np.arange(30.0)[None, :])
    coarse.bound({}, {}, {"a_day": np.array([[7.0]]), "a_bar": np.array([[1.0, 2.0]])})
    seen = coarse.onto(fine)
    assert seen.historical("a_day").tolist() == [[7]]
    np.testing.assert_array_equal(seen.historical("a_bar")[0, [13, 14, 28, 29]], [NAN, 1, 1, 2])

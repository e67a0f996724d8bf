"""Actions: which are known when, and what bars look like to somebody who knows them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester import schema
from backtester.errors import DataError
from backtester.market.action_changes import ROWS, add_actions
from backtester.market.actions import Actions, adjusted, split_ratios, splits_at
from backtester.market.lake import Lake
from tests.market.test_lake import bars, lake_of

DAYS = np.array(["2014-06-05", "2014-06-06", "2014-06-09", "2014-06-10"], "datetime64[D]")
SPLIT_DAY = dt.date(2014, 6, 9)


def rows(*found: tuple[str, str, str, float]) -> pl.DataFrame:
    """Rows of the table `actions`: symbol, ex-date, kind, value."""
    whole = [(symbol, dt.date.fromisoformat(day), kind, value, "test") for symbol, day, kind, value in found]
    return pl.DataFrame(whole, schema=schema.CORPORATE_ACTIONS.dtypes, orient="row").sort("symbol", "ex_date", "kind")


APPLE = rows(("AAPL", "2014-05-08", "dividend", 3.29), ("AAPL", "2014-06-09", "split", 7.0), ("AAPL", "2014-08-07", "dividend", 0.47))


def test_actions_between_two_sessions_are_those_of_the_symbols_with_both_ends() -> None:
    actions = Actions(pl.concat([APPLE, rows(("SPY", "2014-06-09", "dividend", 1.0))]))
    found = actions.between(dt.date(2014, 5, 8), np.datetime64("2014-06-09"), ["AAPL"])
    assert found.select("symbol", "ex_date", "value").rows() == [("AAPL", dt.date(2014, 5, 8), 3.29), ("AAPL", SPLIT_DAY, 7.0)]


def test_an_action_is_known_from_its_ex_date_on_and_not_before() -> None:
    actions = Actions(APPLE)
    assert [len(actions.known_by(dt.date(2014, 6, day)).frame) for day in (6, 9, 10)] == [1, 2, 2]


def test_symbols_are_counted_with_their_splits_and_dividends() -> None:
    assert Actions(APPLE).counts() == {"AAPL": {"splits": 1, "dividends": 2}}


def test_a_lake_without_actions_has_none(tmp_path: Path) -> None:
    found = Actions.of(lake_of(tmp_path, bars()))
    assert (len(found.frame), found.sha256, dict(found.frame.schema)) == (0, None, schema.CORPORATE_ACTIONS.dtypes)


def test_a_seven_for_one_split_divides_prices_by_seven_and_multiplies_volumes() -> None:
    """645.57 was Apple's last close before its split: 92.2242857... a new share."""
    columns = {"close": np.array([[647.35, 645.57, 93.7, 94.25]]), "volume": np.array([[10.0, 20.0, 30.0, 40.0]]), "slot": np.arange(4)}
    found = adjusted(columns, DAYS, ["AAPL"], APPLE, DAYS[3])
    assert found["close"].tolist() == [[647.35 / 7, 645.57 / 7, 93.7, 94.25]]
    assert found["volume"].tolist() == [[70.0, 140.0, 30.0, 40.0]]
    assert found["slot"] is columns["slot"]
    assert columns["close"][0, 0] == 647.35


def test_a_split_is_not_known_before_its_session_opens() -> None:
    """SPEC 12: history is adjusted only by what was known by then."""
    close = np.array([[647.35, 645.57, 93.7, 94.25]])
    seen = [adjusted({"close": close}, DAYS, ["AAPL"], APPLE, day)["close"][0].round(4).tolist() for day in DAYS]
    assert seen[0] == seen[1] == [647.35, 645.57, 93.7, 94.25]
    assert seen[2] == seen[3] == [92.4786, 92.2243, 93.7, 94.25]


def test_each_row_may_have_its_own_as_of_and_its_own_sessions() -> None:
    close = np.array([[70.0, 70.0], [70.0, 10.0]])
    sessions = np.array([DAYS[:2], DAYS[1:3]])
    found = adjusted({"close": close}, sessions, ["AAPL", "AAPL"], APPLE, DAYS[[1, 2]])
    assert found["close"].tolist() == [[70.0, 70.0], [10.0, 10.0]]


def test_a_split_of_one_symbol_leaves_the_others_alone() -> None:
    close = np.full((2, 4), 70.0)
    found = adjusted({"close": close}, DAYS, ["AAPL", "SPY"], APPLE, DAYS[3])["close"]
    assert found.tolist() == [[10.0, 10.0, 70.0, 70.0], [70.0] * 4]


def test_splits_one_after_the_other_multiply() -> None:
    """2:1 and then ten into one: one share of before is 0.2 shares."""
    actions = rows(("A", "2014-06-06", "split", 2.0), ("A", "2014-06-10", "split", 0.1))
    assert split_ratios(DAYS, ["A"], actions, DAYS[3]).tolist() == [[0.2, 0.1, 0.1, 1.0]]
    assert split_ratios(DAYS, ["A"], actions, DAYS[2]).tolist() == [[2.0, 1.0, 1.0, 1.0]]
    assert split_ratios(DAYS, ["A"], actions, DAYS[3], since=DAYS[1]).tolist() == [[0.1, 0.1, 0.1, 1.0]]


def test_dividends_adjust_prices_only_where_they_are_asked_for() -> None:
    """2 on a close of 100 leaves 98 of 100: 50 before it looks like 49. Volumes stay."""
    actions = rows(("A", "2014-06-09", "dividend", 2.0))
    columns = {"close": np.array([[50.0, 100.0, 98.0, 99.0]]), "volume": np.full((1, 4), 5.0)}
    assert adjusted(columns, DAYS, ["A"], actions, DAYS[3])["close"].tolist() == [[50.0, 100.0, 98.0, 99.0]]
    found = adjusted(columns, DAYS, ["A"], actions, DAYS[3], dividends=True)
    assert found["close"].tolist() == [[49.0, 98.0, 98.0, 99.0]]
    assert found["volume"].tolist() == [[5.0] * 4]


def test_on_one_open_the_split_comes_before_the_dividend_and_gaps_are_passed_over() -> None:
    """2:1 and 1 on each new share: 100 is 50 after the split, of which the dividend leaves 49."""
    actions = rows(("A", "2014-06-09", "dividend", 1.0), ("A", "2014-06-09", "split", 2.0))
    columns = {"close": np.array([[100.0, np.nan, 49.0, 49.0]]), "open": np.array([[80.0, np.nan, 49.0, 49.0]])}
    found = adjusted(columns, DAYS, ["A"], actions, DAYS[3], dividends=True)
    np.testing.assert_allclose(found["close"], [[49.0, np.nan, 49.0, 49.0]], rtol=1e-15)
    np.testing.assert_allclose(found["open"], [[39.2, np.nan, 49.0, 49.0]], rtol=1e-15)


def test_a_dividend_before_all_bars_needs_no_close() -> None:
    actions = rows(("A", "2014-06-05", "dividend", 500.0))
    assert adjusted({"close": np.full((1, 4), 10.0)}, DAYS, ["A"], actions, DAYS[3], dividends=True)["close"].tolist() == [[10.0] * 4]


def test_a_dividend_that_is_not_below_the_close_is_an_error() -> None:
    actions = rows(("A", "2014-06-09", "dividend", 10.0))
    with pytest.raises(DataError, match=r"not below the close before it \(actions\.parquet, A 2014-06-09\): got 10"):
        adjusted({"close": np.full((1, 4), 10.0)}, DAYS, ["A"], actions, DAYS[3], dividends=True)


CALENDAR = np.datetime64("2024-01-01", "D") + np.arange(12)
ACTION = st.tuples(
    st.sampled_from(["A", "B"]), st.integers(0, 11), st.one_of(st.tuples(st.just("split"), st.sampled_from([2.0, 3.0, 0.1, 1.5])),
                                                               st.tuples(st.just("dividend"), st.floats(0.01, 1.0)))
)  # fmt: skip
MARKET = st.lists(ACTION, max_size=8, unique_by=lambda action: (action[0], action[1], action[2][0]))


@given(MARKET, st.integers(0, 11), st.integers(0, 11), st.booleans(), st.integers(0, 2**32 - 1))
def test_adjusting_in_two_steps_is_adjusting_once(found: list, first: int, second: int, dividends: bool, seed: int) -> None:
    early, late = sorted((first, second))
    actions = rows(*((symbol, str(CALENDAR[day]), kind, value) for symbol, day, (kind, value) in found))
    draw = np.random.default_rng(seed)
    columns = {"close": draw.uniform(50, 150, (2, 12)), "open": draw.uniform(50, 150, (2, 12)), "volume": draw.uniform(1, 9, (2, 12))}
    columns["close"][draw.random((2, 12)) < 0.2] = np.nan
    once = adjusted(columns, CALENDAR, ["A", "B"], actions, CALENDAR[late], dividends=dividends)
    step = adjusted(columns, CALENDAR, ["A", "B"], actions, CALENDAR[early], dividends=dividends)
    twice = adjusted(step, CALENDAR, ["A", "B"], actions, CALENDAR[late], since=CALENDAR[early], dividends=dividends)
    for name in columns:
        np.testing.assert_allclose(twice[name], once[name], rtol=1e-12)
    again = adjusted(step, CALENDAR, ["A", "B"], actions, CALENDAR[early], since=CALENDAR[early], dividends=dividends)
    for name in columns:
        np.testing.assert_array_equal(again[name], step[name])


@given(MARKET, st.integers(0, 11), st.integers(0, 2**32 - 1))
def test_splits_conserve_price_times_volume(found: list, as_of: int, seed: int) -> None:
    actions = rows(*((symbol, str(CALENDAR[day]), kind, value) for symbol, day, (kind, value) in found))
    draw = np.random.default_rng(seed)
    columns = {"close": draw.uniform(1, 100, (2, 12)), "volume": draw.uniform(1, 9, (2, 12))}
    seen = adjusted(columns, CALENDAR, ["A", "B"], actions, CALENDAR[as_of])
    np.testing.assert_allclose(seen["close"] * seen["volume"], columns["close"] * columns["volume"], rtol=1e-12)
    after = np.arange(12) >= as_of
    assert (seen["close"][:, after] == columns["close"][:, after]).all()


def test_a_split_off_the_calendar_acts_on_the_first_session_after_it() -> None:
    actions = rows(("A", "2014-06-07", "split", 2.0), ("B", "2014-06-10", "split", 3.0), ("B", "2014-06-11", "split", 4.0))
    assert splits_at(actions, DAYS, ("A", "B")) == [(2, 0, 2.0), (3, 1, 3.0)]


def split_in(root: Path) -> Lake:
    """A lake whose AAPL splits 7:1 on 2014-06-09."""
    lake_of(root, bars(day=SPLIT_DAY))
    one = pl.DataFrame([("AAPL", SPLIT_DAY, "split", 7.0, "test", "here")], schema=ROWS, orient="row")
    add_actions(root, one, "XNYS")
    return Lake.open(root)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"symbol,ex_date\n"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    lake = split_in(tmp_path)
    (tmp_path / "actions.parquet").write_bytes(content)
    for verify in ("hash", "size", "off"):
        with pytest.raises(DataError, match=r"\(actions\.parquet\).*bt data actions remove --all"):
            Actions.of(lake, verify)  # type: ignore[arg-type]


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    lake = split_in(tmp_path)
    (tmp_path / "actions.parquet").unlink()
    with pytest.raises(DataError, match=r"a file of the lake is gone \(actions\.parquet\)"):
        Actions.of(lake)


@pytest.mark.parametrize(
    "wrong",
    [
        APPLE.drop("source"),
        APPLE.reverse(),
        pl.concat([APPLE, APPLE]).sort("ex_date"),
        APPLE.with_columns(pl.col("value").cast(pl.Float32)),
    ],
    ids=["columns", "order", "twice", "dtype"],
)
def test_a_file_that_is_no_such_table_is_named_even_unhashed(tmp_path: Path, wrong: pl.DataFrame) -> None:
    lake = split_in(tmp_path)
    wrong.write_parquet(tmp_path / "actions.parquet")
    with pytest.raises(DataError, match=r"the lake's actions are damaged \(actions\.parquet\)"):
        Actions.of(lake, "off")

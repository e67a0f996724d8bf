"""Actions: what a lake has of them, which of them are splits, and files that are none."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from backtester import schema
from backtester.errors import DataError
from backtester.market.action_changes import ROWS, add_actions
from backtester.market.actions import Actions, splits_of
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


def test_symbols_are_counted_with_their_splits_and_dividends() -> None:
    assert Actions(APPLE).counts() == {"AAPL": {"splits": 1, "dividends": 2}}


def test_a_lake_without_actions_has_none(tmp_path: Path) -> None:
    found = Actions.of(lake_of(tmp_path, bars()))
    assert (len(found.frame), found.sha256, dict(found.frame.schema)) == (0, None, schema.CORPORATE_ACTIONS.dtypes)


def test_the_splits_of_some_symbols_are_in_order_of_time_and_named_by_their_place() -> None:
    actions = pl.concat(
        [APPLE, rows(("A", "2014-06-10", "split", 2.0), ("A", "2014-06-05", "split", 0.1), ("Z", "2014-06-05", "split", 9.0))]
    )
    found = splits_of(actions, ("A", "AAPL"))
    assert found.day.astype(str).tolist() == ["2014-06-05", "2014-06-09", "2014-06-10"]
    assert (found.symbol.tolist(), found.value.tolist()) == ([0, 1, 0], [0.1, 7.0, 2.0])


def test_a_split_off_the_calendar_acts_on_the_first_session_after_it() -> None:
    actions = rows(("A", "2014-06-07", "split", 2.0), ("B", "2014-06-10", "split", 3.0), ("B", "2014-06-11", "split", 4.0))
    assert splits_of(actions, ("A", "B")).acting(DAYS) == [(2, 0, 2.0), (3, 1, 3.0)]


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

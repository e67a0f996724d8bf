"""Times of a vendor: zones, formats, units and stamps."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from backtester.errors import DataError, UsageError
from backtester.market.importers.times import Stamps
from backtester.market.lake import Lake
from tests.market.tables import HEADER, NEW_YORK, bring, csv, parquet, stored, utc


def test_date_and_time_in_two_columns(tmp_path: Path) -> None:
    text = "Date,Time,Open,High,Low,Close,Volume\n02/11/2019,09:30,1,1,1,1,1\n"
    bring(tmp_path, csv(tmp_path, text), stamps=Stamps("America/New_York", "%m/%d/%Y %H:%M"))
    assert stored(tmp_path)["ts"].to_list() == [utc("2019-02-11 14:30")]


@pytest.mark.parametrize(
    "written",
    ["2019-02-11 14:30", "2019-02-11T14:30:00", "2019-02-11T14:30:00Z", "2019-02-11 09:30:00-05:00", "2019-02-11T09:30:00.000-0500",
     "2019-02-11 15:30:00.000000+01:00"],
)  # fmt: skip
def test_iso_times_with_and_without_offset(tmp_path: Path, written: str) -> None:
    bring(tmp_path, csv(tmp_path, HEADER + f"{written},1,1,1,1,1\n"))
    assert stored(tmp_path)["ts"].to_list() == [utc("2019-02-11 14:30")]


@pytest.mark.parametrize(
    ("unit", "number"),
    [("s", 1549895400), ("ms", 1549895400000), ("us", 1549895400000000), ("ns", 1549895400000000000)],
)
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_numbers_since_1970_in_the_declared_unit(tmp_path: Path, unit: str, number: int, form: str) -> None:
    path = csv(tmp_path, HEADER + f"{number},1,1,1,1,1\n") if form == "csv" else parquet(tmp_path, ts=[number])
    bring(tmp_path, path, stamps=Stamps(None, unit))
    assert stored(tmp_path)["ts"].to_list() == [utc("2019-02-11 14:30")]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_seconds_read_as_another_unit_are_the_year_1970_dat_15(tmp_path: Path, unit: str) -> None:
    with pytest.raises(DataError, match=r"epoch unit\?"):
        bring(tmp_path, csv(tmp_path, HEADER + "1549895400,1,1,1,1,1\n"), stamps=Stamps(None, unit))


@pytest.mark.parametrize("number", [1549895400000, 1549895400000000000])
def test_milliseconds_read_as_seconds_are_the_year_51000_dat_15(tmp_path: Path, number: int) -> None:
    with pytest.raises(DataError, match=r"epoch unit\?"):
        bring(tmp_path, csv(tmp_path, HEADER + f"{number},1,1,1,1,1\n"), stamps=Stamps(None, "s"))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_numbers_without_a_declared_unit_are_refused_dat_15(tmp_path: Path, form: str) -> None:
    path = csv(tmp_path, HEADER + "1549895400,1,1,1,1,1\n") if form == "csv" else parquet(tmp_path, ts=[1549895400])
    with pytest.raises(DataError, match=r"epoch unit\?.*--time-format"):
        bring(tmp_path, path)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_time_without_zone_needs_a_declared_one_dat_14(tmp_path: Path, form: str) -> None:
    path = (
        csv(tmp_path, HEADER + "2019-02-11 09:30,1,1,1,1,1\n") if form == "csv" else parquet(tmp_path, ts=[dt.datetime(2019, 2, 11, 9, 30)])
    )
    with pytest.raises(DataError, match=r"times without a timezone .*--tz"):
        bring(tmp_path, path, stamps=Stamps())
    bring(tmp_path, path, stamps=NEW_YORK)
    assert stored(tmp_path)["ts"].to_list() == [utc("2019-02-11 14:30")]


def test_times_with_and_without_zone_in_one_file_are_refused_dat_13(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="with and without an offset in one file"):
        bring(tmp_path, csv(tmp_path, HEADER + "2019-02-11 14:30,1,1,1,1,1\n2019-02-11 14:31Z,1,1,1,1,1\n"))


def test_times_with_and_without_zone_in_one_import_are_refused_dat_13(tmp_path: Path) -> None:
    parquet(tmp_path, "in/a.parquet")
    parquet(tmp_path, "in/b.parquet", ts=[dt.datetime(2019, 2, 11, 9, 31)])
    with pytest.raises(DataError, match=r"with and without a timezone in one import .*a\.parquet and .*b\.parquet"):
        bring(tmp_path, tmp_path / "in", symbol=None)


def test_a_time_that_the_clocks_skipped_is_refused_dat_16(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"clocks skipped .*line 3.*2024-03-10 02:30:00 in America/New_York"):
        bring(tmp_path, csv(tmp_path, HEADER + "2024-03-10 01:59,1,1,1,1,1\n2024-03-10 02:30,1,1,1,1,1\n"), stamps=NEW_YORK)


def test_a_time_that_was_twice_is_refused_dat_17(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"twice when the clocks went back .*line 2.*--map fold"):
        bring(tmp_path, csv(tmp_path, HEADER + "2024-11-03 01:30,1,1,1,1,1\n"), stamps=NEW_YORK)


def test_a_time_that_was_twice_is_told_apart_by_a_fold_column_dat_17(tmp_path: Path) -> None:
    text = "ts,fold,open,high,low,close,volume\n2024-11-03 01:30,0,1,1,1,1,1\n2024-11-03 01:30,1,2,2,2,2,2\n2024-11-03 02:30,,3,3,3,3,3\n"
    bring(tmp_path, csv(tmp_path, text), stamps=NEW_YORK)
    assert stored(tmp_path)["ts"].to_list() == [utc("2024-11-03 05:30"), utc("2024-11-03 06:30"), utc("2024-11-03 07:30")]


def test_a_file_on_both_sides_of_daylight_saving_opens_at_the_same_local_time(tmp_path: Path) -> None:
    text = HEADER + "2024-03-08 09:30,1,1,1,1,1\n2024-03-11 09:30,1,1,1,1,1\n2024-11-01 09:30,1,1,1,1,1\n2024-11-04 09:30,1,1,1,1,1\n"
    bring(tmp_path, csv(tmp_path, text), stamps=NEW_YORK)
    assert [f"{at:%H:%M}" for at in stored(tmp_path)["ts"]] == ["14:30", "13:30", "13:30", "14:30"]
    assert stored(tmp_path)["flags"].to_list() == [0, 0, 0, 0]


def test_a_close_stamp_is_moved_back_by_the_interval(tmp_path: Path) -> None:
    bring(tmp_path, csv(tmp_path, HEADER + "2019-02-11 16:00,1,1,1,1,1\n"), stamps=Stamps("America/New_York", None, at_close=True))
    assert stored(tmp_path)["ts"].to_list() == [utc("2019-02-11 20:59")]


def test_a_daily_file_of_dates_gets_the_open_of_each_session(tmp_path: Path) -> None:
    text = "Date,Open,High,Low,Close,Volume\n2024-07-03,1,1,1,1,1\n2024-07-05,2,2,2,2,2\n2024-11-29,3,3,3,3,3\n"
    bring(tmp_path, csv(tmp_path, text), interval="1d", stamps=Stamps())
    assert stored(tmp_path, interval="1d")["ts"].to_list() == [utc("2024-07-03 13:30"), utc("2024-07-05 13:30"), utc("2024-11-29 14:30")]


@pytest.mark.parametrize(
    ("written", "at_close"),
    [("2024-07-03 00:00:00-04:00", False), ("2024-07-03T00:00:00Z", False), ("2024-07-03 13:30:00Z", False), ("2024-07-03 16:00", True),
     ("2024-07-03", True), ("2024-07-03 00:00", True)],
)  # fmt: skip
def test_a_daily_bar_has_its_date_however_it_is_stamped(tmp_path: Path, written: str, at_close: bool) -> None:
    zone = None if "Z" in written or "-04" in written else "America/New_York"
    path = csv(tmp_path, HEADER + f"{written},1,1,1,1,1\n")
    bring(tmp_path, path, interval="1d", stamps=Stamps(zone, None, at_close))
    assert Lake.open(tmp_path / "lake").catalog["session"].to_list() == [dt.date(2024, 7, 3)]


@pytest.mark.parametrize("written", ["03/04/2024 09:30", "2024-02-30 09:30", "2024-03-04 25:00", "yesterday", "2024-3-4 9:30"])
def test_a_time_that_cannot_be_read_is_named_with_its_line(tmp_path: Path, written: str) -> None:
    with pytest.raises(DataError, match=r"not a time that can be read .*line 3.*--time-format"):
        bring(tmp_path, csv(tmp_path, HEADER + f"2019-02-11 14:30,1,1,1,1,1\n{written},1,1,1,1,1\n"))


def test_a_row_without_a_time_is_refused_dat_22(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a row without a time .*line 3"):
        bring(tmp_path, csv(tmp_path, HEADER + "2019-02-11 14:30,1,1,1,1,1\n,1,1,1,1,1\n"))
    with pytest.raises(DataError, match=r"a row without a time .*row 1"):
        bring(tmp_path, parquet(tmp_path, ts=pl.Series([None], dtype=pl.Datetime("us", "UTC"))))


def test_an_unknown_zone_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'America/New_York'"):
        Stamps("America/New_Yrok")

"""Tables of any vendor: what is declared, what is refused, and with which line."""

from __future__ import annotations

import datetime as dt
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtester.errors import BacktesterError, DataError, ResourceError, UsageError
from backtester.market.importers import mapping, table
from backtester.market.importers.table import Layout
from backtester.market.importers.times import Stamps
from backtester.market.imports import ImportReport, Request, import_files
from backtester.market.lake import Lake
from backtester.market.rows import Policy

HEADER = "ts,open,high,low,close,volume\n"
NEW_YORK = Stamps("America/New_York")


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def bring(root: Path, path: Path, *, calendar: str | None = None, policy: Policy | None = None, **words: Any) -> ImportReport:
    """Import one file as text or Parquet; words go to its layout, the symbol is SPY unless said otherwise."""
    form = "parquet" if path.suffix == ".parquet" or path.is_dir() else "csv"
    layout = Layout(**({"symbol": "SPY", "stamps": Stamps("UTC")} | words))
    request = Request((path,), form, layout=layout, policy=policy or Policy(), calendar=calendar)  # type: ignore[arg-type]
    return import_files(root / "lake", request)


def csv(root: Path, text: str | bytes, name: str = "bars.csv") -> Path:
    path = root / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def parquet(root: Path, name: str = "bars.parquet", **columns: Any) -> Path:
    """One bar of SPY at 2019-02-11 14:30 UTC, with columns changed (None: left out)."""
    plain: dict[str, Any] = {"symbol": ["SPY"], "ts": [utc("2019-02-11 14:30")], **{name: [1.0] for name in mapping.BARS}} | columns
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({name: values for name, values in plain.items() if values is not None}).write_parquet(path)
    return path


def stored(root: Path, kind: str = "bars", interval: str = "1m") -> pl.DataFrame:
    lake = Lake.open(root / "lake")
    days = lake.files(kind, interval)["session"]  # type: ignore[arg-type]
    return pl.concat(lake.read(kind, interval, np.datetime64(day)) for day in days)  # type: ignore[arg-type]


def test_a_plain_csv_in_utc_is_taken_as_it_is(tmp_path: Path) -> None:
    bring(tmp_path, csv(tmp_path, HEADER + "2019-02-11 14:30:00,1,2,0.5,1.5,100\n"))
    assert stored(tmp_path).rows() == [("SPY", utc("2019-02-11 14:30"), 1.0, 2.0, 0.5, 1.5, 100.0, "csv:bars.csv", 0)]


def test_columns_are_found_by_declared_names_and_the_rest_is_left_out(tmp_path: Path) -> None:
    text = "Date,Open,High,Low,Close,Adj Close,Vol,Name\n2019-02-11T14:30:00Z,1,2,0.5,1.5,9,100,IBM\n"
    mapped = mapping.parse(["ts=Date,open=Open,high=High", "low=Low,close=Close,volume=Vol,symbol=Name"], True)
    bring(tmp_path, csv(tmp_path, text), mapped=mapped, symbol=None)
    assert stored(tmp_path).select("symbol", "close", "volume").rows() == [("IBM", 1.5, 100.0)]


def test_an_undeclared_column_is_an_error_unless_ignored_dat_09(tmp_path: Path) -> None:
    path = csv(tmp_path, "ts,open,high,low,close,volume,rank\n2019-02-11 14:30,1,1,1,1,1,7\n")
    with pytest.raises(DataError, match=r"columns that are not declared .*rank.*--ignore"):
        bring(tmp_path, path)
    assert bring(tmp_path, path, ignored=("rank",)).counts.added == 1


def test_a_missing_column_is_an_error_that_lists_what_there_is_dat_08(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"columns are missing .*volume not among ts, open, high, low, close"):
        bring(tmp_path, csv(tmp_path, "ts,open,high,low,close\n2019-02-11 14:30,1,1,1,1\n"))


def test_a_wrong_name_in_the_mapping_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a mapped column is not in the file .*open=Opne; did you mean 'Open'"):
        bring(tmp_path, csv(tmp_path, "ts,Open,high,low,close,volume\n2019-02-11 14:30,1,1,1,1,1\n"), mapped={"open": "Opne"})


@pytest.mark.parametrize("item", ["opne=Open", "open", "open=", "open=A,open=B"])
def test_a_mapping_that_makes_no_sense_is_a_wrong_use(item: str) -> None:
    with pytest.raises(UsageError):
        mapping.parse([item], True)


def test_columns_by_position_where_there_is_no_header(tmp_path: Path) -> None:
    path = csv(tmp_path, "20190211 143000;x;1;2;0.5;1.5;100\n")
    mapped = mapping.parse(["ts=1,open=3,high=4,low=5,close=6,volume=7"], False)
    bring(tmp_path, path, mapped=mapped, header=False, delimiter=";", stamps=Stamps("UTC", "%Y%m%d %H%M%S"))
    assert stored(tmp_path)["close"].to_list() == [1.5]


def test_columns_by_order_where_there_is_no_header(tmp_path: Path) -> None:
    mapped = mapping.parse(["ts,_,open,high,low,close,volume"], False)
    bring(tmp_path, csv(tmp_path, "2019-02-11 14:30,x,1,2,0.5,1.5,100\n"), mapped=mapped, header=False)
    assert stored(tmp_path)["close"].to_list() == [1.5]


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


def test_rows_out_of_order_stop_with_their_line_dat_18(tmp_path: Path) -> None:
    text = HEADER + "2019-02-11 14:30,1,1,1,1,1\n2019-02-11 14:32,1,1,1,1,1\n2019-02-11 14:31,1,1,1,1,1\n"
    with pytest.raises(DataError, match=r"rows out of order .*line 4.*add --sort \(1 such rows\)"):
        bring(tmp_path, csv(tmp_path, text))


def test_rows_out_of_order_are_sorted_on_request_and_counted_dat_18(tmp_path: Path) -> None:
    text = HEADER + "2019-02-11 14:30,1,1,1,1,1\n2019-02-11 14:32,3,3,3,3,3\n2019-02-11 14:31,2,2,2,2,2\n"
    assert bring(tmp_path, csv(tmp_path, text), policy=Policy(sort=True)).tally.unsorted == 1
    assert stored(tmp_path)["close"].to_list() == [1.0, 2.0, 3.0]


def test_a_file_that_runs_backwards_is_accepted_and_reported_dat_18(tmp_path: Path) -> None:
    text = HEADER + "2019-02-11 14:32,3,3,3,3,3\n2019-02-11 14:31,2,2,2,2,2\n2019-02-11 14:30,1,1,1,1,1\n"
    report = bring(tmp_path, csv(tmp_path, text))
    assert report.notes == ["bars.csv: newest row first; turned round"]
    assert stored(tmp_path)["close"].to_list() == [1.0, 2.0, 3.0]


def test_symbols_side_by_side_in_order_of_time_are_in_order(tmp_path: Path) -> None:
    rows = "".join(f"{symbol},2019-02-11 14:{minute},1,1,1,1,1\n" for minute in (30, 31) for symbol in ("B", "A"))
    assert bring(tmp_path, csv(tmp_path, "symbol," + HEADER + rows), symbol=None).tally.unsorted == 0
    assert stored(tmp_path)["symbol"].to_list() == ["A", "A", "B", "B"]


def test_exact_duplicates_are_dropped_and_counted_dat_19(tmp_path: Path) -> None:
    report = bring(tmp_path, csv(tmp_path, HEADER + "2019-02-11 14:30,1,1,1,1,1\n" * 3))
    assert (report.tally.duplicates, report.counts.added) == (2, 1)


def test_two_different_rows_of_one_bar_are_refused_dat_20(tmp_path: Path) -> None:
    text = HEADER + "2019-02-11 14:30,1,1,1,1,1\n2019-02-11 14:30,1,1,1,1,2\n"
    with pytest.raises(DataError, match=r"two different rows for one bar .*line 2 and .*line 3.*volume 1\.0 and 2\.0"):
        bring(tmp_path, csv(tmp_path, text))


def test_two_files_that_differ_on_a_bar_are_both_named_dat_20(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    csv(tmp_path / "in", HEADER + "2019-02-11 14:30,1,1,1,1,1\n", "a.csv")
    csv(tmp_path / "in", HEADER + "2019-02-11 14:30,2,2,2,2,2\n", "b.csv")
    request = Request((tmp_path / "in",), "csv", layout=Layout(symbol="SPY", stamps=Stamps("UTC")))
    with pytest.raises(DataError, match=r"two different rows for one bar \(csv:a\.csv and csv:b\.csv\)"):
        import_files(tmp_path / "lake", request)


@pytest.mark.parametrize("empty", ["", "nan", "NaN"])
def test_a_bar_without_a_price_is_left_out_and_counted_dat_23(tmp_path: Path, empty: str) -> None:
    report = bring(tmp_path, csv(tmp_path, HEADER + f"2019-02-11 14:30,1,1,1,1,1\n2019-02-11 14:31,1,1,1,{empty},1\n"))
    assert (report.tally.invalid, report.counts.added) == (1, 1)


def test_a_null_and_a_nan_price_of_parquet_are_left_out_dat_23(tmp_path: Path) -> None:
    many = {"ts": [utc(f"2019-02-11 14:3{minute}") for minute in range(3)], "symbol": ["SPY"] * 3}
    columns = {name: [1.0, 1.0, 1.0] for name in mapping.BARS} | {"close": [1.0, None, float("nan")]}
    report = bring(tmp_path, parquet(tmp_path, **many, **columns))
    assert (report.tally.invalid, report.counts.added) == (2, 1)


@pytest.mark.parametrize("number", ["inf", "-inf", "Infinity"])
def test_an_infinite_value_is_refused_dat_24(tmp_path: Path, number: str) -> None:
    with pytest.raises(DataError, match=r"(an infinite value|not a number) .*line 2"):
        bring(tmp_path, csv(tmp_path, HEADER + f"2019-02-11 14:30,1,{number},1,1,1\n"))


@pytest.mark.parametrize("price", ["0", "-1"])
def test_a_price_that_is_not_above_zero_is_refused_unless_allowed_dat_25(tmp_path: Path, price: str) -> None:
    path = csv(tmp_path, HEADER + f"2019-02-11 14:30,{price},1,{price},1,1\n")
    with pytest.raises(DataError, match=r"not above zero .*line 2.*--allow-nonpositive"):
        bring(tmp_path, path)
    assert bring(tmp_path, path, policy=Policy(allow_nonpositive=True)).counts.added == 1


@pytest.mark.parametrize("prices", ["1,0.9,1.1,1", "3,2,1,1.5", "1.5,2,1,3", "0.5,2,1,1.5", "1.5,2,1,0.5"])
def test_prices_that_contradict_each_other_are_refused_dat_26(tmp_path: Path, prices: str) -> None:
    path = csv(tmp_path, HEADER + f"2019-02-11 14:30,1,1,1,1,1\n2019-02-11 14:31,{prices},1\n")
    with pytest.raises(DataError, match=r"contradict each other .*line 3.*--max-bad-rows"):
        bring(tmp_path, path)
    report = bring(tmp_path, path, policy=Policy(max_bad_rows=1))
    assert (report.tally.bad, report.counts.added) == (1, 1)


def test_a_negative_volume_is_refused_dat_27(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a negative volume .*line 2.*volume -1"):
        bring(tmp_path, csv(tmp_path, HEADER + "2019-02-11 14:30,1,1,1,1,-1\n"))


def test_a_volume_of_zero_is_a_bar_dat_28(tmp_path: Path) -> None:
    bring(tmp_path, csv(tmp_path, HEADER + "2019-02-11 14:30,1,1,1,1,0\n"))
    assert stored(tmp_path)["volume"].to_list() == [0.0]


def test_an_opening_at_a_fraction_of_the_last_close_is_reported_dat_29(tmp_path: Path) -> None:
    bar = "{0} 14:30,{1},{1},{1},{1},1\n"
    report = bring(tmp_path, csv(tmp_path, HEADER + bar.format("2019-02-11", 645.57) + bar.format("2019-02-12", 92.7)))
    assert report.notes == ["unadjusted_split? SPY 2019-02-12 opens at 92.7 after a close of 645.57"]
    assert report.counts.added == 2


def test_a_price_ten_times_the_others_is_reported_dat_29(tmp_path: Path) -> None:
    report = bring(tmp_path, csv(tmp_path, HEADER + "2019-02-11 14:30,10,10,10,10,1\n2019-02-11 14:31,10,100,10,10,1\n"))
    assert report.notes == ["bad tick? SPY 2019-02-11T14:31Z lies between 10 and 100 after a close of 10"]


def test_prices_in_32_bits_are_accepted_with_a_note_dat_30(tmp_path: Path) -> None:
    report = bring(tmp_path, parquet(tmp_path, close=pl.Series([1.0], dtype=pl.Float32)))
    assert report.notes == ["bars.parquet: close stored in 32 bits: about 7 digits"]


@pytest.mark.parametrize("dtype", [pl.Categorical(), pl.Enum(["SPY"])])
def test_symbols_of_a_dictionary_are_accepted_dat_32(tmp_path: Path, dtype: pl.DataType) -> None:
    bring(tmp_path, parquet(tmp_path, symbol=pl.Series(["SPY"], dtype=dtype)), symbol=None)
    assert stored(tmp_path)["symbol"].to_list() == ["SPY"]


def test_a_symbol_that_is_not_the_declared_one_is_refused_dat_33(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not that of its file .*row 1.*SPY, the file's IBM"):
        bring(tmp_path, parquet(tmp_path), symbol="IBM")


def test_a_symbol_that_is_not_its_folders_is_refused_dat_33(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="SPY, the file's IBM"):
        bring(tmp_path, parquet(tmp_path, "symbol=IBM/part.parquet"), symbol=None)


@pytest.mark.parametrize("name", ["IBM.parquet", "IBM_201902.parquet"])
def test_a_symbol_that_is_not_its_files_is_refused_unless_the_column_decides_dat_33(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="SPY, the file's IBM"):
        bring(tmp_path, parquet(tmp_path, name), symbol=None)
    bring(tmp_path, parquet(tmp_path, name), symbol=None, mapped={"symbol": "symbol"})
    assert stored(tmp_path)["symbol"].to_list() == ["SPY"]


@pytest.mark.parametrize("symbol", ["0700", "TRUE", "NA", "1E5", "INF", "nan", "null", "None"])
def test_symbols_stay_text_in_columns_and_folders_dat_34(tmp_path: Path, symbol: str) -> None:
    bring(tmp_path / "a", csv(tmp_path, f"symbol,{HEADER}{symbol},2019-02-11 14:30,1,1,1,1,1\n"), symbol=None)
    bring(tmp_path / "b", parquet(tmp_path, f"symbol={symbol}/part.parquet", symbol=None), symbol=None)
    assert stored(tmp_path / "a")["symbol"].to_list() == stored(tmp_path / "b")["symbol"].to_list() == [symbol]


def test_symbols_that_are_numbers_are_refused_dat_34(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="symbols that is not text"):
        bring(tmp_path, parquet(tmp_path, symbol=[700]), symbol=None)


@pytest.mark.parametrize("symbol", ["", "../x", "A/B", "A B", "*", "A'--", "A" * 33, "_A", "A‮B", "A\x00"])
def test_a_symbol_that_is_none_is_refused_s_01(tmp_path: Path, symbol: str) -> None:
    with pytest.raises(DataError, match=r"not a symbol .*row 1.*letters, digits"):
        bring(tmp_path, parquet(tmp_path, symbol=[symbol]), symbol=None)


def test_the_symbol_can_be_each_files_name(tmp_path: Path) -> None:
    bring(tmp_path, csv(tmp_path, HEADER + "2019-02-11 14:30,1,1,1,1,1\n", "MSFT_full_1min.csv"), symbol=None, symbol_from_name=True)
    assert stored(tmp_path)["symbol"].to_list() == ["MSFT"]


def test_bars_of_a_holiday_or_weekend_are_kept_apart_dat_36(tmp_path: Path) -> None:
    report = bring(tmp_path, csv(tmp_path, HEADER + "2025-01-09 14:30,1,1,1,1,1\n2025-01-11 14:30,1,1,1,1,1\n"))
    assert report.out_of_session == 2
    assert stored(tmp_path)["flags"].to_list() == [4, 4]
    assert Lake.open(tmp_path / "lake").catalog["session"].to_list() == [dt.date(2025, 1, 9), dt.date(2025, 1, 11)]


def test_bars_after_an_early_close_are_kept_apart_dat_37(tmp_path: Path) -> None:
    text = HEADER + "2024-11-29 12:59,1,1,1,1,1\n2024-11-29 13:00,1,1,1,1,1\n"
    bring(tmp_path, csv(tmp_path, text), stamps=NEW_YORK)
    assert stored(tmp_path)["flags"].to_list() == [0, 4]


def test_bars_outside_regular_hours_are_kept_apart_and_counted_dat_38(tmp_path: Path) -> None:
    text = HEADER + "".join(f"2024-07-05 {clock},1,1,1,1,1\n" for clock in ("04:00", "09:29", "09:30", "15:59", "16:00", "19:59", "20:01"))
    assert bring(tmp_path, csv(tmp_path, text), stamps=NEW_YORK).out_of_session == 5
    assert stored(tmp_path)["flags"].to_list() == [4, 4, 0, 0, 4, 4, 4]
    assert Lake.open(tmp_path / "lake").catalog["session"].to_list() == [dt.date(2024, 7, 5)]


def test_bars_in_a_lunch_break_are_kept_apart_cal_06(tmp_path: Path) -> None:
    text = HEADER + "".join(f"2024-11-01 {clock},1,1,1,1,1\n" for clock in ("11:29", "11:30", "12:29", "12:30"))
    bring(tmp_path, csv(tmp_path, text), stamps=Stamps("Asia/Tokyo"), calendar="JPX")
    assert stored(tmp_path)["flags"].to_list() == [0, 4, 4, 0]


def test_an_overnight_session_is_filed_under_its_label(tmp_path: Path) -> None:
    text = HEADER + "2024-07-07 18:00,1,1,1,1,1\n2024-07-08 10:00,1,1,1,1,1\n2024-07-08 18:30,1,1,1,1,1\n"
    bring(tmp_path, csv(tmp_path, text), stamps=Stamps("America/New_York"), calendar="CME_Equity")
    catalog = Lake.open(tmp_path / "lake").catalog
    assert catalog.select("session", "rows").rows() == [(dt.date(2024, 7, 8), 2), (dt.date(2024, 7, 9), 1)]


def test_a_corrected_calendar_in_the_lake_decides_what_is_in_session(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake/calendar_overrides.json").write_text('[{"session": "2024-07-05", "open": "09:30", "close": "10:00"}]')
    bring(tmp_path, csv(tmp_path, HEADER + "2024-07-05 09:59,1,1,1,1,1\n2024-07-05 10:00,1,1,1,1,1\n"), stamps=NEW_YORK)
    assert stored(tmp_path)["flags"].to_list() == [0, 4]


def test_a_csv_of_nothing_but_a_header_is_refused_dat_41(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a file with a header and no rows .*bars\.csv"):
        bring(tmp_path, csv(tmp_path, HEADER))


@pytest.mark.parametrize("content", ["", "\n\n", "﻿"])
def test_an_empty_csv_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError):
        bring(tmp_path, csv(tmp_path, content))


def test_semicolons_decimal_commas_quotes_crlf_and_a_byte_order_mark_dat_42(tmp_path: Path) -> None:
    text = '﻿"ts";"open";"high";"low";"close";"volume"\r\n"2019-02-11 14:30";"1,5";"2,0";1,25;1,75;"100"\r\n'
    bring(tmp_path, csv(tmp_path, text), delimiter=";", decimal=",")
    assert stored(tmp_path).select("open", "high", "low", "close", "volume").rows() == [(1.5, 2.0, 1.25, 1.75, 100.0)]


def test_an_undeclared_delimiter_is_guessed_at_in_the_error_only_dat_42(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is the delimiter ';'"):
        bring(tmp_path, csv(tmp_path, (HEADER + "2019-02-11 14:30,1,1,1,1,1\n").replace(",", ";")))


def test_an_undeclared_decimal_comma_is_refused_with_its_line_dat_42(tmp_path: Path) -> None:
    text = (HEADER + "2019-02-11 14:30,1,1,1,1,1\n2019-02-11 14:31,1,1,1,1.5,1\n").replace(",", ";").replace(".", ",")
    with pytest.raises(DataError, match=r"not a number .*line 3.*'1,5'.*--decimal"):
        bring(tmp_path, csv(tmp_path, text), delimiter=";")


@pytest.mark.parametrize("row", ["2019-02-11 14:31,1,1,1,1", "2019-02-11 14:31,1,1,1,1,1,1", "2019-02-11 14:31"])
@pytest.mark.parametrize("blank", ["", "\n"])
def test_a_short_or_long_row_is_named_with_its_line_dat_43(tmp_path: Path, row: str, blank: str) -> None:
    line = 3 + len(blank)
    with pytest.raises(DataError, match=rf"a row of another length .*line {line}\)"):
        bring(tmp_path, csv(tmp_path, HEADER + f"2019-02-11 14:30,1,1,1,1,1\n{blank}{row}\n2019-02-11 14:32,1,1,1,1,1\n"))


@pytest.mark.parametrize("row", ['"1,234.5",1234.5,1,1,1', "1 234.5,1234.5,1,1,1", "1_234.5,1234.5,1,1,1", "1'234.5,1234.5,1,1,1"])
def test_separators_of_thousands_are_refused_with_their_line_dat_44(tmp_path: Path, row: str) -> None:
    with pytest.raises(DataError, match=r"not a number .*line 2"):
        bring(tmp_path, csv(tmp_path, HEADER + f"2019-02-11 14:30,{row}\n"))


def test_unquoted_separators_of_thousands_make_a_long_row_dat_44(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"another length .*line 2.*thousands"):
        bring(tmp_path, csv(tmp_path, HEADER + "2019-02-11 14:30,1,234.5,1,1,1,1\n"))


def test_points_of_thousands_beside_decimal_commas_are_refused_dat_44(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not a number .*'1\.234,5'"):
        bring(tmp_path, csv(tmp_path, HEADER.replace(",", ";") + "2019-02-11 14:30;1.234,5;2000;1;1;1\n"), delimiter=";", decimal=",")


@pytest.mark.parametrize("content", [b"\xff\xfet\x00s\x00", HEADER.encode() + b"2019-02-11 14:30,1,1,1,1,\xff\n"])
def test_text_that_is_not_utf8_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError):
        bring(tmp_path, csv(tmp_path, content))


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"two columns of one name .*'open'"):
        bring(tmp_path, csv(tmp_path, "ts,open,open,high,low,close,volume\n2019-02-11 14:30,1,1,1,1,1,1\n"))


def test_whole_and_broken_volumes_of_one_import_do_not_mix_dat_11(tmp_path: Path) -> None:
    parquet(tmp_path, "in/a.parquet", volume=[100])
    parquet(tmp_path, "in/b.parquet", ts=[utc("2019-02-11 14:31")], volume=[100.0])
    assert bring(tmp_path, tmp_path / "in", symbol=None).counts.added == 2
    parquet(tmp_path, "in/b.parquet", ts=[utc("2019-02-11 14:31")], volume=[0.5])
    with pytest.raises(DataError, match=r"volumes are whole numbers in one file .*a\.parquet and .*b\.parquet"):
        bring(tmp_path, tmp_path / "in", symbol=None)


def test_a_volume_too_large_to_be_exact_is_refused(tmp_path: Path) -> None:
    assert bring(tmp_path, parquet(tmp_path, volume=[2**53])).counts.added == 1
    with pytest.raises(DataError, match=r"too large to be exact .*row 1.*9007199254740993"):
        bring(tmp_path, parquet(tmp_path, volume=[2**53 + 1]))


def test_a_bar_off_the_grid_of_its_interval_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not open on a whole 1m .*line 2.*--interval"):
        bring(tmp_path, csv(tmp_path, HEADER + "2019-02-11 14:30:15,1,1,1,1,1\n"))
    bring(tmp_path, csv(tmp_path, HEADER + "2019-02-11 14:30:15,1,1,1,1,1\n"), interval="1s")
    assert stored(tmp_path, interval="1s")["ts"].to_list() == [utc("2019-02-11 14:30:15")]


def test_gzip_and_quotes_of_one_side_without_sizes(tmp_path: Path) -> None:
    names = [f"{side}_{part}" for side in ("bid", "ask") for part in ("open", "high", "low", "close")]
    text = f"ts,{','.join(names)}\n2019-02-11 14:30,1,1,1,1,2,2,2,2\n2019-02-11 14:31,1,1,1,1,,,,\n2019-02-11 14:32,1,,1,1,2,2,2,2\n"
    report = bring(tmp_path, csv(tmp_path, gzip.compress(text.encode()), "quotes.csv.gz"))
    found = stored(tmp_path, "quotes")
    assert found.select("bid_close", "ask_close", "bid_size").rows() == [(1.0, 2.0, None), (1.0, None, None)]
    assert report.tally.invalid == 1


def test_a_gzip_bomb_is_refused_s_13(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backtester.market.importers.source.MAX_BYTES", 1000)
    with pytest.raises(ResourceError, match="too large once unpacked"):
        bring(tmp_path, csv(tmp_path, gzip.compress(b"0" * 2000), "bars.csv.gz"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"not a Parquet file .*0 bytes"),
        (HEADER.encode() + b"2019-02-11 14:30,1,1,1,1,1\n", "not a Parquet file .*--format csv"),
        (b"PAR1" + bytes(100), r"incomplete Parquet file \(no footer\)"),
        (b"PAR1" + bytes(100) + b"\x10\x00\x00\x00PAR1", "cannot read a Parquet file"),
        (b"PARE" + bytes(100) + b"\x10\x00\x00\x00PARE", "an encrypted Parquet file"),
    ],
)
def test_files_that_are_no_whole_parquet_are_named_dat_01_to_03_dat_46(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        bring(tmp_path, csv(tmp_path, content, "bars.parquet"))
    assert "bars.parquet" in str(caught.value)


def test_parquet_past_the_limits_is_refused_from_its_metadata_dat_45(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet(tmp_path)
    for name, most in (("MAX_ROWS", 0), ("MAX_ROW_GROUPS", 0), ("MAX_DATA_BYTES", 10), ("MAX_FOOTER_BYTES", 10)):
        with monkeypatch.context() as limits:
            limits.setattr(table, name, most)
            with pytest.raises(ResourceError, match="past the limits"):
                bring(tmp_path, path)


def test_a_parquet_bomb_of_many_row_groups_is_refused_dat_45(tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    with pq.ParquetWriter(path, pa.schema([("x", pa.int8())])) as writer:
        batch = pa.record_batch({"x": pa.array([1], pa.int8())})
        for _ in range(100_001):
            writer.write_batch(batch)
    with pytest.raises(ResourceError, match="100001 row groups"):
        bring(tmp_path, path)


def test_a_file_without_permission_is_named_dat_48(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (parquet(tmp_path), csv(tmp_path, HEADER)):
        with monkeypatch.context() as denied:
            real = Path.open

            def refuse(self: Path, *words: Any, wanted: Path = path, real: Any = real, **named: Any) -> Any:
                if self == wanted:
                    raise PermissionError(13, "Permission denied", str(self))
                return real(self, *words, **named)

            denied.setattr(Path, "open", refuse)
            with pytest.raises(DataError, match=f"no permission to read a file .*{path.name}"):
                bring(tmp_path, path)


def test_leftovers_of_other_programs_are_passed_by_with_a_warning_dat_05(tmp_path: Path) -> None:
    parquet(tmp_path, "in/a.parquet")
    (tmp_path / "in/tmp_a.parquet").write_bytes(b"")
    (tmp_path / "in/.hidden.parquet").write_bytes(b"")
    report = bring(tmp_path, tmp_path / "in", symbol=None)
    assert report.skipped == [(str(tmp_path / "in/tmp_a.parquet"), "a temporary file that another program left")]


@pytest.mark.parametrize("source", ["gone", "empty"])
def test_nothing_to_import_is_an_error(tmp_path: Path, source: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        bring(tmp_path, tmp_path / source)
    assert not (tmp_path / "lake").exists()


def test_one_wrong_file_of_many_leaves_no_lake(tmp_path: Path) -> None:
    parquet(tmp_path, "in/a.parquet")
    parquet(tmp_path, "in/b.parquet", ts=[utc("2019-02-11 14:31")], volume=[-1.0])
    with pytest.raises(DataError, match="negative volume"):
        bring(tmp_path, tmp_path / "in", symbol=None)
    assert not (tmp_path / "lake").exists()


def test_rows_beyond_a_batch_are_staged_on_the_way_and_appear_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backtester.market.imports.BATCH_ROWS", 1)
    for minute in range(5):
        parquet(tmp_path, f"in/{minute}.parquet", ts=[utc(f"2019-02-1{1 + minute // 3} 14:3{minute}")])
    assert bring(tmp_path, tmp_path / "in", symbol=None).counts.added == 5
    assert Lake.open(tmp_path / "lake").catalog["rows"].to_list() == [3, 2]


@pytest.mark.parametrize("bytes_changed", range(0, 200, 7))
def test_a_parquet_file_with_a_changed_byte_never_ends_in_a_crash(tmp_path: Path, bytes_changed: int) -> None:
    path = parquet(tmp_path)
    content = bytearray(path.read_bytes())
    place = len(content) * bytes_changed // 200
    content[place] ^= 0x55
    path.write_bytes(content)
    try:
        bring(tmp_path, path)
    except BacktesterError as error:
        assert error.exit_code in (4, 7)  # noqa: PT017


# Real data. Counts from ../shared/data/README.md and `wc -l`; the CSVs and the Parquet files hold the same market.

BARS_OF_2019 = {"SPY": 1950, "JPM": 1950, "AAPL": 1948, "MSFT": 1948, "QQQ": 1948, "XLP": 1945, "GLD": 1927, "TZA": 1783, "SLV": 1776,
                "PPLT": 566, "UGA": 388, "VIX": 1923}  # fmt: skip


def of(path: Path, root: Path, calendar: str | None = None, interval: str = "1m", **words: Any) -> ImportReport:
    return bring(root, path, calendar=calendar, symbol=words.pop("symbol", None), interval=interval, **words)


def test_twelve_symbols_of_2019_with_their_known_counts(shared_data: Path, tmp_path: Path) -> None:
    assert of(shared_data / "us_2019_minute", tmp_path).out_of_session == 0
    counts = dict(stored(tmp_path).group_by("symbol").len().iter_rows())
    assert counts == BARS_OF_2019


def test_a_vendors_newest_first_close_stamped_csv_equals_the_parquet_of_the_same_days(shared_data: Path, tmp_path: Path) -> None:
    stamps = Stamps("America/New_York", None, at_close=True)
    for symbol in ("SPY", "PPLT"):
        path = shared_data / "vendor_csv" / f"{symbol}_1min_newest_first_close_stamped_ET.csv"
        report = of(path, tmp_path / "csv", symbol=symbol, stamps=stamps)
        assert report.tally.newest_first == BARS_OF_2019[symbol]
    of(shared_data / "us_2019_minute", tmp_path / "parquet")
    values = ["symbol", "ts", "open", "high", "low", "close", "volume"]
    both = stored(tmp_path / "parquet").filter(pl.col("symbol").is_in(["SPY", "PPLT"])).select(values)
    assert stored(tmp_path / "csv").select(values).equals(both)


def test_close_stamps_taken_for_opens_are_reported(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "vendor_csv" / "SPY_1min_newest_first_close_stamped_ET.csv"
    report = of(path, tmp_path, symbol="SPY", stamps=NEW_YORK)
    assert "bars stand at the close and none at the open: are they stamped at their close? --stamp close" in report.notes
    assert report.out_of_session == 5


def test_january_2011_has_twenty_sessions_of_390_regular_bars(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "vendor_csv" / "nt-spy-minute-2011_close_stamped_UTC.csv"
    stamps = Stamps("UTC", "%Y%m%d %H%M%S", at_close=True)
    report = of(path, tmp_path, symbol="SPY", stamps=stamps, delimiter=";", header=False)
    regular = stored(tmp_path).filter(pl.col("flags") == 0).group_by(pl.col("ts").dt.date()).len()["len"].to_list()
    assert (regular, report.out_of_session) == ([390] * 20, 14_180 - 20 * 390)


def test_seconds_indices_futures_crypto_and_quotes(shared_data: Path, tmp_path: Path) -> None:
    assert of(shared_data / "lean_usa_second", tmp_path, interval="1s").rows_read == 126_689
    assert of(shared_data / "lean_index_minute", tmp_path).rows_read == 1_812
    assert of(shared_data / "lean_es_futures_minute", tmp_path, "CME_Equity").rows_read == 9_887
    assert of(shared_data / "lean_crypto_minute", tmp_path, "24/7").out_of_session == 0
    assert of(shared_data / "lean_usa_quote_minute", tmp_path).intervals == {("quotes", "1m")}
    assert of(shared_data / "lean_fx_quote_minute", tmp_path, "24/5").intervals == {("quotes", "1m")}


def test_the_early_close_of_christmas_eve_2015(shared_data: Path, tmp_path: Path) -> None:
    of(shared_data / "lean_usa_minute" / "GOOG.parquet", tmp_path)
    day = Lake.open(tmp_path / "lake").read("bars", "1m", np.datetime64("2015-12-24"))
    assert len(day.filter(pl.col("flags") == 0)) == 210
    assert day.filter(pl.col("flags") == 4)["ts"].max() > utc("2015-12-24 18:00")

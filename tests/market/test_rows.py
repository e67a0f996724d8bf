"""Rows: what must hold of each before it enters the lake."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from backtester.errors import DataError
from backtester.market.importers import mapping
from backtester.market.importers.table import Layout
from backtester.market.importers.times import Stamps
from backtester.market.imports import Request, import_files
from backtester.market.rows import Policy
from tests.market.tables import HEADER, bring, csv, parquet, stored, utc


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

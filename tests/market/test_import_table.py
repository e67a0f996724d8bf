"""Tables of any vendor: columns, dialects and damaged files."""

from __future__ import annotations

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
from backtester.market.importers.times import Stamps
from backtester.market.imports import ImportReport
from backtester.market.lake import Lake
from tests.market.tables import HEADER, NEW_YORK, bring, csv, parquet, stored, utc


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

"""Lean's zips: what their paths, names and numbers mean."""

from __future__ import annotations

import datetime as dt
import io
import os
import stat
import zipfile
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from backtester.errors import DataError, ResourceError
from backtester.market.importers import source
from backtester.market.imports import ImportReport, Request, import_files
from backtester.market.lake import Lake

NEW_YORK = ZoneInfo("America/New_York")


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def packed(path: Path, rows: str, member: str | None = None) -> Path:
    """A zip as Lean names it, with one member of these rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    day, _, side = path.stem.partition("_")
    name = member or (f"{day}_{path.parent.name}_minute_{side}.csv" if side else f"{path.stem}.csv")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, rows)
    return path


def bring(
    root: Path, *sources: Path, interval: str | None = None, factors: Path | None = None, calendar: str | None = None
) -> ImportReport:
    return import_files(root, Request(tuple(sources), "lean", interval, calendar=calendar, factors=factors))


def rows(root: Path, kind: str = "bars", interval: str = "1m") -> pl.DataFrame:
    lake = Lake.open(root)
    days = lake.files(kind, interval)["session"]  # type: ignore[arg-type]
    return pl.concat(lake.read(kind, interval, np.datetime64(day)) for day in days)  # type: ignore[arg-type]


def test_a_minute_zip_gives_symbol_day_time_and_price(tmp_path: Path) -> None:
    packed(tmp_path / "equity/usa/minute/spy/20131007_trade.zip", "34200000,1686000,1686500,1685000,1686100,1234\n")
    bring(tmp_path / "lake", tmp_path / "equity")
    assert rows(tmp_path / "lake").rows() == [
        ("SPY", utc("2013-10-07 13:30"), 168.6, 168.65, 168.5, 168.61, 1234.0, "lean:20131007_trade.zip", 0)
    ]


@pytest.mark.parametrize(
    ("day", "opens"),
    [("20240308", "14:30"), ("20240311", "13:30"), ("20241101", "13:30"), ("20241104", "14:30")],
)
def test_midnight_in_new_york_follows_daylight_saving(tmp_path: Path, day: str, opens: str) -> None:
    packed(tmp_path / f"minute/spy/{day}_trade.zip", "34200000,10000,10000,10000,10000,1\n")
    bring(tmp_path / "lake", tmp_path / "minute")
    assert f"{rows(tmp_path / 'lake')['ts'][0]:%H:%M}" == opens


def test_quotes_keep_sizes_and_an_absent_side_stays_absent(tmp_path: Path) -> None:
    packed(tmp_path / "minute/spy/20131007_quote.zip", "34200000,10000,10200,10000,10100,5,,,,,\n34260000,,,,,,10300,10300,10300,10300,7\n")
    bring(tmp_path / "lake", tmp_path / "minute")
    found = rows(tmp_path / "lake", "quotes").select(pl.exclude("symbol", "ts", "source", "flags")).rows()
    assert found == [
        (1.0, 1.02, 1.0, 1.01, 5.0, None, None, None, None, None),
        (None, None, None, None, None, 1.03, 1.03, 1.03, 1.03, 7.0),
    ]


def test_a_second_zip_is_stored_as_1s(tmp_path: Path) -> None:
    packed(tmp_path / "second/spy/20131007_trade.zip", "34201000,10000,10000,10000,10000,1\n", "20131007_spy_second_trade.csv")
    bring(tmp_path / "lake", tmp_path / "second")
    assert rows(tmp_path / "lake", interval="1s")["ts"].to_list() == [utc("2013-10-07 13:30:01")]


def test_a_daily_bar_gets_the_sessions_open_and_a_dotted_symbol_its_dot(tmp_path: Path) -> None:
    packed(tmp_path / "daily/brk.b.zip", "20240705 00:00,10000,10000,10000,10000,1\n20241129 00:00,20000,20000,20000,20000,1\n")
    bring(tmp_path / "lake", tmp_path / "daily")
    found = rows(tmp_path / "lake", interval="1d")
    assert found.select("symbol", "ts").rows() == [("BRK.B", utc("2024-07-05 13:30")), ("BRK.B", utc("2024-11-29 14:30"))]


def test_the_hour_before_the_open_belongs_to_its_session(tmp_path: Path) -> None:
    packed(tmp_path / "hour/spy.zip", "20240705 08:00,1,1,1,1,1\n20240705 09:00,1,1,1,1,1\n20240705 16:00,1,1,1,1,1\n")
    bring(tmp_path / "lake", tmp_path / "hour")
    found = rows(tmp_path / "lake", interval="1h")
    assert found["flags"].to_list() == [4, 0, 4]
    assert found["ts"].to_list() == [utc("2024-07-05 12:00"), utc("2024-07-05 13:00"), utc("2024-07-05 20:00")]


def test_crypto_is_utc_unscaled_and_filed_by_utc_days(tmp_path: Path) -> None:
    folder = tmp_path / "crypto/coinbase/minute/btcusd"
    packed(folder / "20180404_trade.zip", "0,7000.5,7001,7000,7000.25,0.5\n86340000,7000,7000,7000,7000,2\n")
    bring(tmp_path / "lake", tmp_path / "crypto")
    found = rows(tmp_path / "lake")
    assert found.select("ts", "open", "volume", "flags").rows() == [
        (utc("2018-04-04 00:00"), 7000.5, 0.5, 0),
        (utc("2018-04-04 23:59"), 7000.0, 2.0, 0),
    ]
    assert Lake.open(tmp_path / "lake").catalog["session"].to_list() == [dt.date(2018, 4, 4)]


def test_ticks_and_other_asset_classes_are_left_out_and_reported(tmp_path: Path) -> None:
    packed(tmp_path / "equity/usa/minute/spy/20131007_trade.zip", "34200000,1,1,1,1,1\n")
    packed(tmp_path / "equity/usa/tick/spy/20131007_trade.zip", "1,1,1,P,1,0\n", "20131007_spy_Trade_Tick.csv")
    packed(tmp_path / "forex/oanda/minute/eurusd/20131007_quote.zip", "1,1,1,1,1,1\n")
    report = bring(tmp_path / "lake", tmp_path)
    assert sorted(reason for _, reason in report.skipped) == ["forex: unsupported", "ticks: unsupported"]
    assert report.rows_read == 1


def test_ticks_alone_are_nothing_to_import(tmp_path: Path) -> None:
    packed(tmp_path / "tick/spy/20131007_trade.zip", "1,1,1,P,1,0\n", "20131007_spy_Trade_Tick.csv")
    with pytest.raises(DataError, match=r"nothing to import .*ticks: unsupported"):
        bring(tmp_path / "lake", tmp_path / "tick")


def test_an_interval_that_was_named_is_the_only_one_taken(tmp_path: Path) -> None:
    packed(tmp_path / "minute/spy/20131007_trade.zip", "34200000,1,1,1,1,1\n")
    packed(tmp_path / "daily/spy.zip", "20131007 00:00,1,1,1,1,1\n")
    assert bring(tmp_path / "lake", tmp_path / "minute", tmp_path / "daily", interval="1d").intervals == {("bars", "1d")}


def test_a_zip_without_its_folders_is_understood_by_its_member(tmp_path: Path) -> None:
    packed(tmp_path / "20131007_trade.zip", "34200000,1,1,1,1,1\n", "20131007_aapl_minute_trade.csv")
    packed(tmp_path / "ibm.zip", "20131007 10:00,1,1,1,1,1\n", "ibm.csv")
    packed(tmp_path / "spy.zip", "20131007 00:00,1,1,1,1,1\n", "spy.csv")
    report = bring(tmp_path / "lake", tmp_path / "20131007_trade.zip", tmp_path / "ibm.zip", tmp_path / "spy.zip")
    assert report.intervals == {("bars", "1m"), ("bars", "1h"), ("bars", "1d")}
    assert report.symbols == {"AAPL", "IBM", "SPY"}


@pytest.mark.parametrize(
    ("path", "member", "word"),
    [
        ("minute/spy/20131007_trade.zip", "20131007_ibm_minute_trade.csv", "symbol"),
        ("minute/spy/20131007_trade.zip", "20131008_spy_minute_trade.csv", "date"),
        ("minute/spy/20131007_trade.zip", "20131007_spy_minute_quote.csv", "side"),
        ("minute/spy/20131007_trade.zip", "20131007_spy_second_trade.csv", "interval"),
        ("daily/spy.zip", "ibm.csv", "symbol"),
    ],
)
def test_a_member_that_disagrees_with_its_path_is_refused_dat_33(tmp_path: Path, path: str, member: str, word: str) -> None:
    packed(tmp_path / path, "34200000,1,1,1,1,1\n", member)
    with pytest.raises(DataError, match=f"the {word} of a zip's path and of its member differ"):
        bring(tmp_path / "lake", tmp_path / path)


@pytest.mark.parametrize("name", ["../evil.csv", "/etc/evil.csv", "a/b.csv", "..\\evil.csv", "C:evil.csv"])
def test_a_member_with_a_path_is_refused_s_15(tmp_path: Path, name: str) -> None:
    packed(tmp_path / "minute/spy/20131007_trade.zip", "34200000,1,1,1,1,1\n", name)
    with pytest.raises(DataError, match="a zip's member has a path"):
        bring(tmp_path / "lake", tmp_path / "minute")
    assert not (tmp_path / "lake").exists()


def test_a_link_in_a_zip_is_refused_s_15(tmp_path: Path) -> None:
    path = tmp_path / "minute/spy/20131007_trade.zip"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("20131007_spy_minute_trade.csv")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="not a plain file"):
        bring(tmp_path / "lake", path)


def test_a_zip_of_two_members_is_refused_s_15(tmp_path: Path) -> None:
    path = tmp_path / "minute/spy/20131007_trade.zip"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("20131007_spy_minute_trade.csv", "34200000,1,1,1,1,1\n")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("20131007_spy_minute_trade.csv", "34200000,1,1,1,1,1\n")
    with pytest.raises(DataError, match="exactly one file"):
        bring(tmp_path / "lake", path)


def test_a_zip_bomb_is_refused_before_it_is_unpacked_s_15(tmp_path: Path) -> None:
    path = packed(tmp_path / "minute/spy/20131007_trade.zip", "0" * 200_000_000)
    assert path.stat().st_size < 200_000
    with pytest.raises(ResourceError, match="too large once unpacked"):
        bring(tmp_path / "lake", path)


@pytest.mark.parametrize("most", [10, 40])
def test_a_zip_that_understates_its_size_is_cut_off_at_the_limit_s_15(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    path = packed(tmp_path / "minute/spy/20131007_trade.zip", "34200000,1,1,1,1,1\n" * 10)
    monkeypatch.setattr(source, "MAX_BYTES", most)
    with pytest.raises(ResourceError, match="too large once unpacked"):
        source.read_zip(path)


def test_a_truncated_and_an_encrypted_zip_are_named(tmp_path: Path) -> None:
    whole = packed(tmp_path / "minute/spy/20131007_trade.zip", "34200000,1,1,1,1,1\n")
    content = whole.read_bytes()
    whole.write_bytes(content[:-30])
    with pytest.raises(DataError, match=r"a damaged zip .*20131007_trade\.zip"):
        bring(tmp_path / "lake", whole)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        offset = archive.infolist()[0].header_offset
    directory = content.rindex(b"PK\x01\x02")
    marked = bytearray(content)
    marked[offset + 6] |= 1
    marked[directory + 8] |= 1
    whole.write_bytes(marked)
    with pytest.raises(DataError, match="an encrypted zip"):
        bring(tmp_path / "lake", whole)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("34200000,1,1,1,1", r"a row of another length .*line 2.*5 fields"),
        ("34200000,1,1,1,1,1,1", r"a row of another length .*line 2.*7 fields"),
        ("86400000,1,1,1,1,1", r"not a time of day .*line 2.*got 86400000"),
        ("-1,1,1,1,1,1", "not a time of day"),
        ("x,1,1,1,1,1", r"not a number .*line 2"),
        ("34260000,1,1,1,2,1", r"contradict each other .*line 2"),
        ("34260000,0,1,0,1,1", r"not above zero .*line 2"),
        ("34260000,1,1,1,1,-1", r"negative volume .*line 2"),
        ("34200000,2,2,2,2,2", r"two different rows for one bar .*line 1 and .*line 2"),
        ("34140000,1,1,1,1,1\n34260000,1,1,1,1,1", r"rows out of order .*line 2"),
        ("34230000,1,1,1,1,1", r"does not open on a whole 1m .*line 2"),
    ],
)
def test_a_damaged_row_is_named_with_its_line(tmp_path: Path, row: str, message: str) -> None:
    packed(tmp_path / "minute/spy/20131007_trade.zip", f"34200000,1,1,1,1,1\n{row}\n")
    with pytest.raises(DataError, match=message):
        bring(tmp_path / "lake", tmp_path / "minute")
    assert not (tmp_path / "lake").exists()


FACTORS = "20131007,0.5,0.5,10\n20131009,0.5,1,10\n20501231,1,1,0\n"


def test_a_factor_holds_up_to_and_including_its_date_and_leaves_volumes(tmp_path: Path) -> None:
    (tmp_path / "spy.csv").write_text(FACTORS)
    days = ("20131004", "20131007", "20131008", "20131009", "20131010")
    packed(tmp_path / "daily/spy.zip", "".join(f"{day} 00:00,400000,400000,400000,400000,9\n" for day in days))
    bring(tmp_path / "lake", tmp_path / "daily", factors=tmp_path / "spy.csv")
    found = rows(tmp_path / "lake", interval="1d")
    assert found["close"].to_list() == [10.0, 10.0, 20.0, 20.0, 40.0]
    assert found["volume"].to_list() == [9.0] * 5


def test_factors_are_recorded_in_the_source_and_apply_to_quotes(tmp_path: Path) -> None:
    (tmp_path / "spy.csv").write_text(FACTORS)
    packed(tmp_path / "minute/spy/20131008_quote.zip", "34200000,20000,20000,20000,20000,5,40000,40000,40000,40000,6\n")
    bring(tmp_path / "lake", tmp_path / "minute", factors=tmp_path / "spy.csv")
    found = rows(tmp_path / "lake", "quotes").row(0, named=True)
    assert (found["bid_open"], found["bid_size"], found["ask_close"], found["ask_size"]) == (1.0, 5.0, 2.0, 6.0)
    # sha256 of FACTORS by coreutils
    assert found["source"] == "lean:20131008_quote.zip factors:spy.csv@01ccf4252b6b"


def test_a_folder_of_factors_serves_each_symbol_its_own(tmp_path: Path) -> None:
    (tmp_path / "factors").mkdir()
    (tmp_path / "factors/spy.csv").write_text(FACTORS)
    for symbol in ("spy", "ibm"):
        packed(tmp_path / f"minute/{symbol}/20131008_trade.zip", "34200000,20000,20000,20000,20000,5\n")
    report = bring(tmp_path / "lake", tmp_path / "minute", factors=tmp_path / "factors")
    assert rows(tmp_path / "lake").select("symbol", "close").rows() == [("IBM", 2.0), ("SPY", 1.0)]
    assert report.notes == ["no factor file for IBM: its prices are as they came"]


def test_one_factor_file_for_two_symbols_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spy.csv").write_text(FACTORS)
    for symbol in ("spy", "ibm"):
        packed(tmp_path / f"minute/{symbol}/20131008_trade.zip", "34200000,20000,20000,20000,20000,5\n")
    with pytest.raises(DataError, match=r"holds for one symbol .*IBM, SPY"):
        bring(tmp_path / "lake", tmp_path / "minute", factors=tmp_path / "spy.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "without rows"),
        ("2013-10-07,1,1,1\n", r"not a row of a factor file .*line 1"),
        ("20131007,1\n", "not a row of a factor file"),
        ("20131007,0,1,1\n", "not above zero"),
        ("20131007,nan,1,1\n", "not above zero"),
        ("20131007,1,1,1\n", r"ends before the bars .*2013-10-08"),
    ],
)
def test_a_factor_file_that_makes_no_sense_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "spy.csv").write_text(text)
    packed(tmp_path / "minute/spy/20131008_trade.zip", "34200000,1,1,1,1,5\n")
    with pytest.raises(DataError, match=message):
        bring(tmp_path / "lake", tmp_path / "minute", factors=tmp_path / "spy.csv")


def test_adjusted_prices_do_not_silently_replace_raw_ones(tmp_path: Path) -> None:
    (tmp_path / "spy.csv").write_text(FACTORS)
    packed(tmp_path / "minute/spy/20131008_trade.zip", "34200000,20000,20000,20000,20000,5\n")
    bring(tmp_path / "lake", tmp_path / "minute")
    with pytest.raises(DataError, match="different bars"):
        bring(tmp_path / "lake", tmp_path / "minute", factors=tmp_path / "spy.csv")


def test_a_folder_that_cannot_be_read_is_named_dat_48(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path / "minute/spy/20131007_trade.zip", "34200000,1,1,1,1,1\n")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", os.fspath(path))

    monkeypatch.setattr(zipfile, "ZipFile", refuse)
    with pytest.raises(DataError, match=r"no permission to read a file .*20131007_trade\.zip"):
        bring(tmp_path / "lake", path)


# Real data: counts are the lines of the zips' members (unzip -p FILE | wc -l), prices and times from their text.


def test_the_whole_of_leans_sample_is_imported(shared_data: Path, tmp_path: Path) -> None:
    report = bring(tmp_path / "lake", shared_data / "lean_raw_zip" / "minute", shared_data / "lean_raw_zip" / "tick")
    assert report.rows_read == 10_799 + 12_062
    assert {reason for _, reason in report.skipped} == {"ticks: unsupported"}
    first = rows(tmp_path / "lake").filter(symbol="AAPL").row(0, named=True)
    assert (first["ts"], first["open"], first["volume"]) == (utc("2014-06-05 08:15"), 644.8, 90.0)
    assert first["ts"].astimezone(NEW_YORK).strftime("%H:%M") == "04:15"


@pytest.mark.parametrize(("kind", "folder"), [("bars", "lean_usa_minute"), ("quotes", "lean_usa_quote_minute")])
def test_the_zips_equal_the_same_bars_read_by_another_program(shared_data: Path, tmp_path: Path, kind: str, folder: str) -> None:
    bring(tmp_path / "lake", shared_data / "lean_raw_zip" / "minute")
    ours = rows(tmp_path / "lake", kind).drop("source", "flags")
    symbols = ours["symbol"].unique().to_list()
    theirs = pl.concat(pl.read_parquet(shared_data / folder / f"{symbol}.parquet") for symbol in sorted(symbols))
    local = pl.col("ts").dt.convert_time_zone("America/New_York").dt.date()
    days = ours.select("symbol", day=local).unique()
    same = theirs.with_columns(day=local).join(days, on=["symbol", "day"], how="semi").sort("symbol", "ts")
    same = same.select(pl.col(name).cast(dtype) for name, dtype in ours.schema.items())
    # Prices are whole ten thousandths; the other program's last bits are not those of a correct division.
    assert ours.sort("symbol", "ts").with_columns(pl.col(pl.Float64).round(4)).equals(same.with_columns(pl.col(pl.Float64).round(4)))


def test_hours_and_days_since_1998_are_imported_under_their_sessions(shared_data: Path, tmp_path: Path) -> None:
    report = bring(tmp_path / "lake", shared_data / "lean_raw_zip" / "daily" / "spy.zip")
    lake = Lake.open(tmp_path / "lake")
    assert (report.rows_read, len(lake.files("bars", "1d"))) == (5849, 5849)
    first = lake.read("bars", "1d", np.datetime64("1998-01-02")).row(0, named=True)
    assert (first["ts"], first["open"], first["close"], first["flags"]) == (utc("1998-01-02 14:30"), 97.31, 97.36, 0)


def test_spys_factor_of_october_2013(shared_data: Path, tmp_path: Path) -> None:
    """The factor 0.8646266 is the one that the reference runs were made with."""
    zipped = shared_data / "lean_raw_zip" / "minute" / "spy" / "20131007_trade.zip"
    bring(tmp_path / "raw", zipped)
    bring(tmp_path / "adjusted", zipped, factors=shared_data / "lean_reference" / "factor_files" / "spy.csv")
    raw, adjusted = rows(tmp_path / "raw"), rows(tmp_path / "adjusted")
    assert np.allclose(adjusted["close"] / raw["close"], 0.8646266, rtol=1e-12)
    assert adjusted["volume"].equals(raw["volume"])

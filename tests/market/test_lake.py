"""The lake: what a catalog vouches for, and how it is read."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from backtester.errors import DataError
from backtester.market.change import changing
from backtester.market.lake import Lake, write_catalog
from backtester.market.verify import verify

DAY, NEXT = dt.date(2025, 7, 2), dt.date(2025, 7, 3)


def bars(symbol: str = "AAPL", day: dt.date = DAY, closes: tuple[float, ...] = (10.0, 11.0)) -> pl.DataFrame:
    """One bar a minute from 13:30 UTC on."""
    opens = [dt.datetime(day.year, day.month, day.day, 13, 30 + minute, tzinfo=dt.UTC) for minute in range(len(closes))]
    frame = pl.DataFrame({"ts": opens, "close": closes}, schema={"ts": pl.Datetime("us", "UTC"), "close": pl.Float64})
    return frame.with_columns(
        *(pl.col("close").alias(name) for name in ("open", "high", "low")),
        symbol=pl.lit(symbol),
        session=pl.lit(day),
        volume=pl.lit(100.0),
        source=pl.lit("test"),
        flags=pl.lit(0, pl.Int32),
    )


def lake_of(root: Path, *frames: pl.DataFrame) -> Lake:
    with changing(root) as change:
        for frame in frames:
            change.add("bars", "1m", frame)
    return Lake.open(root)


def test_a_day_is_one_file_of_all_symbols_with_the_declared_schema(tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", bars("MSFT"), bars("AAPL"))
    schema = pq.read_schema(tmp_path / "lake/bars/1m/2025-07-02.parquet")
    assert {field.name: str(field.type) for field in schema} == {
        "symbol": "string", "ts": "timestamp[us, tz=UTC]", "open": "double", "high": "double", "low": "double", "close": "double",
        "volume": "double", "source": "string", "flags": "int32",
    }  # fmt: skip
    assert lake.read("bars", "1m", np.datetime64(DAY))["symbol"].to_list() == ["AAPL", "AAPL", "MSFT", "MSFT"]


def test_the_catalog_tells_of_each_file_its_rows_symbols_times_size_and_hash(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, bars("MSFT"), bars("AAPL", closes=(1.0, 2.0, 3.0)))
    content = (tmp_path / "bars/1m/2025-07-02.parquet").read_bytes()
    assert lake.catalog.rows(named=True) == [
        {
            "kind": "bars", "interval": "1m", "session": DAY, "path": "bars/1m/2025-07-02.parquet", "symbols": ["AAPL", "MSFT"], "rows": 5,
            "first_ts": dt.datetime(2025, 7, 2, 13, 30, tzinfo=dt.UTC), "last_ts": dt.datetime(2025, 7, 2, 13, 32, tzinfo=dt.UTC),
            "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(),
        }
    ]  # fmt: skip


def test_symbols_stay_text_whatever_they_look_like_dat_34(tmp_path: Path) -> None:
    odd = ["0700", "TRUE", "NA", "1E5", "INF", "nan"]
    lake = lake_of(tmp_path, *(bars(symbol) for symbol in odd))
    assert lake.symbols("bars", "1m") == sorted(odd)
    assert set(lake.read("bars", "1m", np.datetime64(DAY))["symbol"]) == set(odd)


def test_files_come_in_order_of_session_and_only_those_asked_for(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, bars(day=NEXT), bars(day=DAY))
    wanted = np.array(["2025-07-03", "2025-07-02", "2025-07-04"], "datetime64[D]")
    assert lake.files("bars", "1m", wanted)["session"].to_list() == [DAY, NEXT]
    assert lake.files("bars", "1m", wanted[:1])["session"].to_list() == [NEXT]
    assert len(lake.files("quotes", "1m")) == 0


def test_two_of_many_symbols_lie_in_few_row_groups(tmp_path: Path) -> None:
    one = bars("S000", closes=tuple(1.0 + minute for minute in range(29)))
    lake_of(tmp_path, pl.concat(one.with_columns(symbol=pl.lit(f"S{number:03d}")) for number in range(600)))
    metadata = pq.ParquetFile(tmp_path / "bars/1m/2025-07-02.parquet").metadata
    assert metadata.num_row_groups == 3
    statistics = metadata.row_group(1).column(0).statistics
    assert (statistics.min, statistics.max) == ("S215", "S430")


def test_a_folder_that_does_not_exist_is_no_lake(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder; make one with bt data import"):
        Lake.open(tmp_path / "gone")


def test_a_folder_without_a_catalog_is_no_lake(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a folder without catalog\.parquet"):
        Lake.open(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"symbol,ts\n", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_damaged_catalog_is_named_dat_01_to_03(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "catalog.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"the lake's catalog is damaged .*catalog\.parquet"):
        Lake.open(tmp_path)


@pytest.mark.parametrize("path", ["../secret.parquet", "/etc/passwd", "bars/1m/*.parquet", "bars/1m/2025-07-03.parquet"])
def test_a_catalog_that_speaks_of_foreign_paths_is_refused_s_01_s_04(tmp_path: Path, path: str) -> None:
    lake = lake_of(tmp_path, bars())
    write_catalog(tmp_path, lake.catalog.with_columns(path=pl.lit(path), staged=pl.lit(None, pl.String)))
    with pytest.raises(DataError, match="the lake's catalog is damaged"):
        Lake.open(tmp_path)


@pytest.mark.parametrize("staged", ["../x.tmp", "bars/1m/.2025-07-02.parquet.a/../../../../x.tmp", "bars/1m/2025-07-02.parquet"])
def test_a_catalog_with_foreign_temporary_names_is_refused_s_01(tmp_path: Path, staged: str) -> None:
    lake = lake_of(tmp_path, bars())
    write_catalog(tmp_path, lake.catalog.with_columns(staged=pl.lit(staged)))
    with pytest.raises(DataError, match="the lake's catalog is damaged"):
        Lake.open(tmp_path)


def test_a_flipped_byte_is_found_by_its_hash_dat_04(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, bars())
    file = tmp_path / "bars/1m/2025-07-02.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"fingerprint differs from the catalog \(bars/1m/2025-07-02\.parquet\)"):
        lake.check("bars/1m/2025-07-02.parquet", "hash")
    lake.check("bars/1m/2025-07-02.parquet", "size")
    lake.check("bars/1m/2025-07-02.parquet", "off")


def test_a_file_of_another_size_and_a_missing_one_are_found_f_11(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, bars())
    file = tmp_path / "bars/1m/2025-07-02.parquet"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match="another size"):
        lake.check("bars/1m/2025-07-02.parquet", "size")
    file.unlink()
    with pytest.raises(DataError, match=r"is gone \(bars/1m/2025-07-02\.parquet\)"):
        lake.check("bars/1m/2025-07-02.parquet", "hash")


def test_a_path_that_the_catalog_does_not_list_is_not_checked_but_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not in the catalog"):
        lake_of(tmp_path, bars()).check("bars/1m/2025-07-03.parquet", "size")


def test_verify_names_every_damaged_file_and_what_nobody_listed_dat_05(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, bars(), bars(day=NEXT))
    (tmp_path / "bars/1m/2025-07-03.parquet").write_bytes(b"x")
    (tmp_path / "bars/1m/tmp_2025-07-03.parquet").write_bytes(b"")
    verdict = verify(lake)
    assert list(verdict.damaged) == ["bars/1m/2025-07-03.parquet"]
    assert verdict.unlisted == ("bars/1m/tmp_2025-07-03.parquet",)
    assert verdict.files == 2


def test_the_summary_counts_symbols_sessions_and_rows_of_each_interval(tmp_path: Path) -> None:
    first, second = lake_of(tmp_path, bars("A"), bars("B", NEXT)).summary()[0], None
    assert (first["kind"], first["interval"], first["symbols"], first["sessions"], first["rows"]) == ("bars", "1m", ["A", "B"], 2, 4)
    assert (first["first_session"], first["last_session"], second) == (DAY, NEXT, None)


def test_a_lake_of_ten_years_opens_without_looking_at_its_files(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, bars())
    days = [dt.date(2015, 1, 1) + dt.timedelta(number) for number in range(2520)]
    row = lake.catalog.drop("session", "path").with_columns(staged=pl.lit(None, pl.String), symbols=pl.lit([f"S{n}" for n in range(100)]))
    many = row.join(pl.DataFrame({"session": days}), how="cross")
    write_catalog(tmp_path, many.with_columns(path=pl.format("bars/1m/{}.parquet", pl.col("session").dt.to_string("%Y-%m-%d"))))
    assert len(Lake.open(tmp_path).files("bars", "1m")) == 2520

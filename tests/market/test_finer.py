"""Finer bars of a lake: those of the best interval that it holds, inside the bar, with a volume."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from backtester.errors import DataError
from backtester.market.finer import Finer
from backtester.market.importers.table import Layout
from backtester.market.imports import Request, import_files
from backtester.market.lake import Lake
from backtester.market.sessions import sessions_between

DAY = dt.date(2024, 12, 2)
OPEN = dt.datetime(2024, 12, 2, 14, 30, tzinfo=dt.UTC)
SYMBOLS = ("AAA", "BBB", "CCC")


def stored(root: Path, interval: str, rows: list[tuple[str, int, float, float]]) -> None:
    """Import bars (symbol, seconds after the open, price, volume)."""
    columns = {"symbol": [row[0] for row in rows], "ts": [OPEN + dt.timedelta(seconds=row[1]) for row in rows]}
    columns |= {name: [row[2] + more for row in rows] for name, more in (("open", 0.0), ("high", 1.0), ("low", -1.0), ("close", 0.5))}
    path = root / f"{interval}.parquet"
    pl.DataFrame(columns | {"volume": [row[3] for row in rows]}).write_parquet(path)
    import_files(root / "lake", Request((path,), "parquet", layout=Layout(interval=interval)))


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """AAA in seconds and minutes, BBB in minutes, CCC not at all."""
    stored(tmp_path, "1s", [("AAA", 0, 10.0, 5.0), ("AAA", 59, 11.0, 0.0), ("AAA", 60, 12.0, 5.0), ("AAA", 119, 13.0, 5.0)])
    stored(tmp_path, "1m", [("AAA", 0, 20.0, 5.0), ("AAA", 60, 21.0, 5.0), ("BBB", 60, 30.0, 5.0)])
    return tmp_path / "lake"


def finer(lake: Path, base: str) -> Finer:
    return Finer(Lake.open(lake), base, SYMBOLS, sessions_between("XNYS", DAY, DAY), "hash", 2, None)


def micros(seconds: int) -> int:
    return int(OPEN.timestamp()) * 1_000_000 + seconds * 1_000_000


def asked(found: Finer, bars: list[tuple[int, int, int]]) -> list[tuple[float, ...]]:
    """(place, open, high, low, close) of the finer bars of bars (symbol, first, last second)."""
    symbol, first, last = (np.array(column, np.int64) for column in zip(*bars, strict=True))
    spans = [np.array([micros(int(at)) for at in column], np.int64) for column in (first, last)]
    return list(zip(*(column.tolist() for column in found(symbol, *spans)), strict=True))


def test_a_minute_s_seconds_are_those_inside_it_that_have_a_volume(lake: Path) -> None:
    found = finer(lake, "1m")
    assert asked(found, [(0, 60, 120), (0, 0, 60), (1, 60, 120)]) == [
        (0, 12.0, 13.0, 11.0, 12.5), (0, 13.0, 14.0, 12.0, 13.5), (1, 10.0, 11.0, 9.0, 10.5),
    ]  # fmt: skip
    assert asked(found, [(0, 0, 60)]) == [(0, 10.0, 11.0, 9.0, 10.5)]


def test_a_day_without_seconds_is_looked_into_by_the_minute(lake: Path) -> None:
    found, whole = finer(lake, "1d"), (0, 6 * 3600)
    assert [row[:2] for row in asked(found, [(0, *whole), (1, *whole), (2, *whole)])] == [(0, 10.0), (0, 12.0), (0, 13.0), (1, 30.0)]


def test_files_are_those_of_the_bars_named(lake: Path) -> None:
    found = finer(lake, "1d")
    asked(found, [(0, 0, 60), (1, 0, 120)])
    paths = [found.files(np.array([symbol]), np.array([micros(0)]))["path"].to_list() for symbol in (0, 1)]
    assert paths == [["bars/1s/2024-12-02.parquet"], ["bars/1s/2024-12-02.parquet", "bars/1m/2024-12-02.parquet"]]
    none = np.zeros(0, np.int64)
    assert found.files(none, none).height == 0


def test_a_base_that_nothing_is_finer_than_has_none(lake: Path) -> None:
    assert asked(finer(lake, "1s"), [(0, 0, 60)]) == []


def test_a_file_that_is_not_what_the_catalog_says_is_an_error(lake: Path) -> None:
    path = lake / "bars" / "1s" / "2024-12-02.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match="fingerprint"):
        asked(finer(lake, "1m"), [(0, 0, 60)])


def test_a_damaged_file_stops_everyone_who_looks_into_it(lake: Path) -> None:
    """Also the second of two trials that ask for the same bars."""
    found = finer(lake, "1m")
    path = lake / "bars/1s/2024-12-02.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    for _ in range(2):
        with pytest.raises(DataError, match="fingerprint differs"):
            asked(found, [(0, 0, 60)])


def test_an_unverified_file_that_cannot_be_read_is_not_called_by_another_s_name(tmp_path: Path) -> None:
    for day in (2, 3):
        rows = {
            "symbol": ["AAA"],
            "ts": [OPEN + dt.timedelta(days=day - 2)],
            **{name: [5.0] for name in ("open", "high", "low", "close", "volume")},
        }
        path = tmp_path / f"{day}.parquet"
        pl.DataFrame(rows).write_parquet(path)
        import_files(tmp_path / "lake", Request((path,), "parquet", layout=Layout(interval="1s")))
    broken = tmp_path / "lake/bars/1s/2024-12-03.parquet"
    broken.write_bytes(b"PAR1" + bytes(broken.stat().st_size - 8) + b"PAR1")
    days = sessions_between("XNYS", DAY, dt.date(2024, 12, 3))
    found = Finer(Lake.open(tmp_path / "lake"), "1m", SYMBOLS, days, "off", 2, None)
    with pytest.raises(DataError) as refused:
        asked(found, [(0, 0, 60), (0, 86_400, 86_460)])
    assert "2024-12-02.parquet" not in refused.value.message()
    assert "bars/1s" in refused.value.message()

"""Mean prices from a file of bars to a fill: a lake that holds them for one session of two."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

import backtester as bt
from backtester.market.importers.table import Layout
from backtester.market.imports import Request, import_files
from tests.configs import config, strategy

DAYS = {"with": dt.date(2024, 12, 2), "without": dt.date(2024, 12, 3)}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AAA, two sessions of 390 minutes: minute k is from 100 to 104 and closes at 103; on the first day its mean is 101 + k / 1000."""
    root = tmp_path_factory.mktemp("means")
    for name, day in DAYS.items():
        opened = dt.datetime(day.year, day.month, day.day, 14, 30, tzinfo=dt.UTC)
        columns = {"symbol": ["AAA"] * 390, "ts": [opened + dt.timedelta(minutes=k) for k in range(390)]}
        columns |= {
            part: [price] * 390 for part, price in (("open", 102.0), ("high", 104.0), ("low", 100.0), ("close", 103.0), ("volume", 9.0))
        }
        means = {"vwap": [101.0 + k / 1000 for k in range(390)]} if name == "with" else {}
        pl.DataFrame(columns | means).write_parquet(root / f"{name}.parquet")
        import_files(root / "lake", Request((root / f"{name}.parquet",), "parquet", layout=Layout(interval="1m")))
    return root / "lake"


def made(lake: Path, out: Path, day: str, days: int | None, **execution: object) -> bt.Run:
    changes = {
        "backtest_config.start_date": str(DAYS[day]),
        "backtest_config.end_date": str(DAYS["without"]),
        "backtest_config.prefetch_days": days,
        "session_data_config.symbols": ["AAA"],
        "strategies": strategy("buy_and_hold"),
        "execution": {"flat_at_close": True, **execution},
    }
    return bt.run(config(lake, changes), out=out)


def fills(lake: Path, out: Path, day: str, days: int | None, **execution: object) -> list[tuple[float, str]]:
    run = made(lake, out, day, days, **execution)
    return [(row["price"], row["flags"]) for row in run.table("fills").to_dicts()]


@pytest.mark.parametrize("days", [1, 2])
def test_fills_are_at_the_mean_of_the_next_bar_where_the_lake_has_it(lake: Path, tmp_path: Path, days: int) -> None:
    """The second minute's mean, 101.001, then the close; on the day without means (104 + 100 + 103) / 3."""
    typical = 307.0 / 3
    wanted = [(101.001, ""), (103.0, ""), (typical, "typical_price"), (103.0, "")]
    assert fills(lake, tmp_path / "run", "with", days, fill="next_vwap") == wanted


def test_a_lake_without_means_has_typical_prices(lake: Path, tmp_path: Path) -> None:
    assert fills(lake, tmp_path / "run", "without", None, fill="next_vwap")[0] == (307.0 / 3, "typical_price")


def test_other_fills_do_not_read_them(lake: Path, tmp_path: Path) -> None:
    assert fills(lake, tmp_path / "run", "with", None, fill="next_close") == [(103.0, "")] * 4


def test_parts_of_any_length_give_the_same_digests_where_only_some_sessions_have_means(lake: Path, tmp_path: Path) -> None:
    alone, together = (made(lake, tmp_path / str(days), "with", days, fill="next_vwap") for days in (1, 2))
    assert alone.table("digests").equals(together.table("digests"))
    assert alone.manifest["identity"]["result_key"] == together.manifest["identity"]["result_key"]


def test_means_are_in_the_digest_of_their_bars_where_fills_are_at_them(lake: Path, tmp_path: Path) -> None:
    runs = [made(lake, tmp_path / fill, "with", 2, fill=fill).table("digests") for fill in ("next_vwap", "next_close")]
    with_means, without = (run.filter(pl.col("stage") == "bars")["digest"].to_list() for run in runs)
    assert with_means[0] != without[0]
    assert with_means[1] == without[1]

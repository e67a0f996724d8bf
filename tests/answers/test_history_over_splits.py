"""What strategies see over Apple's real splits, in Lean's raw prices; the expected figures are worked out of the zips' text."""

from __future__ import annotations

import datetime as dt
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import backtester as bt
from backtester.market.action_changes import ROWS, add_actions
from backtester.market.imports import Request, import_files
from tests.configs import config, strategy

SPLITS = {"2000-06-21": 2.0, "2005-02-28": 2.0, "2014-06-09": 7.0, "2020-08-31": 4.0}
"""Apple's splits since 1998, by ex-date."""


@pytest.fixture(scope="module")
def apple_daily(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lean's own zip of AAPL's daily bars from 1998 to 2021 at raw prices, the splits, and a dividend of 2014."""
    root = tmp_path_factory.mktemp("apple") / "lake"
    import_files(root, Request((shared_data / "lean_raw_zip" / "daily" / "aapl.zip",), "lean"))
    rows = [("AAPL", dt.date.fromisoformat(day), "split", value, "apple", "") for day, value in SPLITS.items()]
    rows.append(("AAPL", dt.date(2014, 5, 8), "dividend", 3.29, "apple", ""))
    add_actions(root, pl.DataFrame(rows, schema=ROWS, orient="row"), "XNYS")
    return root


@pytest.fixture(scope="module")
def raw(shared_data: Path) -> list[dict[str, Any]]:
    """The bars as they stand in Lean's zip: prices in 1/10,000."""
    with zipfile.ZipFile(shared_data / "lean_raw_zip" / "daily" / "aapl.zip") as archive:
        lines = archive.read("aapl.csv").decode().splitlines()
    names = ("open", "high", "low", "close")
    return [
        {"day": f"{line[:4]}-{line[4:6]}-{line[6:8]}", "volume": float(line.split(",")[5]),
         **{name: int(value) / 10_000 for name, value in zip(names, line.split(",")[1:5], strict=True)}}
        for line in lines
    ]  # fmt: skip


def seen(bar: dict[str, Any], day: str) -> dict[str, Any]:
    """A bar as the session `day` sees it."""
    ratio = 1.0
    for ex_date, value in SPLITS.items():
        if bar["day"] < ex_date <= day:
            ratio *= value
    return {**{name: bar[name] / ratio for name in ("open", "high", "low", "close")}, "volume": bar["volume"] * ratio, "day": bar["day"]}


LOOKS = """
import numpy as np
from backtester import Signals, Strategy

class Looks(Strategy):
    interval = "1d"
    lookback = 5

    def signals(self, bars):
        wide = lambda values: np.broadcast_to(values, bars.shape)
        return Signals(
            enter_long=bars.valid,
            size=wide(bars.volume[:, :5].sum(axis=1)[:, None]),
            stop_price=bars.indicator("sma", period=6),
            target_price=wide(bars.historical("year.high")),
            limit=wide(bars.high[:, :5].max(axis=1)[:, None]),
            entry_stop=bars.indicator("sma_20"),
        )
"""


def run(lake: Path, folder: Path, first: str, last: str, monkeypatch: pytest.MonkeyPatch, **more: Any) -> bt.Run:
    (folder / "looks.py").write_text(LOOKS, encoding="utf-8")
    monkeypatch.chdir(folder)
    changes = {
        "session_data_config.symbols": ["AAPL"],
        "session_data_config.streams": ["1d"],
        "session_data_config.historical": {"indicators": {"year": {"type": "high_low", "period": "52w"}}},
        "session_data_config.indicators": {"session": [{"name": "sma", "period": 20, "interval": "1d"}]},
        "backtest_config.start_date": first,
        "backtest_config.end_date": last,
        "strategies": strategy("looks.py:Looks"),
        "keep": ["signals"],
    }
    return bt.run(config(lake, changes | more), out=folder / "run")


@pytest.mark.parametrize("ex_date", list(SPLITS))
@pytest.mark.parametrize("prefetch", [1, 1000])
def test_every_day_sees_those_before_it_in_its_own_shares(
    apple_daily: Path, raw: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ex_date: str, prefetch: int
) -> None:
    """Ten days before each of the four splits and ten after: five days' volume and highest price, averages of 6 and 20 closes, the
    highest price of 52 weeks.
    """
    days = [bar["day"] for bar in raw]
    at = days.index(ex_date)
    found = run(apple_daily, tmp_path, days[at - 10], days[at + 10], monkeypatch, **{"backtest_config.prefetch_days": prefetch})
    rows = found.table("signals").rows(named=True)
    assert [str(row["session"]) for row in rows] == days[at - 10 : at + 11]
    for place, row in enumerate(rows, start=at - 10):
        bars = [seen(bar, days[place]) for bar in raw[: place + 1]]
        assert row["price"] == raw[place]["close"]
        assert row["size"] == pytest.approx(sum(bar["volume"] for bar in bars[-6:-1]), rel=1e-12)
        assert row["limit"] == pytest.approx(max(bar["high"] for bar in bars[-6:-1]), rel=1e-12)
        assert row["stop_price"] == pytest.approx(sum(bar["close"] for bar in bars[-6:]) / 6, rel=1e-12)
        assert row["entry_stop"] == pytest.approx(sum(bar["close"] for bar in bars[-20:]) / 20, rel=1e-12)
        year = str(dt.date.fromisoformat(days[place]) - dt.timedelta(days=364))
        assert row["target_price"] == pytest.approx(max(bar["high"] for bar in bars[:-1] if bar["day"] >= year), rel=1e-12)


def test_a_week_with_a_split_on_its_wednesday_is_in_the_shares_of_its_friday(
    apple_daily: Path, raw: list[dict[str, Any]], tmp_path: Path
) -> None:
    """2:1 on 2000-06-21: Monday's and Tuesday's prices are halved, their volumes doubled."""
    changes = {
        "session_data_config.symbols": ["AAPL"],
        "session_data_config.streams": ["1d", "1w"],
        "backtest_config.start_date": "2000-06-12",
        "backtest_config.end_date": "2000-06-30",
        "keep": ["bars"],
    }
    weeks = bt.run(config(apple_daily, changes), out=tmp_path / "run").table("bars").filter(interval="1w")
    (week,) = weeks.filter(pl.col("session") == dt.date(2000, 6, 23)).rows(named=True)
    days = [bar for bar in raw if "2000-06-19" <= bar["day"] <= "2000-06-23"]
    bars = [seen(bar, "2000-06-23") for bar in days]
    assert days[1]["close"] == 101.0
    assert bars[1]["close"] == 50.5
    assert (week["open"], week["close"]) == (bars[0]["open"], bars[-1]["close"])
    assert (week["high"], week["low"]) == (max(bar["high"] for bar in bars), min(bar["low"] for bar in bars))
    assert week["volume"] == sum(bar["volume"] for bar in bars)


@pytest.mark.parametrize(("actions", "last", "highest", "shares"), [("apply", 92.2242857142857, 93.037142857142857, 84816697.0),
                                                                   ("ignore", 645.57, 651.26, 12116671.0)])  # fmt: skip
def test_the_minutes_before_apples_split_are_a_seventh_of_what_they_were(
    lean_aapl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, actions: str, last: float, highest: float, shares: float
) -> None:
    """By hand: 2014-06-06 closed at 645.57, its highest price was 651.26, its volume 12,116,671 shares; the 9th opened at 92.69."""
    (tmp_path / "minutes.py").write_text(
        "import numpy as np\n"
        "from backtester import Signals, Strategy\n"
        "class Minutes(Strategy):\n"
        "    lookback = 390\n"
        "    def signals(self, bars):\n"
        "        wide = lambda values: np.broadcast_to(values[:, None], bars.shape)\n"
        "        past = bars.volume[:, :390]\n"
        "        return Signals(enter_long=bars.slot == 0, stop_price=wide(bars.close[:, 389]), entry_stop=bars.open,\n"
        "                       target_price=wide(bars.high[:, :390].max(axis=1)), size=wide(past.sum(axis=1)))\n"
    )
    monkeypatch.chdir(tmp_path)
    changes = {
        "session_data_config.symbols": ["AAPL"],
        "backtest_config.start_date": "2014-06-06",
        "backtest_config.end_date": "2014-06-09",
        "strategies": strategy("minutes.py:Minutes"),
        "execution.actions": actions,
        "keep": ["signals"],
    }
    before, after = bt.run(config(lean_aapl, changes), out=tmp_path / "run").table("signals").rows(named=True)
    assert before["stop_price"] == 647.35  # the 5th's last close: on the 6th nobody knows of the split
    assert after["stop_price"] == pytest.approx(last, rel=1e-13)
    assert after["target_price"] == pytest.approx(highest, rel=1e-13)
    assert after["size"] == shares
    assert after["entry_stop"] == 92.69

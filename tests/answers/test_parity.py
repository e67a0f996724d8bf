"""Results of other engines on the same data, to the last cent. Source of the figures: ../shared/reference/parity.md."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import backtester as bt
from tests.configs import config, strategy

ALL_IN_AT_THE_QUOTE: dict[str, Any] = {
    "strategies": strategy("buy_and_hold"),
    "execution": {
        "fill": "same_close",
        "price": "quote",
        "sizing": {"type": "equity_fraction", "value": 0.9975},
        "commission": {"preset": "ibkr_fixed"},
    },
}
"""Lean's rules in our words: on the first bar, the most whole shares whose value and fee 99.75 % of the equity pays for, at the ask."""


@pytest.mark.parametrize(
    ("last_day", "end_equity"),
    [("2013-10-11", 101691.92), ("2013-10-08", 98824.68)],
    ids=["BasicTemplateAlgorithm", "ScheduledUniverseRegressionAlgorithm"],
)
def test_buying_all_in_on_the_first_bar_ends_as_in_lean(lean_raw: Path, tmp_path: Path, last_day: str, end_equity: float) -> None:
    changes = {**ALL_IN_AT_THE_QUOTE, "backtest_config.end_date": last_day}
    run = bt.run(config(lean_raw, changes), out=tmp_path / "run")
    fills = run.table("fills")
    assert fills.height == 1
    assert (fills["quantity"][0], fills["fee"][0], fills["side"][0]) == (688.0, 3.44, "buy")
    assert round(run.metrics["final_equity"], 2) == end_equity
    assert run.manifest["policies"]["optimistic"] is True


def test_buying_all_in_on_daily_bars_ends_as_in_lean(lean_daily: Path, tmp_path: Path) -> None:
    """BasicTemplateDailyAlgorithm: sized at the first day's close, filled at the next day's open."""
    changes = {
        "session_data_config.streams": ["1d"],
        "backtest_config.start_date": "2013-10-08",
        "backtest_config.end_date": "2013-10-17",
        "strategies": strategy("buy_and_hold", interval="1d"),
        "execution": {"sizing": {"type": "equity_fraction", "value": 0.9975}, "commission": {"preset": "ibkr_fixed"}},
    }
    run = bt.run(config(lean_daily, changes), out=tmp_path / "run")
    fills = run.table("fills")
    assert fills.select("quantity", "session").rows() == [(697.0, dt.date(2013, 10, 9))]
    assert fills["fee"][0] == pytest.approx(3.49, abs=0.0051)  # Lean prints cents: 697 shares at half a cent
    assert round(run.metrics["final_equity"], 2) == 104486.22


def test_a_short_whose_stop_is_already_through_is_covered_at_the_next_open_as_in_lean(
    lean_raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """StopLossOnOrderEventRegressionAlgorithm: short 100 at the first bar's bid, then a buy stop 2 below the fill."""
    (tmp_path / "through.py").write_text(
        "from backtester import Bars, Signals, Strategy\n"
        "class Through(Strategy):\n"
        "    def signals(self, bars: Bars) -> Signals:\n"
        "        first = (bars.slot == 0) & (bars.session == bars.session.min())\n"
        "        return Signals(enter_short=first, stop_price=bars.close - 2.0)\n"
    )
    changes = {
        "strategies": strategy("through.py:Through"),
        "account": {"cash": 100000, "allow_short": True},
        "execution": {"fill": "same_close", "price": "quote", "commission": {"preset": "ibkr_fixed"}},
    }
    monkeypatch.chdir(tmp_path)
    run = bt.run(config(lean_raw, changes), out=tmp_path / "run")
    fills = run.table("fills")
    assert fills.select("side", "type", "fee").rows() == [("sell", "market", 1.0), ("buy", "stop", 1.0)]
    assert fills["ts"].dt.convert_time_zone("America/New_York").dt.strftime("%H:%M").to_list() == ["09:30", "09:31"]
    assert round(run.metrics["final_equity"], 2) == 99995.41


@pytest.mark.parametrize(("action", "shares", "end_equity"), [("enter_long", 1, 100008.64), ("enter_short", 154, 98500.58)])
def test_a_position_goes_through_apples_split_without_a_cent_lost(
    lean_aapl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str, shares: int, end_equity: float
) -> None:
    """Lean's split regression algorithms, with clean 7:1 arithmetic: bought or sold on the first bar, held through 2014-06-09."""
    (tmp_path / "first.py").write_text(
        "from backtester import Bars, Signals, Strategy\n"
        "class First(Strategy):\n"
        "    def signals(self, bars: Bars) -> Signals:\n"
        f"        return Signals({action}=(bars.slot == 0) & (bars.session == bars.session.min()))\n"
    )
    changes = {
        "session_data_config.symbols": ["AAPL"],
        "backtest_config.start_date": "2014-06-05",
        "backtest_config.end_date": "2014-06-09",
        "strategies": strategy("first.py:First"),
        "account": {"cash": 100000, "allow_short": True},
        "execution": {
            "fill": "same_close",
            "price": "quote",
            "sizing": {"type": "shares", "value": shares},
            "commission": {"preset": "ibkr_fixed"},
        },
    }
    monkeypatch.chdir(tmp_path)
    run = bt.run(config(lean_aapl, changes), out=tmp_path / "run")
    assert run.table("fills").select("quantity", "fee").rows() == [(float(shares), 1.0)]
    assert run.table("trades")["quantity"].to_list() == [7.0 * shares]
    assert round(run.metrics["final_equity"], 2) == end_equity


CALLS = {"15:00": 127.14, "15:16": 127.16, "15:30": 127.20, "15:31": 127.16, "15:38": 127.16,
         "15:42": 127.26, "15:47": 127.34, "15:53": 127.37, "15:58": 127.40}  # fmt: skip
"""PyAlgoTrade, SPY 2011-01-03: the close stamp (UTC) of the bar on which a market order was sent -> the price at which it filled."""


def test_market_orders_fill_at_the_next_bars_open_as_in_pyalgotrade(
    spy_2011: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine orders: bought and sold in turn, by a strategy that acts at those stamps."""
    (tmp_path / "calls.py").write_text(
        "import datetime as dt\n"
        "import numpy as np\n"
        "from backtester import Bars, Signals, Strategy\n"
        f"CALLS = {sorted(CALLS)!r}\n"
        "class Calls(Strategy):\n"
        "    def signals(self, bars: Bars) -> Signals:\n"
        "        at = [int(dt.datetime.fromisoformat(f'2011-01-03T{c}:00+00:00').timestamp()) * 1_000_000 for c in CALLS]\n"
        "        return Signals(enter_long=np.isin(bars.end, at[0::2]), exit_long=np.isin(bars.end, at[1::2]))\n"
    )
    changes = {
        "backtest_config.start_date": "2011-01-03",
        "backtest_config.end_date": "2011-01-03",
        "strategies": strategy("calls.py:Calls"),
        "execution": {"sizing": {"type": "shares", "value": 100}},
    }

    monkeypatch.chdir(tmp_path)
    run = bt.run(config(spy_2011, changes), out=tmp_path / "run")
    fills = run.table("fills")
    assert fills["price"].to_list() == [CALLS[at] for at in sorted(CALLS)]
    assert fills["ts"].to_list() == [dt.datetime.fromisoformat(f"2011-01-03T{at}:00+00:00") for at in sorted(CALLS)]
    assert fills["side"].to_list() == ["buy", "sell"] * 4 + ["buy"]
    assert run.table("trades").filter(pl.col("is_open")).height == 1

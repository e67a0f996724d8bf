"""Runs over prices recorded in real markets; figures of ../shared/data/README.md and counts made by hand there."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

import backtester as bt
from tests.configs import config, strategy

WEEK_2019 = {
    "backtest_config.start_date": "2019-02-11",
    "backtest_config.end_date": "2019-02-15",
}
BARS_2019 = {
    "AAPL": 1948, "GLD": 1927, "JPM": 1950, "MSFT": 1948, "PPLT": 566, "QQQ": 1948,
    "SLV": 1776, "SPY": 1950, "TZA": 1783, "UGA": 388, "XLP": 1945,
}  # fmt: skip


def quality(run: bt.Run, symbol: str) -> pl.DataFrame:
    return run.table("quality").filter(pl.col("symbol") == symbol, pl.col("interval") == "1m").sort("session")


def test_a_week_of_four_symbols_is_five_sessions_and_counts_every_missing_minute(lean_2013: Path, tmp_path: Path) -> None:
    """SPY has 1950 regular bars and quality 100; AIG and IBM miss one minute each; bars outside the session are counted."""
    run = bt.run(config(lean_2013, {"session_data_config.symbols": ["SPY", "AIG", "BAC", "IBM"]}), out=tmp_path / "run")
    assert run.table("sessions").height == 5
    assert quality(run, "SPY")["actual"].sum() == 1950
    assert quality(run, "SPY")["quality"].to_list() == [100.0] * 5
    assert (quality(run, "SPY")["out_of_session"] > 0).all()
    gaps = run.table("gaps")
    assert gaps.filter(pl.col("symbol") == "AIG")["bars"].to_list() == [1]
    assert gaps.filter(pl.col("symbol") == "IBM")["bars"].to_list() == [1]
    assert gaps.filter(pl.col("symbol") == "SPY").is_empty()
    out_of_session = run.table("findings").filter(pl.col("symbol") == "SPY", pl.col("kind") == "out_of_session")
    assert out_of_session["value"].to_list() == quality(run, "SPY")["out_of_session"].to_list()


def test_an_early_close_has_210_slots_and_none_of_the_bars_after_it(lean_2013: Path, tmp_path: Path) -> None:
    """GOOG 2015-12-24 closes at 13:00 New York, 18:00 UTC; Lean's file goes on after it."""
    changes = {
        "session_data_config.symbols": ["GOOG"],
        "session_data_config.streams": ["1m", "1h"],
        "backtest_config.start_date": "2015-12-23",
        "backtest_config.end_date": "2015-12-28",
    }
    run = bt.run(config(lean_2013, changes), out=tmp_path / "run")
    assert run.table("sessions")["session"].to_list() == [dt.date(2015, 12, 23), dt.date(2015, 12, 24), dt.date(2015, 12, 28)]
    early = run.table("sessions").row(1, named=True)
    assert (early["expected"], early["early_close"]) == (210, True)
    close = dt.datetime(2015, 12, 24, 18, 0, tzinfo=dt.UTC)
    assert early["close"] == close
    assert quality(run, "GOOG")["last_ts"][1] < close
    equity = run.table("equity").filter(pl.col("session") == dt.date(2015, 12, 24))
    assert equity["ts"].max() < close
    hours = run.table("quality").filter(pl.col("interval") == "1h").sort("session")
    assert hours["expected"].to_list() == [7, 4, 7]


def test_twelve_symbols_have_the_bars_that_the_vendor_sent(us_2019: Path, tmp_path: Path) -> None:
    changes = {**WEEK_2019, "session_data_config.symbols": [*BARS_2019, "VIX"]}
    run = bt.run(config(us_2019, changes), out=tmp_path / "run")
    counted = run.table("quality").group_by("symbol").agg(pl.col("actual").sum())
    assert {symbol: actual for symbol, actual in counted.iter_rows() if symbol != "VIX"} == BARS_2019
    zero = run.table("findings").filter(pl.col("kind") == "zero_volume", pl.col("symbol") == "VIX")
    assert zero["session"].n_unique() == 5


@pytest.mark.parametrize("symbols", [["AAPL", "MSFT", "QQQ", "JPM", "SPY"]])
def test_two_minutes_that_three_of_five_symbols_miss_are_a_market_gap(symbols: list[str], us_2019: Path, tmp_path: Path) -> None:
    """AAPL, MSFT and QQQ miss the same two minutes while JPM and SPY have them: most of these five, so a feed's outage."""
    run = bt.run(config(us_2019, {**WEEK_2019, "session_data_config.symbols": symbols}), out=tmp_path / "run")
    gaps = run.table("gaps").filter(pl.col("symbol").is_in(["AAPL", "MSFT", "QQQ"]))
    assert gaps["kind"].unique().to_list() == ["market"]
    assert gaps.group_by("symbol").agg(pl.col("bars").sum())["bars"].to_list() == [2, 2, 2]
    assert gaps["start"].n_unique() * 3 == gaps.height


def thin_and_whole(use: str, **params: object) -> dict[str, object]:
    return {
        **WEEK_2019,
        "session_data_config.symbols": ["UGA", "SPY"],
        "strategies": strategy(use, **params),
        "trading_config": {"min_quality": 95},
    }


def test_a_thin_symbol_is_kept_from_trading_by_min_quality(us_2019: Path, tmp_path: Path) -> None:
    """UGA has 388 of 1950 bars: from a quarter of an hour after the open every entry is low_quality; SPY trades beside it."""
    changes = thin_and_whole("vwap_reversion", distance=0.0005)
    run = bt.run(config(us_2019, changes), out=tmp_path / "run")
    entries = run.table("decisions").filter(pl.col("action") == "enter_long")
    thin = entries.filter(pl.col("symbol") == "UGA")
    assert thin.height > 0
    assert set(thin["reason"]) == {"low_quality"}
    assert run.table("fills")["symbol"].unique().to_list() == ["SPY"]


def test_quality_is_what_was_known_at_the_bar(us_2019: Path, tmp_path: Path) -> None:
    """A session that opened with a bar has quality 100 in its first minute, whatever it lacks later in the day."""
    run = bt.run(config(us_2019, thin_and_whole("sma_crossover", fast=5, slow=20)), out=tmp_path / "run")
    thin = run.table("decisions").filter(pl.col("action") == "enter_long", pl.col("symbol") == "UGA")
    assert thin.filter(pl.col("quality") < 95)["reason"].unique().to_list() == ["low_quality"]
    early = thin.filter(pl.col("quality") >= 95)
    assert early["ts"].dt.strftime("%H:%M").unique().to_list() == ["14:31"]
    assert early["approved"].all()


def test_a_month_stamped_at_the_close_has_390_bars_in_each_of_its_20_sessions(spy_2011: Path, tmp_path: Path) -> None:
    changes = {"backtest_config.start_date": "2011-01-01", "backtest_config.end_date": "2011-01-31"}
    run = bt.run(config(spy_2011, changes), out=tmp_path / "run")
    assert run.table("quality")["actual"].to_list() == [390] * 20
    assert run.table("sessions")["quality"].to_list() == [100.0] * 20

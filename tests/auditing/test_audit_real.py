"""Built-in strategies over prices recorded in real markets, with thin symbols, a split, daily bars, weeks: nothing knows the future."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backtester import config
from backtester.auditing.audit import audit
from backtester.auditing.verdict import Verdict
from tests import configs

INTRADAY = ("sma_crossover", "rsi_reversion", "opening_range_breakout", "vwap_reversion", "cross_sectional_momentum", "buy_and_hold")


def audited(lake: Path, first: str, last: str, symbols: list[str], more: dict[str, Any]) -> Verdict:
    days = {"backtest_config.start_date": first, "backtest_config.end_date": last, "session_data_config.symbols": symbols}
    return audit(config.load(configs.config(lake, {**days, **more})), cuts=12, changes=8)


def used(*names: str, **params: Any) -> list[dict[str, Any]]:
    return [{"name": name, "use": name, "params": params} for name in names]


def assert_clean(verdict: Verdict, *subjects: str) -> None:
    assert [row for row in verdict.rows if row.leaks] == []
    assert {row.subject for row in verdict.rows if row.check == "prefix cut" and row.looks > 0} >= set(subjects)


def test_thin_and_whole_symbols_of_2019_are_clean(us_2019: Path) -> None:
    more = {
        "strategies": used(*INTRADAY),
        "session_data_config.indicators.session": [{"name": "macd", "interval": "5m"}],
        "session_data_config.historical.indicators": {"usual": {"type": "trailing_max", "period": "2d", "granularity": "minute"}},
        "session_data_config.derived.min_completeness": 0.2,
    }
    verdict = audited(us_2019, "2019-02-13", "2019-02-15", ["UGA", "SPY", "PPLT"], more)
    assert_clean(verdict, *(f"strategy {name}" for name in INTRADAY), "indicator 5m/macd.signal", "historical usual", "bars 5m")
    assert verdict.change_cuts > 12


def test_history_over_a_split_is_clean(lean_aapl: Path) -> None:
    """7 for 1 on 2014-06-09: the sessions before it do not know of it, its own sees them in new shares."""
    more = {
        "strategies": used("sma_crossover", "rsi_reversion", interval="15m"),
        "session_data_config.historical.indicators": {"before": {"type": "trailing_average", "period": "1d", "field": "close"}},
    }
    verdict = audited(lean_aapl, "2014-06-05", "2014-06-09", ["AAPL"], more)
    assert_clean(verdict, "strategy sma_crossover", "historical before")


def test_days_weeks_and_five_days_are_clean(lean_daily: Path) -> None:
    more = {
        "strategies": [
            *used("sma_crossover", interval="1d"),
            *used("buy_and_hold", interval="1d"),
            *used("cross_sectional_momentum", interval="1d"),
        ],
        "session_data_config.streams": ["1d", "1w", "5d"],
        "session_data_config.indicators.session": [{"name": "sma", "period": 4, "interval": "1w"}],
        "session_data_config.historical.indicators": {"year": {"type": "high_low", "period": "1y"}},
    }
    verdict = audited(lean_daily, "2013-01-02", "2013-06-28", ["SPY"], more)
    assert_clean(verdict, "strategy sma_crossover", "indicator 1w/sma_4", "historical year.high", "bars 1w", "bars 5d")

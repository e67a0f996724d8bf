"""Strategies called over chunks: what each sees is its own, and what is said of one that fails."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import backtester as bt
from tests.configs import config

WINDOW: dict[str, Any] = {
    "backtest_config.start_date": "2024-11-25",
    "backtest_config.end_date": "2024-12-06",
    "session_data_config.symbols": ["AAA", "BBB"],
    "keep": ["signals", "indicators"],
}
SEES = """
import numpy as np
from backtester import Signals, Strategy

class Sees(Strategy):
    inputs = {"bars": "5m", "coarse": "1h"}
    lookback = {"bars": 8, "coarse": 3}

    def signals(self, bars):
        oldest = np.argmax(bars.valid, axis=-1)[:, None]
        coarse = bars.input("coarse")
        return Signals(
            enter_long=bars.valid,
            confidence=bars.indicator("rsi", period=2) / 100,
            size=np.broadcast_to(1.0 + np.abs(bars.ts[:, :1]) * 0 + bars.shape[1] + oldest, bars.shape),
            stop_price=coarse.onto(bars, coarse.indicator("ema", period=2)),
        )
"""


@pytest.fixture
def sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A strategy whose signals carry what it sees: smoothing from the row's first bar on, and where that bar stands."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sees.py").write_text(SEES, encoding="utf-8")
    return {"name": "sees", "use": "sees.py:Sees"}


def signals(run: bt.Run, strategy: str) -> pl.DataFrame:
    return run.table("signals").filter(pl.col("strategy") == strategy)


def test_a_strategy_sees_the_same_whatever_else_a_config_asks_for(sees: dict[str, Any], simulated: Path, tmp_path: Path) -> None:
    """Another strategy with a longer lookback, and configured indicators of the same intervals."""
    alone = bt.run(config(simulated, {**WINDOW, "strategies": [sees]}), out=tmp_path / "alone")
    more = {
        **WINDOW,
        "strategies": [sees, {"name": "long", "use": "sma_crossover", "params": {"interval": "5m", "fast": 50, "slow": 300}}],
        "session_data_config.indicators": {
            "session": [{"name": "sma", "period": 200, "interval": "5m"}, {"name": "ema", "period": 9, "interval": "1h"}]
        },
    }
    beside = bt.run(config(simulated, more), out=tmp_path / "beside")
    assert signals(alone, "sees").height > 20
    assert signals(beside, "sees").equals(signals(alone, "sees"))


def test_a_configured_indicator_is_warmed_up_beyond_the_strategys_own_history(
    simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bar of history and an average of twenty: it is there on the session's first bar, and on the bar before it; as recorded."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "warm.py").write_text(
        "from backtester import Signals, Strategy\n"
        "class Warm(Strategy):\n"
        "    interval = '5m'\n"
        "    lookback = 1\n"
        "    def signals(self, bars):\n"
        "        average = bars.indicator('sma_20')\n"
        "        before = average.copy()\n"
        "        before[:, 1:] = average[:, :-1]\n"
        "        return Signals(enter_long=bars.valid, stop_price=average, target_price=before)\n",
        encoding="utf-8",
    )
    changes = {
        **WINDOW,
        "session_data_config.indicators": {"session": [{"name": "sma", "period": 20, "interval": "5m"}]},
        "session_data_config.derived": {"min_completeness": 0.2},
        "strategies": [{"name": "warm", "use": "warm.py:Warm"}],
    }
    run = bt.run(config(simulated, changes), out=tmp_path / "run")
    seen = signals(run, "warm").sort("symbol", "ts")
    recorded = run.table("indicators").filter(pl.col("name") == "sma_20").sort("symbol", "ts")
    assert seen["stop_price"].to_list() == recorded["value"].to_list()
    assert seen["stop_price"].null_count() == 0
    assert seen["target_price"].null_count() == 0
    pairs = seen.select("symbol", "stop_price", "target_price", pl.col("stop_price").shift(1).over("symbol").alias("last"))
    assert pairs.filter(pl.col("last").is_not_null() & (pl.col("last") != pl.col("target_price"))).is_empty()


HEAD = """import sys
import numpy as np
from backtester import Signals, Strategy

class Bad(Strategy):
    def signals(self, bars):
        there = (bars.symbol == "BBB") & (bars.session == np.datetime64("2024-11-29"))
        if there.any():
            return self.bad(bars, np.broadcast_to(there, bars.shape))
        return Signals(enter_long=bars.valid)

    def bad(self, bars, there):
        """
AT = r"session 2024-11-29, symbol BBB"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('two\\nlines')", rf"a strategy raised an error \(strategy bad, bad\.py:13, {AT}\): got ValueError: two;"),
        ("sys.exit(2)", rf"\(strategy bad, bad\.py:13, {AT}\): got SystemExit: 2"),
        ("return np.linalg.inv(np.zeros((2, 2)))", rf"\(strategy bad, bad\.py:13, {AT}\): got LinAlgError"),
        ("bars.close[...] = 0.0", rf"\(strategy bad, bad\.py:13, {AT}\): got ValueError: .*read-only"),
        ("bars.indicator('smaa')", rf"no such indicator \(strategy bad, bad\.py:13, {AT}\): got 'smaa'; did you mean 'sma'"),
        ("bars.input('trend')", rf"no such input \(strategy bad, bad\.py:13, {AT}\)"),
        ("return None", rf"signals must return Signals \(strategy bad, {AT}\): got NoneType"),
        ("return Signals(enter_long=np.full(bars.shape, np.nan))", rf"wrong dtype \(strategy bad, column enter_long, {AT}\)"),
        ("return Signals(enter_long=bars.valid, size=np.where(there, np.inf, 1.0))",
         r"value out of range \(strategy bad, column size, session 2024-11-29, symbol BBB, bar 0\): got inf"),
        ("return Signals(tags=['a'])", rf"wrong shape \(strategy bad, column tags, {AT}\)"),
    ],
)  # fmt: skip
def test_an_error_names_strategy_line_session_and_symbol(
    body: str, message: str, simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STR-04, STR-06 to STR-11, F-15, F-17: of two symbols and two weeks read at once; the log has the strategy's own frames alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.py").write_text(HEAD + body + "\n", encoding="utf-8")
    run = bt.run(config(simulated, {**WINDOW, "strategies": [{"name": "bad", "use": "bad.py:Bad"}]}), out=tmp_path / "run")
    warnings = run.manifest["execution"]["warnings"]
    assert re.search(r"strategy bad was stopped on 2024-11-29: .*" + message, warnings[-1]), warnings[-1]
    assert "\n" not in warnings[-1]
    days = signals(run, "bad")["session"].unique().to_list()
    assert sorted(str(day) for day in days) == ["2024-11-25", "2024-11-26", "2024-11-27"]
    log = (run.folder / "run.log").read_text(encoding="utf-8")
    frames = re.findall(r'File "(.*)", line', log)
    assert all("backtester/" not in frame.replace(str(tmp_path), "") or "signals/" in frame for frame in frames)
    if "bad.py:13" in message:
        assert frames[0] == str(tmp_path / "bad.py")


def test_a_shape_that_is_wrong_in_every_batch_is_said_for_the_first_session(
    simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STR-08: with both shapes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flat.py").write_text(
        "from backtester import Signals, Strategy\n"
        "class Flat(Strategy):\n"
        "    def signals(self, bars):\n"
        "        return Signals(enter_long=bars.valid.ravel())\n",
        encoding="utf-8",
    )
    run = bt.run(config(simulated, {**WINDOW, "strategies": [{"name": "flat", "use": "flat.py:Flat"}]}), out=tmp_path / "run")
    said = run.manifest["execution"]["warnings"][-1]
    assert re.search(r"wrong shape \(strategy flat, column enter_long, session 2024-11-25\): got \(\d+,\); allowed: \(2, \d+\)", said), said


def test_a_symbol_that_is_not_to_blame_is_not_named(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It raises where two symbols come together, and for neither alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "both.py").write_text(
        "from backtester import Signals, Strategy\n"
        "class Both(Strategy):\n"
        "    def signals(self, bars):\n"
        "        if len(set(bars.symbol.ravel())) == 2:\n"
        "            raise RuntimeError('crowded')\n"
        "        return Signals()\n",
        encoding="utf-8",
    )
    run = bt.run(config(simulated, {**WINDOW, "strategies": [{"name": "both", "use": "both.py:Both"}]}), out=tmp_path / "run")
    said = run.manifest["execution"]["warnings"][-1]
    assert "(strategy both, both.py:5, session 2024-11-25): got RuntimeError: crowded" in said


def test_pivot_points_are_those_of_the_session_before(simulated: Path, tmp_path: Path) -> None:
    """SPEC 9: (high + low + close) / 3 of all minutes of the session before; also of the window's first session, and by the list form."""
    changes = {
        **WINDOW,
        "backtest_config.start_date": "2024-11-27",
        "backtest_config.end_date": "2024-12-03",
        "keep": ["indicators", "bars"],
        "session_data_config.indicators": {"session": [{"name": "pivot_points", "interval": "1h"}]},
        "session_data_config.derived": {"min_completeness": 0.1},
    }
    run = bt.run(config(simulated, changes), out=tmp_path / "run")
    found = run.table("indicators").filter(pl.col("name") == "pivot_points.pivot")
    assert found["session"].n_unique() == 4
    days = ["2024-11-26", "2024-11-27", "2024-11-29", "2024-12-02", "2024-12-03"]
    for symbol in ("AAA", "BBB"):
        for before, day in pairwise(days):
            stored = pl.read_parquet(simulated / "bars" / "1m" / f"{before}.parquet").filter(pl.col("symbol") == symbol).sort("ts")
            expected = (stored["high"].max() + stored["low"].min() + stored["close"][-1]) / 3  # type: ignore[operator]
            seen = found.filter((pl.col("symbol") == symbol) & (pl.col("session").cast(pl.String) == day))["value"]
            assert seen.len() > 0
            assert seen.to_list() == pytest.approx([expected] * seen.len(), rel=1e-14)


def test_too_little_history_is_said_once(simulated: Path, tmp_path: Path) -> None:
    """SPEC 8: NaN and one warning, not a wrong number; the lake begins on 2024-10-01."""
    indicators = {"year": {"type": "trailing_max", "period": "52w"}, "week": {"type": "trailing_max", "period": "1w"}}
    changes = {**WINDOW, "keep": ["indicators"], "session_data_config.historical": {"indicators": indicators}}
    run = bt.run(config(simulated, changes), out=tmp_path / "run")
    assert run.manifest["execution"]["warnings"] == ["year has no value in 18 symbol-sessions for lack of history"]
    values = run.table("indicators")
    assert values.filter(pl.col("name") == "year")["value"].is_null().all()
    assert values.filter(pl.col("name") == "week")["value"].is_not_null().all()


def test_historical_indicators_reach_the_strategy(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One value a session for every bar of it, one value a minute for each; as recorded, on every input."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "usual.py").write_text(
        "import numpy as np\n"
        "from backtester import Signals, Strategy\n"
        "class Usual(Strategy):\n"
        "    inputs = {'bars': '1m', 'five': '5m'}\n"
        "    def signals(self, bars):\n"
        "        day = np.broadcast_to(bars.historical('day'), bars.shape)\n"
        "        five = bars.input('five')\n"
        "        assert five.historical('day').shape == (bars.shape[0], 1)\n"
        "        assert five.historical('minute').shape == five.shape\n"
        "        return Signals(enter_long=bars.valid, stop_price=day, target_price=bars.historical('minute'))\n",
        encoding="utf-8",
    )
    indicators = {
        "day": {"type": "trailing_average", "period": "2d"},
        "minute": {"type": "trailing_max", "period": "2d", "granularity": "minute", "field": "high"},
    }
    changes = {
        **WINDOW,
        "session_data_config.historical": {"indicators": indicators},
        "strategies": [{"name": "usual", "use": "usual.py:Usual"}],
    }
    run = bt.run(config(simulated, changes), out=tmp_path / "run")
    assert run.manifest["execution"]["warnings"][-1].endswith("bars of 5m were not made because slots were missing")
    recorded = run.table("indicators").filter(pl.col("interval") == "historical")
    minutes = recorded.filter(pl.col("name") == "minute").select("symbol", "ts", "value")
    seen = signals(run, "usual").with_columns(ts=pl.col("ts") - pl.duration(minutes=1)).join(minutes, on=["symbol", "ts"])
    assert seen.height == signals(run, "usual").height
    assert seen["target_price"].to_list() == seen["value"].to_list()
    days = recorded.filter(pl.col("name") == "day").select("symbol", "session", "value")
    joined = signals(run, "usual").join(days, on=["symbol", "session"])
    assert joined["stop_price"].to_list() == joined["value"].to_list()
    assert joined["value"].n_unique() == 2 * 9


def test_a_strategy_of_weeks_sees_as_many_as_it_asks_for(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three whole weeks before every session, whatever its day of the week."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weeks.py").write_text(
        "import numpy as np\n"
        "from backtester import Signals, Strategy\n"
        "class Weeks(Strategy):\n"
        "    inputs = {'bars': '1m', 'week': '1w'}\n"
        "    lookback = {'week': 3}\n"
        "    def signals(self, bars):\n"
        "        week = bars.input('week')\n"
        "        history = week.valid[:, :3].sum(axis=1)[:, None]\n"
        "        return Signals(enter_long=bars.slot == 0, size=np.broadcast_to(1.0 + history, bars.shape))\n",
        encoding="utf-8",
    )
    changes = {
        **WINDOW,
        "session_data_config.derived": {"min_completeness": 0.1},
        "strategies": [{"name": "weeks", "use": "weeks.py:Weeks"}],
    }
    found = signals(bt.run(config(simulated, changes), out=tmp_path / "run"), "weeks")
    assert found["session"].n_unique() == 9
    assert set(found["size"]) == {4.0}

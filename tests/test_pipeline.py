"""The whole run: the same result however it is cut, on any number of threads; what a folder holds; what stops a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import backtester as bt
from backtester import trading_days
from backtester.errors import CalendarError, ConfigError, DataError, OutputError, ResourceError, StrategyError
from tests.configs import config, strategy

EVERYTHING: dict[str, Any] = {
    "backtest_config.start_date": "2024-11-01",
    "backtest_config.end_date": "2024-12-06",
    "session_data_config.symbols": ["AAA", "BBB", "CCC", "DDD"],
    "session_data_config.streams": ["1m", "5m", "1h", "1d", "1w", "quotes"],
    "session_data_config.historical": {
        "data": [{"trailing_days": 3, "intervals": ["5m"], "apply_to": ["BBB"]}],
        "indicators": {
            "avg_volume": {"type": "trailing_average", "period": "5d", "field": "volume", "skip_early_close": True},
            "minute_volume": {"type": "trailing_average", "period": "3d", "granularity": "minute", "field": "volume"},
            "month_high": {"type": "trailing_max", "period": "3w", "field": "high"},
        },
    },
    "session_data_config.indicators": {
        "session": [{"name": "sma", "period": 20, "interval": "5m"}, {"name": "bbands", "period": 20, "interval": "1m"}]
    },
    "session_data_config.derived": {"min_completeness": 0.8},
    "strategies": [
        {"name": "cross", "use": "sma_crossover", "params": {"interval": "1m", "fast": 5, "slow": 20}},
        {"name": "rsi", "use": "rsi_reversion", "symbols": ["AAA", "CCC"], "params": {"interval": "5m", "period": 7}},
        {"name": "momentum", "use": "cross_sectional_momentum", "params": {"top": 2}},
        {"name": "range", "use": "opening_range_breakout"},
    ],
    "trading_config": {"max_open_positions": 6, "max_per_trade": 9000, "min_quality": 90},
    "execution": {
        "sizing": {"type": "equity_fraction", "value": 0.2},
        "commission": {"preset": "ibkr_fixed"},
        "slippage": {"bps": 1},
        "stop_loss": 0.004,
        "take_profit": 0.006,
    },
}  # fmt: skip


def digests(run: bt.Run) -> dict[str, Any]:
    tables = {name: stored["digest"] for name, stored in run.manifest["results"]["tables"].items()}
    return {"key": run.result_key, "stages": run.manifest["results"]["stages"], "tables": tables}


@pytest.fixture(scope="module")
def whole(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> bt.Run:
    """The run with everything in it, cut as the program likes."""
    return bt.run(config(simulated, EVERYTHING), out=tmp_path_factory.mktemp("whole") / "run")


def test_the_run_has_something_in_every_table(whole: bt.Run) -> None:
    for name in ("decisions", "orders", "fills", "trades", "equity", "sessions", "quality", "gaps", "digests"):
        assert whole.table(name).height > 0, name
    reasons = set(whole.table("decisions")["reason"])
    assert {"approved", "low_quality", "already_in_position", "no_position"} <= reasons
    assert {"stop", "target", "signal"} <= set(whole.table("trades")["exit_reason"].drop_nulls())


@pytest.mark.parametrize("prefetch", [1, 2, 7, 1000])
def test_a_run_is_the_same_however_many_sessions_are_read_at_once(prefetch: int, whole: bt.Run, simulated: Path, tmp_path: Path) -> None:
    """I-15: bit-equal digests of every stage and table."""
    run = bt.run(config(simulated, {**EVERYTHING, "backtest_config.prefetch_days": prefetch}), out=tmp_path / "run")
    assert digests(run) == digests(whole)


def test_the_order_of_symbols_in_the_config_has_no_meaning(whole: bt.Run, simulated: Path, tmp_path: Path) -> None:
    """I-13."""
    changes = {**EVERYTHING, "session_data_config.symbols": ["DDD", "AAA", "CCC", "BBB"]}
    assert digests(bt.run(config(simulated, changes), out=tmp_path / "run")) == digests(whole)


@pytest.mark.parametrize(
    ("threads", "seed", "zone", "locale"),
    [("1", "0", "UTC", "C.UTF-8"), ("2", "1", "Asia/Tokyo", "C"), ("4", "random", "America/New_York", "POSIX")],
)
def test_another_machine_gives_the_same_run(
    threads: str, seed: str, zone: str, locale: str, whole: bt.Run, simulated: Path, tmp_path: Path
) -> None:
    """I-16, I-18, R18: another process with other threads, hash seed, time zone and locale, run by the command."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config(simulated, EVERYTHING)))
    environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": locale}
    command = [sys.executable, "-m", "backtester", "run", str(path), "--out", str(tmp_path / "run"), "--threads", threads, "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result_key"] == whole.result_key
    assert digests(bt.load(tmp_path / "run")) == digests(whole)


def test_what_is_kept_on_request_does_not_change_the_result(whole: bt.Run, simulated: Path, tmp_path: Path) -> None:
    run = bt.run(config(simulated, {**EVERYTHING, "keep": ["signals", "bars", "indicators"]}), out=tmp_path / "run")
    assert run.result_key == whole.result_key
    assert run.table("signals").height == run.table("decisions").height
    bars = run.table("bars").filter(pl.col("interval") == "1m")
    assert bars.height == run.table("sessions")["bars"].sum()
    assert set(run.table("indicators")["name"]) >= {"sma_20", "bbands_20.upper", "avg_volume", "minute_volume", "month_high"}
    run.verify()


def test_money_adds_up_to_the_last_digit(whole: bt.Run) -> None:
    """I-01, I-02, I-05 from the written tables alone, in whole units of 1e-6."""

    def micro(column: pl.Series) -> list[int]:
        return [round(value * 1e6) for value in column]

    fills, equity, trades = whole.table("fills"), whole.table("equity"), whole.table("trades")
    cash = 100_000_000_000
    for side, value, fee in zip(fills["side"], micro(fills["value"]), micro(fills["fee"]), strict=True):
        cash += (value if side == "sell" else -value) - fee
    assert micro(equity["cash"])[-1] == cash
    assert [a + b for a, b in zip(micro(equity["cash"]), micro(equity["net"]), strict=True)] == micro(equity["equity"])
    assert micro(equity["equity"])[-1] - 100_000_000_000 == sum(micro(trades["pnl"]))


def test_every_fill_is_on_a_real_bar(simulated: Path, tmp_path: Path) -> None:
    """I-09, I-11: the price before slippage lies within the bar, the bar has volume, and it is not before its order was made."""
    run = bt.run(config(simulated, {**EVERYTHING, "keep": ["bars"], "execution.slippage": {"bps": 0}}), out=tmp_path / "run")
    bars = run.table("bars").filter(pl.col("interval") == "1m")
    found = run.table("fills").join(bars, on=["symbol", "ts"], how="left").join(run.table("orders"), on="order_id", suffix="_order")
    assert found["volume"].min() > 0  # type: ignore[operator]
    assert found.filter((pl.col("price") < pl.col("low")) | (pl.col("price") > pl.col("high"))).is_empty()
    market = found.filter(pl.col("type") == "market")
    assert market.filter(pl.col("ts") < pl.col("ts_order")).is_empty()


def test_the_session_flow_is_in_the_log(whole: bt.Run) -> None:
    lines = (whole.folder / "run.log").read_text().splitlines()
    flow = [line for line in lines if "SESSION_FLOW" in line]
    assert len(flow) == 6 * whole.table("sessions").height
    assert "phase=3.load session=2024-11-01 symbols=4" in flow[2]


def test_a_strategy_that_raises_is_stopped_and_the_others_go_on(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """STR-04, F-15: stopped on the same session however the run is cut; its earlier signals stand; the run is marked."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "breaks.py").write_text(
        "import numpy as np\n"
        "from backtester import Signals, Strategy\n"
        "class Breaks(Strategy):\n"
        "    def signals(self, bars):\n"
        "        if (bars.session == np.datetime64('2024-11-06')).any():\n"
        "            raise ValueError('the sixth')\n"
        "        return Signals(enter_long=bars.slot == 3, exit_long=bars.slot == 5)\n"
    )
    sections = [*strategy("breaks.py:Breaks"), {"name": "other", "use": "sma_crossover"}]
    changes = {**EVERYTHING, "backtest_config.end_date": "2024-11-12", "strategies": sections}
    runs = [bt.run(config(simulated, {**changes, "backtest_config.prefetch_days": days}), out=tmp_path / f"{days}") for days in (1, 4, 50)]
    assert len({run.result_key for run in runs}) == 1
    own = runs[0].table("decisions").filter(pl.col("strategy") == "only")
    assert sorted({str(day) for day in own["session"]}) == ["2024-11-01", "2024-11-04", "2024-11-05"]
    assert runs[0].table("decisions").filter(pl.col("strategy") == "other")["session"].n_unique() == 8
    assert runs[0].manifest["identity"]["status"] == 5
    assert "breaks.py:6" in runs[0].manifest["execution"]["warnings"][-1]
    lines = (runs[0].folder / "run.log").read_text().splitlines()
    said = next(at for at, line in enumerate(lines) if "the sixth" in line)
    before = [line for line in lines[:said] if "SESSION_FLOW" in line]
    assert "phase=6.end session=2024-11-05" in before[-1], "in its turn, however far ahead strategies are"


def test_with_on_error_fail_nothing_is_published(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exits.py").write_text(
        "import sys\nfrom backtester import Strategy\nclass Exits(Strategy):\n    def signals(self, bars):\n        sys.exit(3)\n"
    )
    changes = {**EVERYTHING, "strategies": strategy("exits.py:Exits"), "on_error": "fail"}
    with pytest.raises(StrategyError, match=r"strategy only, .*exits\.py:5.*SystemExit"):
        bt.run(config(simulated, changes), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_trading_finds_wrong_is_said_before_what_a_strategy_raises_in_a_later_part(
    simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "late.py").write_text(
        "import threading\n"
        "import numpy as np\n"
        "from backtester import Signals, Strategy\n"
        "class Late(Strategy):\n"
        "    def signals(self, bars):\n"
        "        assert threading.current_thread() is threading.main_thread()\n"
        "        if (bars.session > np.datetime64('2024-11-01')).any():\n"
        "            raise ValueError('a later part')\n"
        "        return Signals(enter_long=bars.slot == 3)\n"
    )

    def broken(*_: object) -> None:
        time.sleep(0.2)  # strategies are further on by then
        raise DataError("the first part cannot be traded")

    monkeypatch.setattr(trading_days, "trade_through", broken)
    changes = {**EVERYTHING, "strategies": strategy("late.py:Late"), "on_error": "fail", "backtest_config.prefetch_days": 1}
    with pytest.raises(DataError, match="the first part"):
        bt.run(config(simulated, changes), out=tmp_path / "run")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StrategyError, match="a later part"):  # and not the assertion: strategies are called on the caller's thread
        bt.run(config(simulated, changes), out=tmp_path / "run")


def test_no_session_between_the_dates_is_a_calendar_error(simulated: Path, tmp_path: Path) -> None:
    """CFG-23 (SPEC 15: code 6)."""
    changes = {"backtest_config.start_date": "2024-11-02", "backtest_config.end_date": "2024-11-03", "session_data_config.symbols": ["AAA"]}
    with pytest.raises(CalendarError, match="0 sessions"):
        bt.run(config(simulated, changes), out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_dates_without_sessions_move_to_the_next_and_the_last_session(simulated: Path, tmp_path: Path) -> None:
    changes = {"backtest_config.start_date": "2024-11-02", "backtest_config.end_date": "2024-11-10", "session_data_config.symbols": ["AAA"]}
    run = bt.run(config(simulated, changes), out=tmp_path / "run")
    assert [str(day) for day in run.table("sessions")["session"]] == [f"2024-11-0{day}" for day in (4, 5, 6, 7, 8)]


def test_a_window_without_any_bar_is_a_data_error(simulated: Path, tmp_path: Path) -> None:
    changes = {"backtest_config.start_date": "2023-11-01", "backtest_config.end_date": "2023-11-10", "session_data_config.symbols": ["AAA"]}
    with pytest.raises(DataError, match="Required interval 1m not available for AAA"):
        bt.run(config(simulated, changes), out=tmp_path / "run")


def test_an_interval_finer_than_the_lake_is_a_data_error(simulated: Path, tmp_path: Path) -> None:
    """CFG-27 and SPEC 4: no silent fallback."""
    changes = {
        "backtest_config.start_date": "2024-11-01",
        "backtest_config.end_date": "2024-11-08",
        "session_data_config.symbols": ["AAA"],
        "session_data_config.streams": ["5s", "1m", "5m"],
    }
    with pytest.raises(DataError, match=r"Required interval 1s not available for AAA \(needed to build 5s, 1m, 5m\)"):
        bt.run(config(simulated, changes), out=tmp_path / "run")


def test_only_quotes_is_an_error(simulated: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no base interval"):
        bt.run(config(simulated, {"session_data_config.symbols": ["AAA"], "session_data_config.streams": ["quotes"],
                                  "backtest_config.start_date": "2024-11-01", "backtest_config.end_date": "2024-11-08"}),
               out=tmp_path / "run")  # fmt: skip


def test_too_little_memory_is_said_before_anything_is_read(simulated: Path, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="max_memory"):
        bt.run(config(simulated, {**EVERYTHING, "resources": {"max_memory": "10MB"}}), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_complete_run_is_not_overwritten_without_force(whole: bt.Run, simulated: Path) -> None:
    with pytest.raises(OutputError, match="complete run"):
        bt.run(config(simulated, EVERYTHING), out=whole.folder)


def test_a_flipped_byte_is_found_while_reading(simulated: Path, tmp_path: Path) -> None:
    """DAT-04, R7: the run stops and names the file."""
    import shutil

    lake = tmp_path / "lake"
    shutil.copytree(simulated, lake)
    day = lake / "bars" / "1m" / "2024-11-05.parquet"
    content = bytearray(day.read_bytes())
    content[len(content) // 3] ^= 1
    day.write_bytes(content)
    changes = {"session_data_config.symbols": ["AAA"], "backtest_config.start_date": "2024-11-01", "backtest_config.end_date": "2024-11-08"}
    with pytest.raises(DataError, match=r"2024-11-05\.parquet.*fingerprint|fingerprint.*2024-11-05\.parquet"):
        bt.run(config(lake, changes), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_without_strategies_reports_the_data(simulated: Path, tmp_path: Path) -> None:
    """I-33: no signal, constant equity, no trade."""
    changes = {"session_data_config.symbols": ["AAA"], "backtest_config.start_date": "2024-11-01", "backtest_config.end_date": "2024-11-08"}
    run = bt.run(config(simulated, changes), out=tmp_path / "run")
    assert set(run.table("equity")["equity"]) == {100_000.0}
    assert run.metrics["trades"] == 0
    assert run.metrics["sharpe"] is None

"""What a config asks for, said before the first bar is read: sessions, history, parts, warnings, refusals."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import backtester as bt
from backtester.config import load
from backtester.errors import ConfigError, ResourceError, StrategyError
from backtester.market.action_changes import ROWS, add_actions
from backtester.market.lake import Lake
from backtester.pipeline import run
from backtester.planning import Setup, plan, setup
from tests.configs import config, strategy
from tests.market.stored import lake as stored

WINDOW: dict[str, Any] = {
    "backtest_config.start_date": "2024-11-25",
    "backtest_config.end_date": "2024-12-06",
    "session_data_config.symbols": ["CCC", "AAA"],
}


def made(lake: Path, **changes: Any) -> Setup:
    return setup(load(config(lake, {**WINDOW, **changes})))


def sma(interval: str, slow: int) -> list[dict[str, Any]]:
    return strategy("sma_crossover", interval=interval, fast=2, slow=slow)


def test_the_runs_sessions_are_those_of_the_calendar(simulated: Path) -> None:
    """Thanksgiving is none, the Friday after it closes early."""
    found = made(simulated)
    assert [str(day)[5:] for day in found.sessions.label] == [
        *(f"11-{day}" for day in (25, 26, 27, 29)), *(f"12-0{day}" for day in (2, 3, 4, 5, 6)),
    ]  # fmt: skip
    assert found.sessions.early.tolist() == [False] * 3 + [True] + [False] * 5
    assert found.symbols == ("AAA", "CCC")


def test_without_a_wish_for_history_none_is_read(simulated: Path) -> None:
    found = made(simulated)
    assert all(part.trade for part in found.parts)
    assert sum(len(part.sessions) for part in found.parts) == 9


@pytest.mark.parametrize(
    ("slow", "sessions"),
    [(2, 1), (78, 1), (79, 2), (156, 2), (157, 3)],
)
def test_as_many_sessions_are_read_before_the_run_as_hold_the_lookback(slow: int, sessions: int, simulated: Path) -> None:
    """5m bars: 78 in each of the sessions before 2024-11-25."""
    found = made(simulated, **{"backtest_config.end_date": "2024-11-27", "strategies": sma("5m", slow)})
    before = [part for part in found.parts if not part.trade]
    assert sum(len(part.sessions) for part in before) == sessions
    assert found.back["5m", slow].tolist() == [[sessions, sessions]] * 3


def test_an_early_close_before_a_session_makes_it_look_further_back(simulated: Path) -> None:
    """Of 60 bars of 5m, 2024-11-29 has 42: the Monday after it looks into the Wednesday before, the Tuesday into the Monday alone."""
    back = made(simulated, strategies=sma("5m", 60)).back["5m", 60][:, 0]
    assert back.tolist() == [1, 1, 1, 1, 2, 1, 1, 1, 1]


def test_history_that_is_asked_for_some_symbols_is_theirs_alone(simulated: Path) -> None:
    data = [{"trailing_days": 4, "intervals": ["5m"], "apply_to": ["CCC"]}]
    found = made(simulated, **{"session_data_config.historical": {"data": data}, "strategies": sma("5m", 10)})
    assert found.back["5m", 10][0].tolist() == [1, 4]
    assert found.needs.depth == {"1m": 0, "5m": 4}


def test_parts_cover_each_session_once_and_in_order(simulated: Path) -> None:
    for days in (1, 2, 4, 100):
        found = made(simulated, **{"backtest_config.prefetch_days": days, "strategies": sma("1h", 30)})
        labels = np.concatenate([part.sessions.label for part in found.parts])
        assert (np.diff(labels) > np.timedelta64(0)).all()
        assert max(len(part.sessions) for part in found.parts) <= days
        traded = np.concatenate([part.sessions.label for part in found.parts if part.trade])
        assert traded.tolist() == found.sessions.label.tolist()


def test_history_that_the_lake_does_not_reach_is_a_warning(simulated: Path) -> None:
    """The lake begins on 2024-10-01, 39 sessions before; the 60th is 2024-08-30."""
    assert made(simulated, strategies=sma("1d", 39)).warnings == ()
    assert len(made(simulated, strategies=sma("1d", 40)).warnings) == 1
    [said] = made(simulated, strategies=sma("1d", 60)).warnings
    assert said.startswith("history of 1d is wanted from 2024-08-30 on, the lake begins on 2024-10-01")


def test_a_lake_without_finer_bars_to_look_into_is_a_warning(simulated: Path) -> None:
    assert made(simulated, **{"execution.intrabar": "pessimistic"}).warnings == ()
    [said] = made(simulated, **{"execution.intrabar": "drill_down"}).warnings
    assert "no bars of 1s" in said


def test_an_interval_that_does_not_divide_the_session_is_a_warning(simulated: Path) -> None:
    """CFG-26: 7m leaves a rest of 390 minutes, 65m of the 210 of an early close, 30m of neither."""
    said = made(simulated, **{"session_data_config.streams": ["1m", "7m", "30m", "65m"]}).warnings
    assert said == tuple(f"{interval} does not divide every session: the last bar is shorter there" for interval in ("7m", "65m"))


def test_two_columns_of_one_name_are_refused(simulated: Path) -> None:
    """One of them would silently win."""
    listed = [{"name": "macd", "interval": "5m", "params": {"fast": fast}} for fast in (3, 5)]
    with pytest.raises(ConfigError, match="macd of 5m"):
        made(simulated, **{"session_data_config.indicators": {"session": listed}})
    listed[1]["interval"] = "15m"
    made(simulated, **{"session_data_config.indicators": {"session": [*listed, listed[0]]}})


def test_a_strategy_that_declares_nonsense_stops_before_data_is_read(
    simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STR-03."""
    monkeypatch.chdir(tmp_path)
    text = "from backtester import Strategy\nclass Odd(Strategy):\n    lookback = -5\n    def signals(self, bars): ...\n"
    (tmp_path / "odd.py").write_text(text, encoding="utf-8")
    with pytest.raises(StrategyError, match=r"not a number of bars \(strategy only, lookback of bars\): got -5"):
        made(simulated, strategies=strategy("odd.py:Odd"))


def test_a_plan_says_what_a_run_will_read(simulated: Path, tmp_path: Path) -> None:
    asked = {**WINDOW, "strategies": sma("5m", 79), "session_data_config.streams": ["1m", "5m", "quotes"]}
    said, run = plan(load(config(simulated, asked))), bt.run(config(simulated, asked), out=tmp_path / "run")
    assert (said.sessions, said.history_sessions, said.files, said.symbols, said.base) == (9, 2, 11, 2, "1m")
    assert (said.first_session, said.last_session) == ("2024-11-25", "2024-12-06")
    assert {row["stream"]: row["mark"] for row in said.streams} == {"1m": "STREAMED", "5m": "GENERATED", "quotes": "GENERATED"}
    assert said.strategies == [{"name": "only", "use": "sma_crossover", "inputs": {"bars": "5m"}, "lookback": {"bars": 79}}]
    assert len(run.manifest["data"]["files"]) == said.files
    read = run.manifest["data"]["counts"]["stored_rows"] if "counts" in run.manifest["data"] else run.manifest["counts"]["stored_rows"]
    assert abs(said.rows - read) <= 0.02 * read


def test_a_limit_of_memory_that_is_too_low_is_said_before_anything_is_read(simulated: Path) -> None:
    asked = config(simulated, {**WINDOW, "resources": {"max_memory": "1MB"}})
    with pytest.raises(ResourceError, match="/resources/max_memory"):
        plan(load(asked))


def test_actions_that_fall_into_a_run_are_applied_and_explain_their_jump(tmp_path: Path) -> None:
    """BBB's price is cut to a third on 2024-11-26, where the lake knows of a 3:1 split: what was bought before is held threefold."""
    lake = tmp_path / "lake"
    days = [f"2024-11-{day}" for day in (22, 25, 26, 27)]
    stored(lake, [(day, f"{hour}:00", "BBB", 90.0 if day < "2024-11-26" else 30.0) for day in days for hour in (15, 16, 17)])
    wish = {"backtest_config.start_date": "2024-11-25", "backtest_config.end_date": "2024-11-27", "session_data_config.symbols": ["BBB"]}
    settings = config(lake, {**wish, "strategies": strategy("buy_and_hold"), "trading_config.min_quality": 0})
    bare = run(load(settings), tmp_path / "bare")
    assert bare.table("findings").filter(kind="unadjusted_split").height == 1
    assert bare.manifest["data"]["actions"] is None
    rows = [("BBB", dt.date(2024, 11, 26), "split", 3.0, "test", ""), ("BBB", dt.date(2024, 11, 27), "dividend", 1.0, "test", "")]
    add_actions(lake, pl.DataFrame(rows, schema=ROWS, orient="row"), "XNYS")
    known = run(load(settings), tmp_path / "known")
    assert "the lake knows a split of BBB on 2024-11-26 (3) and 1 more: positions, orders and cash" in " ".join(
        known.manifest["execution"]["warnings"]
    )
    assert known.table("findings").filter(kind="unadjusted_split").height == 0
    assert known.manifest["data"]["actions"]["sha256"] == Lake.open(lake).actions["sha256"]  # type: ignore[index]
    held = known.table("trades").row(0, named=True)
    assert (held["quantity"], held["entry_price"], held["dividends"], held["pnl"]) == (300.0, 30.0, 300.0, 300.0)
    benchmark = known.metrics["benchmark"]["total_return"], bare.metrics["benchmark"]["total_return"]
    assert benchmark == pytest.approx((0.0, -2 / 3))  # a third of the price, three times the shares
    assert known.manifest["identity"]["result_key"] != bare.manifest["identity"]["result_key"]
    settings["execution"] = {"actions": "ignore"}
    ignored = run(load(settings), tmp_path / "ignored")
    assert "(3) and 1 more: ignored" in " ".join(ignored.manifest["execution"]["warnings"])
    for name in ("fills", "equity", "trades", "decisions"):
        assert ignored.table(name).equals(bare.table(name)), name


def test_actions_of_other_symbols_and_days_leave_the_result_key_alone(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    stored(lake, [(f"2024-11-{day}", f"{hour}:00", "BBB", 90.0) for day in (25, 26) for hour in (15, 16, 17)])
    wish = {"backtest_config.start_date": "2024-11-25", "backtest_config.end_date": "2024-11-26", "session_data_config.symbols": ["BBB"]}
    settings = load(config(lake, {**wish, "strategies": sma("1m", 4)}))
    before = run(settings, tmp_path / "before")
    rows = [("BBB", dt.date(2024, 11, 27), "split", 3.0, "test", ""), ("CCC", dt.date(2024, 11, 26), "split", 3.0, "test", "")]
    add_actions(lake, pl.DataFrame(rows, schema=ROWS, orient="row"), "XNYS")
    after = run(settings, tmp_path / "after")
    assert after.manifest["identity"]["result_key"] == before.manifest["identity"]["result_key"]
    assert not any("the lake knows" in sentence for sentence in after.manifest["execution"]["warnings"])


def test_only_actions_of_sessions_that_are_read_are_a_warning(tmp_path: Path) -> None:
    """The run begins on Monday, 2024-11-25; an average over 3 minutes looks back to Friday, one over 1 does not."""
    lake = tmp_path / "lake"
    stored(lake, [(f"2024-11-{day}", f"{hour}:00", "BBB", 90.0) for day in (20, 21, 22, 25, 26) for hour in (15, 16, 17)])
    rows = [("BBB", dt.date(2024, 11, day), "dividend", 1.0, "test", "") for day in (21, 22, 25)]
    add_actions(lake, pl.DataFrame(rows, schema=ROWS, orient="row"), "XNYS")
    wish = {"backtest_config.start_date": "2024-11-25", "backtest_config.end_date": "2024-11-26", "session_data_config.symbols": ["BBB"]}
    said = [
        [sentence for sentence in setup(load(config(lake, {**wish, "strategies": wanted}))).warnings if "the lake knows" in sentence]
        for wanted in (strategy("buy_and_hold"), sma("1m", 3), sma("1m", 391))
    ]
    assert said[0] == []
    assert [sentence.split(": ")[0] for sentence in (*said[1], *said[2])] == [
        "the lake knows a dividend of BBB on 2024-11-25 (1)",
        "the lake knows a dividend of BBB on 2024-11-22 (1) and 1 more",
    ]


def test_stops_cannot_look_at_quotes_that_the_lake_does_not_hold(simulated: Path) -> None:
    with pytest.raises(ConfigError, match=r"/execution/stop_watch.*no 1m quotes in .*import quote bars of 1m"):
        made(simulated, **{"execution.stop_watch": "quote"})

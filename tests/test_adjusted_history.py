"""Runs over splits and dividends: the same however they are cut, nothing known before its day, nothing touched that need not be."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import backtester as bt
from backtester.market.action_changes import ROWS, add_actions
from tests.configs import config
from tests.test_pipeline import EVERYTHING, digests

WEEKS = """
from backtester import Signals, Strategy

class Weeks(Strategy):
    inputs = {"bars": "5m", "day": "1d", "week": "1w"}
    lookback = {"bars": 100, "day": 3, "week": 2}

    def signals(self, bars):
        day, week = bars.input("day"), bars.input("week")
        return Signals(
            enter_long=bars.close > day.onto(bars, day.indicator("sma", period=2)),
            exit_long=bars.close < bars.indicator("sma", period=80),
            stop_price=week.onto(bars).low,
            confidence=bars.indicator("rsi", period=40) / 100,
        )
"""
ACTIONS = [
    ("AAA", "2024-10-22", "split", 2.0), ("AAA", "2024-11-27", "split", 1.5), ("BBB", "2024-11-29", "split", 0.1),
    ("CCC", "2024-11-27", "split", 7.0), ("CCC", "2024-12-03", "split", 0.5), ("DDD", "2024-12-05", "split", 3.0),
]  # fmt: skip
DIVIDENDS = [("AAA", "2024-11-27", "dividend", 0.5), ("BBB", "2024-12-03", "dividend", 0.25), ("DDD", "2024-11-15", "dividend", 1.0)]
Row = tuple[str, str, str, float]


def lake(source: Path, root: Path, actions: list[Row]) -> Path:
    """A copy of a lake that knows these actions; its prices have no jumps, for what is looked at is arithmetic."""
    shutil.copytree(source, root)
    rows = [(symbol, dt.date.fromisoformat(day), kind, value, "test", "") for symbol, day, kind, value in actions]
    add_actions(root, pl.DataFrame(rows, schema=ROWS, orient="row"), "XNYS")
    return root


@pytest.fixture(scope="module")
def splits(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lake(simulated, tmp_path_factory.mktemp("splits") / "lake", ACTIONS)


def run(root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> bt.Run:
    """The run with everything in it, and a strategy of days and weeks."""
    folder.mkdir()
    (folder / "weeks.py").write_text(WEEKS, encoding="utf-8")
    monkeypatch.chdir(folder)
    strategies = [*EVERYTHING["strategies"], {"name": "weeks", "use": "weeks.py:Weeks"}]
    changes = {**EVERYTHING, "strategies": strategies, "session_data_config.derived": {"min_completeness": 0.1}, **more}
    return bt.run(config(root, changes), out=folder / "run")


@pytest.fixture(scope="module")
def whole(splits: Path, tmp_path_factory: pytest.TempPathFactory) -> bt.Run:
    with pytest.MonkeyPatch.context() as patch:
        return run(splits, tmp_path_factory.mktemp("whole") / "w", patch)


@pytest.mark.parametrize(
    "changes",
    [
        {"backtest_config.prefetch_days": 1},
        {"backtest_config.prefetch_days": 2},
        {"backtest_config.prefetch_days": 1000},
        {"resources": {"threads": 1, "isolate_strategies": True}},
        {"session_data_config.symbols": ["DDD", "BBB", "AAA", "CCC"]},
    ],
    ids=["1", "2", "all", "apart", "order"],
)
def test_a_run_over_splits_is_the_same_however_it_is_cut(
    whole: bt.Run, splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """I-13, I-15: bit-equal digests of every stage and table, in the strategies' own processes too."""
    assert whole.table("fills").height > 100
    assert digests(run(splits, tmp_path / "w", monkeypatch, **changes)) == digests(whole)


def stages(found: bt.Run, stage: str) -> dict[dt.date, str]:
    rows = found.table("digests").filter(stage=stage)
    return dict(zip(rows["session"], rows["digest"], strict=True))


def test_a_split_changes_what_is_seen_from_its_day_on_and_nothing_before(
    whole: bt.Run, simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SPEC 12: without the split of DDD on 2024-12-05 all is the same until 2024-12-04; bars are as stored on every day."""
    less = run(lake(simulated, tmp_path / "lake", ACTIONS[:-1]), tmp_path / "w", monkeypatch)
    for stage in ("indicators", "signals"):
        left, right = stages(whole, stage), stages(less, stage)
        differ = [day for day in left if left[day] != right[day]]
        assert differ[0] == dt.date(2024, 12, 5), stage
    assert {stage: stages(whole, stage) == stages(less, stage) for stage in ("bars", "quality", "derived")} == {
        "bars": True, "quality": True, "derived": False}  # fmt: skip
    assert [day for day, digest in stages(whole, "derived").items() if stages(less, "derived")[day] != digest] == [dt.date(2024, 12, 6)]
    early = pl.col("session") < dt.date(2024, 12, 5)
    for name in ("decisions", "fills", "equity"):
        assert whole.table(name).filter(early).equals(less.table(name).filter(early)), name
    assert whole.result_key != less.result_key


def test_a_split_before_the_run_changes_the_history_of_its_first_days(
    whole: bt.Run, simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AAA's split of 2024-10-22: the run begins on 2024-11-01 and knows it by its history alone; its key says so."""
    less = run(lake(simulated, tmp_path / "lake", ACTIONS[1:]), tmp_path / "w", monkeypatch)
    differ = [day for day, digest in stages(whole, "indicators").items() if stages(less, "indicators")[day] != digest]
    assert differ[0] == next(iter(stages(whole, "indicators")))
    assert whole.manifest["policies"]["actions"] != less.manifest["policies"]["actions"]


def test_dividends_and_ignored_splits_leave_history_as_it_is(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lake without any action, with dividends alone, and with splits that execution.actions ignores: the same signals."""
    bare = run(simulated, tmp_path / "bare", monkeypatch)
    paid = run(lake(simulated, tmp_path / "paid", DIVIDENDS), tmp_path / "p", monkeypatch)
    both = lake(simulated, tmp_path / "both", [*ACTIONS, *DIVIDENDS])
    ignored = run(both, tmp_path / "i", monkeypatch, **{"execution": {**EVERYTHING["execution"], "actions": "ignore"}})
    for stage in ("bars", "derived", "indicators", "signals"):
        assert stages(paid, stage) == stages(bare, stage), stage
        assert stages(ignored, stage) == stages(bare, stage), stage
    assert ignored.table("fills").equals(bare.table("fills"))
    assert any("execution.actions says" in sentence for sentence in ignored.manifest["execution"]["warnings"])

"""Parameters chosen on one window are judged on the next."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import backtester as bt
from backtester.config_sweep import WalkForwardSettings
from backtester.errors import ConfigError, OutputError
from backtester.sweeping.definition import sweep_of, windows_of
from backtester.sweeping.walk import Walk, walk_forward
from backtester.sweeping.walk_plan import WalkPlan
from tests.comparing.runs import with_bar
from tests.configs import config, strategy

FAST, SLOW = "strategies.0.params.fast", "strategies.0.params.slow"
PARAMETERS = {FAST: [3, 6], SLOW: [20, 50]}
MARKET: dict[str, Any] = {
    "strategies": strategy("sma_crossover"),
    "session_data_config.symbols": ["AAA", "BBB"],
    "backtest_config": {"start_date": "2024-11-04", "end_date": "2024-11-29"},
    "trading_config": {"min_quality": 50},
    "execution.sizing": {"type": "equity_fraction", "value": 0.3},
}
DAYS = [dt.date(2024, 11, day) for day in (4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 18, 19, 20, 21, 22, 25, 26, 27, 29)]


def spans_of(walk: Walk) -> list[tuple[int, ...]]:
    """Each fold's days as places in DAYS."""
    rows = walk.folds.select("train_start", "train_end", "test_start", "test_end").rows()
    return [tuple(DAYS.index(day) for day in row) for row in rows]


def walked(lake: Path, out: Path, changes: dict[str, Any] | None = None, **windows: Any) -> Walk:
    wanted = {"objective": "total_return", "parameters": PARAMETERS}
    sweep = sweep_of(config(lake, MARKET | (changes or {})), changes=wanted, windows={"train": 6, "test": 4} | windows)
    return walk_forward(WalkPlan(sweep, windows_of(sweep), out))


def test_each_window_is_a_sweep_and_each_choice_a_run_that_begins_with_the_cash_left(simulated: Path, tmp_path: Path) -> None:
    walk = walked(simulated, tmp_path / "walk")
    spans = [(0, 5, 6, 9), (4, 9, 10, 13), (8, 13, 14, 17), (12, 17, 18, 18)]
    assert spans_of(walk) == spans
    cash = 100_000.0
    for fold, (first, last, begin, end) in enumerate(spans):
        days = {"start_date": str(DAYS[first]), "end_date": str(DAYS[last])}
        swept = bt.sweep(config(simulated, MARKET | {"backtest_config": days}), out=tmp_path / f"sweep{fold}", parameters=PARAMETERS)
        best = swept.trials.sort(["total_return", "trial"], descending=[True, False]).row(0, named=True)
        row = walk.folds.row(fold, named=True)
        assert (row["trial"], row["fast"], row["slow"]) == (best["trial"], best["fast"], best["slow"])
        assert row["in_total_return"] == best["total_return"]
        after = {"start_date": str(DAYS[begin]), "end_date": str(DAYS[end])}
        chosen = {"backtest_config": after, FAST: best["fast"], SLOW: best["slow"], "account.cash": cash}
        judged = bt.run(config(simulated, MARKET | chosen), out=tmp_path / f"run{fold}")
        assert row["out_final_equity"] == judged.metrics["final_equity"]
        cash = judged.metrics["final_equity"]
    assert walk.figures["final_equity"] == cash
    assert walk.figures["total_return"] == pytest.approx(cash / 100_000.0 - 1.0, abs=1e-15)


def test_equity_is_chained_over_every_session_judged(simulated: Path, tmp_path: Path) -> None:
    walk = walked(simulated, tmp_path / "walk")
    assert walk.equity["session"].to_list() == DAYS[6:]
    assert walk.equity["fold"].to_list() == [0] * 4 + [1] * 4 + [2] * 4 + [3]
    grown = (walk.equity["return"] + 1.0).product() * 100_000.0
    assert walk.equity["equity"][-1] == pytest.approx(grown, rel=1e-9)
    assert pl.read_parquet(tmp_path / "walk" / "walk.parquet").equals(walk.equity)
    assert json.loads((tmp_path / "walk" / "walk.json").read_text())["folds"] == 4


def test_anchored_windows_all_begin_at_the_first_session_and_purged_ones_leave_a_gap(simulated: Path, tmp_path: Path) -> None:
    walk = walked(simulated, tmp_path / "walk", kind="anchored", test=6, purge=1)
    spans = [(0, 5, 7, 12), (0, 11, 13, 18)]
    assert spans_of(walk) == spans


def test_what_is_done_is_not_done_again(simulated: Path, tmp_path: Path) -> None:
    first = walked(simulated, tmp_path / "walk", test=6)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "walk").rglob("manifest.json")}
    (tmp_path / "walk" / "walk.json").unlink()
    again = walked(simulated, tmp_path / "walk", test=6)
    assert len(stamps) == 6
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert again.folds.drop("in_final_equity").equals(first.folds.drop("in_final_equity"))


def test_a_test_whose_market_has_changed_since_is_judged_again(simulated: Path, tmp_path: Path) -> None:
    """The last session is no part of any window that parameters are chosen on, so that no sweep tells."""
    lake, last = tmp_path / "lake", dt.datetime(2024, 11, 29, 15, 0, tzinfo=dt.UTC)
    shutil.copytree(simulated, lake)
    walked(lake, tmp_path / "walk")
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "walk").rglob("manifest.json")}
    (tmp_path / "walk" / "walk.json").unlink()
    changed = with_bar(lake, tmp_path / "changed", "AAA", last, volume=1.0)
    shutil.rmtree(lake)
    changed.rename(lake)
    walked(lake, tmp_path / "walk")
    again = [path for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp]
    assert [path.relative_to(tmp_path / "walk").as_posix() for path in again] == ["tests/003/manifest.json"]


def test_a_walk_into_the_folder_of_another_is_refused(simulated: Path, tmp_path: Path) -> None:
    walked(simulated, tmp_path / "walk", test=6)
    with pytest.raises(OutputError, match="another sweep"):
        walked(simulated, tmp_path / "walk", {"execution.slippage.bps": 2}, test=6)


@pytest.mark.parametrize(
    ("windows", "said"),
    [
        ({"train": 18, "test": 4}, "no window fits"),
        ({"kind": "rolling", "folds": 3}, "means nothing"),
        ({"kind": "combinatorial"}, "needs it"),
    ],
)
def test_windows_that_cannot_be_are_refused(windows: dict[str, Any], said: str, simulated: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        walked(simulated, tmp_path / "walk", {"backtest_config": {"start_date": "2024-11-04", "end_date": "2024-11-27"}}, **windows)


def test_a_config_without_windows_cannot_be_walked(simulated: Path) -> None:
    with pytest.raises(ConfigError, match="a walk needs windows"):
        windows_of(sweep_of(config(simulated, MARKET), changes={"parameters": PARAMETERS}))


def test_settings_of_windows_are_complete() -> None:
    assert WalkForwardSettings(train=20, test=5).kind == "rolling"

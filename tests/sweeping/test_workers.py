"""Worker processes give the tables of this process, and lose nothing when they die."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from backtester.errors import DataError, ResourceError
from backtester.sweeping.definition import Sweep, sweep_of
from backtester.sweeping.folder import SweepRun
from backtester.sweeping.sweep import run_sweep
from backtester.sweeping.task import packed, unpacked, worked
from backtester.sweeping.workers import Workers
from tests.configs import config, strategy

FAST = "strategies.0.params.fast"
MARKET: dict[str, Any] = {
    "session_data_config.symbols": ["AAA"],
    "backtest_config": {"start_date": "2024-11-04", "end_date": "2024-11-22"},
    "trading_config": {"min_quality": 50},
}
DEADLY = """
import os, signal
from pathlib import Path
from backtester import Bars, Signals, Strategy

class Deadly(Strategy):
    fast: int = 3
    how: str = ""
    def signals(self, bars: Bars) -> Signals:
        if self.how and self.fast == 5:
            seen = Path(__file__).with_name("seen")
            seen.write_text((seen.read_text() if seen.exists() else "") + "x")
            if self.how == "exit":
                os._exit(3)
            if self.how == "kill" or len(seen.read_text()) < 3:
                os.kill(os.getpid(), signal.SIGKILL)
        print("a strategy may print")
        return Signals(enter_long=bars.close > bars.open, exit_long=bars.slot % self.fast == 0)
"""


def defined(lake: Path, parameters: dict[str, Any], changes: dict[str, Any]) -> Sweep:
    return sweep_of(config(lake, MARKET | changes), changes={"parameters": parameters})


def untimed(run: SweepRun) -> pl.DataFrame:
    return run.trials.drop("seconds")


@pytest.fixture
def deadly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, str], Sweep]:
    (tmp_path / "deadly.py").write_text(DEADLY)
    monkeypatch.chdir(tmp_path)
    parameters = {FAST: [3, 4, 5, 6, 7]}
    return lambda lake, how: defined(lake, parameters, {"strategies": strategy("deadly.py:Deadly", how=how)})


def test_workers_give_the_table_of_one_process(simulated: Path, tmp_path: Path) -> None:
    sweep = defined(simulated, {FAST: "2:8:1", "execution.slippage.bps": [0, 1.5]}, {"strategies": strategy("sma_crossover")})
    here = run_sweep(sweep, tmp_path / "here")
    there = run_sweep(sweep, tmp_path / "there", engine=Workers(3))
    assert untimed(there).equals(untimed(here))
    assert there.equity.equals(here.equity)
    assert there.manifest["identity"]["sweep_key"] == here.manifest["identity"]["sweep_key"]


@pytest.mark.parametrize(("how", "said"), [("exit", "ended with code 3"), ("kill", "killed by signal 9")])
def test_a_trial_that_ends_its_worker_is_tried_three_times_and_the_others_go_on(
    how: str, said: str, deadly: Callable[[Path, str], Sweep], simulated: Path, tmp_path: Path
) -> None:
    run = run_sweep(deadly(simulated, how), tmp_path / "out", engine=Workers(2))
    assert run.trials["status"].to_list() == ["done", "done", "failed", "done", "done"]
    assert f"{said}, 3 times" in run.trials["error"][2]
    whole = run_sweep(deadly(simulated, ""), tmp_path / "whole")
    others = pl.col("trial") != 2
    assert untimed(run).filter(others).drop("key").equals(untimed(whole).filter(others).drop("key"))


def test_a_worker_that_dies_once_costs_nothing_but_time(deadly: Callable[[Path, str], Sweep], simulated: Path, tmp_path: Path) -> None:
    run = run_sweep(deadly(simulated, "twice"), tmp_path / "out", engine=Workers(2))
    assert run.trials["status"].to_list() == ["done"] * 5
    assert (tmp_path / "seen").read_text() == "xxx"


def test_an_error_of_the_data_ends_the_sweep_as_it_would_here(simulated: Path, tmp_path: Path) -> None:
    sweep = defined(simulated, {FAST: [2, 3]}, {"strategies": strategy("sma_crossover")})
    day = sorted((simulated / "bars" / "1m").glob("2024-11-1*.parquet"))[0]
    content = day.read_bytes()
    try:
        day.write_bytes(content[:-1] + b"X")
        with pytest.raises(DataError, match=day.name):
            run_sweep(sweep, tmp_path / "out", engine=Workers(2))
    finally:
        day.write_bytes(content)


def test_a_task_travels_as_bytes_and_holds_no_code(simulated: Path) -> None:
    sweep = defined(simulated, {FAST: [2, 3]}, {"strategies": strategy("sma_crossover")})
    walked: list[int] = []
    trials, equity = unpacked(worked(packed(sweep, sweep.trials(), threads=1), walked.append))
    assert trials["trial"].to_list() == [0, 1]
    assert equity.group_by("trial").len()["len"].to_list() == [15, 15]
    assert sum(walked) == 2 * 15 * 390
    assert packed(sweep, sweep.trials(), threads=1).startswith(b'{"document"')


def test_a_strategy_file_that_is_another_one_where_it_runs_is_refused(
    deadly: Callable[[Path, str], Sweep], simulated: Path, tmp_path: Path
) -> None:
    sweep = deadly(simulated, "")
    task = packed(sweep, sweep.trials(), threads=1)
    (tmp_path / "deadly.py").write_text(DEADLY.replace("== 0", "== 1"))
    script = "import sys; from backtester.sweeping.task import worked; worked(sys.stdin.buffer.read())"
    done = subprocess.run([sys.executable, "-c", script], input=task, capture_output=True, check=False, cwd=tmp_path)
    assert b"is not the one that the sweep began with" in done.stderr


def test_a_machine_with_another_version_of_the_program_runs_nothing(simulated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = defined(simulated, {FAST: [2, 3]}, {"strategies": strategy("sma_crossover")})
    task = packed(sweep, sweep.trials(), threads=1)
    monkeypatch.setattr("backtester.sweeping.task.program", lambda: "0" * 64)
    with pytest.raises(ResourceError, match="another version of the program"):
        worked(task)

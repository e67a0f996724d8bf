"""Sweeps on a Ray cluster of two machines, simulated on this one: the bits of one process, also where a machine goes in mid-sweep."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backtester.errors import DataError
from backtester.sweeping.definition import Sweep, sweep_of
from backtester.sweeping.folder import SweepRun
from backtester.sweeping.ray_engine import Ray
from backtester.sweeping.sweep import run_sweep
from tests.configs import config, strategy

pytestmark = pytest.mark.cluster
FAST, SLOW = "strategies.0.params.fast", "strategies.0.params.slow"
MARKET: dict[str, Any] = {
    "strategies": strategy("sma_crossover"),
    "session_data_config.symbols": ["AAA", "BBB"],
    "backtest_config": {"start_date": "2024-11-04", "end_date": "2024-12-31"},
    "trading_config": {"min_quality": 50},
}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head and one more node, each of one core."""
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    cluster_utils = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed: make cluster")
    made = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield made
    made.shutdown()


def defined(lake: Path, trials: int, changes: dict[str, Any] | None = None) -> Sweep:
    parameters = {FAST: f"2:{1 + trials // 4}:1", SLOW: [30, 40, 50, 60]}
    return sweep_of(config(lake, MARKET | (changes or {})), changes={"parameters": parameters})


def same(one: SweepRun, other: SweepRun) -> bool:
    tables = one.trials.drop("seconds").equals(other.trials.drop("seconds")) and one.equity.equals(other.equity)
    return tables and one.manifest["identity"]["sweep_key"] == other.manifest["identity"]["sweep_key"]


def test_a_cluster_of_two_gives_the_table_of_one_process(cluster: Any, simulated: Path, tmp_path: Path) -> None:
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    sweep = defined(simulated, 24)
    walked: list[int] = []
    there = run_sweep(sweep, tmp_path / "there", engine=Ray(cluster.address), progress=lambda found: walked.append(found.bar_trials))
    assert same(there, run_sweep(sweep, tmp_path / "here"))
    assert walked[-1] > 0


def test_a_machine_that_goes_in_mid_sweep_loses_and_doubles_nothing(cluster: Any, simulated: Path, tmp_path: Path) -> None:
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    sweep, killed = defined(simulated, 160), threading.Event()

    def kill(found: Any) -> None:
        if found.done and not killed.is_set():
            killed.set()
            cluster.remove_node(second, allow_graceful=False)

    there = run_sweep(sweep, tmp_path / "there", engine=Ray(cluster.address), progress=kill)
    assert killed.is_set()
    assert there.trials["trial"].to_list() == list(range(160))
    assert there.trials["status"].unique().to_list() == ["done"]
    assert same(there, run_sweep(sweep, tmp_path / "here"))


def test_a_trial_that_ends_its_worker_is_a_row_that_says_so(
    cluster: Any, simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deadly.py").write_text(
        "import os, signal\n"
        "from backtester import Bars, Signals, Strategy\n"
        "class Deadly(Strategy):\n"
        "    fast: int = 3\n"
        "    def signals(self, bars: Bars) -> Signals:\n"
        f"        if self.fast == 5: os.kill(os.getpid(), {signal.SIGKILL.value})\n"
        "        return Signals(enter_long=bars.close > bars.open, exit_long=bars.slot % self.fast == 0)\n"
    )
    monkeypatch.chdir(tmp_path)
    sweep = sweep_of(config(simulated, MARKET | {"strategies": strategy("deadly.py:Deadly")}), changes={"parameters": {FAST: [3, 4, 5, 6]}})
    run = run_sweep(sweep, tmp_path / "out", engine=Ray(cluster.address))
    assert run.trials["status"].to_list() == ["done", "done", "failed", "done"]
    assert "its worker went" in run.trials["error"][2]


def test_an_error_of_the_data_ends_the_sweep_as_it_would_here(cluster: Any, simulated: Path, tmp_path: Path) -> None:
    day = sorted((simulated / "bars" / "1m").glob("2024-11-1*.parquet"))[0]
    content = day.read_bytes()
    try:
        day.write_bytes(content[:-1] + b"X")
        with pytest.raises(DataError, match=day.name):
            run_sweep(defined(simulated, 4), tmp_path / "out", engine=Ray(cluster.address))
    finally:
        day.write_bytes(content)


def test_a_search_that_learns_asks_for_the_same_trials_on_a_cluster(cluster: Any, simulated: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed: make cluster")
    learning = {"search": "tpe", "trials": 9, "seed": 5, "generation": 4, "objective": "total_return"}
    sweep = sweep_of(config(simulated, MARKET), changes=learning | {"parameters": {FAST: "int:2:15", SLOW: "20:60:5"}})
    there = run_sweep(sweep, tmp_path / "there", engine=Ray(cluster.address))
    assert there.trials.height == 9
    assert same(there, run_sweep(sweep, tmp_path / "here"))

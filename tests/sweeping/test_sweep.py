"""Sweeps from a config to a table, stopped and resumed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import backtester as bt
from backtester.errors import ConfigError, OutputError
from backtester.outcome import environment
from backtester.sweeping.figures import FIGURES
from backtester.sweeping.folder import load
from tests.configs import config, strategy

FAST, SLOW = "strategies.0.params.fast", "strategies.0.params.slow"
PARAMETERS = {FAST: "2:8:2", SLOW: [20, 40, 60]}
MARKET: dict[str, Any] = {
    "strategies": strategy("sma_crossover"),
    "session_data_config.symbols": ["AAA"],
    "backtest_config": {"start_date": "2024-11-04", "end_date": "2024-12-06"},
    "trading_config": {"min_quality": 50},
}


def swept(lake: Path, out: Path, changes: dict[str, Any] | None = None, **words: Any) -> Any:
    return bt.sweep(config(lake, MARKET | (changes or {})), out=out, **({"parameters": PARAMETERS} | words))


def untimed(table: pl.DataFrame) -> pl.DataFrame:
    return table.drop("seconds")


def test_the_table_has_a_row_a_trial_in_the_order_of_the_grid(simulated: Path, tmp_path: Path) -> None:
    run = swept(simulated, tmp_path / "out")
    trials = run.trials
    assert trials.columns == ["trial", "key", "fast", "slow", "status", "error", "seconds", *FIGURES]
    assert trials.select("trial", "fast", "slow").rows() == [
        (number, fast, slow) for number, (fast, slow) in enumerate((f, s) for f in (2, 4, 6, 8) for s in (20, 40, 60))
    ]
    assert trials["status"].unique().to_list() == ["done"]
    alone = bt.run(config(simulated, MARKET | {FAST: 4, SLOW: 60}), out=tmp_path / "alone")
    row = trials.row(by_predicate=(pl.col("fast") == 4) & (pl.col("slow") == 60), named=True)
    assert {name: row[name] for name in FIGURES} == {name: alone.metrics[name] for name in FIGURES}


def test_equity_has_a_row_a_trial_and_session(simulated: Path, tmp_path: Path) -> None:
    run = swept(simulated, tmp_path / "out")
    last = run.equity.group_by("trial", maintain_order=True).agg(pl.len(), pl.col("equity").last())
    assert last["trial"].to_list() == list(range(12))
    assert last["len"].unique().to_list() == [24]
    assert last["equity"].to_list() == run.trials["final_equity"].to_list()


def test_blocks_of_any_size_give_the_same_sweep(simulated: Path, tmp_path: Path) -> None:
    whole, parts = swept(simulated, tmp_path / "whole"), swept(simulated, tmp_path / "parts", block=5)
    assert untimed(whole.trials).equals(untimed(parts.trials))
    assert whole.equity.equals(parts.equity)
    assert whole.manifest["identity"]["sweep_key"] == parts.manifest["identity"]["sweep_key"]


def test_a_mapping_of_values_changes_the_key_of_the_sweep(simulated: Path, tmp_path: Path) -> None:
    one, other = swept(simulated, tmp_path / "one"), swept(simulated, tmp_path / "other", {"execution.slippage.bps": 1})
    assert one.manifest["identity"]["sweep_key"] != other.manifest["identity"]["sweep_key"]


SCRIPT = """
import json, sys
import backtester as bt
made = json.loads(sys.argv[1])
bt.sweep(made["config"], out=made["out"], parameters=made["parameters"], block=2, resume=made["resume"])
"""


def in_a_process(lake: Path, out: Path, fail_at: str | None, resume: bool = False) -> int:
    words = {"config": config(lake, MARKET), "out": str(out), "parameters": PARAMETERS, "resume": resume}
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])} | ({} if fail_at is None else {"BT_FAIL_AT": fail_at})
    return subprocess.run([sys.executable, "-c", SCRIPT, json.dumps(words)], env=env, check=False).returncode


@pytest.mark.parametrize(
    "fail_at",
    ["write:0000000004-*", "replace:0000000004-*.equity.parquet", "replace:0000000004-????????.parquet", "done:0000000008-????????.parquet",
     "replace:trials.parquet", "replace:manifest.json", "replace:plan.json"],
)  # fmt: skip
def test_a_sweep_that_was_killed_is_finished_as_if_it_never_was(fail_at: str, simulated: Path, tmp_path: Path) -> None:
    undisturbed = swept(simulated, tmp_path / "undisturbed")
    assert in_a_process(simulated, tmp_path / "killed", fail_at) == 137
    with pytest.raises(OutputError, match="no finished sweep"):
        load(tmp_path / "killed")
    resumed = swept(simulated, tmp_path / "killed", resume=True, block=2)
    assert untimed(resumed.trials).equals(untimed(undisturbed.trials))
    assert resumed.equity.equals(undisturbed.equity)
    assert resumed.manifest["identity"]["sweep_key"] == undisturbed.manifest["identity"]["sweep_key"]
    assert not (tmp_path / "killed" / "blocks").exists()


def test_what_is_done_is_not_done_again(simulated: Path, tmp_path: Path) -> None:
    assert in_a_process(simulated, tmp_path / "out", "write:0000000008-*") == 137
    stored = pl.concat([pl.read_parquet(path) for path in sorted((tmp_path / "out" / "blocks").glob("??????????-????????.parquet"))])
    assert stored["trial"].to_list() == list(range(8))
    seconds = swept(simulated, tmp_path / "out", resume=True).trials["seconds"]
    assert seconds[:8].to_list() == stored["seconds"].to_list()


@pytest.mark.parametrize(
    ("changes", "words", "place"),
    [
        ({"execution.slippage.bps": 1}, {}, "/config"),
        ({}, {"parameters": {FAST: "2:8:2", SLOW: [20, 40]}}, "/parameters/strategies.0.params.slow"),
        ({}, {"search": "random", "trials": 5, "seed": 1}, "/search"),
    ],
)
def test_another_sweep_is_not_resumed_and_the_differences_are_told(
    changes: dict[str, Any], words: dict[str, Any], place: str, simulated: Path, tmp_path: Path
) -> None:
    assert in_a_process(simulated, tmp_path / "out", "write:0000000004-*") == 137
    with pytest.raises(OutputError, match="another sweep") as caught:
        swept(simulated, tmp_path / "out", changes, resume=True, **words)
    assert place in str(caught.value.value)
    assert caught.value.exit_code == 8


def test_what_another_program_has_begun_is_not_resumed(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CLI-11: half of the table would be another program's."""
    assert in_a_process(simulated, tmp_path / "out", "write:0000000004-*") == 137
    before = swept(simulated, tmp_path / "before").manifest["identity"]["sweep_key"]
    with monkeypatch.context() as patch:
        patch.setattr(environment, "sources", lambda: "0" * 64)
        with pytest.raises(OutputError, match="another sweep") as caught:
            swept(simulated, tmp_path / "out", resume=True)
        assert swept(simulated, tmp_path / "same").manifest["identity"]["sweep_key"] == before
    assert "/program/sources" in str(caught.value.value)
    assert swept(simulated, tmp_path / "out", resume=True).manifest["identity"]["sweep_key"] == before


def test_a_sweep_that_stands_there_is_replaced_only_by_force(simulated: Path, tmp_path: Path) -> None:
    swept(simulated, tmp_path / "out")
    for words in ({}, {"resume": True}):
        with pytest.raises(OutputError):
            swept(simulated, tmp_path / "out", **words)
    assert swept(simulated, tmp_path / "out", force=True, parameters={FAST: [3]}).trials.height == 1


def test_a_place_that_holds_something_else_is_left_alone(simulated: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    with pytest.raises(OutputError, match="not a sweep"):
        swept(simulated, tmp_path / "mine", force=True)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep me"


def test_the_best_are_run_in_full(simulated: Path, tmp_path: Path) -> None:
    run = swept(simulated, tmp_path / "out", keep_best=2, objective="-max_drawdown")
    best = run.trials.sort("max_drawdown", "trial").head(2)
    kept = sorted((tmp_path / "out" / "best").iterdir())
    assert [int(folder.name) for folder in kept] == sorted(best["trial"].to_list())
    for folder in kept:
        row = run.trials.row(int(folder.name), named=True)
        assert bt.load(folder).metrics["final_equity"] == row["final_equity"]


def test_trials_that_fail_are_rows_with_their_errors(simulated: Path, tmp_path: Path) -> None:
    run = swept(simulated, tmp_path / "out", parameters={FAST: [0, 5]})
    assert run.trials["status"].to_list() == ["failed", "done"]
    assert "/strategies/0/params/fast" in run.trials["error"][0]
    assert run.trials["error"][1] is None
    assert run.trials["final_equity"][0] is None
    assert run.manifest["counts"]["failed"] == 1


@pytest.mark.parametrize(
    ("words", "where"),
    [
        ({"parameters": {}}, "/sweep/parameters"),
        ({"objective": "sharp"}, "/sweep/objective"),
        ({"search": "random"}, "/sweep/trials"),
        ({"parameters": {FAST: []}}, "/sweep/parameters/strategies.0.params.fast"),
        ({"constraints": ["fast > 100"]}, "/sweep/constraints"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_before_anything_is_made(
    words: dict[str, Any], where: str, simulated: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        swept(simulated, tmp_path / "out", **words)
    assert where in str(caught.value)
    assert not (tmp_path / "out").exists()

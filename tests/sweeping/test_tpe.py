"""A search that learns: what it asks for, and that nothing but its seed and what trials earned decides that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import backtester as bt
from backtester.errors import ConfigError, OutputError
from backtester.sweeping.definition import sweep_of, windows_of
from backtester.sweeping.folder import SweepRun
from backtester.sweeping.space import Combination, space_of
from backtester.sweeping.sweep import run_sweep
from backtester.sweeping.tpe import Tpe
from backtester.sweeping.walk import walk_forward
from backtester.sweeping.walk_plan import WalkPlan
from backtester.sweeping.workers import Workers
from tests.configs import config, strategy

FAST, SLOW = "strategies.0.params.fast", "strategies.0.params.slow"
PARAMETERS: dict[str, Any] = {FAST: "int:2:15", SLOW: "20:60:5", "execution.stop_loss": "loguniform:0.002:0.05"}
LEARNING: dict[str, Any] = {
    "parameters": PARAMETERS,
    "search": "tpe",
    "trials": 14,
    "seed": 3,
    "generation": 5,
    "objective": "total_return",
}
MARKET: dict[str, Any] = {
    "strategies": strategy("sma_crossover"),
    "session_data_config.symbols": ["AAA"],
    "backtest_config": {"start_date": "2024-11-04", "end_date": "2024-11-15"},
    "trading_config": {"min_quality": 50},
}
Valued = Callable[[Combination], float | None]


def searched(search: Tpe, value: Valued) -> list[Combination]:
    """All combinations that a search asks for, where each is worth its value."""
    found: list[Combination] = []
    while trials := search.ask():
        assert [trial.number for trial in trials] == list(range(len(found), len(found) + len(trials)))
        found += [trial.values for trial in trials]
        search.tell({trial.number: value(trial.values) for trial in reversed(trials)})
    return found


def hill(combination: Combination) -> float:
    """Highest, 0, at x = 700 and y = 0.25."""
    x, y = combination
    return -(((x - 700) / 1000) ** 2) - (y - 0.25) ** 2


WIDE = space_of({"a.x": "int:0:1000", "a.y": "uniform:0:1"})


def test_it_comes_closer_to_the_best_than_the_same_number_of_random_draws() -> None:
    # Over ten seeds: the best of 96 that learn after every 16, and of 96 drawn evenly.
    learned = [max(map(hill, searched(Tpe(WIDE, 96, seed, 16, largest=True), hill))) for seed in range(10)]
    drawn = [max(map(hill, WIDE.random(96, seed))) for seed in range(10)]
    assert sum(one > other for one, other in zip(learned, drawn, strict=True)) >= 8
    lowest = [max(map(hill, searched(Tpe(WIDE, 96, seed, 16, largest=False), lambda made: -hill(made)))) for seed in range(3)]
    assert lowest == learned[:3]  # the smallest of what is the largest with a minus sign


def test_the_seed_and_what_trials_earned_decide_all() -> None:
    one, same, other = (searched(Tpe(WIDE, 40, seed, 8, largest=True), hill) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    flat = searched(Tpe(WIDE, 40, 1, 8, largest=True), lambda _: 0.0)
    assert flat[:8] == one[:8]
    assert flat[8:] != one[8:]


def test_no_combination_is_tried_twice_and_none_that_a_constraint_leaves_out() -> None:
    space = space_of({"a.fast": "2:20:2", "a.slow": [40, 10, 20, 5]}, ["fast < slow"])
    found = searched(Tpe(space, 500, 1, 7, largest=True), lambda made: float(made[0]))
    # below 40: 10; below 20: 9; below 10: 4; below 5: 2
    assert len(found) == len(set(found)) == 25
    assert all(fast < slow for fast, slow in found)


def test_words_and_switches_and_nothing_at_all_are_values_without_an_order() -> None:
    space = space_of({"a.word": ["one", "two", "three"], "a.on": [True, False], "a.stop": [None, 0.01]})
    found = searched(Tpe(space, 12, 1, 4, largest=True), lambda made: 1.0 if made[0] == "two" else 0.0)
    assert sorted(json.dumps(made) for made in found) == sorted(json.dumps(made) for made in space.grid())


def test_a_trial_without_an_objective_is_passed_by() -> None:
    def half(combination: Combination) -> float | None:
        return hill(combination) if combination[0] % 2 else None

    found = searched(Tpe(WIDE, 60, 4, 10, largest=True), half)
    assert len(found) == 60
    assert searched(Tpe(WIDE, 20, 4, 10, largest=True), lambda _: None) == searched(Tpe(WIDE, 20, 4, 10, largest=True), lambda _: None)


def test_a_space_in_which_nothing_is_wanted_is_refused(simulated: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no trial is left"):
        swept(simulated, tmp_path / "out", constraints=["fast > 100"])
    assert not (tmp_path / "out").exists()


# In a sweep


def swept(lake: Path, out: Path, engine: Any = None, **words: Any) -> SweepRun:
    made = sweep_of(config(lake, MARKET), changes=LEARNING | words)
    return run_sweep(made, out, resume=(out / "plan.json").exists(), **({} if engine is None else {"engine": engine}))


def untimed(table: pl.DataFrame) -> pl.DataFrame:
    return table.drop("seconds")


@pytest.fixture(scope="module")
def learned(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> SweepRun:
    """The sweep that others are compared with."""
    return swept(simulated, tmp_path_factory.mktemp("tpe") / "whole", keep_best=1)


def test_its_table_has_the_figures_of_runs_and_its_best_is_run_in_full(learned: SweepRun, simulated: Path, tmp_path: Path) -> None:
    trials = learned.trials
    assert trials["trial"].to_list() == list(range(14))
    assert trials["key"].n_unique() == 14
    best = trials.sort("total_return", "trial", descending=[True, False]).row(0, named=True)
    values = {path: best[path.rpartition(".")[2]] for path in PARAMETERS}
    alone = bt.run(config(simulated, MARKET | values), out=tmp_path / "alone")
    assert best["final_equity"] == alone.metrics["final_equity"]
    (kept,) = (learned.folder / "best").iterdir()
    assert bt.load(kept).metrics["final_equity"] == best["final_equity"]
    assert learned.manifest["plan"]["model"].startswith("optuna ")


@pytest.mark.parametrize("way", ["one block a trial", "two processes"])
def test_who_runs_the_trials_changes_nothing(way: str, learned: SweepRun, simulated: Path, tmp_path: Path) -> None:
    words, engine = ({"block": 1}, None) if way == "one block a trial" else ({}, Workers(2))
    other = swept(simulated, tmp_path / "out", engine, **words)
    assert untimed(other.trials).equals(untimed(learned.trials))
    assert other.equity.equals(learned.equity)
    assert other.manifest["identity"]["sweep_key"] == learned.manifest["identity"]["sweep_key"]


SCRIPT = """
import json, sys
import backtester as bt
made = json.loads(sys.argv[1])
bt.sweep(made["config"], out=made["out"], **made["words"])
"""


@pytest.mark.parametrize("fail_at", ["write:0000000000-*", "replace:0000000005-????????.parquet", "done:0000000007-????????.parquet"])
def test_a_search_that_was_killed_goes_on_as_if_it_never_was(fail_at: str, learned: SweepRun, simulated: Path, tmp_path: Path) -> None:
    words = {"config": config(simulated, MARKET), "out": str(tmp_path / "out"), "words": LEARNING | {"block": 2}}
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "BT_FAIL_AT": fail_at}
    assert subprocess.run([sys.executable, "-c", SCRIPT, json.dumps(words)], env=env, check=False).returncode == 137
    resumed = swept(simulated, tmp_path / "out")
    assert untimed(resumed.trials).equals(untimed(learned.trials))
    assert resumed.equity.equals(learned.equity)
    assert resumed.manifest["identity"]["sweep_key"] == learned.manifest["identity"]["sweep_key"]


def test_trials_on_disk_that_the_search_does_not_ask_for_are_not_taken_for_its_own(simulated: Path, tmp_path: Path) -> None:
    words = {"config": config(simulated, MARKET), "out": str(tmp_path / "out"), "words": LEARNING}
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "BT_FAIL_AT": "write:0000000005-*"}
    subprocess.run([sys.executable, "-c", SCRIPT, json.dumps(words)], env=env, check=False)
    (block,) = (tmp_path / "out" / "blocks").glob("??????????-????????.parquet")
    pl.read_parquet(block).with_columns(key=pl.lit("0123456789abcdef")).write_parquet(block)
    with pytest.raises(OutputError, match="another trial than the one on disk"):
        swept(simulated, tmp_path / "out")


def test_failed_trials_are_rows_and_the_search_goes_on(simulated: Path, tmp_path: Path) -> None:
    run = swept(simulated, tmp_path / "out", parameters={FAST: [0, 3, 5, 7], "execution.slippage.bps": [0, 1]}, trials=8)
    failed = run.trials.filter(pl.col("fast") == 0)
    assert (run.trials.height, failed["status"].unique().to_list()) == (8, ["failed"])
    assert run.manifest["counts"]["failed"] == 2


def test_windows_choose_by_it_too(simulated: Path, tmp_path: Path) -> None:
    words = LEARNING | {"parameters": {"execution.commission": [{}, {"bps": 1}, {"bps": 2}], FAST: "int:2:9"}, "trials": 6}
    sweep = sweep_of(config(simulated, MARKET), changes=words, windows={"train": 4, "test": 3})
    walk = walk_forward(WalkPlan(sweep, windows_of(sweep), tmp_path / "walk"))
    assert walk.folds.height == 2
    for row in walk.folds.iter_rows(named=True):
        chosen = {"execution.commission": json.loads(row["commission"]), FAST: row["fast"]}
        days = {"start_date": str(row["test_start"]), "end_date": str(row["test_end"])}
        cash = 100_000 if row["fold"] == 0 else walk.folds["out_final_equity"][0]
        alone = bt.run(
            config(simulated, MARKET | chosen | {"backtest_config": days, "account.cash": cash}), out=tmp_path / str(row["fold"])
        )
        assert row["out_final_equity"] == alone.metrics["final_equity"]

"""`bt sweep` on the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from backtester.cli import main
from backtester.cli.sweep_progress import line
from backtester.sweeping.sweep import SweepProgress
from tests.configs import config, strategy

FAST = "strategies.0.params.fast"


@pytest.fixture
def written(simulated: Path, tmp_path: Path) -> Path:
    """A config file that sweeps one parameter."""
    changes = {
        "strategies": strategy("sma_crossover"),
        "session_data_config.symbols": ["AAA"],
        "backtest_config": {"start_date": "2024-11-04", "end_date": "2024-11-08"},
        "sweep": {"parameters": {FAST: "2:6:2"}, "objective": "total_return"},
    }
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(config(simulated, changes)))
    return path


def bt(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_a_sweep_prints_its_best_trials_and_where_the_table_is(written: Path, tmp_path: Path) -> None:
    done = bt("sweep", written, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "best by total_return" in done.stdout
    assert "3 trials in" in done.stdout
    assert (tmp_path / "out" / "trials.parquet").exists()


def test_parameters_of_the_command_stand_in_place_of_the_configs(written: Path, tmp_path: Path) -> None:
    words = ("--param", f"{FAST}=3,5", "--param", "execution.slippage.bps=0,1", "--objective=-fees", "--json")
    done = bt("sweep", written, "--out", tmp_path / "out", *words)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["counts"]["trials"] == 4
    assert {(row["fast"], row["bps"]) for row in found["best"]} == {(3, 0), (3, 1), (5, 0), (5, 1)}
    fees = [row["fees"] for row in found["best"]]
    assert fees == sorted(fees)


def test_a_second_sweep_into_the_same_place_ends_with_code_8(written: Path, tmp_path: Path) -> None:
    assert bt("sweep", written, "--out", tmp_path / "out", "--quiet").output == ""
    second = bt("sweep", written, "--out", tmp_path / "out")
    assert second.exit_code == 8
    assert "complete sweep" in second.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--param", FAST), 2, "PATH=VALUES"),
        (("--param", f"{FAST}=9:1:1"), 3, "an empty range"),
        (("--objective", "sharp"), 3, "did you mean 'sharpe'"),
        (("--search", "random"), 3, "a search by random needs it"),
        (("--search", "tpe", "--trials", "9"), 3, "a search by tpe needs it"),
        (("--search", "best"), 2, "Invalid value"),
        (("--trials", "0"), 2, "Invalid value"),
        (("--address", "head:6379"), 2, "--engine ray"),
        (("--resume", "--set", "execution.slippage.bps=-1"), 3, "/execution/slippage/bps"),
    ],
)
def test_what_cannot_be_swept_says_why(words: tuple[str, ...], code: int, said: str, written: Path, tmp_path: Path) -> None:
    done = bt("sweep", written, "--out", tmp_path / "out", *words)
    assert done.exit_code == code, done.output
    assert said in done.stderr


def test_a_sweep_in_which_trials_failed_ends_with_code_5_and_a_whole_table(written: Path, tmp_path: Path) -> None:
    done = bt("sweep", written, "--out", tmp_path / "out", "--param", f"{FAST}=0,5,-1", "--quiet")
    assert (done.exit_code, done.stdout) == (5, "")
    assert done.stderr.startswith("warning: 2 of 3 trials failed; trial 0: ")
    assert "/strategies/0/params/fast" in done.stderr
    assert pl.read_parquet(tmp_path / "out" / "trials.parquet")["status"].to_list() == ["failed", "done", "failed"]
    as_json = bt("sweep", written, "--out", tmp_path / "json", "--param", f"{FAST}=0,5", "--json")
    assert (as_json.exit_code, json.loads(as_json.stdout)["counts"]["failed"]) == (5, 1)


@pytest.mark.parametrize(
    ("windows", "failed"), [(("--train", 3, "--test", 1), 2), (("--kind", "combinatorial", "--folds", 5, "--tests", 1), 1)]
)
def test_a_walk_in_which_trials_failed_ends_with_code_5(windows: tuple[object, ...], failed: int, written: Path, tmp_path: Path) -> None:
    done = bt("walkforward", written, "--out", tmp_path / "out", "--param", f"{FAST}=0,5", "--quiet", *windows)
    assert (done.exit_code, done.stdout) == (5, "")
    assert done.stderr == f"warning: {failed} trials failed; their errors are in the tables of the sweeps\n"


def test_a_search_by_a_model_without_its_library_says_what_to_install(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = bt("sweep", written, "--out", tmp_path / "out", "--search", "tpe", "--trials", 3, "--seed", 1)
    assert done.exit_code == 3
    assert done.stderr == "error: a search by tpe needs optuna (/sweep/search): pip install 'backtester[search]'\n"
    assert not (tmp_path / "out").exists()


def test_progress_says_how_far_how_fast_how_long_and_how_good() -> None:
    progress = SweepProgress(done=300, total=1000, before=100, bar_trials=4_000_000_000, best=(17, 1.23456))
    expected = "300 of 1,000 trials, 400 million bars/s, 35 s left, best sharpe 1.235 (trial 17)"
    assert line(progress, 10.0, "sharpe") == expected

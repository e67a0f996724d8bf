"""`bt sweep` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

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


def test_progress_says_how_far_how_fast_how_long_and_how_good() -> None:
    progress = SweepProgress(done=300, total=1000, before=100, bar_trials=4_000_000_000, best=(17, 1.23456))
    expected = "300 of 1,000 trials, 400 million bars/s, 35 s left, best sharpe 1.235 (trial 17)"
    assert line(progress, 10.0, "sharpe") == expected

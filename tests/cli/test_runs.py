"""`bt runs` on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import backtester
from backtester.cli import main
from tests.configs import config, strategy

CHANGES = {
    "strategies": strategy("sma_crossover"),
    "session_data_config.symbols": ["AAA"],
    "backtest_config": {"start_date": "2024-11-04", "end_date": "2024-11-05"},
    "trading_config": {"min_quality": 50},
}


@pytest.fixture
def written(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BT_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("BT_CATALOG", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.json").write_text(json.dumps(config(simulated, CHANGES)))
    return tmp_path


def bt(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_every_finished_run_and_sweep_is_remembered(written: Path) -> None:
    """By the commands and from Python; trials that a sweep runs again are its own affair."""
    assert bt("runs").exit_code == 0
    assert bt("run", "mine.json", "--out", "runs/one", "--quiet").exit_code == 0
    assert bt("run", "mine.json", "--out", "runs/one", "--force", "--quiet").exit_code == 0
    backtester.run("mine.json", out="runs/two")
    parameters = {"strategies.0.params.fast": [3, 5]}
    backtester.sweep("mine.json", out="runs/swept", parameters=parameters, objective="total_return", keep_best=1)
    assert bt("sweep", "mine.json", "--param", "strategies.0.params.fast=4,6", "--out", "runs/again", "--quiet").exit_code == 0
    shutil.rmtree("runs/one")
    listed = json.loads(bt("runs", "--json").stdout)
    assert {(row["name"], row["kind"], row["status"]) for row in listed} == {
        ("one", "run", "gone"), ("two", "run", "done"), ("swept", "sweep", "done"), ("again", "sweep", "done"),
    }  # fmt: skip
    below = json.loads(bt("runs", "runs", "--json").stdout)
    assert {row["name"] for row in below} - {row["name"] for row in listed} == {
        path.name for path in (written / "runs" / "swept" / "best").iterdir()
    }


def test_a_list_is_a_table_sorted_and_filtered(written: Path) -> None:
    for name in ("one", "two"):
        backtester.run("mine.json", out=f"runs/{name}")
    done = bt("runs", "runs", "--sort", "-name", "--where", "sessions = 2")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["name", "two", "one", "2"]
    assert all(line == line.rstrip() for line in lines)
    assert bt("runs", "runs", "--csv", "--limit", 1).stdout.count("\n") == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("nowhere",), 8, "no such folder"),
        (("--sort", "shrp"), 2, "did you mean 'sharpe'?"),
        (("--where", "shrp > 1"), 2, "did you mean 'sharpe'?"),
        (("--tz", "Nowhere"), 2, "unknown time zone"),
        (("--csv", "--json"), 2, "one form"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(written: Path, words: tuple[str, ...], code: int, said: str) -> None:
    done = bt("runs", *words)
    assert done.exit_code == code
    assert said in done.stderr
    assert done.stderr.count("\n") == 1

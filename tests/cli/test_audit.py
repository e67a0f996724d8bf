"""The words of `bt audit`: what a person sees, what a program reads, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backtester.cli import main
from tests import configs

LEAKS = (Path(__file__).parents[1] / "auditing" / "leaks.py").read_text(encoding="utf-8")
FEW = ("--cuts", "4", "--changes", "4")


def bt(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), prog_name="bt")


@pytest.fixture
def place(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a config that looks ahead in a file beside it, and a sound strategy."""
    days = {"backtest_config.start_date": "2024-11-27", "backtest_config.end_date": "2024-12-02"}
    entries = [{"name": "knows", "use": "leaks.py:ShiftMinusOne"}, {"name": "cross", "use": "sma_crossover"}]
    content = configs.config(simulated, {**days, "session_data_config.symbols": ["AAA", "CCC"], "strategies": entries})
    (tmp_path / "config.json").write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "leaks.py").write_text(LEAKS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_leak_ends_with_5_and_names_symbol_session_bar_and_both_values(place: Path) -> None:
    result = bt("audit", "config.json", "--quiet", *FEW)
    assert result.exit_code == 5, result.output
    lines = [line for line in result.stdout.splitlines() if "prefix cut" in line]
    assert len(lines) == 1
    words = lines[0].split()
    assert words[:4] == ["strategy", "knows", "prefix", "cut"]
    assert words[6] in ("AAA", "CCC")
    assert words[7] in ("2024-11-27", "2024-11-29", "2024-12-02")
    assert words[8][2] == ":"
    assert words[9:] == ["enter_long", "nothing"]
    assert "strategy cross" not in result.stdout
    assert "not clean: 4 of" in result.stdout


def test_a_clean_config_ends_with_0_and_shows_every_check(place: Path) -> None:
    result = bt("audit", "config.json", *FEW, "--set", 'strategies=[{"name": "cross", "use": "sma_crossover"}]')
    assert result.exit_code == 0, result.output
    for check in ("prefix cut", "future mirrored", "one symbol at a time", "another process", "inputs unchanged", "history x4"):
        assert check in result.stdout
    assert result.stdout.splitlines()[-1].startswith("clean: 3 sessions, 4 cuts at random and 4 at changes of signals, seed 1")


def test_json_holds_the_same_rows(place: Path) -> None:
    result = bt("audit", "config.json", "--json", "--seed", "3", *FEW)
    told = json.loads(result.stdout)
    assert result.exit_code == 5
    assert (told["seed"], told["sessions"], told["random_cuts"], told["clean"]) == (3, 3, 4, False)
    leaking = {row["check"] for row in told["rows"] if row["leaks"]}
    assert leaking == {"prefix cut", "future missing", "future noise", "future mirrored"}
    row = next(row for row in told["rows"] if row["check"] == "prefix cut" and row["leaks"])
    assert row["subject"] == "strategy knows"
    assert set(row["first"]) == {"symbol", "session", "ts", "slot", "usual", "other"}
    assert row["looks"] >= 4


def test_strategies_in_processes_of_their_own_are_audited_too(place: Path) -> None:
    result = bt("audit", "config.json", "--json", *FEW, "--set", "resources.isolate_strategies=true")
    told = json.loads(result.stdout)
    assert {row["subject"] for row in told["rows"] if row["leaks"]} == {"strategy knows"}
    notes = {row["note"] for row in told["rows"] if row["check"] == "inputs unchanged"}
    assert notes == {"it has a process of its own, with columns of its own"}


def test_the_example_of_the_docs_is_clean(project: Path, simulated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    result = bt("audit", "configs/quickstart.json", "--lake", str(simulated), *FEW)
    assert result.exit_code == 0, result.output
    assert "historical avg_volume" in result.stdout
    assert "bars 5m" in result.stdout


def test_a_config_that_cannot_run_is_told_as_bt_run_tells_it(place: Path) -> None:
    result = bt("audit", "config.json", "--set", "backtest_config.start_date=2025-03-03", "--set", "backtest_config.end_date=2025-03-04")
    assert result.exit_code == 4
    assert "not available" in result.stderr

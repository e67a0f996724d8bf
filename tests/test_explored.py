"""What using the program by hand brought to light, held end to end through the command."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backtester.cli import main


def bt(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def simulated(lake: str | Path, *words: object) -> Result:
    return bt("data", "simulate", "--lake", lake, "--symbols", "AAA,BBB", "--start", "2024-07-01", "--end", "2024-07-05", "--seed", 7, *words)


def test_a_lake_may_be_named_by_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = simulated("data/lake")
    assert made.exit_code == 0, made.stderr
    assert "rows_unchanged  2,760" in simulated("data/lake").stdout
    assert bt("data", "verify", "--lake", "data/lake").exit_code == 0

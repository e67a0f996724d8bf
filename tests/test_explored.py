"""What using the program by hand brought to light, held end to end through the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from backtester.cli import main


def bt(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def simulated(lake: str | Path, *words: object) -> Result:
    return bt(
        "data", "simulate", "--lake", lake, "--symbols", "AAA,BBB", "--start", "2024-07-01", "--end", "2024-07-05", "--seed", 7, *words
    )


def test_a_lake_may_be_named_by_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = simulated("data/lake")
    assert made.exit_code == 0, made.stderr
    assert "rows_unchanged  2,760" in simulated("data/lake").stdout
    assert bt("data", "verify", "--lake", "data/lake").exit_code == 0


MINE = """
from backtester import Bars, Signals, Strategy


class Tenth(Strategy):
    interval: str = "1m"

    def signals(self, bars: Bars) -> Signals:
        return Signals(enter_long=bars.slot == 10, exit_long=bars.slot == 20)
"""


def a_config(folder: Path, lake: Path, **more: object) -> Path:
    """A config of two names on the simulated lake, in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.json"
    document: dict[str, object] = {
        "session_name": "explored",
        "exchange_group": "US_EQUITY",
        "asset_class": "EQUITY",
        "backtest_config": {"start_date": "2024-07-01", "end_date": "2024-07-05"},
        "session_data_config": {"lake": str(lake), "symbols": ["AAA", "BBB"], "streams": ["1m"]},
        "strategies": [{"name": "mine", "use": "sma_crossover", "params": {"interval": "5m"}}],
        "account": {"cash": 100_000},
    }
    path.write_text(json.dumps(document | more))
    return path


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two names over four sessions, one of them with an early close."""
    root = tmp_path_factory.mktemp("explored") / "lake"
    assert simulated(root).exit_code == 0
    return root


def ran(config: Path, out: Path, *words: object) -> Any:
    """The facts that `bt run --json` prints."""
    result = bt("run", config, "--out", out, "--json", *words)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_strategy_file_gives_one_result_wherever_it_lies_and_however_it_is_named(tmp_path: Path, lake: Path) -> None:
    keys = set()
    for folder, use in (
        ("a", "mine.py:Tenth"),
        ("b", "./mine.py:Tenth"),
        ("c", f"{tmp_path}/c/mine.py:Tenth"),
        ("d", "sub/../mine.py:Tenth"),
    ):
        config = a_config(tmp_path / folder, lake, strategies=[{"name": "mine", "use": use}])
        (tmp_path / folder / "mine.py").write_text(MINE)
        keys.add(ran(config, tmp_path / f"run_{folder}")["result_key"])
    assert len(keys) == 1


def test_the_config_of_a_result_can_be_run_again_with_its_strategy_file(
    tmp_path: Path, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = a_config(tmp_path / "configs", lake, strategies=[{"name": "mine", "use": "mine.py:Tenth"}])
    (tmp_path / "configs" / "mine.py").write_text(MINE)
    first = ran(config, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert ran(tmp_path / "run" / "config.json", tmp_path / "again")["result_key"] == first["result_key"]

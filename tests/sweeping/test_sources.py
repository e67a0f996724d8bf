"""The files of all strategies that a sweep may call are part of what it is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from backtester.errors import OutputError, StrategyError
from backtester.sweeping.definition import Sweep, sweep_of
from backtester.sweeping.folder import SweepFolder
from backtester.sweeping.identity import identity
from backtester.sweeping.sources import uses
from backtester.sweeping.space import space_of
from backtester.sweeping.sweep import run_sweep
from backtester.sweeping.task import packed, worked
from tests.configs import config

MARKET: dict[str, Any] = {
    "session_data_config.symbols": ["AAA"],
    "backtest_config": {"start_date": "2024-11-04", "end_date": "2024-11-08"},
    "trading_config": {"min_quality": 50},
}


MINE = """
from backtester import Signals, Strategy

class Mine(Strategy):
    inputs = {"bars": "1m"}

    def signals(self, bars):
        return Signals(enter_long=bars.close > {level})
"""


def test_a_sweep_over_strategies_knows_the_file_of_each(simulated: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(MINE.replace("{level}", "0"))
    changes = MARKET | {"strategies": [{"name": "only", "use": "buy_and_hold"}]}
    (tmp_path / "config.json").write_text(json.dumps(config(simulated, changes)))
    uses = {"strategies.0.use": ["buy_and_hold", "mine.py:Mine"]}

    def defined() -> Sweep:
        return sweep_of(tmp_path / "config.json", changes={"parameters": uses})

    before = run_sweep(defined(), tmp_path / "before")
    assert before.trials["status"].to_list() == ["done", "done"]
    assert before.manifest["plan"]["uses"]["mine.py:Mine"] == hashlib.sha256(mine.read_bytes()).hexdigest()
    task = packed(defined(), defined().trials(), threads=1)
    begun = swept_in_part(defined(), tmp_path / "begun")
    mine.write_text(MINE.replace("{level}", "1e9"))
    with pytest.raises(OutputError, match="another sweep") as caught:
        run_sweep(defined(), begun, resume=True)
    assert "/uses/mine.py:Mine" in str(caught.value.value)
    with pytest.raises(StrategyError, match="not the one that the sweep began with"):
        worked(task)
    after = run_sweep(defined(), tmp_path / "after")
    assert after.manifest["identity"]["sweep_key"] != before.manifest["identity"]["sweep_key"]
    assert after.trials["open_trades"].to_list() == [1, 0]
    assert before.trials["open_trades"].to_list() == [1, 1]


def swept_in_part(sweep: Sweep, out: Path) -> Path:
    """A sweep's folder with nothing done."""
    with SweepFolder.claim(out, identity(sweep.base, sweep.config, sweep.space), force=False, resume=False):
        return out


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"strategies.0.use": ["b", "a"], "strategies.0.params.use": ["c"]}, ["a", "b"]),
        ({"strategies.0": [{"name": "x", "use": "a", "params": {"use": "c"}}]}, ["a"]),
        ({"strategies": [[{"name": "x", "use": "a"}, {"name": "y", "use": "b"}], []]}, ["a", "b"]),
        ({"strategies.0.params": [{"use": "c"}], "execution.slippage.bps": "0,1"}, []),
    ],
)
def test_uses_are_found_wherever_a_value_names_them(parameters: dict[str, Any], found: list[str]) -> None:
    assert uses(space_of(parameters)) == found

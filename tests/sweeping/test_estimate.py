"""What a sweep is said to cost before it is run."""

from __future__ import annotations

import resource
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backtester.errors import ResourceError
from backtester.sweeping.definition import sweep_of
from backtester.sweeping.estimate import BYTES_A_TRIAL, Estimate, estimate
from tests.configs import config, strategy

PARAMETERS = {"strategies.0.params.fast": "2:11:1", "strategies.0.params.slow": [20, 30]}
MARKET: dict[str, Any] = {
    "strategies": strategy("sma_crossover"),
    "session_data_config.symbols": ["AAA", "BBB"],
    "backtest_config": {"start_date": "2024-11-04", "end_date": "2024-12-06"},
}


def estimated(lake: Path, changes: dict[str, Any] | None = None, **words: Any) -> Estimate:
    return estimate(sweep_of(config(lake, MARKET | (changes or {})), changes={"parameters": PARAMETERS} | words))


def taken(monkeypatch: pytest.MonkeyPatch, kilobytes: int) -> None:
    """Let the process have taken so much at its peak."""
    monkeypatch.setattr(resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=kilobytes))


def test_trials_and_bars_are_counted(simulated: Path) -> None:
    found = estimated(simulated)
    assert (found.trials, found.bars, found.bar_trials) == (20, 24 * 390 * 2, 20 * 24 * 390 * 2)
    assert found.seconds > 0


def test_more_trials_are_expected_to_take_more_memory(simulated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken(monkeypatch, 1)
    few, many = estimated(simulated, trials=2), estimated(simulated)
    assert many.memory_bytes - few.memory_bytes == 18 * (BYTES_A_TRIAL + 8 * 24)


def test_what_the_process_takes_already_is_expected_too(simulated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken(monkeypatch, 9_000_000)
    assert estimated(simulated, trials=2).memory_bytes == 9_000_000 * 1024


@pytest.mark.parametrize(
    ("changes", "words", "where"),
    [({}, {"max_seconds": 1e-9}, "/sweep/max_seconds"), ({"resources.max_memory": "1MB"}, {}, "/resources/max_memory")],
)
def test_a_sweep_past_its_budget_is_refused(changes: dict[str, Any], words: dict[str, Any], where: str, simulated: Path) -> None:
    with pytest.raises(ResourceError) as caught:
        estimated(simulated, changes, **words)
    assert caught.value.where == where or "memory" in caught.value.what
    assert caught.value.exit_code == 7

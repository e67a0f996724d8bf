"""Combinatorial purged cross-validation: parameters chosen on some sessions, judged on all others."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backtester as bt
from backtester.errors import ConfigError
from backtester.sweeping.cross import Cross, cross_validate
from backtester.sweeping.definition import sweep_of, windows_of
from backtester.sweeping.walk_plan import WalkPlan
from tests.configs import config, strategy

FAST, SLOW = "strategies.0.params.fast", "strategies.0.params.slow"
PARAMETERS = {FAST: [3, 6, 9], SLOW: [20, 50]}
MARKET: dict[str, Any] = {
    "strategies": strategy("sma_crossover"),
    "session_data_config.symbols": ["AAA", "BBB"],
    "backtest_config": {"start_date": "2024-11-04", "end_date": "2024-12-05"},
    "trading_config": {"min_quality": 50},
}
SESSIONS, FOLDS, TESTS, PURGE, EMBARGO = 23, 5, 2, 1, 1


def crossed(lake: Path, out: Path, **words: Any) -> Cross:
    changes = {"parameters": PARAMETERS, "objective": "total_return"} | words
    windows = {"kind": "combinatorial", "folds": FOLDS, "tests": TESTS, "purge": PURGE, "embargo": EMBARGO}
    sweep = sweep_of(config(lake, MARKET), changes=changes, windows=windows)
    return cross_validate(WalkPlan(sweep, windows_of(sweep), out))


def test_every_choice_takes_the_best_of_its_sessions_and_every_path_judges_each_session_once(simulated: Path, tmp_path: Path) -> None:
    found = crossed(simulated, tmp_path / "cross")
    swept = bt.sweep(config(simulated, MARKET), out=tmp_path / "sweep", parameters=PARAMETERS)
    equity = swept.equity.pivot(on="trial", index="session", values="equity").drop("session").to_numpy()
    returns = equity / np.concatenate([np.full((1, 6), 100_000.0), equity[:-1]]) - 1.0
    edges = [0, 5, 10, 15, 19, 23]  # the first three of five folds have one session more
    chosen = {}
    for place, tests in enumerate(itertools.combinations(range(FOLDS), TESTS)):
        out = {day for fold in tests for day in range(edges[fold] - PURGE, edges[fold + 1] + PURGE + EMBARGO)}
        train = [day for day in range(SESSIONS) if day not in out]
        grown = np.prod(1.0 + returns[train], axis=0) - 1.0
        chosen[tests] = int(grown.argmax())
        row = found.choices.row(place, named=True)
        assert (row["tests"], row["trained_on"], row["trial"]) == (" ".join(map(str, tests)), len(train), chosen[tests])
        assert row["in_total_return"] == pytest.approx(grown.max(), abs=1e-12)
        judged = [day for fold in tests for day in range(edges[fold], edges[fold + 1])]
        assert row["out_total_return"] == pytest.approx(np.prod(1.0 + returns[judged, chosen[tests]]) - 1.0, abs=1e-12)
    assert found.figures["paths"] == 4
    used = []
    for path in range(4):
        rows = found.paths.filter(path=path)
        assert rows["session"].to_list() == swept.equity["session"].unique(maintain_order=True).to_list()
        trials = rows["trial"].to_list()
        assert rows["return"].to_list() == pytest.approx([returns[day, trial] for day, trial in enumerate(trials)], abs=1e-15)
        used += [(fold, trials[edges[fold]]) for fold in range(FOLDS)]
    expected = [(fold, trial) for tests, trial in chosen.items() for fold in tests]
    assert sorted(used) == sorted(expected)


def test_a_sweep_that_stands_there_is_not_made_again(simulated: Path, tmp_path: Path) -> None:
    first = crossed(simulated, tmp_path / "cross")
    stamp = (tmp_path / "cross" / "sweep" / "manifest.json").stat().st_mtime_ns
    again = crossed(simulated, tmp_path / "cross", objective="-max_drawdown")
    assert (tmp_path / "cross" / "sweep" / "manifest.json").stat().st_mtime_ns == stamp
    assert again.figures["objective"] == "max_drawdown"
    assert first.figures["values"] != again.figures["values"]


def test_an_objective_that_needs_trades_is_refused(simulated: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="do not give this objective"):
        crossed(simulated, tmp_path / "cross", objective="profit_factor")

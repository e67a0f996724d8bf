"""What a sweep says of its best trial beside all others, and how many trials it knows of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import backtester as bt
from backtester.outcome import cscv, overfitting
from backtester.sweeping import trial_ledger
from backtester.sweeping.evidence import BLOCKS
from backtester.sweeping.folder import SweepRun
from tests.configs import config, strategy

FAST, SLOW = "strategies.0.params.fast", "strategies.0.params.slow"
MARKET: dict[str, Any] = {
    "strategies": strategy("sma_crossover"),
    "session_data_config.symbols": ["AAA", "BBB"],
    "backtest_config": {"start_date": "2024-10-08", "end_date": "2024-12-31"},
    "trading_config": {"min_quality": 50},
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BT_DATA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def swept(lake: Path, out: Path, parameters: dict[str, Any], **words: Any) -> SweepRun:
    return bt.sweep(config(lake, MARKET), out=out, parameters=parameters, force=True, **words)


def test_the_best_trial_stands_beside_all_others(simulated: Path, tmp_path: Path) -> None:
    run = swept(simulated, tmp_path / "out", {FAST: [3, 5, 9], SLOW: [20, 40, 80]}, objective="sharpe")
    found, trials = run.evidence, run.trials
    best = trials.sort("sharpe", descending=True)["trial"][0]
    equity = run.equity.pivot(on="trial", index="session", values="equity").drop("session").to_numpy()
    returns = np.diff(equity, axis=0, prepend=100_000.0) / np.concatenate([np.full((1, 9), 100_000.0), equity[:-1]])
    track = overfitting.track(returns[:, best])
    variance, effective = overfitting.sharpe_variance(returns), overfitting.effective_trials(returns)
    halves = cscv.overfitting(returns, BLOCKS)
    assert track is not None
    assert variance is not None
    assert effective is not None
    assert halves is not None
    assert (found["best"], found["trials"], found["trials_ever"], found["compared"]) == (best, 9, 9, 9)
    assert found["effective_trials"] == pytest.approx(effective)
    assert found["deflated_sharpe"]["trials"] == pytest.approx(overfitting.deflated_sharpe(track, 9, variance))
    assert found["deflated_sharpe"]["effective"] == pytest.approx(overfitting.deflated_sharpe(track, effective, variance))
    assert found["overfitting"]["probability"] == halves.probability
    assert set(found["intervals"]) == {"sharpe", "annual_return", "max_drawdown"}
    assert found["intervals"]["sharpe"]["low"] < trials["sharpe"][best] < found["intervals"]["sharpe"]["high"]


def test_the_best_trials_neighbours_are_one_step_away(simulated: Path, tmp_path: Path) -> None:
    run = swept(simulated, tmp_path / "out", {FAST: [3, 5, 9], SLOW: [20, 40, 80]}, objective="-max_drawdown")
    table = run.trials
    best = table.sort("max_drawdown", "trial").row(0, named=True)
    fast, slow = [3, 5, 9].index(best["fast"]), [20, 40, 80].index(best["slow"])
    near = [
        table.row(by_predicate=(pl.col("fast") == [3, 5, 9][f]) & (pl.col("slow") == [20, 40, 80][s]), named=True)["max_drawdown"]
        for f, s in ((fast - 1, slow), (fast + 1, slow), (fast, slow - 1), (fast, slow + 1))
        if 0 <= f < 3 and 0 <= s < 3
    ]
    found = run.evidence["stability"]
    assert found["neighbours"] == len(near)
    assert found["mean"] == pytest.approx(sum(near) / len(near))
    assert {found["lowest"], found["highest"]} == {min(near), max(near)}


def test_trials_that_failed_count_but_have_no_returns(simulated: Path, tmp_path: Path) -> None:
    found = swept(simulated, tmp_path / "out", {FAST: [0, 3, 5]}).evidence
    assert (found["trials"], found["compared"]) == (3, 2)


def test_few_sessions_give_no_probabilities(simulated: Path, tmp_path: Path) -> None:
    short = MARKET | {"backtest_config": {"start_date": "2024-11-04", "end_date": "2024-11-15"}}
    run = bt.sweep(config(simulated, short), out=tmp_path / "out", parameters={FAST: [3, 5]}, objective="total_return")
    assert "deflated_sharpe" not in run.evidence
    assert run.evidence["trials"] == 2


def test_all_trials_ever_made_of_a_market_and_a_strategy_are_counted_once_each(simulated: Path, tmp_path: Path) -> None:
    counts = [swept(simulated, tmp_path / "out", {FAST: values}).evidence["trials_ever"] for values in ([3, 5], [7, 9, 11], [3, 5])]
    assert counts == [2, 5, 5]
    other = MARKET | {"session_data_config.symbols": ["AAA"]}
    alone = bt.sweep(config(simulated, other), out=tmp_path / "other", parameters={FAST: [3, 5]})
    assert alone.evidence["trials_ever"] == 2


def test_a_broken_line_of_the_ledger_is_left_out(simulated: Path, tmp_path: Path, home: Path) -> None:
    swept(simulated, tmp_path / "out", {FAST: [3, 5]})
    with (home / trial_ledger.FILE).open("a", encoding="utf-8") as file:
        file.write('{"subject": "x"\n[]\n{"subject": 1, "sweep": 2, "trials": "many"}\n')
    assert swept(simulated, tmp_path / "out", {FAST: [7]}).evidence["trials_ever"] == 3


def test_without_a_place_for_the_ledger_the_sweep_counts_itself(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BT_DATA_HOME", str(tmp_path / "file" / "below"))
    assert swept(simulated, tmp_path / "out", {FAST: [3, 5]}).evidence["trials_ever"] == 2

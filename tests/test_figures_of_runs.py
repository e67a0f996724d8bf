"""Figures of whole runs, worked out again from the run's own tables, and trades from its fills."""

from __future__ import annotations

import math
import statistics
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import backtester as bt
from tests import figures
from tests.configs import config
from tests.rebuilt import differences

BOTH_WAYS = """
import numpy as np
from backtester import Signals, Strategy


class BothWays(Strategy):
    every: int = 41

    def signals(self, bars):
        wheel = (bars.slot + 7 * np.nan_to_num(bars.close * 100).astype(np.int64)) % self.every
        return Signals(enter_long=wheel == 1, exit_long=wheel == 9, enter_short=wheel == 4, exit_short=wheel == 12)
"""
COMMON: dict[str, Any] = {
    "session_data_config.symbols": ["AAA", "BBB", "CCC", "DDD"],
    "keep": ["bars"],
    "account.allow_short": True,
    "trading_config": {"min_quality": 0, "max_per_trade": 9000},
    "execution.commission": {"per_share": 0.005, "minimum": 1.0, "cap_bps": 100.0},
    "execution.slippage": {"bps": 1},
    "execution.borrow_bps": 300.0,
}
RUNS: dict[str, dict[str, Any]] = {
    "62 sessions, overnight": {
        "backtest_config.start_date": "2024-10-03",
        "backtest_config.end_date": "2024-12-31",
        "strategies": [
            {"name": "ways", "use": "both_ways.py:BothWays", "params": {"every": 997}},
            {"name": "cross", "use": "sma_crossover", "params": {"interval": "5m"}},
        ],
        "execution.cost_ladder": [0.0, 1.0],
    },
    "22 sessions, stops and targets": {
        "backtest_config.start_date": "2024-11-01",
        "backtest_config.end_date": "2024-12-03",
        "strategies": [{"name": "ways", "use": "both_ways.py:BothWays"}],
        "execution.stop_loss": 0.0004,
        "execution.take_profit": 0.0004,
        "execution.intrabar": "open_to_nearest",
        "execution.flat_at_close": True,
    },
    "3 sessions": {
        "backtest_config.start_date": "2024-12-02",
        "backtest_config.end_date": "2024-12-04",
        "strategies": [{"name": "ways", "use": "both_ways.py:BothWays", "params": {"every": 203}}],
    },
}


@pytest.fixture(scope="module", params=list(RUNS))
def run(request: pytest.FixtureRequest, simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> bt.Run:
    """A run over the simulated market, long and short."""
    folder = tmp_path_factory.mktemp("figures")
    (folder / "both_ways.py").write_text(BOTH_WAYS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return bt.run(config(simulated, COMMON | RUNS[request.param]), out=folder / "run")


def rows(run: bt.Run, name: str) -> list[dict[str, Any]]:
    return run.table(name).to_dicts()


def fee(price: float, quantity: float) -> float:
    return min(max(0.005 * quantity, 1.0), 0.01 * price * quantity)


def worth_of_the_benchmark(run: bt.Run) -> list[float]:
    """Equal parts of all symbols, from each one's first close to its last one so far; cash before the first."""
    closes: dict[Any, dict[str, list[float]]] = {row["session"]: {} for row in rows(run, "sessions")}
    for bar in run.table("bars").sort("ts").filter(interval="1m").to_dicts():
        closes[bar["session"]].setdefault(bar["symbol"], []).append(bar["close"])
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    worth = [1.0]
    for day in closes.values():
        first = {symbol: series[0] for symbol, series in day.items()} | first
        last |= {symbol: series[-1] for symbol, series in day.items()}
        worth.append(statistics.fmean(last[symbol] / first[symbol] if symbol in first else 1.0 for symbol in run.metrics["by_symbol"]))
    return worth


def assert_equal(found: Any, wanted: Any, where: str = "") -> None:
    """Equal to 1e-9, null for null, key for key."""
    if isinstance(wanted, dict):
        assert set(found) == set(wanted), where
        for name, value in wanted.items():
            assert_equal(found[name], value, f"{where}/{name}")
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-9, abs=2e-9), where
    else:
        assert found == wanted, where


def test_the_run_has_what_its_figures_are_about(run: bt.Run) -> None:
    found = run.metrics
    assert min(found["by_direction"]["long"]["trades"], found["by_direction"]["short"]["trades"]) > 5
    assert (found["ambiguous_fills"] > 0) == (run.config["execution"]["stop_loss"] is not None)
    assert (found["borrow"] > 0) == (not run.config["execution"]["flat_at_close"])
    assert len(found["by_symbol"]) == 4


def test_every_figure_follows_from_the_tables(run: bt.Run) -> None:
    """I-40, D-08: all keys of metrics.json."""
    names = ("fills", "trades", "equity", "sessions", "orders")
    year, zone = run.manifest["calendar"]["sessions_per_year"], run.manifest["calendar"]["timezone"]
    wanted = figures.of_the_run({name: rows(run, name) for name in names}, 100_000.0, year, zone, fee)
    found = {name: value for name, value in run.metrics.items() if name not in ("benchmark", "costs")}
    assert_equal(found, wanted)


def test_the_benchmark_follows_from_the_bars(run: bt.Run) -> None:
    year = run.manifest["calendar"]["sessions_per_year"]
    closing = [100_000.0, *run.table("sessions")["equity"]]
    wanted = figures.against(closing, worth_of_the_benchmark(run), year)
    if len(closing) <= figures.FEW:
        wanted = dict.fromkeys(wanted) | {name: wanted[name] for name in ("total_return", "annual_return", "volatility", "max_drawdown")}
    assert_equal(run.metrics["benchmark"], wanted)


def test_the_rolling_table_follows_from_the_sessions(run: bt.Run) -> None:
    year, table = run.manifest["calendar"]["sessions_per_year"], run.table("rolling")
    worth = [100_000.0, *run.table("sessions")["equity"]]
    assert table["session"].equals(run.table("sessions")["session"])
    for window in (20, 60):
        for place, row in enumerate(table.to_dicts(), start=1):
            part = worth[place - window : place + 1] if place >= window else []
            found = [row[f"{name}_{window}"] for name in ("return", "volatility", "sharpe", "drawdown")]
            if not part:
                assert found == [None] * 4
                continue
            returns = [later / before - 1.0 for before, later in pairwise(part)]
            spread = statistics.stdev(returns) * math.sqrt(year)
            sharpe = statistics.fmean(returns) * year / spread
            assert found == pytest.approx([part[-1] / part[0] - 1.0, spread, sharpe, max(figures.depths(part))], rel=1e-9, abs=1e-12)


def test_trades_are_the_round_trips_of_the_fills(run: bt.Run) -> None:
    assert differences(rows(run, "fills"), rows(run, "trades")) == []


def test_groups_add_up_to_the_run(run: bt.Run) -> None:
    """I-40: to the last 1e-6, for every way of grouping."""
    whole = run.metrics
    for group in ("by_symbol", "by_strategy", "by_direction", "by_weekday", "by_hour"):
        parts = whole[group].values()
        assert sum(round(part["net_profit"] * 1e6) for part in parts) == round(whole["net_profit"] * 1e6)
        assert sum(round(part["fees"] * 1e6) for part in parts) == round(whole["fees"] * 1e6) + round(whole["borrow"] * 1e6)
        assert sum(part["trades"] for part in parts) == whole["trades"]


def test_the_costs_on_request_are_those_of_the_docs(run: bt.Run) -> None:
    if not run.config["execution"]["cost_ladder"]:
        assert "costs" not in run.metrics
        return
    page = (Path(__file__).resolve().parents[1] / "docs" / "metrics.md").read_text(encoding="utf-8")
    section = page[page.index("## Costs, on request") : page.index("## Rolling")]
    names = {"costs", *run.metrics["costs"], *run.metrics["costs"]["rungs"][0]}
    assert {name for name in names if f"`{name}`" not in section} == set()

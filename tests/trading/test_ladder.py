"""The cost ladder: the same signals at other costs, by hand arithmetic and against runs of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

import backtester as bt
from backtester.schema import CORPORATE_ACTIONS, empty
from backtester.trading.costs import CommissionSettings, SlippageSettings
from backtester.trading.execution import AccountSettings, ExecutionSettings
from backtester.trading.ladder import Ladder, break_even
from backtester.trading.risk import RiskSettings
from tests.configs import config, strategy
from tests.trading.tiny import buy, events, market, sell


def test_each_rung_pays_its_multiple_of_the_costs() -> None:
    """100 shares at 10.00, sold at 11.00: 100 before costs; at once the costs 2 x 5 in fees and 1 + 1.1 in slippage."""
    execution = ExecutionSettings(
        commission=CommissionSettings(minimum=5.0), slippage=SlippageSettings(bps=10.0), cost_ladder=(0.0, 1.0, 4.0)
    )
    tape = market({"A": [[10.0, 10.0, 11.0, 11.0]]})
    ladder = Ladder(execution, RiskSettings(), AccountSettings(cash=10_000.0), empty(CORPORATE_ACTIONS), ["s"], 1)
    ladder.add(tape, events(tape, [buy(0), sell(1)]))
    rungs = ladder.figures()["rungs"]
    assert [(rung["costs"], rung["fees"], rung["slippage"], rung["trades"]) for rung in rungs] == [
        (0.0, 0.0, 0.0, 1),
        (1.0, 10.0, 2.1, 1),
        (4.0, 40.0, 8.4, 1),
    ]
    assert [rung["net_profit"] for rung in rungs] == [100.0, 87.9, 51.6]


@pytest.mark.parametrize(
    ("rungs", "multiple"),
    [
        ([(0.0, 100.0), (1.0, 50.0), (2.0, -50.0)], 1.5),
        ([(2.0, -50.0), (0.0, 100.0), (1.0, 50.0)], 1.5),
        ([(0.0, 100.0), (1.0, 0.0)], 1.0),
        ([(0.0, -1.0), (1.0, -50.0)], None),
        ([(0.0, 100.0), (4.0, 1.0)], None),
        ([], None),
    ],
)
def test_break_even_lies_where_the_line_between_two_rungs_crosses_nothing(rungs: list[tuple[float, float]], multiple: float | None) -> None:
    assert break_even(rungs) == multiple


def test_a_rung_is_what_a_run_with_those_costs_would_be(simulated: Path, tmp_path: Path) -> None:
    """Whatever the parts; equity_fraction makes sizes depend on what was paid before."""

    def run(name: str, scale: float, ladder: list[float]) -> bt.Run:
        changes = {
            "backtest_config.start_date": "2024-11-25",
            "backtest_config.end_date": "2024-12-03",
            "backtest_config.prefetch_days": 2,
            "session_data_config.symbols": ["AAA", "BBB"],
            "strategies": strategy("sma_crossover"),
            "execution": {
                "sizing": {"type": "equity_fraction", "value": 0.3},
                "commission": {"per_share": 0.01 * scale, "minimum": 1.0 * scale},
                "slippage": {"bps": 2.0 * scale},
                "cost_ladder": ladder,
            },
        }
        return bt.run(config(simulated, changes), out=tmp_path / name)

    costs = run("ladder", 1.0, [0.0, 1.0, 2.0]).metrics["costs"]
    for rung in costs["rungs"]:
        alone = run(f"alone{rung['costs']}", rung["costs"], [])
        assert "costs" not in alone.metrics
        assert [rung[name] for name in ("final_equity", "net_profit", "fees", "slippage", "trades")] == [
            alone.metrics[name] for name in ("final_equity", "net_profit", "fees", "slippage", "trades")
        ]

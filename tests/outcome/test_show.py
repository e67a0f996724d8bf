"""A run in a terminal: what is said, and that names are only names."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from backtester.outcome.run import Run
from backtester.outcome.show import assumptions, summary


def printed(run: Run) -> str:
    console = Console(file=io.StringIO(), width=160, color_system=None)
    console.print(summary(run))
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def with_config(run: Run, **execution: Any) -> Run:
    run.__dict__["config"] = {"session_name": "two names", "execution": execution}
    return run


def test_a_summary_names_figures_decisions_sessions_and_data(finished: Run) -> None:
    text = printed(finished)
    for words in ("two names", "net_profit", "low_quality", "2025-07-03 early close", "zero_volume", "inside", "by strategy (1)", "cross"):
        assert words in text


def test_a_figure_without_meaning_is_a_dash(finished: Run) -> None:
    assert any(line.split()[:2] == ["sharpe", "-"] or " sharpe " in line for line in printed(finished).splitlines())
    assert "None" not in printed(finished)


def test_fills_at_the_signals_close_are_called_optimistic(finished: Run) -> None:
    """SPEC 12: same_close is marked in every report."""
    assert any(line.startswith("optimistic") for line in assumptions(with_config(finished, fill="same_close")))
    assert not any(line.startswith("optimistic") for line in assumptions(with_config(finished, fill="next_open")))


@pytest.mark.parametrize(
    "commission", [{}, {"preset": "zero"}, {"preset": None, "per_share": 0.0, "bps": 0.0, "minimum": 0.0, "cap_bps": None}]
)
def test_free_trading_is_said(finished: Run, commission: dict[str, Any]) -> None:
    lines = assumptions(with_config(finished, commission=commission, slippage={"bps": 0.0}))
    assert {"no commission", "no slippage"} <= set(lines)


def test_paid_trading_is_not_called_free(finished: Run) -> None:
    lines = assumptions(with_config(finished, commission={"preset": "ibkr_fixed"}, slippage={"bps": 1.0}))
    assert not {"no commission", "no slippage"} & set(lines)


@pytest.mark.parametrize("part", ["ticks", "spread", "impact_bps"])
def test_slippage_of_any_kind_is_slippage(finished: Run, part: str) -> None:
    assert "no slippage" not in assumptions(with_config(finished, slippage={"bps": 0.0, part: 1.0}))


def test_stale_closes_and_warnings_are_said(finished: Run) -> None:
    assert "1 of 3 fills at a close before the session's last bar" in assumptions(finished)
    assert "! history of RIVN is short" in printed(finished)


def test_a_name_in_brackets_is_a_name(finished: Run) -> None:
    """S-22."""
    finished.metrics["by_symbol"] = {"[red]X[/]": finished.metrics["by_symbol"]["AAPL"]}
    finished.__dict__["config"] = {"session_name": "[bold]x\x1b[2J", "execution": {}}
    text = printed(finished)
    assert "\x1b" not in text
    assert "[red]X[/]" in text
    assert "[bold]x" in text


def test_figures_stand_in_sections_and_groups_beside_them(finished: Run) -> None:
    text = printed(finished)
    titles = ("result", "sessions", "trades", "costs", "benchmark", "by strategy (1)", "by direction, weekday and hour of the entry")
    places = [text.index(f"\n\n{title}") for title in titles]
    assert places == sorted(places)
    assert any(line.split()[:2] == ["wednesday", "194.46"] for line in text.splitlines())
    assert any(line.split()[0] == "14:00" for line in text.splitlines() if line.strip())


def test_a_run_without_the_later_figures_is_shown(finished: Run) -> None:
    for name in ("by_direction", "by_weekday", "by_hour", "omega", "sqn"):
        del finished.metrics[name]
    for figures in finished.metrics["by_symbol"].values():
        del figures["avg_trade_bps"]
    text = printed(finished)
    assert "net_profit" in text
    assert "of the entry" not in text


def test_the_cost_ladder_is_shown_where_there_is_one(finished: Run) -> None:
    assert "multiplied" not in printed(finished)
    rung = {"final_equity": 10_500.0, "net_profit": 500.0, "fees": 10.0, "slippage": 2.5, "trades": 3}
    rungs = [{"costs": 0.0, **rung}, {"costs": 2.0, **rung, "net_profit": -100.0}]
    finished.metrics["costs"] = {"rungs": rungs, "break_even": 1.6667}
    text = printed(finished)
    assert "all costs multiplied; nothing is left at 1.67" in text
    assert [line.split() for line in text.splitlines() if line.startswith("x ")] == [
        ["x", "0", "500.00", "10,500.00", "10.00", "2.50", "3"],
        ["x", "2", "-100.00", "10,500.00", "10.00", "2.50", "3"],
    ]

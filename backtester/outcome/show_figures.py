"""Key figures in a terminal: those of the run by section, those of its groups side by side.

Place in the flow: show.py prints what `figures` and `groups` return. Never computes a figure; it orders and formats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backtester.outcome.show_grid import SHOWN, grid, of, row

if TYPE_CHECKING:
    from rich.table import Table as Grid

SECTIONS = {
    "result": (
        "final_equity", "net_profit", "total_return", "annual_return", "volatility", "sharpe", "sortino", "omega", "calmar",
        "max_drawdown", "max_drawdown_intraday", "max_drawdown_sessions", "recovery_sessions", "ulcer_index",
        "exposure", "exposure_long", "exposure_short", "turnover",
    ),
    "sessions": (
        "best_session", "worst_session", "sessions_up", "max_losing_sessions", "value_at_risk", "expected_shortfall", "tail_ratio",
        "skew", "kurtosis",
    ),
    "trades": (
        "trades", "open_trades", "win_rate", "profit_factor", "payoff_ratio", "expectancy", "avg_trade_bps", "sqn", "gross_profit",
        "gross_loss", "avg_win", "avg_loss", "best_trade", "worst_trade", "max_losing_trades", "avg_hold_minutes", "avg_mae", "avg_mfe",
    ),
    "costs": (
        "fees", "slippage", "borrow", "dividends", "fee_ratio", "slippage_ratio", "profit_before_costs", "ambiguous_fills",
        "ambiguity_low", "ambiguity_high",
    ),
}  # fmt: skip
"""Every plain figure of metrics.json, in the order in which they are shown; what stands in none of them is shown last."""
COLUMNS = ("net_profit", "trades", "open_trades", "win_rate", "profit_factor", "avg_trade_bps", "fees")
"""The figures of a group that are shown."""
_LARGEST, _CLOCK = ("by_strategy", "by_symbol"), ("by_direction", "by_weekday", "by_hour")

_MONEY = {
    "final_equity", "net_profit", "expectancy", "best_trade", "worst_trade", "gross_profit", "gross_loss", "avg_win", "avg_loss",
    "fees", "slippage", "borrow", "dividends", "profit_before_costs", "ambiguity_low", "ambiguity_high",
}  # fmt: skip
_PERCENT = {
    "total_return", "annual_return", "volatility", "max_drawdown", "max_drawdown_intraday", "ulcer_index", "best_session",
    "worst_session", "sessions_up", "value_at_risk", "expected_shortfall", "exposure", "exposure_long", "exposure_short", "win_rate",
    "avg_mae", "avg_mfe", "fee_ratio", "slippage_ratio", "alpha", "tracking_error",
}  # fmt: skip


def figures(metrics: Mapping[str, Any]) -> list[Grid]:
    """The run's figures, a grid a section, in two columns of name and value; the benchmark last."""
    plain = {name: value for name, value in metrics.items() if name != "benchmark" and not isinstance(value, Mapping)}
    rest = [name for name in plain if not any(name in names for names in SECTIONS.values())]
    sections = [(title, [name for name in names if name in plain]) for title, names in (*SECTIONS.items(), ("more", rest))]
    grids = [_pairs(title, [(name, formatted(name, plain[name])) for name in names]) for title, names in sections if names]
    market = metrics["benchmark"] or {}
    return [*grids, *([_pairs("benchmark", [(name, formatted(name, market[name])) for name in market])] if market else [])]


def groups(metrics: Mapping[str, Any]) -> list[Grid]:
    """The figures of each strategy and of the symbols with the largest profits and losses; of directions, weekdays and hours."""
    grids = []
    for name in _LARGEST:
        rows = sorted(metrics.get(name, {}).items(), key=lambda item: (-abs(item[1]["net_profit"]), item[0]))
        grids += [_table(of(name.replace("_", " "), len(rows)), name[3:], rows[:SHOWN])] if rows else []
    entries = [(_entry(name, word), found) for name in _CLOCK for word, found in metrics.get(name, {}).items()]
    return [*grids, *([_table("by direction, weekday and hour of the entry", "entry", entries)] if entries else [])]


def ladder(metrics: Mapping[str, Any]) -> list[Grid]:
    """The run at multiples of its costs, where the config asked for them."""
    if "costs" not in metrics:
        return []
    names, even = ("net_profit", "final_equity", "fees", "slippage", "trades"), metrics["costs"]["break_even"]
    made = grid("all costs multiplied" + ("" if even is None else f"; nothing is left at {even:.2f}"), "costs", *names)
    for rung in metrics["costs"]["rungs"]:
        row(made, f"x {rung['costs']:g}", *(formatted(name, rung[name]) for name in names))
    return [made]


def formatted(name: str, figure: Any) -> str:
    """A figure as people read it; - where it has no meaning.

    >>> formatted("total_return", 0.0123), formatted("net_profit", -1234.5), formatted("sharpe", None), formatted("trades", 1200)
    ('1.23 %', '-1,234.50', '-', '1,200')
    """
    if figure is None:
        return "-"
    if name in _MONEY:
        return f"{figure:,.2f}"
    if name in _PERCENT:
        return f"{100 * figure:.2f} %"
    return f"{figure:,}" if isinstance(figure, int) else f"{figure:,.3f}"


def _entry(group: str, name: str) -> str:
    """An hour as a time of day, other names as they are."""
    return f"{name}:00" if group == "by_hour" else name


def _pairs(title: str, rows: list[tuple[str, str]]) -> Grid:
    """Names and values in two columns, the first half on the left."""
    half = (len(rows) + 1) // 2
    made = grid(title, "", "", "", "")
    for place, left in enumerate(rows[:half]):
        right = rows[half + place] if half + place < len(rows) else ("", "")
        row(made, *left, *right)
    return made


def _table(title: str, head: str, rows: list[tuple[str, Mapping[str, Any]]]) -> Grid:
    """A row a group."""
    made = grid(title, head, *COLUMNS)
    for name, found in rows:
        row(made, name, *(formatted(column, found.get(column)) for column in COLUMNS))
    return made

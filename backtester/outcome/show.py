"""A run in a terminal: key figures, assumptions, decisions by reason, sessions, data quality.

Place in the flow: `bt show RUN` prints what `summary` returns. Never computes a result; it counts rows and formats.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from backtester.outcome.run import Run
from backtester.schema import STALE_CLOSE, SYNTHETIC_QUOTE

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table as Grid

SHOWN = 12
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_MONEY = {
    "final_equity",
    "net_profit",
    "expectancy",
    "best_trade",
    "worst_trade",
    "fees",
    "slippage",
    "ambiguity_low",
    "ambiguity_high",
}
_PERCENT = {
    "total_return",
    "annual_return",
    "volatility",
    "max_drawdown",
    "max_drawdown_intraday",
    "exposure",
    "win_rate",
    "avg_mae",
    "avg_mfe",
    "alpha",
}


def summary(run: Run) -> Group:
    """Everything worth a first look, as one rich renderable."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [Text(_clean(line)) for line in head(run)]
    warnings = [str(warning) for warning in run.manifest["execution"].get("warnings", [])]
    parts += [Text(f"! {_clean(line)}", style="yellow") for line in assumptions(run) + warnings]
    for grid in (_figures(run.metrics), *_groups(run.metrics), _decisions(run), _sessions(run), *_data(run)):
        parts += [Text(), grid]
    return Group(*parts)


def head(run: Run) -> list[str]:
    """What was run, in a few lines."""
    days = run.table("sessions")["session"].to_list()
    span = f", {days[0]} to {days[-1]}" if days else ""
    return [
        f"{run.config.get('session_name') or run.folder.name}  ({run.folder})",
        f"sessions {len(days)}{span}; calendar {run.manifest['calendar'].get('name')}; result key {run.result_key[:12]}",
    ]


def assumptions(run: Run) -> list[str]:
    """What makes the figures better, or less certain, than trading would be; one sentence each."""
    execution = run.config.get("execution") or {}
    fills = run.table("fills")
    found = []
    if execution.get("fill") == "same_close":
        found.append("optimistic: orders fill at the close of the bar that made the signal (fill: same_close)")
    commission = execution.get("commission") or {}
    if not run.config.get("strategies", True):
        found.append("nothing was traded: the config names no strategy")
    if not fills.height:
        return found
    if commission.get("preset") in (None, "zero") and not any(commission.get(part) for part in ("per_share", "bps", "minimum")):
        found.append("no commission")
    if not (execution.get("slippage") or {}).get("bps"):
        found.append("no slippage")
    for flag, words in (
        (SYNTHETIC_QUOTE, "at the trade price for want of a quote"),
        (STALE_CLOSE, "at a close before the session's last bar"),
    ):
        count = fills["flags"].str.contains(flag, literal=True).sum()
        if count:
            found.append(f"{count} of {fills.height} fills {words}")
    if run.metrics["ambiguous_fills"]:
        low, high = (_value("net_profit", run.metrics[f"ambiguity_{end}"]) for end in ("low", "high"))
        found.append(f"{run.metrics['ambiguous_fills']} fills in bars that hold stop and target: net profit between {low} and {high}")
    return found


def _figures(metrics: Mapping[str, Any]) -> Grid:
    """Key figures in two columns of name and value."""
    plain = [(name, _value(name, value)) for name, value in metrics.items() if not isinstance(value, Mapping) and name != "benchmark"]
    plain += [(f"benchmark {name}", _value(name, value)) for name, value in (metrics["benchmark"] or {}).items()]
    half = (len(plain) + 1) // 2
    grid = _grid("figures", "", "", "", "")
    for place, left in enumerate(plain[:half]):
        right = plain[half + place] if half + place < len(plain) else ("", "")
        _row(grid, *left, *right)
    return grid


def _groups(metrics: Mapping[str, Any]) -> list[Grid]:
    """The figures of each strategy, and of the symbols with the largest profits and losses."""
    grids = []
    names = ("net_profit", "trades", "open_trades", "win_rate", "profit_factor", "fees")
    for group in ("by_strategy", "by_symbol"):
        rows = sorted(metrics[group].items(), key=lambda item: (-abs(item[1]["net_profit"]), item[0]))
        grid = _grid(_of(group.replace("_", " "), len(rows)), group[3:], *names)
        for name, figures in rows[:SHOWN]:
            _row(grid, name, *(_value(figure, figures[figure]) for figure in names))
        grids += [grid] if rows else []
    return grids


def _decisions(run: Run) -> Grid:
    """How many decisions had which reason."""
    counts = run.table("decisions").group_by("approved", "reason").len().sort("approved", "len", "reason", descending=[True, True, False])
    grid = _grid(f"decisions ({counts['len'].sum()})", "reason", "approved", "number")
    for approved, reason, number in counts.iter_rows():
        _row(grid, reason, "yes" if approved else "no", f"{number:,}")
    return grid


def _sessions(run: Run) -> Grid:
    """The sessions that moved most, in the order of time."""
    table = run.table("sessions")
    shown = table.sort(pl.col("pnl").abs(), descending=True).head(SHOWN).sort("session")
    grid = _grid(
        _of("sessions", table.height, "those with the largest profits and losses"), "session", "bars", "quality", "fills", "pnl", "equity"
    )
    for row in shown.iter_rows(named=True):
        quality = "-" if row["quality"] is None else f"{row['quality']:.2f}"
        label = f"{row['session']}{' early close' if row['early_close'] else ''}"
        _row(grid, label, f"{row['bars']:,}", quality, f"{row['fills']:,}", f"{row['pnl']:,.2f}", f"{row['equity']:,.2f}")
    return grid


def _data(run: Run) -> list[Grid]:
    """Gaps and findings by kind; nothing where there are none."""
    grids = []
    gaps = (
        run.table("gaps")
        .group_by("interval", "kind")
        .agg(pl.len(), pl.col("bars").sum(), pl.col("symbol").n_unique())
        .sort("interval", "kind")
    )
    if gaps.height:
        grid = _grid("gaps", "interval", "kind", "gaps", "missing bars", "symbols")
        for interval, kind, *numbers in gaps.iter_rows():
            _row(grid, interval, kind, *(f"{number:,}" for number in numbers))
        grids.append(grid)
    findings = run.table("findings").group_by("kind").agg(pl.len(), pl.col("symbol").n_unique()).sort("kind")
    if findings.height:
        grid = _grid("findings", "kind", "number", "symbols")
        for kind, *numbers in findings.iter_rows():
            _row(grid, kind, *(f"{number:,}" for number in numbers))
        grids.append(grid)
    return grids


def _grid(title: str, *heads: str) -> Grid:
    from rich.table import Table as Grid

    grid = Grid(title=title, title_justify="left", show_header=any(heads), box=None, pad_edge=False)
    for place, name in enumerate(heads):
        grid.add_column(name, justify="left" if (place % 2 == 0 and not name) or place == 0 else "right")
    return grid


def _row(grid: Grid, *words: str) -> None:
    """Add a row of plain text: a name in brackets is a name, not markup."""
    from rich.text import Text

    grid.add_row(*(Text(_clean(word)) for word in words))


def _clean(text: str) -> str:
    """The text without characters that steer a terminal."""
    return _STEERING.sub("\ufffd", text)


def _of(title: str, rows: int, which: str = "the largest") -> str:
    return f"{title} ({which} {SHOWN} of {rows})" if rows > SHOWN else f"{title} ({rows})"


def _value(name: str, value: Any) -> str:
    """A figure as people read it; - where it has no meaning.

    >>> _value("total_return", 0.0123), _value("net_profit", -1234.5), _value("sharpe", None), _value("trades", 1200)
    ('1.23 %', '-1,234.50', '-', '1,200')
    """
    if value is None:
        return "-"
    if name in _MONEY:
        return f"{value:,.2f}"
    if name in _PERCENT:
        return f"{100 * value:.2f} %"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"

"""A run in a terminal: key figures, assumptions, decisions by reason, sessions, data quality.

Place in the flow: `bt show RUN` prints what `summary` returns. Never computes a result; it counts rows and formats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from backtester.outcome.run import Run
from backtester.outcome.show_figures import figures, formatted, groups, ladder
from backtester.outcome.show_grid import SHOWN, grid, of, row
from backtester.schema import STALE_CLOSE, SYNTHETIC_QUOTE
from backtester.spelling import line

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table as Grid


def summary(run: Run) -> Group:
    """Everything worth a first look, as one rich renderable."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [Text(line(words)) for words in head(run)]
    warnings = [str(warning) for warning in run.manifest["execution"].get("warnings", [])]
    parts += [Text(f"! {line(words)}", style="yellow") for words in assumptions(run) + warnings]
    for part in (*figures(run.metrics), *ladder(run.metrics), *groups(run.metrics), _decisions(run), _sessions(run), *_data(run)):
        parts += [Text(), part]
    return Group(*parts)


def head(run: Run) -> list[str]:
    """What was run, in a few lines."""
    days = run.table("sessions")["session"].to_list()
    span = f", {days[0]} to {days[-1]}" if days else ""
    return [
        f"{run.config.get('session_name') or run.folder.name}  ({run.folder})",
        f"sessions {len(days)}{span}; calendar {run.manifest['calendar'].get('name')}; result key {run.result_key[:12]}",
        *_audited(run.manifest["execution"].get("audit")),
    ]


def _audited(audit: Mapping[str, Any] | None) -> list[str]:
    """What the small audit of the run found, in a line; nothing of a run that had none."""
    if audit is None:
        return []
    if not audit["cuts"]:
        return [f"audit: none ({audit['note']})"]
    leaks = len(audit["findings"])
    verdict = f"{leaks} {'differences' if leaks > 1 else 'difference'}, see the warnings" if leaks else "no look-ahead found"
    return [f"audit: {audit['cuts']} cuts in the session of {audit['session']}, {verdict}"]


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
    if commission.get("preset") in (None, "zero") and not any(commission.get(part) for part in ("per_share", "bps", "minimum", "tiers")):
        found.append("no commission")
    slippage = execution.get("slippage") or {}
    if not any(slippage.get(part) for part in ("bps", "ticks", "spread", "impact_bps")):
        found.append("no slippage")
    for flag, words in (
        (SYNTHETIC_QUOTE, "at the trade price for want of a quote"),
        (STALE_CLOSE, "at a close before the session's last bar"),
    ):
        count = fills["flags"].str.contains(flag, literal=True).sum()
        if count:
            found.append(f"{count} of {fills.height} fills {words}")
    if run.metrics["ambiguous_fills"]:
        low, high = (formatted("net_profit", run.metrics[f"ambiguity_{end}"]) for end in ("low", "high"))
        between = f"at least {low}" if run.metrics["ambiguity_high"] is None else f"between {low} and {high}"
        found.append(f"{run.metrics['ambiguous_fills']} fills of bars that do not say what came first: net profit {between}")
    return found


def _decisions(run: Run) -> Grid:
    """How many decisions had which reason."""
    counts = run.table("decisions").group_by("approved", "reason").len().sort("approved", "len", "reason", descending=[True, True, False])
    made = grid(f"decisions ({counts['len'].sum()})", "reason", "approved", "number")
    for approved, reason, number in counts.iter_rows():
        row(made, reason, "yes" if approved else "no", f"{number:,}")
    return made


def _sessions(run: Run) -> Grid:
    """The sessions that moved most, in the order of time."""
    table = run.table("sessions")
    shown = table.sort(pl.col("pnl").abs(), descending=True).head(SHOWN).sort("session")
    made = grid(
        of("sessions", table.height, "those with the largest profits and losses"), "session", "bars", "quality", "fills", "pnl", "equity"
    )
    for day in shown.iter_rows(named=True):
        quality = "-" if day["quality"] is None else f"{day['quality']:.2f}"
        label = f"{day['session']}{' early close' if day['early_close'] else ''}"
        row(made, label, f"{day['bars']:,}", quality, f"{day['fills']:,}", f"{day['pnl']:,.2f}", f"{day['equity']:,.2f}")
    return made


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
        made = grid("gaps", "interval", "kind", "gaps", "missing bars", "symbols")
        for interval, kind, *numbers in gaps.iter_rows():
            row(made, interval, kind, *(f"{number:,}" for number in numbers))
        grids.append(made)
    findings = run.table("findings").group_by("kind").agg(pl.len(), pl.col("symbol").n_unique()).sort("kind")
    if findings.height:
        made = grid("findings", "kind", "number", "symbols")
        for kind, *numbers in findings.iter_rows():
            row(made, kind, *(f"{number:,}" for number in numbers))
        grids.append(made)
    return grids

"""A verdict in a terminal: one line for each check and subject, and a sentence.

Place in the flow: `bt audit` prints what stands here. Never judges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtester.auditing.verdict import Row, Verdict
from backtester.spelling import line

if TYPE_CHECKING:
    from rich.table import Table

HEADS = ("", "check", "looks", "differ", "symbol", "session", "bar", "usually", "then", "")
WORDS = 7
"""From this column on a line may be broken."""


def table(verdict: Verdict, only_unlike: bool) -> Table:
    """All rows, or only those that found a difference."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False)
    for place, head in enumerate(HEADS):
        made.add_column(head, justify="right" if place in (2, 3) else "left", overflow="fold", no_wrap=place < WORDS)
    subject = None
    for row in verdict.rows:
        if row.differences or not only_unlike:
            cells = cells_of(row)
            style = "red" if row.leaks else ("yellow" if row.differences else "")
            made.add_row(*(Text(line(cell), style=style) for cell in (row.subject if row.subject != subject else "", *cells)))
            subject = row.subject
    return made


def cells_of(row: Row) -> tuple[str, ...]:
    """A row without its subject, as texts."""
    first = row.first
    where = ("", "", "", "", "") if first is None else (
        first.symbol or "", first.session, "" if first.ts is None else first.ts[11:16], first.usual, first.other
    )  # fmt: skip
    remark = row.note or (f"numbers change by up to {row.change:.2%}" if row.change else "")
    return (row.check, f"{row.looks:,}", f"{row.differences:,}" if row.differences else "-", *where, remark)


def sentence(verdict: Verdict) -> str:
    """The verdict in words."""
    cuts = f"{verdict.random_cuts:,} cuts at random and {verdict.change_cuts:,} at changes of signals, seed {verdict.seed}"
    leaks = [row for row in verdict.rows if row.leaks]
    if not leaks:
        return f"clean: {verdict.sessions:,} sessions, {cuts}"
    return f"not clean: {len(leaks)} of {len(verdict.rows)} checks differ; {verdict.sessions:,} sessions, {cuts}"

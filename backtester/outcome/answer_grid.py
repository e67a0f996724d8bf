"""An answer in a terminal: the first rows, as many columns as fit, and what is not shown.

Place in the flow: `bt sql` prints what `grid_of` returns. Names and texts cannot steer the terminal.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl

from backtester import spelling
from backtester.outcome.ask import Answer

if TYPE_CHECKING:
    from rich.console import Group

ROWS, WIDEST, GAP, NAMED = 40, 40, 2, 12
"""Rows shown where nobody says how many; characters of the widest cell; blanks between columns; hidden columns that are named."""


def first_rows(answer: Answer, limit: int | None = None) -> tuple[pl.DataFrame, int]:
    """The first rows of an answer (ROWS where `limit` is None), and how many it has."""
    wanted, kept, total = ROWS if limit is None else limit, [pl.DataFrame(schema=answer.schema)], 0
    for rows in answer:
        if total < wanted:
            kept.append(rows.head(wanted - total))
        total += rows.height
    return pl.concat(kept), total


def grid_of(rows: pl.DataFrame, total: int, width: int, zone: ZoneInfo) -> Group:
    """The rows under their names, in a terminal of `width` characters, instants on the clocks of `zone`."""
    from rich.cells import cell_len
    from rich.console import Group
    from rich.table import Table as Grid
    from rich.text import Text

    columns = {name: [cell(value, zone) for value in rows[name].to_list()] for name in rows.columns}
    heads = {name: spelling.line(name) for name in rows.columns}
    shown = fitting({heads[name]: [cell_len(text) for text in cells] for name, cells in columns.items()}, width)
    names = rows.columns[:shown]
    made = Grid(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for name in names:
        right = rows[name].dtype.is_numeric()
        made.add_column(Text(heads[name]), justify="right" if right else "left", no_wrap=True, overflow="ellipsis", max_width=WIDEST)
    for place in range(rows.height):
        made.add_row(*(Text(columns[name][place]) for name in names))
    return Group(made, Text(remark(rows.height, total, rows.columns[shown:]), style="dim"))


def fitting(widths: dict[str, list[int]], width: int) -> int:
    """How many of the columns, from the left, fit side by side; at least one.

    >>> fitting({"run": [1, 12], "price": [6, 6]}, 20), fitting({"run": [1, 12], "price": [6, 6]}, 19)
    (2, 1)
    """
    used, shown = 0, 0
    for name, cells in widths.items():
        used += min(WIDEST, max([len(name), *cells])) + (GAP if shown else 0)
        if used > width:
            break
        shown += 1
    return max(1, shown)


def remark(shown: int, total: int, hidden: list[str]) -> str:
    """What a reader must know of what is not shown.

    >>> remark(40, 1200, ["fee", "flags"])
    '40 of 1,200 rows (--limit shows more); 2 more columns: fee, flags'
    """
    rows = f"{total:,} row{'' if total == 1 else 's'}" if shown == total else f"{shown:,} of {total:,} rows (--limit shows more)"
    names = ", ".join(map(spelling.line, hidden[:NAMED])) + (", ..." if len(hidden) > NAMED else "")
    more = f"; {len(hidden)} more column{'' if len(hidden) == 1 else 's'}: {names}" if hidden else ""
    return rows + more


def cell(value: Any, zone: ZoneInfo) -> str:
    """A value as people read it: - for null.

    >>> cell(1234.5678, ZoneInfo("UTC")), cell(0.00012345678, ZoneInfo("UTC")), cell(None, ZoneInfo("UTC")), cell(12345, ZoneInfo("UTC"))
    ('1,234.57', '0.000123457', '-', '12,345')
    >>> cell(dt.datetime(2025, 7, 2, 13, 30, tzinfo=dt.UTC), ZoneInfo("America/New_York"))
    '2025-07-02 09:30:00-04:00'
    """
    if isinstance(value, dt.datetime):
        return (value.astimezone(zone) if value.tzinfo else value).isoformat(" ").replace("+00:00", "Z")
    if isinstance(value, (list, pl.Series)):
        return _cut(f"[{', '.join(cell(inner, zone) for inner in value[:WIDEST])}]")
    return spelling.cell(value) if value is None or isinstance(value, (bool, int, float)) else _cut(spelling.cell(_cut(str(value))))


def _cut(text: str) -> str:
    """The text, no longer than a cell can be: what is cut off would never be seen."""
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"

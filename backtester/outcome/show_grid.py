"""Grids of plain text for a terminal.

Place in the flow: the lowest of show.py's parts. Never lets a name steer a terminal, nor be taken for markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtester.spelling import line

if TYPE_CHECKING:
    from rich.table import Table as Grid

SHOWN = 12
"""Rows of a long list."""


def grid(title: str, *heads: str) -> Grid:
    """An empty grid; a first column, and those without a head at even places, stand to the left."""
    from rich.table import Table as Grid

    made = Grid(title=title, title_justify="left", show_header=any(heads), box=None, pad_edge=False)
    for place, name in enumerate(heads):
        made.add_column(name, justify="left" if (place % 2 == 0 and not name) or place == 0 else "right")
    return made


def row(made: Grid, *words: str) -> None:
    """Add a row of plain text: a name in brackets is a name, not markup."""
    from rich.text import Text

    made.add_row(*(Text(line(word)) for word in words))


def of(title: str, rows: int, which: str = "the largest") -> str:
    """A grid's title with the number of its rows, and which of them are shown where not all are.

    >>> of("by symbol", 5000), of("by symbol", 3)
    ('by symbol (the largest 12 of 5000)', 'by symbol (3)')
    """
    return f"{title} ({which} {SHOWN} of {rows})" if rows > SHOWN else f"{title} ({rows})"

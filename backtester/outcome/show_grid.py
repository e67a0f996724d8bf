"""Grids of plain text for a terminal.

Place in the flow: the lowest of show.py's parts. Never lets a name steer a terminal, nor be taken for markup.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table as Grid

SHOWN = 12
"""Rows of a long list."""
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


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

    made.add_row(*(Text(clean(word)) for word in words))


def clean(text: str) -> str:
    """The text without characters that steer a terminal."""
    return _STEERING.sub("\ufffd", text)


def of(title: str, rows: int, which: str = "the largest") -> str:
    """A grid's title with the number of its rows, and which of them are shown where not all are.

    >>> of("by symbol", 5000), of("by symbol", 3)
    ('by symbol (the largest 12 of 5000)', 'by symbol (3)')
    """
    return f"{title} ({which} {SHOWN} of {rows})" if rows > SHOWN else f"{title} ({rows})"

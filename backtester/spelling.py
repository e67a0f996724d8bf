"""Spelling: values and texts as people read them, where nothing more is known of them.

Place in the flow: the lowest floor; messages, tables and grids of plain text ask here. Whatever a file or a strategy is called, nothing
that is printed steers a terminal. Never knows a unit.
"""

from __future__ import annotations

from typing import Any


def clean(text: str) -> str:
    r"""Text whose control and invisible characters are written out, line ends kept.

    >>> print(clean("red \x1b[31m"))
    red \x1b[31m
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode() for char in text)


def line(text: str) -> str:
    r"""The same on one line.

    >>> print(line("a\nb"))
    a\nb
    """
    return clean(text).replace("\n", "\\n")


def cell(value: Any) -> str:
    """A value in a cell: null as a dash, a truth as yes or no, a number with its thousands apart, all else as its text on one line.

    >>> cell(None), cell(True), cell(12345), cell(1234.5678), cell(0.00012345678), cell("SPY")
    ('-', 'yes', '12,345', '1,234.57', '0.000123457', 'SPY')
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) >= 1000 else f"{value:.6g}"
    return line(str(value))

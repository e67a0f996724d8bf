"""What a command says: JSON on stdout, tables of plain text, and errors as one short message on stderr.

Place in the flow: used by every command. Writes no control codes, also where names or messages hold some; a JSON text is
ASCII, so that it survives any locale. Never decides what is an error.
"""

from __future__ import annotations

import errno
import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import click

from backtester.errors import BacktesterError, InternalError, ResourceError
from backtester.spelling import cell, clean

WIDTH = 100
"""Columns of what is drawn where nobody says otherwise."""


def print_json(value: Any) -> None:
    """One JSON value on stdout; dates and paths as text, NaN is refused."""
    click.echo(json.dumps(value, indent=2, allow_nan=False, default=str))


def print_table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Rows as aligned columns under their names on stdout: numbers to the right, absent values as a dash."""
    numeric = [all(value is None or isinstance(value, (int, float)) for value in column) for column in zip(*rows, strict=True)]
    table = [names, *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        sides = zip(row, widths, numeric or [False] * len(names), strict=True)
        click.echo("  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in sides).rstrip())


def print_facts(facts: Mapping[str, Any]) -> None:
    """Named values on stdout, one a line; lists of objects as tables under their names."""
    single = {name: value for name, value in facts.items() if not _is_table(value)}
    width = max(map(len, single), default=0)
    for name, value in single.items():
        click.echo(f"{name.ljust(width)}  {_cell(value)}")
    for name, rows in facts.items():
        if _is_table(rows):
            click.echo(f"\n{name}")
            print_table(list(rows[0]), [list(row.values()) for row in rows])


def print_rich(shown: Any) -> None:
    """A rich renderable on stdout, a hundred columns wide; where that is no terminal as plain text without spaces at the ends of lines."""
    from rich.console import Console

    if sys.stdout.isatty():
        Console(width=min(Console().width, WIDTH), highlight=False).print(shown)
        return
    console = Console(width=WIDTH, highlight=False, color_system=None)
    with console.capture() as captured:
        console.print(shown)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def report(error: BaseException, *, as_json: bool, debug: bool) -> int:
    """Say what went wrong and return the exit code: SPEC's for errors foreseen, 7 where memory ran out, else 70."""
    known = _known(error)
    if debug:
        click.echo(clean("".join(traceback.format_exception(error))), err=True)
    click.echo(clean(f"error: {known.message()}"), err=True)
    if as_json:
        with suppress(OSError):  # where stdout itself is what failed, stderr has said so
            print_json(known.as_json())
    return known.exit_code


def usage_as_json(error: click.UsageError) -> None:
    """The JSON form of an error in a command's words; click writes the message itself."""
    print_json({"error": "usage", "exit_code": error.exit_code, "message": error.format_message()})


def _known(error: BaseException) -> BacktesterError:
    if isinstance(error, BacktesterError):
        return error
    if isinstance(error, MemoryError):
        return ResourceError("memory ran out", action="use fewer symbols or a smaller prefetch_days")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        place = str(error.filename or "standard output")
        return ResourceError("cannot be written", where=place, value=error.strerror, action="free some space and try again")
    return InternalError(f"internal error, {type(error).__name__}: {error}", action="--debug shows where; please report it")


def _is_table(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _cell(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_cell, value)) or "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{_cell(name)} {_cell(item)}" for name, item in value.items()) or "-"
    return cell(value)

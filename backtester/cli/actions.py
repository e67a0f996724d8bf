"""`bt data actions`: the splits and dividends of a lake.

Place in the flow: commands only; market/action_changes.py and its importers do the work. Never touches a file of the lake.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backtester.cli.calendar import Day
from backtester.cli.output import print_facts, print_json, print_table
from backtester.errors import DataError, UsageError
from backtester.spelling import clean

if TYPE_CHECKING:
    from backtester.market.action_changes import ActionCounts

KINDS = ("split", "dividend")
CALENDAR = "XNYS"
SHOWN = 8

_lake = click.option("--lake", type=click.Path(path_type=Path), metavar="DIR", required=True, help="The lake's folder.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, errors too.")
_calendar = click.option("--calendar", default=CALENDAR, show_default=True, metavar="NAME", help="Whose sessions the ex-dates are.")
_replace = click.option("--replace", is_flag=True, help="Overwrite values that differ from the lake's.")


@click.group(invoke_without_command=True, epilog="\b\nExample:\n  bt data actions list --lake data/lake --symbol AAPL")
@click.option("--lake", type=click.Path(path_type=Path), metavar="DIR", help="Without a command: list the actions of this lake.")
@_json
@click.pass_context
def actions(ctx: click.Context, lake: Path | None, as_json: bool) -> None:
    """Add, list and remove splits and cash dividends."""
    if ctx.invoked_subcommand is None:
        if lake is None:
            raise UsageError("nothing to do", where="bt data actions", action="name a command, or --lake DIR to list its actions")
        ctx.invoke(list_, lake=lake, symbol=None, as_json=as_json)
    elif lake is not None or as_json:
        option = "--json" if lake is None else f"--lake {lake}"
        action = f"write bt data actions {ctx.invoked_subcommand} {option}"
        raise UsageError("an option before the command", where=option.split()[0], action=action)


_ADD_EXAMPLE = """\b
Examples:
  bt data actions add --lake data/lake --symbol AAPL --ex-date 2014-06-09 --kind split --value 7
  bt data actions add actions.csv --lake data/lake
"""


@actions.command(epilog=_ADD_EXAMPLE)
@click.argument("sources", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
@_lake
@click.option("--symbol", metavar="S", help="The symbol of a single action.")
@click.option("--ex-date", type=Day(), help="The session on whose open it acts.")
@click.option("--kind", type=click.Choice(KINDS), help="What it is.")
@click.option("--value", type=float, metavar="X", help="Split: new shares for one old (7 for 7:1). Dividend: cash on each share.")
@click.option("--source", metavar="TEXT", help="Where it is known from; 'by hand' if absent.")
@_calendar
@_replace
@_json
def add(sources: tuple[Path, ...], lake: Path, symbol: str | None, ex_date: dt.date | None, kind: str | None, value: float | None,
        source: str | None, calendar: str, replace: bool, as_json: bool) -> None:  # fmt: skip
    """Add one action by options, or those of CSV or Parquet files with the columns symbol, ex_date, kind, value (and source).

    All of them or, where one is wrong, none. Adding the same again changes nothing.
    """
    import polars as pl

    from backtester.market.action_changes import ROWS, add_actions
    from backtester.market.importers import action_files

    words = {"--symbol": symbol, "--ex-date": ex_date, "--kind": kind, "--value": value}
    given = [name for name, word in words.items() if word is not None]
    if sources and (given or source is not None):
        raise UsageError("an action by options beside files", where=given[0] if given else "--source", action="give one of the two")
    if not sources and len(given) < len(words):
        missing = ", ".join(name for name in words if name not in given)
        raise UsageError("no action to add", where="bt data actions add", action=f"name a file, or give {missing}")
    if sources:
        rows = action_files.read(sources)
    else:
        rows = pl.DataFrame([(symbol, ex_date, kind, value, source or "by hand", "options")], schema=ROWS, orient="row")
    _say(add_actions(lake, rows, calendar, replace=replace), as_json)


@actions.command("import-lean", epilog="\b\nExample:\n  bt data actions import-lean lean/equity/usa/factor_files --lake data/lake")
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@_lake
@_calendar
@_replace
@_json
def import_lean(sources: tuple[Path, ...], lake: Path, calendar: str, replace: bool, as_json: bool) -> None:
    """Work out splits and dividends from Lean's factor files; SOURCE is a file named after its symbol, or a folder of them."""
    from backtester.market.action_changes import add_actions
    from backtester.market.calendar_overrides import OVERRIDES_FILE
    from backtester.market.importers import lean_actions

    overrides = lake / OVERRIDES_FILE
    rows = lean_actions.read(sources, calendar, overrides if overrides.is_file() else None)
    _say(add_actions(lake, rows, calendar, replace=replace), as_json)


@actions.command("list", epilog="\b\nExample:\n  bt data actions list --lake data/lake --symbol AAPL")
@_lake
@click.option("--symbol", metavar="S", help="Only this symbol's.")
@_json
def list_(lake: Path, symbol: str | None, as_json: bool) -> None:
    """The actions of a lake, by symbol and ex-date."""
    from backtester.errors import did_you_mean
    from backtester.market.actions import Actions
    from backtester.market.lake import Lake

    frame = Actions.of(Lake.open(lake)).frame
    if symbol is not None:
        known = frame["symbol"].unique().to_list()
        frame = frame.filter(symbol=symbol)
        if known and not len(frame):
            raise DataError("the lake has no action of this symbol", where=str(lake), value=symbol, action=did_you_mean(symbol, known))
    if as_json:
        print_json({"lake": str(lake), "actions": frame.to_dicts()})
    elif len(frame):
        print_table(frame.columns, [[f"{cell:.10g}" if isinstance(cell, float) else cell for cell in row] for row in frame.iter_rows()])
    else:
        click.echo(clean(f"no actions ({lake})"))


@actions.command(epilog="\b\nExample:\n  bt data actions remove --lake data/lake --symbol AAPL --ex-date 2014-06-09 --kind split")
@_lake
@click.option("--symbol", metavar="S", help="Whose actions; narrowed by --ex-date and --kind.")
@click.option("--ex-date", type=Day(), help="Only those of this session.")
@click.option("--kind", type=click.Choice(KINDS), help="Only those of this kind.")
@click.option("--all", "everything", is_flag=True, help="All of the lake, also where their file is damaged.")
@_json
def remove(lake: Path, symbol: str | None, ex_date: dt.date | None, kind: str | None, everything: bool, as_json: bool) -> None:
    """Take actions out of a lake; what is not there is no error."""
    from backtester.market.action_changes import remove_actions, remove_all_actions

    narrowed = [name for name, word in {"--symbol": symbol, "--ex-date": ex_date, "--kind": kind}.items() if word is not None]
    if everything and narrowed:
        raise UsageError("all actions, and some of them", where=narrowed[0], action="leave it out, or --all")
    if everything:
        _say(remove_all_actions(lake), as_json)
        return
    if symbol is None:
        raise UsageError("nothing to remove", where="bt data actions remove", action="give --symbol, or --all")
    _say(remove_actions(lake, symbol, ex_date, kind), as_json)


def _say(counts: ActionCounts, as_json: bool) -> None:
    """What a change did."""
    facts = {"added": counts.added, "replaced": counts.replaced, "unchanged": counts.unchanged, "removed": counts.removed}
    if as_json:
        print_json({**facts, "stored": counts.stored, "without_bars": list(counts.without_bars)})
    else:
        print_facts({**{name: number for name, number in facts.items() if number}, "stored": counts.stored})
    if counts.without_bars:
        names, more = ", ".join(counts.without_bars[:SHOWN]), len(counts.without_bars) - SHOWN
        click.echo(clean(f"note: the lake has no bars of {names}{f' and {more} more' if more > 0 else ''}"), err=True)

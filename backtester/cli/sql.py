"""`bt sql` and `bt query`: questions about finished results, in SQL.

Place in the flow: commands only; outcome finds, asks and writes. Never puts a query together.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

import click

from backtester.cli.output import print_json
from backtester.cli.words import MAX_THREADS
from backtester.errors import UsageError
from backtester.spelling import clean

if TYPE_CHECKING:
    from backtester.outcome.ask import Answer
    from backtester.outcome.described import TableWords
    from backtester.outcome.held import Held
    from backtester.query_files import Query

Command = TypeVar("Command", bound=Callable[..., Any])

_WIDE = 160


def answer_words(command: Command) -> Command:
    """The words of commands that print an answer."""
    for option in (
        click.option(
            "--threads",
            type=click.IntRange(1, MAX_THREADS),
            default=1,
            show_default=True,
            help="More are faster, but sums of floats may then differ in their last digits.",
        ),
        click.option("--memory", metavar="SIZE", help="What the query may take: 2GB, 512MB; four fifths of the machine's if absent."),
        click.option("--tz", "zone", default="UTC", show_default=True, metavar="ZONE", help="The clocks of instants in a table."),
        click.option("--limit", type=click.IntRange(0), metavar="N", help="Rows at most; 40 in a table, all in other forms if absent."),
        click.option("--force", is_flag=True, help="Replace the file of --parquet."),
        click.option("--parquet", type=click.Path(path_type=Path), metavar="FILE", help="Write a Parquet file."),
        click.option("--json", "as_json", is_flag=True, help="Print a JSON list of objects, errors as JSON too."),
        click.option("--csv", "as_csv", is_flag=True, help="Print CSV."),
    ):
        command = option(command)
    return command


@click.command(
    epilog="\b\nExamples:\n"
    '  bt sql runs/quickstart "select symbol, sum(pnl) as pnl from trades group by symbol order by pnl"\n'
    '  bt sql runs "select run, sharpe, trades from metrics order by sharpe desc"\n'
    "  bt sql runs/quickstart"
)
@click.argument("words", metavar='RUN... ["select ..."]', nargs=-1, required=True)
@answer_words
def sql(words: tuple[str, ...], **form: Any) -> None:
    """Ask finished runs and sweeps in SQL; without a query, say which tables there are.

    RUN is the folder of a run or sweep, or a folder above several. Every table has a column `run`; `metrics` has a row a run, `manifest`
    and `evidence` are rows of key and value. One select is answered: nothing is changed, no file but the results' is read.
    """
    places, query = _told_apart(words)
    results = _gathered(places)
    if query is None:
        _print_tables(results, form["as_json"])
    else:
        _answer(results, query, {}, form)


@click.command(
    epilog="\b\nExamples:\n  bt query worst_days runs/quickstart --param n=5\n  bt query fills_by_hour runs/quickstart --csv\n  bt query"
)
@click.argument("name", required=False)
@click.argument("runs", metavar="RUN...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--param", "values", multiple=True, metavar="NAME=VALUE", help="A value of the query's; bound, never pasted.")
@answer_words
def query(name: str | None, runs: tuple[Path, ...], values: tuple[str, ...], **form: Any) -> None:
    """Ask finished runs and sweeps a query that has a name; without a name, list them.

    NAME is one of the list, or the path of an SQL file of your own. Without RUN, print what the query says of itself.
    """
    from backtester.outcome.parameters import bound, found, known

    if name is None:
        _print_queries([found(each) for each in known()], form["as_json"])
        return
    asked = found(name)
    if not runs:
        _print_query(asked, form["as_json"])
        return
    _answer(_gathered(runs), asked.text, bound(asked, values), form)


def _told_apart(words: Sequence[str]) -> tuple[list[Path], str | None]:
    """Folders, and the query that stands last: a word with a blank or a bracket in it that is no folder."""
    *before, last = words
    # os.path.isdir and not Path.is_dir, which fails for words that are too long to be names
    is_query = re.search(r"[\s(;]", last) is not None and not os.path.isdir(os.path.expanduser(last))
    places = [Path(word) for word in (before if is_query else words)]
    if not places:
        raise UsageError(
            "a query needs results to ask", value=repr(last), action='for example bt sql runs/quickstart "select * from fills"'
        )
    with suppress(UnicodeError):  # a locale that is not UTF-8 has decoded the words byte by byte
        last = last.encode("utf-8", "surrogateescape").decode("utf-8")
    return places, last if is_query else None


def _gathered(places: Sequence[Path]) -> Mapping[str, Held]:
    """The results in some places; what was left out is said on stderr."""
    from backtester.outcome.held import gathered

    results, notes = gathered(places)
    for sentence in notes:
        click.echo(clean(f"note: {sentence}"), err=True)
    return results


def _answer(results: Mapping[str, Held], text: str, values: Mapping[str, Any], form: Mapping[str, Any]) -> None:
    """Ask, and print in the form that was wanted."""
    from backtester.outcome.ask import Limits, ask

    chosen = [name for name, wanted in (("--csv", form["as_csv"]), ("--json", form["as_json"]), ("--parquet", form["parquet"])) if wanted]
    if len(chosen) > 1:
        raise UsageError("an answer has one form", value=" and ".join(chosen), action="choose one of them")
    zone = zone_of(form["zone"])
    print_answer(ask(results, text, values, Limits(form["threads"], form["memory"])), zone, form)


def print_answer(answer: Answer, zone: ZoneInfo, form: Mapping[str, Any]) -> None:
    """An answer on stdout, or in its file."""
    from backtester.outcome.answers import write_csv, write_json, write_parquet

    if form["as_csv"]:
        write_csv(answer, _write, form["limit"])
    elif form["as_json"]:
        write_json(answer, _write, form["limit"])
    elif form.get("parquet"):
        rows = write_parquet(answer, form["parquet"], force=form["force"], limit=form["limit"])
        click.echo(f"{rows:,} rows in {clean(str(form['parquet']))}")
    else:
        print_grid(answer, zone, form["limit"])


def print_grid(answer: Answer, zone: ZoneInfo, limit: int | None) -> None:
    """An answer as a table: as wide as the terminal, or wide enough where there is none."""
    from rich.console import Console

    from backtester.outcome.answer_grid import first_rows, grid_of

    console = Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False)
    with console.capture() as printed:
        console.print(grid_of(*first_rows(answer, limit), console.width, zone))
    text = "\n".join(line.rstrip() for line in printed.get().rstrip("\n").split("\n"))
    encoding = sys.stdout.encoding or "utf-8"
    click.echo(text if encoding.casefold() == "ascii" else text.encode(encoding, "backslashreplace").decode(encoding))


def _write(text: str) -> None:
    """Text for machines: UTF-8 in any locale."""
    click.echo(text.encode("utf-8"), nl=False)


def zone_of(name: str) -> ZoneInfo:
    """A time zone by name; UsageError where there is none."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise UsageError("unknown time zone", where="--tz", value=repr(name), allowed="a name such as America/New_York") from None


def _print_tables(results: Mapping[str, Held], as_json: bool) -> None:
    from dataclasses import asdict

    from backtester.outcome.described import described

    tables = described(results)
    if as_json:
        print_json([asdict(table) for table in tables])
        return
    for table in tables:
        _print_table(table)
    click.echo(f"{len(tables)} tables of {len(results)} result{'' if len(results) == 1 else 's'}: {clean(', '.join(results))}")


def _print_table(table: TableWords) -> None:
    click.echo(f"{table.name}  ({table.grain}; {table.rows:,} row{'' if table.rows == 1 else 's'})")
    width = max(len(column.name) for column in table.columns)
    for column in table.columns:
        about = ", ".join(filter(None, [column.meaning, column.unit]))
        click.echo(clean(f"    {column.name.ljust(width)}  {column.type.ljust(9)}  {about}").rstrip())
    click.echo()


def _print_queries(queries: Sequence[Query], as_json: bool) -> None:
    if as_json:
        print_json([_facts(each) for each in queries])
        return
    width = max(len(each.name) for each in queries)
    for each in queries:
        click.echo(f"{each.name.ljust(width)}  {each.purpose}")
    click.echo(f"\n{len(queries)} queries; bt query NAME says more of one; your own: bt query path/to/file.sql RUN")


def _print_query(asked: Query, as_json: bool) -> None:
    facts = _facts(asked)
    if as_json:
        print_json(facts)
        return
    click.echo(clean(f"{asked.name}: {asked.purpose}\ngrain: {asked.grain}"))
    for name in ("parameters", "columns"):
        click.echo(f"{name}:" if facts[name] else f"{name}: none said")
        _print_fields(facts[name])


def _print_fields(fields: Sequence[Mapping[str, Any]]) -> None:
    """Parameters or columns, one a line: name, kind with default, meaning."""
    kinds = [item["kind"] + ("" if item["default"] is None else f" = {item['default']}") for item in fields]
    names, widest = max((len(item["name"]) for item in fields), default=0), max(map(len, kinds), default=0)
    for item, kind in zip(fields, kinds, strict=True):
        click.echo(clean(f"    {item['name'].ljust(names)}  {kind.ljust(widest)}  {item['meaning']}"))


def _facts(asked: Query) -> dict[str, Any]:
    from dataclasses import asdict

    from backtester.outcome.parameters import columns, parameters

    return {
        "name": asked.name,
        "purpose": asked.purpose,
        "grain": asked.grain,
        "parameters": [asdict(parameter) for parameter in parameters(asked)],
        "columns": [asdict(column) for column in columns(asked)],
    }

"""`bt data`: bring market data into a lake, make some up, look at what there is, and verify it.

Place in the flow: commands only; market/imports.py, simulate.py, lake.py and verify.py do the work. Never touches a market file.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from backtester.cli.actions import actions
from backtester.cli.calendar import Day
from backtester.cli.output import print_facts, print_json, print_table
from backtester.errors import DataError, UsageError
from backtester.spelling import clean

if TYPE_CHECKING:
    from backtester.market.imports import Request
    from backtester.market.verify import Verdict

Command = TypeVar("Command", bound=Callable[..., Any])

STORED = ("1s", "1m", "1d")
SHOWN_SYMBOLS = 8

_lake = click.option("--lake", type=click.Path(path_type=Path), metavar="DIR", required=True, help="The lake's folder.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, errors too.")


@click.group()
def data() -> None:
    """Import, simulate, list and verify market data, and keep splits and dividends."""


data.add_command(actions)


_IMPORT_EXAMPLE = """\b
Examples:
  bt data import lean/equity/usa --lake data/lake --format lean
  bt data import spy.csv --lake data/lake --format csv --symbol SPY --map ts=Date --tz America/New_York --stamp close
"""


@data.command("import", epilog=_IMPORT_EXAMPLE)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@_lake
@click.option("--format", "form", type=click.Choice(["lean", "csv", "parquet"]), required=True, help="How the files are written.")
@click.option("--interval", metavar="NAME", help="Length of the bars; 1m if absent, of Lean all that is found.")
@click.option("--symbol", metavar="S", help="The symbol of all rows; of Lean the only one to take.")
@click.option("--symbol-from-name", is_flag=True, help="The symbol is each file's name up to the first dot or underscore.")
@click.option(
    "--map", "mapped", multiple=True, metavar="FIELD=COLUMN,...", help="Name columns: ts=Date,open=Open; by number without a header."
)
@click.option("--ignore", "ignored", multiple=True, metavar="COLUMN", help="A column to leave out.")
@click.option("--tz", "zone", metavar="TZ", help="Zone of times that carry none, as America/New_York.")
@click.option("--stamp", type=click.Choice(["open", "close"]), help="Whether times are the bars' opens (default) or closes.")
@click.option("--time-format", "time_format", metavar="FORMAT", help="As %Y%m%d %H%M%S, or s, ms, us, ns for numbers since 1970.")
@click.option("--delimiter", metavar="CHAR", help="Between the fields of a CSV; a comma if absent, tab for tabs.")
@click.option("--decimal", type=click.Choice([".", ","]), help="The decimal mark of a CSV.")
@click.option("--no-header", "no_header", is_flag=True, help="The CSV's first line is a row; columns by --map, else ts, OHLC, volume.")
@click.option("--kind", type=click.Choice(["bars", "quotes"]), help="What the rows are, where the columns would allow both.")
@click.option("--calendar", metavar="NAME", help="Whose sessions the rows are filed under; XNYS if absent, 24/7 for crypto of Lean.")
@click.option("--factors", type=click.Path(path_type=Path), metavar="FILE", help="Factor file of Lean, or a folder of them: adjust prices.")
@click.option("--sort", is_flag=True, help="Accept rows that are not in order of time.")
@click.option("--allow-nonpositive", is_flag=True, help="Accept prices of zero and below.")
@click.option("--max-bad-rows", type=click.IntRange(0), default=0, metavar="N", help="Leave out up to N rows of contradicting prices.")
@click.option("--replace", is_flag=True, help="Overwrite bars that differ from the lake's.")
@_json
def import_(sources: tuple[Path, ...], lake: Path, form: str, as_json: bool, **words: Any) -> None:
    """Bring bars or quotes into a lake: all files or, where one is wrong, none.

    Importing the same files twice changes nothing. SOURCE is a file, or a folder with all files of the format below it.
    """
    from backtester.market.imports import import_files

    report = import_files(lake, _request(sources, form, words), _progress("files"))
    if as_json:
        print_json(report.as_json())
        return
    facts = report.as_json()
    notes, skipped = facts.pop("notes"), facts.pop("skipped")
    facts["symbols"] = _names(facts["symbols"])
    print_facts({name: value for name, value in facts.items() if value not in (0, None, [])})
    for reason in sorted({row["reason"] for row in skipped}):
        count = sum(row["reason"] == reason for row in skipped)
        click.echo(clean(f"left out: {count} file{'s' if count > 1 else ''}, {reason}"), err=True)
    for sentence in notes:
        click.echo(clean(f"note: {sentence}"), err=True)


@data.command(epilog="\b\nExample:\n  bt data simulate --lake data/lake --symbols AAA,BBB --start 2024-01-02 --end 2024-03-28 --seed 7")
@_lake
@click.option("--symbols", required=True, metavar="AAA,BBB", help="The symbols to make.")
@click.option("--start", type=Day(), required=True, help="First day.")
@click.option("--end", type=Day(), required=True, help="Last day.")
@click.option("--seed", type=click.IntRange(0), required=True, metavar="N", help="Same seed, same market.")
@click.option("--interval", type=click.Choice(STORED), default="1m", show_default=True, help="Length of the bars.")
@click.option("--missing", type=click.FloatRange(0, 1, max_open=True), default=0.0, metavar="P", help="Chance of each bar to be left out.")
@click.option("--quotes", is_flag=True, help="Write quote bars too.")
@click.option("--calendar", default="XNYS", show_default=True, metavar="NAME", help="Whose sessions there are.")
@click.option("--replace", is_flag=True, help="Overwrite bars that differ from the lake's.")
@_json
def simulate(lake: Path, symbols: str, start: dt.date, end: dt.date, seed: int, as_json: bool, replace: bool, **words: Any) -> None:
    """Write a made-up market into a lake: the same bytes for the same words on any machine.

    Volume smiles over the day, nights leave gaps, symbols move together, early closes are kept. No real prices.
    """
    from backtester.market.simulate import Simulation
    from backtester.market.simulate import simulate as make

    if end < start:
        raise click.BadParameter(f"'{end}' is before the start '{start}'.", param_hint="--end")
    counts = make(lake, Simulation(_symbols(symbols), start, end, seed, **words), replace=replace, progress=_progress("sessions"))
    facts = {"rows_added": counts.added, "rows_replaced": counts.replaced, "rows_unchanged": counts.unchanged}
    facts |= {"days_written": counts.files, "days_unchanged": counts.files_unchanged}
    print_json(facts) if as_json else print_facts(facts)


@data.command("list", epilog="\b\nExample:\n  bt data list --lake data/lake")
@_lake
@_json
def list_(lake: Path, as_json: bool) -> None:
    """What a lake holds: of each kind and interval the symbols, sessions and rows; of each symbol the splits and dividends."""
    from backtester.market.actions import Actions
    from backtester.market.lake import Lake

    opened = Lake.open(lake)
    found, counts = opened.summary(), Actions.of(opened).counts()
    if not found:
        raise DataError("the lake is empty", where=str(lake), action="bring data in with bt data import or bt data simulate")
    if as_json:
        print_json({"lake": str(lake), "stored": found, "actions": counts})
        return
    names = ["kind", "interval", "symbols", "sessions", "rows", "first_session", "last_session", "bytes"]
    print_table([*names, "which"], [[len(row["symbols"]) if name == "symbols" else row[name] for name in names] + [_names(row["symbols"])]
                                    for row in found])  # fmt: skip
    if counts:
        click.echo(clean(f"actions: {_names([f'{symbol} {sum(kinds.values()):,}' for symbol, kinds in counts.items()])}"))


@data.command(epilog="\b\nExample:\n  bt data verify --lake data/lake")
@_lake
@_json
@click.pass_context
def verify(ctx: click.Context, lake: Path, as_json: bool) -> None:
    """Compare every file of a lake with the catalog's fingerprint; exit code 4 where one differs."""
    from backtester.market.lake import Lake
    from backtester.market.verify import verify as look

    verdict = look(Lake.open(lake), _progress("files"))
    if as_json:
        damaged = [{"path": path, "message": error.message()} for path, error in verdict.damaged.items()]
        print_json({"lake": str(lake), "ok": not damaged, "files": verdict.files, "bytes": verdict.bytes, "damaged": damaged,
                    "unlisted": list(verdict.unlisted)})  # fmt: skip
    _say(verdict, lake, quiet=as_json)
    if verdict.damaged:
        ctx.exit(DataError.exit_code)


def _say(verdict: Verdict, lake: Path, quiet: bool) -> None:
    """The verdict in words."""
    for path in verdict.unlisted:
        click.echo(clean(f"warning: {path} is not in the catalog; nothing reads it"), err=True)
    for error in verdict.damaged.values():
        click.echo(clean(f"error: {error.message()}"), err=True)
    if not quiet:
        state = f"{len(verdict.damaged)} damaged" if verdict.damaged else "all as the catalog says"
        click.echo(clean(f"{verdict.files:,} files, {verdict.bytes:,} bytes: {state} ({lake})"))


def _request(sources: tuple[Path, ...], form: str, words: dict[str, Any]) -> Request:
    """The import that the command's words ask for."""
    from backtester.market.importers import mapping
    from backtester.market.importers.table import Layout
    from backtester.market.importers.times import Stamps
    from backtester.market.imports import Request
    from backtester.market.rows import Policy

    _refuse_foreign_words(form, words)
    symbol = None if words["symbol"] is None else _symbols(words["symbol"], one=True)[0]
    layout = Layout(
        interval=_interval(words["interval"] or "1m"),
        mapped=mapping.parse(words["mapped"], not words["no_header"]),
        ignored=words["ignored"],
        symbol=symbol,
        symbol_from_name=words["symbol_from_name"],
        stamps=Stamps(words["zone"], words["time_format"], words["stamp"] == "close"),
        delimiter=_delimiter(words["delimiter"]),
        decimal=words["decimal"] or ".",
        header=not words["no_header"],
        kind=words["kind"],
    )
    policy = Policy(words["sort"], words["allow_nonpositive"], words["max_bad_rows"])
    interval = None if words["interval"] is None else _interval(words["interval"])
    return Request(sources, form, interval, layout, policy, words["calendar"], words["factors"], words["replace"])  # type: ignore[arg-type]


def _refuse_foreign_words(form: str, words: dict[str, Any]) -> None:
    """Options that a format does not know are errors, not silence."""
    of_text = {"--delimiter": "delimiter", "--decimal": "decimal", "--no-header": "no_header"}
    of_tables = {"--map": "mapped", "--ignore": "ignored", "--tz": "zone", "--stamp": "stamp", "--time-format": "time_format"}
    of_tables |= {"--kind": "kind", "--symbol-from-name": "symbol_from_name", **of_text}
    foreign = {"csv": {}, "parquet": of_text, "lean": of_tables}[form]
    given = [option for option, name in foreign.items() if words[name]]
    if given:
        raise UsageError(f"{form} files leave nothing to declare there", where=given[0], action="leave it out")


def _interval(text: str) -> str:
    """An interval that a lake can store."""
    from backtester.errors import ConfigError
    from backtester.intervals import Interval

    try:
        interval = Interval.parse(text)
    except ConfigError as error:
        raise UsageError("unknown interval", where="--interval", value=repr(text), allowed="Ns, Nm, Nh or 1d, as 1m") from error
    if not interval.is_intraday and text != "1d":
        raise UsageError("an interval that is built, not stored", where="--interval", value=text, allowed="Ns, Nm, Nh or 1d")
    return text


def _symbols(text: str, one: bool = False) -> tuple[str, ...]:
    """The symbols of a list with commas."""
    from backtester.market.rows import SYMBOL_ALLOWED, valid_symbol

    names = (text,) if one else tuple(text.split(","))
    for name in names:
        if not valid_symbol(name):
            raise UsageError("not a symbol", where="--symbol" if one else "--symbols", value=repr(name), allowed=SYMBOL_ALLOWED)
    if len(set(names)) < len(names):
        raise UsageError("a symbol given twice", where="--symbols", value=text)
    return names


def _delimiter(text: str | None) -> str:
    """One character between fields."""
    if text is None:
        return ","
    text = {"tab": "\t", "\\t": "\t"}.get(text, text)
    if len(text) != 1 or not text.isascii() or text in "\r\n\"'" or text.isalnum():
        raise UsageError("not a delimiter", where="--delimiter", value=repr(text), allowed="one character, as ; or tab")
    return text


def _names(symbols: list[str]) -> str:
    """A few names, and how many more."""
    more = len(symbols) - SHOWN_SYMBOLS
    return ", ".join(symbols[:SHOWN_SYMBOLS]) + (f", ... ({more} more)" if more > 0 else "")


def _progress(noun: str) -> Callable[[int, int], None] | None:
    """A line on stderr that counts, where it is a terminal."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        click.echo(f"\r{done:,} of {total:,} {noun}" + ("\n" if done == total else ""), nl=False, err=True)

    return show

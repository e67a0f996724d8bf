"""`bt regress`: results that were looked at and accepted, and whether they still come out.

Place in the flow: commands only; comparing/accept.py and check.py do the work. Never compares a value.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backtester.cli.output import print_json
from backtester.errors import UsageError
from backtester.spelling import clean

if TYPE_CHECKING:
    from backtester.comparing.check import Verdict

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, errors too.")


class _Regress(click.Group):
    """A folder in the place of a command is checked: `bt regress BASELINES` is `bt regress check BASELINES`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The words, with `check` before them where they name no command."""
        own = args and args[0] not in (*self.commands, *ctx.help_option_names)
        return super().parse_args(ctx, ["check", *args] if own else args)


_EXAMPLE = """\b
Examples:
  bt regress accept configs/quickstart.json --into tests/baselines --reason "the first results"
  bt regress check tests/baselines --threads 1,2 --prefetch 1,7 --junit build/regress.xml
"""


@click.group(cls=_Regress, epilog=_EXAMPLE)
def regress() -> None:
    """Keep results as they are: accept them as baselines, and check that they still come out.

    `bt regress BASELINES` is short for `bt regress check BASELINES`.
    """


@regress.command(epilog='\b\nExample:\n  bt regress accept configs/quickstart.json --into tests/baselines --reason "fees of 2025"')
@click.argument("configs", metavar="CONFIG...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--into", type=click.Path(path_type=Path), metavar="DIR", required=True, help="The folder of the baselines.")
@click.option("--reason", required=True, metavar="TEXT", help="Why these results are right; kept with them and in the log of changes.")
@click.option("--lake", type=click.Path(path_type=Path), metavar="DIR", help="Read this lake in place of the configs'.")
@click.option("--data-changed", is_flag=True, help="The market data are others too, and are meant to be.")
@_json
def accept(configs: tuple[Path, ...], into: Path, reason: str, lake: Path | None, data_changed: bool, as_json: bool) -> None:
    """Run each CONFIG and keep what comes out as its baseline.

    What changes an existing baseline is added to RESULTS-CHANGES.md beside them, with the reason. Ends with exit code 9 where the
    market data are others than those of a baseline that would change: a difference then proves nothing about the program.
    """
    from backtester.comparing.accept import accept as take

    with redirect_stdout(sys.stderr):  # a strategy may print
        found = take(configs, into, reason, lake=lake, data_changed=data_changed)
    if as_json:
        print_json([{"name": one.baseline.name, "state": one.state, "said": one.said, "file": str(one.baseline.path)} for one in found])
        return
    for one in found:
        click.echo(clean(f"{one.state.ljust(9)}  {one.baseline.path}" + (f": {'; '.join(one.said)}" if one.said else "")))


def _numbers(option: str) -> Callable[[click.Context, click.Parameter, str | None], list[int]]:
    def read(ctx: click.Context, parameter: click.Parameter, text: str | None) -> list[int]:
        words = _words(ctx, parameter, text)
        wrong = [word for word in words if not (word.isascii() and word.isdigit() and len(word) < 10)]
        if wrong:
            raise UsageError("not a list of numbers", where=option, value=repr(text), allowed="numbers with commas, such as 1,2")
        return [int(word) for word in words]

    return read


def _words(ctx: click.Context, parameter: click.Parameter, text: str | None) -> list[str]:
    return [] if text is None else [word.strip() for word in text.split(",")]


@regress.command(
    epilog="\b\nExample:\n  bt regress check tests/baselines --threads 1,2 --prefetch 1,7 --hash-seeds 0,random --zones UTC,Asia/Tokyo"
)
@click.argument("baselines", metavar="BASELINES", type=click.Path(path_type=Path))
@click.option("--threads", metavar="N,...", callback=_numbers("--threads"), help="Threads to run with.")
@click.option("--prefetch", metavar="N,...", callback=_numbers("--prefetch"), help="Sessions to read at once.")
@click.option("--hash-seeds", metavar="SEED,...", callback=_words, help="Python's hash seeds: 0, random ...")
@click.option("--zones", metavar="ZONE,...", callback=_words, help="Time zones of the machine: UTC, Asia/Tokyo ...")
@click.option("--cross", is_flag=True, help="Every combination of these lists; else the first of each together, the second of each ...")
@click.option("--workers", type=click.IntRange(1, 256), metavar="N", help="Processes at a time; one a core if absent.")
@click.option(
    "--tolerance", "tolerances", multiple=True, metavar="metrics.NAME=REL[,ABS]", help="How far a figure may be off; as of bt diff."
)
@click.option("--keep", type=click.Path(path_type=Path), metavar="DIR", help="Keep the runs below this folder, for bt diff.")
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write a report that build servers read.")
@_json
@click.pass_context
def check(ctx: click.Context, /, baselines: Path, workers: int | None, tolerances: tuple[str, ...], keep: Path | None, junit: Path | None,
          as_json: bool, **lists: Any) -> None:  # fmt: skip
    """Run the configs of BASELINES (a folder, or one file) again and compare what comes out.

    Trades and money must be equal, ratios to 1e-9. Prints a line for each and everything about the first that differs. Ends with
    exit code 9 where one differs, with an error's own code where one cannot be run.
    """
    from backtester.comparing.check import check as run
    from backtester.comparing.check import exit_code, report
    from backtester.comparing.variants import variants
    from backtester.outcome.compare_cells import tolerances as read

    read(tolerances)
    found = run(baselines, variants(**lists), workers=workers, tolerances=tolerances, keep=keep, told=_silent if as_json else _say)
    if junit is not None:
        report(junit, baselines, found)
    if as_json:
        print_json([{"name": one.name, "variant": one.variant, "state": one.state, **one.facts} for one in found])
    else:
        first = next((one for one in found if one.state == "differs"), None)
        if first is not None:
            click.echo(clean("\n".join(["", f"{first.name}{f' ({first.variant})' if first.variant else ''}", *first.lines])))
        click.echo(f"\n{sum(one.state == 'same' for one in found)} of {len(found)} the same")
    ctx.exit(exit_code(found))


def _say(verdict: Verdict) -> None:
    click.echo(clean(verdict.line()))


def _silent(verdict: Verdict) -> None:
    """Nothing: JSON is printed at the end."""

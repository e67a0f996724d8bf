"""`bt diff`: two runs beside each other.

Place in the flow: commands only; comparing/diff.py and outcome/compare_text.py do the work. Never compares a value.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

import click

from backtester.cli.output import print_json
from backtester.errors import DifferenceError
from backtester.spelling import clean

_EXAMPLE = """\b
Examples:
  bt diff runs/quickstart runs/fast8
  bt diff runs/quickstart runs/fast8 --explain --tolerance trades.pnl=1e-9 --junit build/diff.xml
"""


@click.command(epilog=_EXAMPLE)
@click.argument("run_a", metavar="RUN_A", type=click.Path(path_type=Path))
@click.argument("run_b", metavar="RUN_B", type=click.Path(path_type=Path))
@click.option(
    "--tolerance", "tolerances", multiple=True, metavar="TABLE.COLUMN=REL[,ABS]",
    help="How far numbers of a column may be apart: relative to the larger, and absolutely. Also TABLE=... and metrics.NAME=...",
)  # fmt: skip
@click.option("--explain", is_flag=True, help="Make the first session that differs again on both sides, and name bar and column.")
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write a report that build servers read.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, errors too.")
@click.pass_context
def diff(
    ctx: click.Context, run_a: Path, run_b: Path, tolerances: tuple[str, ...], explain: bool, junit: Path | None, as_json: bool
) -> None:
    """Say what differs between two runs, stage by stage, where first, and why it can be.

    Money, prices, quantities, times and words must be equal; ratios to 1e-9 of their size. Ends with exit code 9 where the results
    differ and 0 where they are the same, also where configs, libraries or data differ that made no difference.
    """
    from backtester.comparing.diff import diff as compare
    from backtester.comparing.diff import report
    from backtester.comparing.explain import explain as make_again
    from backtester.outcome.compare_cells import tolerances as read
    from backtester.outcome.compare_text import as_json as values
    from backtester.outcome.compare_text import lines

    found = compare(run_a, run_b, read(tolerances))
    with redirect_stdout(sys.stderr):  # a strategy may print
        explained = make_again(found) if explain else None
    if junit is not None:
        report(junit, found)
    if as_json:
        print_json(values(found) | ({} if explained is None else {"explained": explained.as_json()}))
    else:
        click.echo(clean("\n".join([*lines(found), *([] if explained is None else ["", *explained.lines()])])))
    if not found.same:
        ctx.exit(DifferenceError.exit_code)

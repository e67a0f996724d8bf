"""`bt audit`: proofs that no strategy and no indicator of a config knows the future.

Place in the flow: commands only; auditing proves, outcome of it is printed here. Never computes a figure.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backtester.cli.output import print_json
from backtester.cli.process import keep_memory
from backtester.cli.words import config_words
from backtester.spelling import clean

if TYPE_CHECKING:
    from backtester.auditing.verdict import Verdict

_WIDE = 160


@click.command(epilog="\b\nExample:\n  bt audit configs/quickstart.json --cuts 32 --changes 100 --seed 7")
@config_words
@click.option("--cuts", type=click.IntRange(0, 100_000), default=64, show_default=True, help="Bars to cut at, drawn at random.")
@click.option(
    "--changes", type=click.IntRange(0, 100_000), default=200, show_default=True, help="Changes of signals to cut at, of each strategy."
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Draws cuts and noise; the same seed draws the same.")
@click.option("--quiet", is_flag=True, help="Show no progress, and only what differs.")
def audit(
    config: Path, lake: Path | None, overrides: tuple[str, ...], as_json: bool, cuts: int, changes: int, seed: int, quiet: bool
) -> None:
    """Prove that strategies and indicators of CONFIG do not know the future, on its own data.

    What they say on bars that are cut off, or followed by other bars, must be what they say on all bars; and it must
    not hang on what else is asked, in which order, process or batch. Also says how much more history would change.
    Ends with exit code 0, or 5 where something leaks.
    """
    keep_memory()
    from backtester.auditing.audit import audit as proved
    from backtester.cli.progress import shown
    from backtester.config import load

    with redirect_stdout(sys.stderr):  # a strategy may print, and stdout is ours
        checked = load(config, overrides, lake)
        with shown(quiet) as progress:
            verdict = proved(checked, cuts=cuts, changes=changes, seed=seed, progress=progress)
    if as_json:
        print_json(verdict.as_json())
    else:
        _print(verdict, quiet)
    click.get_current_context().exit(0 if verdict.clean else 5)


def _print(verdict: Verdict, quiet: bool) -> None:
    """The table, as wide as the terminal, or wide enough where there is none; and the verdict in a sentence."""
    from rich.console import Console

    from backtester.auditing.table import sentence, table

    if not quiet or not verdict.clean:
        Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False).print(table(verdict, quiet))
    click.echo(clean(sentence(verdict)))

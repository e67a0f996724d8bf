"""`bt why`: why a finished run did or did not trade.

Place in the flow: commands only; `backtester.why` answers. Never computes a figure.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

import click

from backtester.cli.output import print_json, print_rich


@click.command(epilog="\b\nExample:\n  bt why runs/quickstart --symbol AAA --at 2024-11-05T10:30")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--symbol", metavar="S", help="The symbol that the question is about.")
@click.option(
    "--at", metavar="TS", help="A time: 2024-11-05T15:30Z, or 2024-11-05T10:30 in the exchange's time. The bar that holds it counts."
)
@click.option("--strategy", metavar="N", help="One strategy alone.")
@click.option("--lake", type=click.Path(path_type=Path), metavar="DIR", help="Read this lake in place of the run's.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, errors too.")
def why(run: Path, symbol: str | None, at: str | None, strategy: str | None, lake: Path | None, as_json: bool) -> None:
    """Explain why RUN did or did not trade a symbol at a time.

    The bar and its neighbours, quality, what each strategy saw and asked for, the verdict and its figures, the order, the
    fill, the account before and after. What the run did not keep is computed again for that session alone, over its lake.
    """
    from backtester import load
    from backtester.why.answer import why as answer_of

    if symbol is None or at is None:
        raise click.UsageError("give --symbol S and --at TS")
    with redirect_stdout(sys.stderr):  # a strategy's file may print
        answer = answer_of(load(run), symbol, at, strategy, lake)
    if as_json:
        from backtester.outcome.digests import plain

        print_json(plain(answer))
        return

    from backtester.why.show import shown

    print_rich(shown(answer))

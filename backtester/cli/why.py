"""`bt why`: why a finished run did or did not trade.

Place in the flow: commands only; `backtester.why` answers. Never computes a figure.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

import click

from backtester.cli.output import print_json, print_rich

_EXAMPLE = """\b
Examples:
  bt why runs/quickstart --symbol AAA --at 2024-11-05T10:30
  bt why runs/quickstart --between 2024-11-05T10:00 2024-11-05T11:00
  bt why runs/quickstart --reasons
"""


@click.command(epilog=_EXAMPLE)
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--symbol", metavar="S", help="The symbol that the question is about.")
@click.option("--at", metavar="TS", help="A time in UTC, as 2024-11-05T15:30Z, or in the exchange's, as 2024-11-05T10:30.")
@click.option("--strategy", metavar="N", help="One strategy alone.")
@click.option("--between", nargs=2, metavar="FROM TO", help="Every signal, decision, order and fill between two times, or two days.")
@click.option("--reasons", is_flag=True, help="Count the reasons by symbol and hour, with what the refused entries would have earned.")
@click.option("--lake", type=click.Path(path_type=Path), metavar="DIR", help="Read this lake in place of the run's.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, errors too.")
def why(
    run: Path,
    symbol: str | None,
    at: str | None,
    strategy: str | None,
    between: tuple[str, str] | None,
    reasons: bool,
    lake: Path | None,
    as_json: bool,
) -> None:
    """Explain why RUN did or did not trade a symbol at a time.

    The bar that holds the time and its neighbours, quality, what each strategy saw and asked for, the verdict and its figures,
    the order, the fill, the account before and after. What the run did not keep is computed again, for that session alone.
    """
    if [at is not None, between is not None, reasons].count(True) != 1:
        raise click.UsageError("give one of --at TS (with --symbol S), --between FROM TO and --reasons")
    if at is not None and symbol is None:
        raise click.UsageError("--at needs --symbol S")
    if reasons and (symbol is not None or strategy is not None):
        raise click.UsageError("--reasons counts the whole run; leave out --symbol and --strategy")
    from backtester import load
    from backtester.why import show

    with redirect_stdout(sys.stderr):  # a strategy's file may print
        if at is not None and symbol is not None:
            from backtester.why.answer import why as answer_of

            answer, shown = answer_of(load(run), symbol, at, strategy, lake), show.shown
        elif between is not None:
            from backtester.why.stretch import stretch

            answer, shown = stretch(load(run), *between, symbol, strategy, lake), show.shown_stretch
        else:
            from backtester.why.ledger import reasons as counted

            answer, shown = counted(load(run), lake), show.shown_reasons
    if as_json:
        from backtester.outcome.digests import plain

        print_json(plain(answer))
    else:
        print_rich(shown(answer))

"""`bt runs`: finished results in a list.

Place in the flow: commands only; outcome finds, sorts and filters. Never computes a figure.
"""

from __future__ import annotations

from pathlib import Path

import click

from backtester.cli.sql import print_answer, zone_of
from backtester.errors import UsageError
from backtester.spelling import clean


@click.command(
    epilog="\b\nExamples:\n  bt runs\n  bt runs runs --sort sharpe --where \"trades > 100 and status = 'done'\"\n  bt runs runs --json"
)
@click.argument("place", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--sort", default="when", show_default=True, metavar="COLUMN", help="Largest or newest first; -COLUMN turns it round.")
@click.option("--where", metavar="CONDITION", help='An SQL condition on the columns, as "sharpe > 1".')
@click.option("--limit", type=click.IntRange(0), metavar="N", help="Rows at most; 40 in a table, all in other forms if absent.")
@click.option("--tz", "zone", default="UTC", show_default=True, metavar="ZONE", help="The clocks of instants in a table.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of objects, errors as JSON too.")
def runs(place: Path | None, sort: str, where: str | None, limit: int | None, zone: str, as_csv: bool, as_json: bool) -> None:
    """List the runs and sweeps below DIR with their figures; all that were ever finished where DIR is absent.

    Results whose folders are gone are remembered, in a file of the user's data folder that BT_CATALOG=off does without. Columns: name,
    when, session_name, sessions, symbols, final_equity, total_return, sharpe, max_drawdown, trades, status, result_key, kind, trials,
    folder. Of a sweep the figures are its best trial's.
    """
    from backtester.outcome.ask import Answer
    from backtester.outcome.listing import listing, short

    if as_csv and as_json:
        raise UsageError("an answer has one form", value="--csv and --json", action="choose one of them")
    clocks = zone_of(zone)
    rows, notes = listing(place, where=where, sort=sort)
    for sentence in notes:
        click.echo(clean(f"note: {sentence}"), err=True)
    printed = rows if as_csv or as_json else short(rows, clocks)
    form = {"as_csv": as_csv, "as_json": as_json, "limit": limit}
    print_answer(Answer(printed.columns, printed.schema, iter([printed])), clocks, form)

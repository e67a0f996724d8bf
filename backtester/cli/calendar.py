"""`bt calendar`: the sessions of an exchange calendar, as a table or as JSON.

Place in the flow: commands only; asks market/sessions.py and prints. Never decides hours.
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backtester.cli.output import print_json, print_table

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from backtester.columns import Sessions

_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Day(click.ParamType[dt.date]):
    """A date as YYYY-MM-DD and in no other way."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.date:
        """The date; a usage error where `value` is none."""
        if isinstance(value, dt.date):
            return value
        try:
            if _ISO.fullmatch(value):
                return dt.date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no day of the calendar.", param, ctx)
        self.fail(f"{value!r} is not a date; use YYYY-MM-DD.", param, ctx)


@click.command(epilog="\b\nExample:\n  bt calendar XNYS 2024-11-25 2024-11-29")
@click.argument("name")
@click.argument("start", type=Day())
@click.argument("end", type=Day())
@click.option(
    "--lake",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Apply this lake's calendar_overrides.json.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, errors too.")
def calendar(name: str, start: dt.date, end: dt.date, lake: Path | None, as_json: bool) -> None:
    """Sessions of calendar NAME from START to END, both included, in exchange time.

    NAME is any calendar of pandas_market_calendars, such as XNYS, XLON, JPX or 24/7.
    """
    from backtester.market.calendar_overrides import OVERRIDES_FILE
    from backtester.market.sessions import doubts, library_version, rows_digest, sessions_between

    if end < start:
        raise click.BadParameter(f"'{end}' is before START '{start}'.", param_hint="END")
    overrides = None if lake is None else lake / OVERRIDES_FILE
    sessions = sessions_between(name, start, end, overrides)
    warned = doubts(name, start, end, overrides)
    rows = _rows(sessions)
    total = {"count": len(rows), "minutes": sum(row["minutes"] for row in rows), "early": sum(row["early"] for row in rows)}
    if as_json:
        facts = {"calendar": name, "timezone": sessions.timezone, "start": str(start), "end": str(end), **total}
        about = {"per_year": sessions.per_year, "rows_digest": rows_digest(sessions), "library": library_version()}
        print_json({**facts, **about, "warnings": list(warned), "sessions": rows})
        return
    print_table(["session", "open", "close", "minutes", "early", "break"], [_cells(row) for row in rows])
    click.echo(f"{_counted(total['count'], 'session')}, {total['minutes']:,} minutes, {total['early']} early; {name}, {sessions.timezone}")
    for sentence in warned:
        click.echo(f"warning: {sentence}", err=True)


def _rows(sessions: Sessions) -> list[dict[str, Any]]:
    """One object a session: label, hours as ISO time of the exchange with its offset, minutes, early, break (null: none)."""
    from zoneinfo import ZoneInfo

    from backtester.columns import NO_BREAK
    from backtester.market.sessions import minutes

    zone, counts = ZoneInfo(sessions.timezone), minutes(sessions)
    rows = []
    for place, label in enumerate(sessions.label):
        edges = (sessions.break_start[place], sessions.break_end[place])
        rows.append(
            {
                "session": str(label),
                "open": _iso(sessions.open[place], zone),
                "close": _iso(sessions.close[place], zone),
                "minutes": int(counts[place]),
                "early": bool(sessions.early[place]),
                "break": None if edges[0] == NO_BREAK else [_iso(edge, zone) for edge in edges],
            }
        )
    return rows


def _cells(row: dict[str, Any]) -> list[Any]:
    """A row as the table shows it."""
    opened, closed = (_shown(row[edge], row["session"]) for edge in ("open", "close"))
    rest = None if row["break"] is None else "-".join(_shown(edge, row["session"]) for edge in row["break"])
    return [row["session"], opened, closed, row["minutes"], "early" if row["early"] else None, rest]


def _iso(instant: int, zone: ZoneInfo) -> str:
    """Microseconds UTC as ISO time of the exchange."""
    return (dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=int(instant))).astimezone(zone).isoformat()


def _shown(iso: str, session: str) -> str:
    """The time of day; with its date where that is not the session's; 24:00 where the session's day ends."""
    day, clock = iso[:10], iso[11:16] if iso[17:19] == "00" else iso[11:19]
    if day == session:
        return clock
    next_day = str(dt.date.fromisoformat(session) + dt.timedelta(days=1))
    return "24:00" if (day, clock) == (next_day, "00:00") else f"{day} {clock}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

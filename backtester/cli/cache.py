"""`bt cache`: what the user's cache of sessions holds, and how it is emptied.

Place in the flow: commands only; market/day_files.py does the work. Never touches a lake or a result.
"""

from __future__ import annotations

import re
from typing import Any

import click

from backtester.cli.output import print_facts, print_json, print_table

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, errors too.")
_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Age(click.ParamType[float]):
    """A time such as 30d, as seconds."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds, or a usage error."""
        found = re.fullmatch(r"([0-9]{1,6})([mhdw])", str(value))
        if found is None:
            self.fail(f"{value!r} is no age: a number with m, h, d or w, as 30d or 12h", param, ctx)
        return float(int(found[1]) * _UNITS[found[2]])


@click.group(epilog="\b\nExample:\n  bt cache list")
def cache() -> None:
    """Sessions that runs with --cache have kept for the next one.

    They lie in the user's cache folder (XDG_CACHE_HOME), are made anew where anything that they come from has changed, and can be
    removed at any time. resources.cache_size bounds them; what was not used for the longest time goes first.
    """


@cache.command("list", epilog="\b\nExample:\n  bt cache list --json")
@_json
def list_(as_json: bool) -> None:
    """Say what the cache holds: sessions and bytes by interval, and when they were used last."""
    from backtester.market.day_files import folder_of_user, summary

    folder, rows = folder_of_user(), summary(folder_of_user())
    if as_json:
        print_json(
            {"folder": None if folder is None else str(folder), "intervals": [dict(zip(_COLUMNS, row, strict=True)) for row in rows]}
        )
        return
    print_facts({"folder": str(folder)})
    if rows:
        print_table(_COLUMNS, rows)


_COLUMNS = ("interval", "files", "bytes", "first", "last", "oldest_use", "latest_use")


@cache.command(epilog="\b\nExample:\n  bt cache clear --older-than 30d")
@click.option("--older-than", type=Age(), default="0d", metavar="AGE", help="Only what was not used for so long, as 30d or 12h.")
@_json
def clear(older_than: float, as_json: bool) -> None:
    """Remove what the cache holds."""
    from backtester.market.day_files import clear as clear_files
    from backtester.market.day_files import folder_of_user

    files, size = clear_files(folder_of_user(), older_than)
    gone = {"files": files, "bytes": size}
    print_json(gone) if as_json else print_facts(gone)

"""Results as a list: those on disk below a folder, and those that the catalog remembers, sorted and filtered.

Place in the flow: `bt runs` prints what `listing` returns. Never changes the catalog.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from backtester.errors import BacktesterError, UsageError, did_you_mean
from backtester.outcome.ask import Limits, sandbox
from backtester.outcome.ask_errors import explained
from backtester.outcome.catalog import remembered
from backtester.outcome.entries import SCHEMA, entry, frame
from backtester.outcome.held import gathered, unique_names
from backtester.outcome.settle import settled

NEWEST = "when"
TITLE, KEY = 20, 12
"""Characters of a session's name and of a key that a terminal shows."""


def listing(place: Path | None = None, *, where: str | None = None, sort: str = NEWEST) -> tuple[pl.DataFrame, list[str]]:
    """The results below a folder, those that are gone from it too (everything remembered where `place` is None), and notes.

    `where` is an SQL condition on the columns of entries.SCHEMA. `sort` is a column: numbers and times begin with the largest, text with
    A; `-column` the other way round; nulls stand last. UsageError where either is wrong, OutputError where `place` is unknown.
    """
    known = remembered() if place is None else [line for line in remembered() if _is_below(line["folder"], place)]
    on_disk, notes = ([], []) if place is None else _on_disk(place, bool(known))
    merged = {(each["folder"], each.get("result_key")): each for each in (*known, *on_disk)}
    entries = list(merged.values())
    folders = list(dict.fromkeys(each["folder"] for each in entries))
    names = dict(zip(folders, unique_names(map(Path, folders)), strict=True))
    rows = frame([each | {"name": names[each["folder"]]} for each in entries])
    return ordered(rows if where is None else filtered(rows, where), sort), notes


def short(rows: pl.DataFrame, zone: ZoneInfo) -> pl.DataFrame:
    """The rows as a terminal shows them: times to the minute on the clocks of `zone`, long names and keys cut."""
    when = pl.col(NEWEST).dt.convert_time_zone(zone.key).dt.strftime("%Y-%m-%d %H:%M" + ("Z" if zone.key == "UTC" else "%:z"))
    title, key = pl.col("session_name"), pl.col("result_key")
    cut = pl.when(title.str.len_chars() > TITLE).then(title.str.head(TITLE - 1) + "…").otherwise(title)
    return rows.with_columns(when, cut.alias("session_name"), key.str.head(KEY))


def ordered(rows: pl.DataFrame, sort: str) -> pl.DataFrame:
    """The rows by a column, then by folder and key."""
    name = sort.removeprefix("-")
    if name not in SCHEMA:
        raise UsageError("results are not sorted by this", where="--sort", value=repr(name), action=did_you_mean(name, SCHEMA))
    largest_first = (SCHEMA[name] != pl.String) != sort.startswith("-")
    return rows.sort([name, "folder", "result_key"], descending=[largest_first, False, False], nulls_last=True)


def filtered(rows: pl.DataFrame, where: str) -> pl.DataFrame:
    """The rows that meet an SQL condition."""
    connection = sandbox(Limits())
    try:
        connection.register("runs", rows.to_arrow())
        kept = connection.sql("FROM runs").filter(where).to_arrow_table()
    except Exception as error:
        raise explained(error, ["runs"], {"runs": list(SCHEMA)}) from error
    finally:
        connection.close()
    return settled(pl.DataFrame(kept))


def _on_disk(place: Path, otherwise_known: bool) -> tuple[list[dict[str, Any]], list[str]]:
    """Entries of the results below a folder; a folder without any is no error where the catalog knows some."""
    try:
        results, notes = gathered([place])
    except BacktesterError:
        if otherwise_known:
            return [], []
        raise
    entries = []
    for held in results.values():
        try:
            entries.append(entry(held))
        except BacktesterError as error:
            notes.append(f"left out {held.folder}: {error.what}")
    return entries, notes


def _is_below(folder: str, place: Path) -> bool:
    return Path(folder).is_relative_to(place.expanduser().resolve())

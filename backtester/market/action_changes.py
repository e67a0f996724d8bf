"""Action changes: what a split or dividend must fulfil before it may enter a lake, and how one is added or removed.

Place in the flow: `bt data actions`, after whatever read the rows (options, importers/action_files.py, importers/lean_actions.py).
All rows of a change are taken or none. Never overwrites another value of the same action unless told to.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from backtester import schema
from backtester.columns import Sessions
from backtester.errors import DataError, did_you_mean
from backtester.market.actions import DIVIDEND, KEY, SPLIT, Actions
from backtester.market.calendar_overrides import OVERRIDES_FILE
from backtester.market.change import changing
from backtester.market.lake import KINDS, Lake
from backtester.market.rows import SYMBOL_ALLOWED, valid_symbol
from backtester.market.sessions import FIRST_YEAR, LAST_YEAR, sessions_between

ROWS = {**schema.CORPORATE_ACTIONS.dtypes, "where": pl.String()}
"""Columns of rows that are to be added: those of the table, and where each came from, for its error."""
AROUND = dt.timedelta(days=31)


@dataclass(frozen=True)
class ActionCounts:
    """What a change did: actions new, with another value, already there, taken away; how many the lake has now; symbols without bars."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    removed: int = 0
    stored: int = 0
    without_bars: tuple[str, ...] = ()


def add_actions(root: Path, rows: pl.DataFrame, calendar: str, *, replace: bool = False) -> ActionCounts:
    """Add rows (columns ROWS) to the actions of the lake at `root`; what is there already with the same value changes nothing.

    Raises DataError for a row that makes no sense, a date that is no session of the calendar, two values of one action in the
    rows, or, unless `replace`, in rows and lake; OutputError where the lake is locked or not writable; CalendarError.
    """
    lake = Lake.open(root)
    overrides = root / OVERRIDES_FILE
    new = checked(rows, calendar, overrides if overrides.is_file() else None)
    with changing(root) as change:
        old = Actions.of(change.lake).frame
        state = new.join(old.select(*KEY, was="value"), on=KEY, how="left", maintain_order="left")
        changed = state.filter(pl.col("was").is_not_null() & (pl.col("was") != pl.col("value")))
        fresh = state.filter(pl.col("was").is_null())
        if len(changed) and not replace:
            row = changed.row(0, named=True)
            raise DataError("the lake holds another value of the same action", where=_name(row), action="add --replace to overwrite it",
                            value=f"{row['value']:g} (lake: {row['was']:g}){_more(changed)}")  # fmt: skip
        touched = pl.concat([fresh, changed]).select(schema.CORPORATE_ACTIONS.names)
        whole = pl.concat([old.join(touched, on=KEY, how="anti"), touched])
        if len(touched):
            change.put_actions(whole)
    known = lake.catalog.filter(pl.col("kind").is_in(KINDS))["symbols"].explode().unique()
    without = sorted(set(new["symbol"]) - set(known))
    return ActionCounts(len(fresh), len(changed), len(new) - len(touched), 0, len(whole), tuple(without))


def remove_actions(root: Path, symbol: str, day: dt.date | None = None, kind: str | None = None) -> ActionCounts:
    """Take a symbol's actions out of the lake at `root`: all, or those of one ex-date or kind; none there is none removed."""
    Lake.open(root)
    with changing(root) as change:
        old = Actions.of(change.lake).frame
        meant = pl.col("symbol") == symbol
        meant = meant if day is None else meant & (pl.col("ex_date") == day)
        kept = old.filter(~(meant if kind is None else meant & (pl.col("kind") == kind)))
        if len(kept) < len(old):
            change.put_actions(kept)
    return ActionCounts(removed=len(old) - len(kept), stored=len(kept))


def remove_all_actions(root: Path) -> ActionCounts:
    """Take all actions out of the lake at `root`, without reading them: so a damaged file can be replaced."""
    row = Lake.open(root).actions
    if row is None:
        return ActionCounts()
    with changing(root) as change:
        change.put_actions(schema.empty(schema.CORPORATE_ACTIONS))
    return ActionCounts(removed=row["rows"])


def checked(rows: pl.DataFrame, calendar: str, overrides: Path | None) -> pl.DataFrame:
    """Rows (columns ROWS) that make sense, each once, in the order of the table's key. Raises DataError that names the first bad one."""
    strange = pl.Series([not valid_symbol(symbol or "") for symbol in rows["symbol"]], dtype=pl.Boolean)
    _refuse(rows, pl.lit(strange), "not a symbol", "symbol", SYMBOL_ALLOWED)
    _check_kinds(rows)
    _check_values(rows)
    _check_sessions(rows, calendar, overrides)
    ordered = rows.sort(KEY, maintain_order=True)
    once = ordered.unique([*KEY, "value"], keep="first", maintain_order=True)
    twice = once.filter(once.select(KEY).is_duplicated())
    if len(twice):
        first, second = twice.head(2).to_dicts()
        raise DataError("two values of one action", where=f"{first['where']} and {second['where']}", action="keep one of them",
                        value=f"{_name(first)}: {first['value']:g} and {second['value']:g}")  # fmt: skip
    return once.drop("where")


def _check_kinds(rows: pl.DataFrame) -> None:
    unknown = rows.filter(~pl.col("kind").is_in(schema.ACTION_KINDS).fill_null(False))
    if len(unknown):
        row = unknown.row(0, named=True)
        raise DataError("not a kind of action", where=row["where"], value=repr(row["kind"]), allowed=" or ".join(schema.ACTION_KINDS),
                        action=did_you_mean(str(row["kind"]), schema.ACTION_KINDS))  # fmt: skip


def _check_values(rows: pl.DataFrame) -> None:
    value, split = pl.col("value"), pl.col("kind") == SPLIT
    _refuse(rows, ~value.is_finite().fill_null(False), "a value that is not a number", "value", "a finite number")
    allowed = "new shares for one old: 7 for 7:1, 0.1 where ten become one"
    _refuse(rows, split & (value <= 0), "a split that is not above zero", "value", allowed)
    _refuse(rows, split & (value == 1), "a split that changes nothing", "value", allowed)
    _refuse(rows, (pl.col("kind") == DIVIDEND) & (value <= 0), "a dividend that is not above zero", "value", "cash a share, as 0.47")


def _check_sessions(rows: pl.DataFrame, calendar: str, overrides: Path | None) -> None:
    """Every ex-date is a session of the calendar."""
    day = pl.col("ex_date")
    years = (day.dt.year() >= FIRST_YEAR) & (day.dt.year() <= LAST_YEAR)
    _refuse(rows, ~years.fill_null(False), "not a date of a session", "ex_date", f"dates of the years {FIRST_YEAR} to {LAST_YEAR}")
    if not len(rows):
        return
    first, last = rows.select(low=day.min(), high=day.max()).row(0)
    low, high = dt.date(FIRST_YEAR, 1, 1), dt.date(LAST_YEAR, 12, 31)
    sessions = sessions_between(calendar, max(first - AROUND, low), min(last + AROUND, high), overrides)
    strange = rows.filter(pl.Series(~np.isin(rows["ex_date"].to_numpy().astype("datetime64[D]"), sessions.label)))
    if len(strange):
        row = strange.row(0, named=True)
        raise DataError(f"no session of {calendar}", where=row["where"], value=f"{_name(row)}{_more(strange)}",
                        action=f"the nearest session is {nearest_session(sessions, row['ex_date'])}; or name its --calendar")  # fmt: skip


def nearest_session(sessions: Sessions, day: dt.date) -> np.datetime64 | None:
    """Label of the session nearest to a day, the later of two; None where there is none."""
    if not len(sessions):
        return None
    away = np.abs((sessions.label - np.datetime64(day, "D")).astype(np.int64))
    nearest: np.datetime64 = sessions.label[len(away) - 1 - int(np.argmin(away[::-1]))]
    return nearest


def _refuse(rows: pl.DataFrame, wrong: pl.Expr, what: str, column: str, allowed: str) -> None:
    """Raise DataError at the first row where `wrong` holds."""
    found = rows.filter(wrong)
    if len(found):
        row = found.row(0, named=True)
        raise DataError(what, where=row["where"], value=f"{row['symbol']}: {column} {row[column]}{_more(found)}", allowed=allowed)


def _name(row: dict[str, Any]) -> str:
    return f"{row['symbol']} {row['ex_date']} {row['kind']}"


def _more(rows: pl.DataFrame) -> str:
    return f"; {len(rows)} such rows" if len(rows) > 1 else ""

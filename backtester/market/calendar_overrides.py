"""Dated corrections of a calendar: an unscheduled halt day, a wrong early close, an extra session.

Place in the flow: sessions.py lays them over the library's rows before anybody sees a session, so that they are part of every
digest of rows. Never looks at bars.

The file is a JSON list, `calendar_overrides.json` in the lake; times are exchange time:

    [{"session": "2025-01-09", "closed": true, "reason": "day of mourning"},
     {"session": "2025-07-03", "open": "09:30", "close": "13:00", "calendar": "XNYS"}]

A row holds for every calendar unless it names one. Hours replace those of the session, or add one where the calendar has none;
an open at or after its close is of the day before, where the calendar's sessions begin on the day before. `24:00` is the
end of the day. The calendar's break stays as far as it lies inside the new hours; an added session has none.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from backtester.columns import NO_BREAK, Ints
from backtester.errors import CalendarError, did_you_mean
from backtester.market.calendar_cache import BREAK_END, BREAK_START, CLOSE, LABEL, OPEN, REGULAR_CLOSE

OVERRIDES_FILE = "calendar_overrides.json"
KEYS = ("session", "closed", "open", "close", "calendar", "reason")
DAY_SECONDS = 86_400

_TIME = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])(?::([0-5][0-9]))?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True)
class Override:
    """One correction: hours in seconds since midnight of the exchange, both None where the session is closed."""

    session: dt.date
    open: int | None
    close: int | None
    where: str


def read_overrides(path: Path | None, calendar: str) -> tuple[Override, ...]:
    """The file's rows for `calendar`, in order of session; none where there is no file. CalendarError that names a bad row."""
    if path is None or not path.exists():
        return ()
    rows = _document(path)
    found = [_override(row, f"{path} at /{index}") for index, row in enumerate(rows) if _concerns(row, calendar, f"{path} at /{index}")]
    found.sort(key=lambda override: override.session)
    for before, after in itertools.pairwise(found):
        if before.session == after.session:
            raise CalendarError("a session is corrected twice", where=after.where, value=after.session, action="keep one row of the two")
    return tuple(found)


def apply_overrides(rows: Ints, timezone: str, overrides: Sequence[Override], years: tuple[int, int]) -> Ints:
    """The rows (see CalendarYear) with the corrections of the years first..last laid over them, in order of label.

    CalendarError where hours make no session: a time that the clocks skipped, a close before its open, an overlap.
    """
    concerned = [override for override in overrides if years[0] <= override.session.year <= years[1]]
    if not concerned:
        return rows
    zone = ZoneInfo(timezone)
    columns = {int(label): rows[:, place] for place, label in enumerate(rows[LABEL])}
    for override in concerned:
        label = (override.session - _EPOCH).days
        if override.open is None:
            columns.pop(label, None)
        else:
            columns[label] = _hours(override, label, rows, zone)
    merged = np.array([columns[label] for label in sorted(columns)], np.int64).reshape(-1, 6).T
    _refuse_overlaps(merged, concerned)
    return merged


def _hours(override: Override, label: int, rows: Ints, zone: ZoneInfo) -> Ints:
    """The corrected row of one session."""
    assert override.open is not None
    assert override.close is not None
    pattern = _neighbour(rows, label)
    overnight = pattern is not None and int(pattern[OPEN]) < _utc(zone, int(pattern[LABEL]), 0, override.where)
    before = override.open >= override.close
    if before and not overnight:
        raise CalendarError("a session closes before it opens", where=override.where, value=_clock(override.close),
                            allowed=f"a close after {_clock(override.open)}")  # fmt: skip
    opened = _utc(zone, label, override.open - before * DAY_SECONDS, override.where)
    closed = _utc(zone, label, override.close, override.where)
    start, end, regular = NO_BREAK, NO_BREAK, closed
    if pattern is not None:
        midnight = _midnight(int(pattern[LABEL]))
        wall = dt.datetime.fromtimestamp(int(pattern[REGULAR_CLOSE]) / 1e6, zone).replace(tzinfo=None) - midnight
        regular = _utc(zone, label, int(wall.total_seconds()), override.where)
        if int(pattern[LABEL]) == label and int(pattern[BREAK_START]) != NO_BREAK:
            start, end = max(int(pattern[BREAK_START]), opened), min(int(pattern[BREAK_END]), closed)
            start, end = (start, end) if start < end else (NO_BREAK, NO_BREAK)
    return np.array([label, opened, closed, start, end, regular], np.int64)


def _neighbour(rows: Ints, label: int) -> Ints | None:
    """The session itself, or the nearest one before it, or the first: what a usual day of the calendar looks like."""
    if rows.shape[1] == 0:
        return None
    found: Ints = rows[:, max(int(np.searchsorted(rows[LABEL], label, side="right")) - 1, 0)]
    return found


def _refuse_overlaps(rows: Ints, overrides: Sequence[Override]) -> None:
    clashes = np.flatnonzero(rows[OPEN, 1:] < rows[CLOSE, :-1])
    if not len(clashes):
        return
    touched = {(override.session - _EPOCH).days: override for override in overrides}
    pair = [int(rows[LABEL, place]) for place in (int(clashes[0]), int(clashes[0]) + 1)]
    where = next((touched[label].where for label in pair if label in touched), None)
    days = " and ".join(str(_EPOCH + dt.timedelta(days=label)) for label in pair)
    raise CalendarError("corrected sessions overlap", where=where, value=days, action="correct the hours of the override")


def _document(path: Path) -> list[Any]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except OSError as error:
        raise CalendarError("cannot read calendar overrides", where=str(path), value=error.strerror) from error
    except (ValueError, RecursionError) as error:
        raise CalendarError("calendar overrides are not JSON", where=str(path), value=str(error), allowed="a list of rows") from error
    if not isinstance(rows, list):
        raise CalendarError("calendar overrides are not a list", where=str(path), value=type(rows).__name__, allowed="a list of rows")
    return rows


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one row")
    return found


def _concerns(row: Any, calendar: str, where: str) -> bool:
    """True where the row holds for `calendar`; checks what every row must have."""
    if not isinstance(row, dict):
        raise CalendarError("a calendar override is not an object", where=where, value=json.dumps(row)[:40], allowed='{"session": ...}')
    for key in row:
        if key not in KEYS:
            raise CalendarError("unknown key of a calendar override", where=where, value=repr(key), action=did_you_mean(key, KEYS))
    for key in ("calendar", "reason"):
        if not isinstance(row.get(key, ""), str):
            raise CalendarError("not text", where=f"{where}/{key}", value=json.dumps(row[key])[:40], allowed="a string")
    return bool(row.get("calendar", calendar) == calendar)


def _override(row: dict[str, Any], where: str) -> Override:
    session = _date(row.get("session"), f"{where}/session")
    if "closed" in row:
        if row["closed"] is not True:
            raise CalendarError("'closed' is not true", where=f"{where}/closed", value=json.dumps(row["closed"])[:40], allowed="true",
                                action="give open and close for a session that takes place")  # fmt: skip
        if "open" in row or "close" in row:
            raise CalendarError("a closed session has no hours", where=where, value=session, allowed="closed, or open and close")
        return Override(session, None, None, where)
    opened, closed = (_time(row.get(key), f"{where}/{key}") for key in ("open", "close"))
    if opened == DAY_SECONDS:
        raise CalendarError("a session cannot open at 24:00", where=f"{where}/open", allowed="00:00 to 23:59:59")
    return Override(session, opened, closed, where)


def _date(value: Any, where: str) -> dt.date:
    try:
        if isinstance(value, str) and _DATE.fullmatch(value):
            return dt.date.fromisoformat(value)
    except ValueError:
        pass
    raise CalendarError("not a date", where=where, value=json.dumps(value)[:40], allowed="YYYY-MM-DD")


def _time(value: Any, where: str) -> int:
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    seconds = int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3] or 0) if found else DAY_SECONDS + 1
    if seconds > DAY_SECONDS:
        raise CalendarError("not a time of day", where=where, value=json.dumps(value)[:40], allowed="HH:MM or HH:MM:SS in exchange time")
    return seconds


def _utc(zone: ZoneInfo, label: int, seconds: int, where: str) -> int:
    """Microseconds UTC of a wall clock time, `seconds` after (or before) midnight of the label's day."""
    wall = _midnight(label) + dt.timedelta(seconds=seconds)
    moment = wall.replace(tzinfo=zone).astimezone(dt.UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != wall:
        raise CalendarError("the clocks skip this time", where=where, value=wall.isoformat(sep=" "), allowed=f"times of {zone.key}")
    return int(moment.timestamp()) * 1_000_000


def _midnight(label: int) -> dt.datetime:
    return dt.datetime.combine(_EPOCH + dt.timedelta(days=label), dt.time())


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}"

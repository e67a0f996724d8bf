"""Sessions: opens, closes, breaks and counts of any exchange calendar.

Place in the flow: phase 1 of a day, read once a run; the only file that knows pandas_market_calendars. A session is one row of
the calendar's `schedule()`, corrected by the lake's overrides file; nothing else decides hours. Never sets a timezone by hand,
never reads a clock, and imports the library only where the disk cache (calendar_cache.py) does not know a year yet.

Labels are those of the library: an overnight futures session bears the day on which it ends, 24/7 the UTC day.
`overrides` is the path of the overrides file (absent: no corrections), `cache` a folder that takes the place of the user's.
"""

from __future__ import annotations

import datetime as dt
import difflib
import functools
import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtester.columns import NO_BREAK, Ints, Sessions
from backtester.errors import CalendarError
from backtester.intervals import MINUTE_US
from backtester.market import calendar_cache as disk
from backtester.market.calendar_overrides import apply_overrides, read_overrides

MARKETS = {
    ("US_EQUITY", "EQUITY"): "XNYS",
    ("CRYPTO", "CRYPTO"): "24/7",
    ("FOREX", "FOREX"): "FOREX",
    ("COMMODITIES", "FUTURES"): "CMEGlobex_EnergyAndMetals",
}
"""The calendar of an exchange group and asset class, where the config names none. Any asset class of FOREX has its calendar."""

TWINS = (("HKEX", "XHKG"), ("NYSE", "XNYS"), ("LSE", "XLON"), ("JPX", "XTKS"), ("TSX", "XTSE"), ("SIX", "XSWX"), ("SSE", "XSHG"),
         ("OSE", "XOSL"), ("ASX", "XASX"), ("BMF", "BVMF"))  # fmt: skip
"""Two calendars of one market, from two packages: where they differ, one of them is wrong, and `doubts` says so."""

FIRST_YEAR, LAST_YEAR = 1900, 2199
BASE_YEAR = 2000

_EPOCH = dt.date(1970, 1, 1)


def calendar_for(exchange_group: str, asset_class: str, calendar: str | None = None, *, cache: Path | None = None) -> str:
    """The calendar's name: `calendar` where given, else by MARKETS. CalendarError where there is none of that name."""
    if calendar is not None:
        _require_known(calendar, known_calendars(cache))
        return calendar
    found = MARKETS.get((exchange_group, "FOREX" if exchange_group == "FOREX" else asset_class))
    if found is None:
        pairs = ", ".join(f"{group} with {asset}" for group, asset in MARKETS)
        raise CalendarError("no calendar belongs to this exchange group and asset class", value=f"{exchange_group} with {asset_class}",
                            allowed=pairs, action="or name a calendar in `calendar`")  # fmt: skip
    return found


def known_calendars(cache: Path | None = None) -> tuple[str, ...]:
    """Every name that the calendar library knows, aliases included."""
    folder, version = cache or disk.default_folder(), library_version()
    names = disk.read_names(folder, version)
    if names is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pandas_market_calendars

        names = tuple(sorted(pandas_market_calendars.get_calendar_names()))
        disk.write_names(folder, version, names)
    return names


def sessions_between(calendar: str, first: dt.date, last: dt.date, overrides: Path | None = None, cache: Path | None = None) -> Sessions:
    """Sessions whose labels lie within first..last, both included; none where the market rests throughout.

    per_year is the mean over the calendar years touched. CalendarError where the name is unknown, the dates are reversed or
    outside 1900..2199, or an override makes no sense.
    """
    if last < first:
        raise CalendarError("the dates are reversed", value=f"{first} to {last}", allowed="a first date not after the last")
    table = _table(calendar, first.year, last.year, overrides, cache)
    start, end = np.searchsorted(table.label, [np.datetime64(first, "D"), np.datetime64(last, "D") + 1])
    return table[int(start) : int(end)]


def sessions_before(calendar: str, day: dt.date, count: int, overrides: Path | None = None, cache: Path | None = None) -> Sessions:
    """The `count` sessions before `day`, which is not one of them. CalendarError where the calendar does not reach back so far."""
    years = 1
    while True:
        from_year = max(day.year - years, FIRST_YEAR)
        table = _table(calendar, from_year, day.year, overrides, cache)
        end = int(np.searchsorted(table.label, np.datetime64(day, "D")))
        if end >= count:
            return table[end - count : end]
        if from_year == FIRST_YEAR:
            raise CalendarError("not so many sessions before this day", where=f"calendar {calendar}, before {day}",
                                value=count, allowed=f"at most {end}")  # fmt: skip
        years += max(2, (count - end) // 240)


def first_on_or_after(calendar: str, day: dt.date, overrides: Path | None = None, cache: Path | None = None) -> dt.date:
    """Label of the first session on or after `day`. CalendarError where none follows within a year."""
    table = _table(calendar, day.year, min(day.year + 1, LAST_YEAR), overrides, cache)
    place = int(np.searchsorted(table.label, np.datetime64(day, "D")))
    if place == len(table):
        raise CalendarError("no session on or after this day", where=f"calendar {calendar}", value=day)
    return _date(table.label[place])


def last_on_or_before(calendar: str, day: dt.date, overrides: Path | None = None, cache: Path | None = None) -> dt.date:
    """Label of the last session on or before `day`. CalendarError where none precedes within a year."""
    table = _table(calendar, max(day.year - 1, FIRST_YEAR), day.year, overrides, cache)
    place = int(np.searchsorted(table.label, np.datetime64(day, "D"), side="right"))
    if place == 0:
        raise CalendarError("no session on or before this day", where=f"calendar {calendar}", value=day)
    return _date(table.label[place - 1])


def ordinals(calendar: str, labels: NDArray[np.datetime64], overrides: Path | None = None, cache: Path | None = None) -> Ints:
    """Each label's index among the calendar's sessions, counted from the first of 2000 (which is 0; earlier ones are negative).

    labels is datetime64[D] of shape (n,), in any order; so is the result in int64. CalendarError where a label is no session.
    """
    labels = np.asarray(labels, "datetime64[D]")
    if not len(labels):
        return np.zeros(0, np.int64)
    years = (BASE_YEAR, _date(labels.min()).year, _date(labels.max()).year)
    table = _table(calendar, min(years), max(years), overrides, cache)
    place = np.searchsorted(table.label, labels)
    absent = np.flatnonzero(table.label[np.minimum(place, len(table) - 1)] != labels) if len(table) else np.arange(len(labels))
    if len(absent):
        raise CalendarError("not a session", where=f"calendar {calendar}", value=labels[absent[0]])
    return (place - np.searchsorted(table.label, np.datetime64(f"{BASE_YEAR}-01-01"))).astype(np.int64)


def minutes(sessions: Sessions) -> Ints:
    """Minutes of each session without its break, shape (sessions,)."""
    return sessions.slots(MINUTE_US)


def rows_digest(sessions: Sessions) -> str:
    """SHA-256 of the sessions' labels, hours, breaks and early marks: equal rows, equal digest, whatever the calendar's name."""
    columns: list[NDArray[Any]] = [sessions.label.astype(np.int64), sessions.open, sessions.close, sessions.break_start, sessions.break_end]
    digest = hashlib.sha256(b"sessions 1\n")
    for column in [*columns, sessions.early]:
        digest.update(column.astype("<i8").tobytes())
    return digest.hexdigest()


def doubts(calendar: str, first: dt.date, last: dt.date, overrides: Path | None = None, cache: Path | None = None) -> tuple[str, ...]:
    """Sentences on what is not certain about the sessions within first..last; none where nothing is known to be doubtful.

    Days beyond the library's known holidays are provisional; days on which another calendar of the same market disagrees are
    named, unless an override has settled them.
    """
    years = _years(calendar, first.year, last.year, cache)
    said = []
    until, since = years[-1].known_until, years[0].known_from
    if until is not None and until < last.isoformat():
        start = max(dt.date.fromisoformat(until) + dt.timedelta(days=1), first)
        said.append(f"provisional: holidays and hours of {calendar} are not known after {until}; sessions from {start} on may change")
    if since is not None and first.isoformat() < since:
        said.append(f"provisional: holidays and hours of {calendar} are not known before {since}")
    settled = {override.session.isoformat() for override in read_overrides(overrides, calendar)}
    days = [day for year in years for day in year.disputed if first.isoformat() <= day <= last.isoformat() and day not in settled]
    if days:
        more = f" and {len(days) - 5} more" if len(days) > 5 else ""
        said.append(f"disputed: {calendar} and {_twin(calendar)}, two calendars of one market, differ on {', '.join(days[:5])}{more}; "
                    "settle such days in calendar_overrides.json")  # fmt: skip
    return tuple(said)


@functools.cache
def library_version() -> str:
    """Versions of what the rows come from, as one word: also the name of the cache's folder."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        zones = version("tzdata")
    except PackageNotFoundError:
        zones = "system"
    return f"pandas_market_calendars-{version('pandas_market_calendars')}+exchange_calendars-{version('exchange_calendars')}+tzdata-{zones}"


def _table(calendar: str, first_year: int, last_year: int, overrides: Path | None, cache: Path | None) -> Sessions:
    """All sessions of whole years, corrected."""
    corrections = read_overrides(overrides, calendar)
    years = _years(calendar, first_year, last_year, cache)
    timezone = years[0].timezone
    rows = apply_overrides(np.concatenate([year.rows for year in years], axis=1), timezone, corrections, (first_year, last_year))
    early = rows[disk.CLOSE] < rows[disk.REGULAR_CLOSE]
    return Sessions(
        calendar, timezone, rows[disk.LABEL].astype("datetime64[D]"), rows[disk.OPEN], rows[disk.CLOSE],
        rows[disk.BREAK_START], rows[disk.BREAK_END], early, len(early) / len(years),
    )  # fmt: skip


def _years(calendar: str, first_year: int, last_year: int, cache: Path | None) -> list[disk.CalendarYear]:
    """Whole years of the library's rows, from the disk where it has them."""
    if first_year < FIRST_YEAR or last_year > LAST_YEAR:
        raise CalendarError("no sessions are known for these years", where=f"calendar {calendar}", value=f"{first_year} to {last_year}",
                            allowed=f"{FIRST_YEAR}-01-01 to {LAST_YEAR}-12-31")  # fmt: skip
    folder, version = cache or disk.default_folder(), library_version()
    wanted = range(first_year, last_year + 1)
    found = {year: stored for year in wanted if (stored := disk.read_year(folder, version, calendar, year)) is not None}
    missing = [year for year in wanted if year not in found]
    if missing:
        made = _from_library(calendar, missing[0], missing[-1], known_calendars(cache))
        for year in made:
            if year.year not in found:
                found[year.year] = year
                disk.write_year(folder, version, year)
    return [found[year] for year in wanted]


def _from_library(calendar: str, first_year: int, last_year: int, names: Sequence[str]) -> list[disk.CalendarYear]:
    """Ask the library for whole years. What it warns of (its own code under a newer pandas) is nothing a user can act on."""
    _require_known(calendar, names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas_market_calendars

        try:
            market = pandas_market_calendars.get_calendar(calendar)
            rows = _rows(market, first_year, last_year)
            twin = _twin(calendar)
            other = rows if twin is None else _rows(pandas_market_calendars.get_calendar(twin), first_year, last_year)
            bounds = _known_range(market)
        except (ArithmeticError, LookupError, NotImplementedError, TypeError, ValueError) as error:
            raise CalendarError("the calendar library cannot list these sessions", where=f"calendar {calendar}", value=error,
                                action="name another calendar of the market") from error  # fmt: skip
    disputed = [day for day in _differences(rows, other) if bounds[1] is None or day <= bounds[1]]
    years = []
    for year in range(first_year, last_year + 1):
        start, end = ((dt.date(bound, 1, 1) - _EPOCH).days for bound in (year, year + 1))
        inside = (rows[disk.LABEL] >= start) & (rows[disk.LABEL] < end)
        days = tuple(day for day in disputed if day.startswith(f"{year}-"))
        years.append(disk.CalendarYear(calendar, str(market.tz), year, rows[:, inside], *bounds, days))
    return years


def _rows(market: Any, first_year: int, last_year: int) -> Ints:
    """Rows of CalendarYear from the library's schedule; the regular close is the schedule's without special times."""
    bounds = (f"{first_year}-01-01", f"{last_year}-12-31")
    schedule = market.schedule(*bounds)
    rows = np.full((6, len(schedule)), NO_BREAK, np.int64)
    if not len(schedule):
        return rows
    rows[disk.LABEL] = schedule.index.to_numpy().astype("datetime64[D]").astype(np.int64)
    rows[disk.OPEN], rows[disk.CLOSE] = _instants(schedule["market_open"]), _instants(schedule["market_close"])
    rows[disk.REGULAR_CLOSE] = _instants(market.schedule(*bounds, force_special_times=None)["market_close"])
    if "break_start" in schedule and "break_end" in schedule:
        start = np.maximum(_instants(schedule["break_start"]), rows[disk.OPEN])
        end = np.minimum(_instants(schedule["break_end"]), rows[disk.CLOSE])
        # An early close leaves an empty break behind, and the schedule goes on listing breaks that a market gave up.
        held = start < end
        given_up = market.discontinued_market_times.get("break_start")
        if given_up is not None:
            held &= np.asarray(schedule.index < given_up)
        rows[disk.BREAK_START], rows[disk.BREAK_END] = np.where(held, start, NO_BREAK), np.where(held, end, NO_BREAK)
    return rows


def _instants(column: Any) -> Ints:
    """A column of the schedule as int64 microseconds UTC (NaT becomes the smallest number)."""
    instants: Ints = column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
    return instants


def _known_range(market: Any) -> tuple[str | None, str | None]:
    """First and last date for which the library can know holidays; None where it needs to know none or says nothing.

    A calendar without holidays is known for ever. Else exchanges publish the coming year: holidays are known to the end of
    the year after the library's own data was last verified, and no further than a tabulated calendar reaches.
    """
    from pandas_market_calendars.sources import CALENDAR_SOURCES

    if not len(market.adhoc_holidays) and not getattr(market.regular_holidays, "rules", None):
        return None, None
    tabulated = getattr(market, "_ec_class", None)
    since = tabulated.bound_min() if tabulated is not None else None
    end = tabulated.bound_max() if tabulated is not None else None
    verified = max(source.last_verified for sources in CALENDAR_SOURCES.values() for source in sources)
    until = f"{int(verified[:4]) + 1}-12-31"
    return (None if since is None else str(since.date())), (until if end is None else min(until, str(end.date())))


def _differences(rows: Ints, other: Ints) -> list[str]:
    """Dates that are a session in one of the two only, or close early in one of the two only."""
    marks = [{(int(row[disk.LABEL]), bool(row[disk.CLOSE] < row[disk.REGULAR_CLOSE])) for row in table.T} for table in (rows, other)]
    return [str(_EPOCH + dt.timedelta(days=day)) for day in sorted({day for day, _ in marks[0] ^ marks[1]})]


def _twin(calendar: str) -> str | None:
    """The other calendar of the same market, if there is one."""
    pairs = dict(TWINS)
    return (pairs | {other: name for name, other in pairs.items()}).get(calendar)


def _require_known(calendar: str, names: Sequence[str]) -> None:
    if calendar in names:
        return
    known = {name.casefold(): name for name in names}
    near = [known[name] for name in difflib.get_close_matches(calendar.casefold(), known, n=3, cutoff=0.5)]
    action = f"did you mean {' or '.join(repr(name) for name in near)}?" if near else "for instance XNYS, XLON, JPX, 24/7"
    raise CalendarError("unknown calendar", value=repr(calendar[:60]), allowed="a calendar of pandas_market_calendars", action=action)


def _date(label: np.datetime64) -> dt.date:
    day: dt.date = label.astype("datetime64[D]").item()
    return day

"""Moment: what a question's time means: an instant, its session, and the bars that hold it.

Place in the flow: `bt why` begins here. Exchange time exists only on this floor: what comes in without an offset is local time of
the run's calendar, what goes out is said in it. Never reads a bar.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from backtester.columns import NO_BREAK, Sessions
from backtester.errors import CalendarError, UsageError
from backtester.intervals import Interval
from backtester.market import sessions
from backtester.market.resample import buckets_of
from backtester.outcome.run import Run

FORM = "ISO 8601: 2024-11-05T15:02Z, or without an offset in the exchange's time: 2024-11-05T10:02"

DAY = len("2024-11-05")


@dataclass(frozen=True)
class Span:
    """A bar's place in time: its open, and from when it is available."""

    start: dt.datetime
    end: dt.datetime


@dataclass(frozen=True)
class Moment:
    """An instant in a session of a run; days holds that session alone."""

    at: dt.datetime
    session: dt.date
    days: Sessions
    zone: ZoneInfo

    def clock(self, instant: dt.datetime) -> str:
        """An instant as the exchange's clock shows it, with the day where it is not the session's."""
        local = instant.astimezone(self.zone)
        text = f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
        return text if local.date() == self.at.astimezone(self.zone).date() else f"{local:%Y-%m-%d} {text}"

    def bar(self, interval: str, base: str) -> Span:
        """The place of the bar of an interval that holds the moment, whether or not there is one; of `5d` and `1w` the session's."""
        if not Interval(base).is_intraday or not Interval(interval).is_intraday:
            return Span(instant_of(self.days.open[0]), instant_of(self.days.close[0]))
        buckets, place = buckets_of(self.days, interval, base), self.slots(interval) - 1
        return Span(instant_of(buckets.ts[place]), instant_of(buckets.end[place]))

    def slots(self, interval: str) -> int:
        """Bars of an interval that the session may have had by then, the one that holds the moment included."""
        if not Interval(interval).is_intraday:
            return 1
        return int(np.searchsorted(buckets_of(self.days, interval, interval).ts, micros(self.at), side="right"))

    def inside(self, span: Span, base: str) -> int:
        """Bars of the base interval that a span of the session may hold."""
        stamps = buckets_of(self.days, base, base).ts
        return int(np.count_nonzero((stamps >= micros(span.start)) & (stamps < micros(span.end))))


def moment(run: Run, text: str) -> Moment:
    """The moment that a text names in a run. Raises UsageError where it is no time, CalendarError where no session of the run is open."""
    zone = zone_of(run)
    table = run.table("sessions")
    at = _day(text, table, zone) if base_of(run) == "1d" and len(text.strip()) == DAY else None
    at = instant(text, zone) if at is None else at
    inside = table.filter((pl.col("open") <= at) & (pl.col("close") > at))
    if not len(inside):
        raise _closed(table, at, zone, run)
    row = inside.row(0, named=True)
    days = days_of(run, row)
    if days.break_start[0] != NO_BREAK and days.break_start[0] <= micros(at) < days.break_end[0]:
        ends = [f"{instant_of(edge[0]).astimezone(zone):%H:%M}" for edge in (days.break_start, days.break_end)]
        raise CalendarError("the exchange is in its break then", where=f"session {row['session']}", value=text,
                            allowed=f"any time but from {ends[0]} to {ends[1]}")  # fmt: skip
    return Moment(at, row["session"], days, zone)


def instant(text: str, zone: ZoneInfo, where: str = "--at") -> dt.datetime:
    """A text as an instant, UTC. Raises UsageError where it is none, or where the exchange's clock shows it never, or twice."""
    try:
        found = dt.datetime.fromisoformat(text.strip())
        ways = [found.replace(tzinfo=found.tzinfo or zone, fold=fold).astimezone(dt.UTC) for fold in (0, 1)]
    except (ValueError, OverflowError) as error:  # the latter: no calendar has it in UTC
        raise UsageError("this is no time", where=where, value=repr(text), allowed=FORM) from error
    if len(text.strip()) <= DAY:
        raise UsageError("this is a day, not a time", where=where, value=repr(text), allowed=FORM)
    if ways[0] != ways[1]:
        shown = " or ".join(f"{way:%Y-%m-%dT%H:%MZ}" for way in sorted(ways))
        never = ways[0].astimezone(zone).replace(tzinfo=None) != found
        what = "the exchange's clock never shows this time" if never else "the exchange's clock shows this time twice"
        raise UsageError(what, where=f"{where}, {zone.key}", value=repr(text), action=f"say it in UTC: {shown}")
    return ways[0]


def edge(text: str, zone: ZoneInfo, *, last: bool) -> dt.datetime:
    """One end of a stretch; a day alone is its first instant, or its last."""
    if len(text.strip()) > DAY:
        return instant(text, zone, "--between")
    time = "T23:59:59.999999" if last else "T00:00:00"
    return instant(text.strip() + time, zone, "--between")


def _day(text: str, table: pl.DataFrame, zone: ZoneInfo) -> dt.datetime | None:
    """The open of the session that a day names, its first instant where that is no session; None where the text is no day."""
    try:
        day = dt.date.fromisoformat(text.strip())
    except ValueError:
        return None
    opened = table.filter(pl.col("session") == day)["open"]
    return opened[0] if len(opened) else dt.datetime.combine(day, dt.time(), zone).astimezone(dt.UTC)


def days_of(run: Run, row: Mapping[str, Any]) -> Sessions:
    """One session of the run, from its row of the table `sessions`; the calendar tells its break."""
    name, day = run.manifest["calendar"]["name"], row["session"]
    found = sessions.sessions_between(name, day, day)
    opened, closed = (np.array([micros(row[edge])], np.int64) for edge in ("open", "close"))
    if len(found):
        return replace(found, open=opened, close=closed)
    none = np.array([NO_BREAK], np.int64)
    label = np.array([day], "datetime64[D]")
    per_year, zone = run.manifest["calendar"]["sessions_per_year"], run.manifest["calendar"]["timezone"]
    return Sessions(name, zone, label, opened, closed, none, none, np.array([False]), per_year)


def zone_of(run: Run) -> ZoneInfo:
    """The exchange's time zone."""
    return ZoneInfo(run.manifest["calendar"]["timezone"])


def base_of(run: Run) -> str:
    """The interval that the run read: the shortest of which it knows the quality."""
    known: list[str] = run.table("quality")["interval"].unique().to_list()
    return min(known, key=lambda name: Interval(name).step_us)


def micros(instant: dt.datetime) -> int:
    """An instant as microseconds since 1970, UTC."""
    return (instant - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


def instant_of(micros: Any) -> dt.datetime:
    """Microseconds since 1970 as an instant, UTC."""
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=int(micros))


def _closed(table: pl.DataFrame, at: dt.datetime, zone: ZoneInfo, run: Run) -> CalendarError:
    """The error of an instant at which no session of the run is open: that day's hours, or the sessions beside it."""
    local = at.astimezone(zone)
    name = run.manifest["calendar"]["name"]
    own = table.filter(pl.col("session") == local.date())
    said = f"{local:%Y-%m-%d %H:%M %Z}"
    if len(own):
        opened, closed = (own[edge][0].astimezone(zone) for edge in ("open", "close"))
        late = "; what was decided on its last bar: ask for that bar" if at >= own["close"][0] else ""
        return CalendarError("the exchange is closed then", where=f"calendar {name}", value=said,
                             allowed=f"session {local.date()} is open from {opened:%H:%M} to {closed:%H:%M}{late}")  # fmt: skip
    before, after = table.filter(pl.col("close") <= at)["session"], table.filter(pl.col("open") > at)["session"]
    beside = [f"the one before is {before[-1]}"] if len(before) else ["the run begins later"]
    beside += [f"the next is {after[0]}"] if len(after) else ["the run ends before"]
    return CalendarError("no session of the run", where=f"calendar {name}", value=f"{local:%A} {said}", allowed=", ".join(beside))

"""Filing: which session's file a row belongs to, and whether it lies in the session.

Place in the flow: the last step of an import before the lake is changed. The calendar alone decides: a row inside a session
is of that session; any other keeps the local date of the exchange and is marked as out of session. Never drops a row.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtester.columns import NO_BREAK, Bools, Ints, Sessions
from backtester.intervals import Interval
from backtester.market.sessions import sessions_between
from backtester.schema import OUT_OF_SESSION

_INSTANT = pl.Datetime("us", "UTC")


def file_rows(frame: pl.DataFrame, interval: str, calendar: str, overrides: Path | None = None) -> pl.DataFrame:
    """The rows with `session` (Date) and `flags`; those of 1d get their `ts` from `day`: the session's open.

    frame: symbol, ts (instants) or of 1d day (Date), and whatever else. Raises CalendarError where the calendar is unknown.
    """
    if interval == "1d":
        return _file_days(frame, sessions_around(frame["day"], calendar, overrides))
    sessions = sessions_around(frame["ts"].dt.date(), calendar, overrides)
    ts = frame["ts"].to_physical().to_numpy()
    place, inside = _places(ts, Interval.parse(interval).step_us, sessions)
    labels = pl.Series("session", sessions.label[place].astype("datetime64[D]"))
    # Only rows outside need the local date; asking for it of every row would cost more than all the rest.
    local = frame.filter(pl.Series(~inside))["ts"].dt.convert_time_zone(sessions.timezone).dt.date()
    outside = pl.Series(~inside)
    if len(local):
        labels = labels.scatter(outside.arg_true(), local)
    return frame.with_columns(labels, flags=pl.when(outside).then(OUT_OF_SESSION).otherwise(0).cast(pl.Int32))


def sessions_around(days: pl.Series, calendar: str, overrides: Path | None) -> Sessions:
    """The sessions around all days; a fortnight more on either side, so that there always is one before."""
    first, last = days.min(), days.max()
    assert isinstance(first, dt.date)
    assert isinstance(last, dt.date)
    return sessions_between(calendar, first - dt.timedelta(14), last + dt.timedelta(14), overrides)


def _places(ts: Ints, step_us: int, sessions: Sessions) -> tuple[NDArray[np.int64], Bools]:
    """Index of the session that a bar of this length touches, and whether it does; shape (rows,).

    An hour bar of 09:00 belongs to the session that opens at 09:30.
    """
    place = np.maximum(np.searchsorted(sessions.open, ts + step_us - 1, side="right") - 1, 0)
    inside = (ts < sessions.close[place]) & (ts + step_us > sessions.open[place])
    if (sessions.break_start != NO_BREAK).any():
        pause, resume = sessions.break_start[place], sessions.break_end[place]
        inside &= ~((pause != NO_BREAK) & (ts >= pause) & (ts + step_us <= resume))
    return place, inside


def _file_days(frame: pl.DataFrame, sessions: Sessions) -> pl.DataFrame:
    """Daily rows: of a session its open as `ts`; of another day its local midnight, out of session."""
    opens = pl.DataFrame({"day": sessions.label.astype("datetime64[D]"), "open_us": sessions.open})
    midnight = (
        pl.col("day").cast(pl.Datetime("us")).dt.replace_time_zone(sessions.timezone, ambiguous="earliest").dt.convert_time_zone("UTC")
    )
    filed = frame.join(opens, on="day", how="left", maintain_order="left")
    return filed.with_columns(
        ts=pl.coalesce(pl.col("open_us").cast(_INSTANT), midnight.cast(_INSTANT)),
        session=pl.col("day"),
        flags=pl.when(pl.col("open_us").is_null()).then(OUT_OF_SESSION).otherwise(0).cast(pl.Int32),
    ).drop("open_us", "day")

"""Shelves: which files of a lake hold the bars of a session, whatever calendar the lake was filed by.

Place in the flow: between the lake's catalog and load. An import files each bar under a session of its own calendar (XNYS where
nobody says otherwise); a run may ask by another, whose sessions begin at other hours. Then a session's bars stand in several
files and a file's bars belong to several sessions. Usually not: then a session's file is the one with its name.
Never reads a bar.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtester.columns import Bools, Ints, Sessions
from backtester.market.lake import Kind, Lake


@dataclass(frozen=True)
class Shelves:
    """The files of one kind and interval, seen by the sessions of a calendar (those of a run and of the history before it)."""

    lake: Lake
    kind: Kind
    interval: str
    calendar: Sessions

    def files(self, sessions: Sessions) -> pl.DataFrame:
        """The catalog's rows of the files that may hold bars of `sessions`, some of the calendar's in a row; in session order."""
        if not self.foreign.any() or not len(sessions):
            return self.lake.files(self.kind, self.interval, sessions.label)
        start, end = self.span(sessions)
        shared = self.foreign & (self._reach[0] < end) & (self._reach[1] > start)
        return self._all.filter(pl.Series(shared | np.isin(self._label, sessions.label)))

    def are_foreign(self, files: pl.DataFrame) -> bool:
        """True where one of these files holds bars of other sessions than its own."""
        return not set(files["path"]).isdisjoint(self._all["path"].filter(pl.Series(self.foreign)))

    def session_of(self, ts: Ints, label: NDArray[np.datetime64]) -> Ints:
        """Index in the calendar of the session that each bar belongs to: the one it lies in, else its file's; -1 where none is."""
        place = np.searchsorted(self.calendar.open, ts, side="right") - 1
        inside = (place >= 0) & (ts < self.calendar.close[place])
        return np.where(inside, place, _index(self.calendar.label, label))

    def span(self, sessions: Sessions) -> tuple[int, int]:
        """Index in the calendar of the first of `sessions`, and of the one after their last."""
        start = int(np.searchsorted(self.calendar.label, sessions.label[0]))
        return start, start + len(sessions)

    @cached_property
    def foreign(self) -> Bools:
        """Files that reach into sessions other than the one of their name; shape (files,)."""
        if self.interval == "1d":  # a day's bar stands for its session at any hour
            return np.zeros(len(self._all), np.bool_)
        low, high = self._reach
        foreign: Bools = (high > low) & ~((high == low + 1) & (low == _index(self.calendar.label, self._label)))
        return foreign

    @cached_property
    def _all(self) -> pl.DataFrame:
        return self.lake.files(self.kind, self.interval)

    @cached_property
    def _label(self) -> NDArray[np.datetime64]:
        return self._all["session"].to_numpy().astype("datetime64[D]")

    @cached_property
    def _reach(self) -> tuple[Ints, Ints]:
        """First session, and the one after the last, between a file's first and last bar."""
        first, last = (self._all[name].to_physical().to_numpy() for name in ("first_ts", "last_ts"))
        return np.searchsorted(self.calendar.close, first, side="right"), np.searchsorted(self.calendar.open, last, side="right")


def symbols_of(files: pl.DataFrame) -> set[str]:
    """Every symbol that one of the files holds."""
    held: Iterable[str] = files["symbols"].explode().drop_nulls().unique().to_list()
    return set(held)


def _index(labels: NDArray[np.datetime64], wanted: NDArray[np.datetime64]) -> Ints:
    """Place of each wanted label among the sorted labels, -1 where it is not one of them."""
    place = np.minimum(np.searchsorted(labels, wanted), len(labels) - 1)
    return np.where(labels[place] == wanted, place, -1)

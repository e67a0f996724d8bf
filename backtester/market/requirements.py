"""Requirements: which stored interval a run reads, and what becomes of every stream that was asked for.

Place in the flow: before the first session. Never reads bars; the lake's catalog says what is there. No silent fallback.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from backtester.columns import Sessions
from backtester.errors import ConfigError, DataError, nearest
from backtester.intervals import BASES, Interval
from backtester.market.lake import Lake
from backtester.market.shelves import Shelves, symbols_of

LISTED = 20
Mark = Literal["STREAMED", "GENERATED", "IGNORED"]


@dataclass(frozen=True)
class Stream:
    """What becomes of one stream or interval, and why."""

    stream: str
    mark: Mark
    reason: str


@dataclass(frozen=True)
class Requirements:
    """The base interval, the intervals to derive from it (shortest first), the marks, and whether quotes are stored."""

    base: str
    derived: tuple[str, ...]
    streams: tuple[Stream, ...]
    quotes: bool


def requirements(streams: Sequence[str], needed: Mapping[str, str], lake: Lake, sessions: Sessions, symbols: Sequence[str]) -> Requirements:
    """Choose the base for `streams` and for the intervals that indicators and strategies need (interval -> who needs it).

    Raises ConfigError where nothing is asked for that a base can be chosen from, DataError where the lake lacks the base.
    """
    wanted = wanted_of(streams, needed)
    base = _base(wanted, bool(len(lake.files("bars", "1d", sessions.label))))
    _require(base, wanted, lake, sessions, symbols)
    stored = bool(len(Shelves(lake, "quotes", base, sessions).files(sessions)))
    marks = [_mark(interval, base, needed) for interval in wanted]
    if "quotes" in streams:
        reason = f"quote bars of {base} from the lake" if stored else "no quote bars in the lake: bid = ask = close of the latest bar"
        marks.append(Stream("quotes", "STREAMED" if stored else "GENERATED", reason))
    if "ticks" in streams:
        marks.append(Stream("ticks", "IGNORED", "ticks are unsupported"))
    return Requirements(base, tuple(interval for interval in wanted if interval != base), tuple(marks), stored)


def wanted_of(streams: Sequence[str], needed: Iterable[str]) -> list[str]:
    """Every interval that is asked for, shortest first. Raises ConfigError where there is none."""
    asked = [stream for stream in streams if stream not in ("quotes", "ticks")]
    wanted = sorted({*asked, *needed}, key=_length)
    if not wanted:
        what = "only quotes are wanted" if "quotes" in streams else "no interval is wanted"
        raise ConfigError(
            f"{what}, so there is no base interval", where="/session_data_config/streams", action='add a bar interval such as "1m"'
        )
    return wanted


def base_of(wanted: Iterable[str], has_daily: bool) -> str:
    """The smallest stored interval from which all wanted ones can be built.

    >>> base_of(["5m", "1d"], True), base_of(["1d", "1w"], True), base_of(["1d"], False), base_of(["5s", "1h"], True)
    ('1m', '1d', '1m', '1s')
    """
    return _base(list(wanted), has_daily)


def missing_symbols(lake: Lake, kind: Literal["bars", "quotes"], interval: str, sessions: Sessions, symbols: Sequence[str]) -> list[str]:
    """Symbols of which the catalog has no file at all in these sessions."""
    return sorted(set(symbols) - symbols_of(Shelves(lake, kind, interval, sessions).files(sessions)))


def has_all(lake: Lake, interval: str, sessions: Sessions, symbols: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """For each session: does the lake hold bars of this interval for every symbol? Shape (sessions,)."""
    files = lake.files("bars", interval, sessions.label)
    whole = files.filter(pl.lit(list(symbols)).list.set_difference(pl.col("symbols")).list.len() == 0)
    return np.isin(sessions.label, whole["session"].to_numpy().astype("datetime64[D]"))


def _base(wanted: list[str], has_daily: bool) -> str:
    if all(not Interval(interval).is_intraday for interval in wanted) and has_daily:
        return "1d"
    return min((Interval(interval).base for interval in wanted), key=BASES.index)


def _require(base: str, wanted: list[str], lake: Lake, sessions: Sessions, symbols: Sequence[str]) -> None:
    absent = missing_symbols(lake, "bars", base, sessions, symbols)
    if not absent:
        return
    built = [interval for interval in wanted if interval != base]
    purpose = f" (needed to build {', '.join(built)})" if built else ""
    listed = ", ".join(absent[:LISTED]) + (f" and {len(absent) - LISTED:,} more" if len(absent) > LISTED else "")
    raise DataError(
        f"Required interval {base} not available for {listed}{purpose}",
        where=f"{lake.root}, {sessions.label[0]} to {sessions.label[-1]}",
        value=f"a lake with {_held(lake)}",
        action="; ".join(["import the data, or change symbols, dates or streams", *_hints(lake, base, absent)]),
    )


def _held(lake: Lake) -> str:
    counts = {interval: len(lake.symbols("bars", interval)) for interval in lake.intervals("bars")}
    return ", ".join(f"{interval} ({count} symbol{'s' if count > 1 else ''})" for interval, count in counts.items()) or "no bars"


def _hints(lake: Lake, base: str, absent: Sequence[str]) -> Iterator[str]:
    """For the first names that are absent: when the lake has them, or which name is near."""
    files = lake.files("bars", base)
    known = lake.symbols("bars", base)
    for name in absent[:3]:
        if name in known:
            days = files.filter(pl.col("symbols").list.contains(name))["session"]
            yield f"{name} is there from {days[0]} to {days[-1]}"
        elif (near := nearest(name, known)) is not None:
            yield f"did you mean {near}?"


def _mark(interval: str, base: str, needed: Mapping[str, str]) -> Stream:
    reason = f"; needed by {needed[interval]}" if interval in needed else ""
    if interval == base:
        return Stream(interval, "STREAMED", f"read from the lake{reason}")
    return Stream(interval, "GENERATED", f"derived from {base}{reason}")


def _length(interval: str) -> tuple[int, str]:
    """Shortest first; 60m and 1h are equally long and ordered by name."""
    return Interval(interval).step_us, interval

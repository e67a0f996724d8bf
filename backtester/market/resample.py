"""Derived bars: base bars grouped on time since their session's open.

Place in the flow: phase 4 of a day. polars `group_by_dynamic` counts buckets from each session's open, so that no epoch,
DST change or missing first bar can shift one; none crosses a break, the close or a session. Never makes a bar out of
fewer slots than the settings ask for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from backtester.columns import NO_BREAK, OHLCV, TAPE_COLUMNS, Floats, Ints, Sessions, Tape, place
from backtester.errors import InternalError
from backtester.intervals import Interval
from backtester.settings import Settings
from backtester.splits import Placed, Splits, in_terms

EDGES = (pl.col("open").first(), pl.col("close").last(), pl.len().alias("bars"))


class DerivedSettings(Settings):
    """How complete a derived bar must be to be made (1.0: every slot of its bucket holds a bar)."""

    min_completeness: float = Field(1.0, gt=0.0, le=1.0)


@dataclass(frozen=True)
class Buckets:
    """The derived bars that the calendar allows; offset of shape (sessions + 1,), the rest of shape (buckets,).

    ts, end: int64 us UTC; expected: base slots of the bucket; base_slot: the last of them, in its session.
    """

    offset: Ints
    ts: Ints
    end: Ints
    expected: Ints
    base_slot: Ints

    @property
    def count(self) -> Ints:
        """Buckets of each session."""
        return np.diff(self.offset)


def buckets_of(sessions: Sessions, interval: str, base: str) -> Buckets:
    """The buckets of an intraday interval or `1d` over a base of seconds or minutes, session by session."""
    step, base_step = Interval(interval).step_us, Interval(base).step_us
    shapes: dict[tuple[int, ...], tuple[Ints, Ints]] = {}
    starts, ends, counts = [], [], []
    for opened, closed, lunch, resumed in zip(
        sessions.open.tolist(), sessions.close.tolist(), sessions.break_start.tolist(), sessions.break_end.tolist(), strict=True
    ):
        shape = (closed - opened, lunch - opened if lunch != NO_BREAK else NO_BREAK, resumed - opened if lunch != NO_BREAK else NO_BREAK)
        if shape not in shapes:
            shapes[shape] = _cut(shape, step, whole=interval == "1d")
        start, end = shapes[shape]
        starts.append(start + opened)
        ends.append(end + opened)
        counts.append(len(start))
    offset = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.array(counts, np.int64))])
    ts = np.concatenate([*starts, np.zeros(0, np.int64)])
    end = np.concatenate([*ends, np.zeros(0, np.int64)])
    owner = np.repeat(np.arange(len(sessions)), counts)
    stop = _base_slots(sessions, owner, end, base_step)
    return Buckets(offset, ts, end, stop - _base_slots(sessions, owner, ts, base_step), stop - 1)


def derive(base: Tape, interval: str, settings: DerivedSettings, look: bool = True) -> tuple[Tape, NDArray[np.int32]]:
    """The tape of an intraday interval or `1d`, and the bars left out for holes, shape (sessions, symbols).

    Without `look` quality is 100 everywhere.
    """
    sessions, symbols = base.sessions, len(base.symbols)
    buckets = buckets_of(sessions, interval, base.interval)
    row, floor, bars, made = _grouped(base, interval)
    line, late = row // 2, row % 2
    session = line % len(sessions) if len(sessions) else line
    bucket = buckets.offset[session] + floor + late * _shift(sessions, interval)[session]
    so_far = _cumulated(bars, line)
    kept = bars / buckets.expected[bucket] >= settings.min_completeness
    dropped = np.bincount(line[~kept], minlength=len(sessions) * symbols).reshape(symbols, len(sessions)).T.astype(np.int32)
    count = np.bincount(line[kept], minlength=len(sessions) * symbols).reshape(symbols, len(sessions)).T.astype(np.int32)
    chosen = bucket[kept]
    last = buckets.base_slot[chosen]
    quality = 100.0 * so_far[kept] / (last + 1) if look else np.full(len(chosen), 100.0)
    columns = {name: made[name][kept] for name in OHLCV}
    tape = Tape(
        interval=interval, symbols=base.symbols, sessions=sessions, start=place(count), count=np.ascontiguousarray(count),
        ts=buckets.ts[chosen], end=buckets.end[chosen], slot=(chosen - buckets.offset[session[kept]]).astype(np.int32),
        base_slot=last.astype(np.int32), quality=quality, complete=(bars == buckets.expected[bucket])[kept], **columns,
    )  # fmt: skip
    return tape, dropped


@dataclass(frozen=True)
class Spans:
    """How sessions fall into 5d or 1w buckets; shape (sessions,): bucket, sessions expected in it, and is it its last one?"""

    bucket: Ints
    expected: Ints
    last: NDArray[np.bool_]


def spans_of(interval: str, labels: NDArray[np.datetime64], ordinal: Ints) -> Spans:
    """Buckets of consecutive sessions, of which the first and last week may be cut off and so are never complete.

    `ordinal` counts sessions from the calendar's first of 2000; 5d: ordinal // 5; 1w: the ISO week.
    """
    bucket = ordinal // 5 if interval == "5d" else (labels.astype("datetime64[D]").astype(np.int64) + 3) // 7
    if interval == "5d":
        expected = np.full(len(labels), 5, np.int64)
        return Spans(bucket, expected, ordinal % 5 == 4)
    _, index, counts = np.unique(bucket, return_inverse=True, return_counts=True)
    last = np.ones(len(labels), np.bool_)
    last[:-1] = bucket[1:] != bucket[:-1]
    return Spans(bucket, counts[index].astype(np.int64), last)


def derive_long(
    daily: Tape, interval: str, spans: Spans, last_slot: Ints, settings: DerivedSettings, look: bool = True, splits: Splits | None = None
) -> Tape:
    """The tape of `5d` or `1w` from a tape of `1d`; a bar belongs to the last session of its bucket, ends with it and is in its terms.

    last_slot, shape (sessions,): the last base slot of each session. `splits` adjust the days of a bucket before them.
    """
    daily = _in_terms_of_buckets(daily, (splits or Splits.none()).on(daily.sessions.label), spans.bucket)
    sessions, symbols = daily.sessions, len(daily.symbols)
    owner = daily.per_bar(np.arange(len(sessions)))
    line = np.repeat(np.arange(symbols), daily.count.sum(axis=0))
    base = int(spans.bucket.min()) if len(spans.bucket) else 0
    width = int(spans.bucket.max()) - base + 1 if len(spans.bucket) else 1
    index, bars, made = _aggregated(daily, line * width + spans.bucket[owner] - base, 1)
    closing = np.full(width, -1, np.int64)
    closing[spans.bucket[spans.last] - base] = np.flatnonzero(spans.last)
    opening = np.zeros(width, np.int64)
    opening[spans.bucket[::-1] - base] = np.arange(len(sessions))[::-1]
    session = closing[index % width]
    expected = np.where(session >= 0, spans.expected[session], 1)
    kept = (session >= 0) & (bars / expected >= settings.min_completeness)
    session, symbol, first = session[kept], (index // width)[kept], opening[index % width][kept]
    count = np.zeros((len(sessions), symbols), np.int32)
    count[session, symbol] = 1
    quality = 100.0 * bars[kept] / expected[kept] if look else np.full(len(session), 100.0)
    return Tape(
        interval=interval, symbols=daily.symbols, sessions=sessions, start=place(count), count=count, ts=sessions.open[first],
        end=sessions.close[session], slot=np.zeros(len(session), np.int32), base_slot=last_slot[session].astype(np.int32),
        quality=quality, complete=(bars == expected)[kept], **{name: made[name][kept] for name in OHLCV},
    )  # fmt: skip


def _in_terms_of_buckets(daily: Tape, known: Placed, bucket: Ints) -> Tape:
    """Daily bars in the terms of the last session of their buckets; the tape itself where no bucket holds a split."""
    ratio = np.ones(len(daily) if known else 0)
    for symbol, steps in known.steps.items():
        for session, value in steps:
            opening = np.searchsorted(bucket, bucket[session])
            ratio[daily.start[opening, symbol] : daily.start[session, symbol]] *= value
    if (ratio == 1.0).all():
        return daily
    columns = {name: daily.column(name).copy() if name in OHLCV else daily.column(name) for name in TAPE_COLUMNS}
    for name in OHLCV:
        in_terms(columns[name], name, ratio)
    return Tape(daily.interval, daily.symbols, daily.sessions, daily.start, daily.count, **columns)


def _grouped(base: Tape, interval: str) -> tuple[Ints, Ints, Ints, dict[str, Floats]]:
    """Row = 2 * line + side of the break, floor, number of bars and OHLCV of every bucket that holds a bar, in the order of the tape."""
    sessions, symbols = base.sessions, len(base.symbols)
    whole = interval == "1d"
    longest = int((sessions.close - sessions.open).max()) if len(sessions) else 1
    step = longest if whole else Interval(interval).step_us
    span = -(-longest // step) * step
    begin = 2 * span * np.arange(symbols * len(sessions)) - np.tile(sessions.open, symbols)
    index = np.repeat(begin, base.count.T.ravel()) + base.ts
    if not whole and (sessions.break_start != NO_BREAK).any():
        resumed = base.per_bar(sessions.break_end)
        index += span * ((resumed != NO_BREAK) & (base.ts >= resumed))
    found, bars, made = _aggregated(base, index, step)
    row, rest = np.divmod(found, span)
    return row, rest // step, bars, made


def _aggregated(tape: Tape, index: Ints, step: int) -> tuple[Ints, Ints, dict[str, Floats]]:
    """Bars of a tape grouped by index // step: first index, number of bars and OHLCV of each group. The index must be sorted.

    polars finds the groups and what stands at their edges; what is worked out of all bars between is three times faster in numpy.
    """
    if not len(index):
        return index, index, {name: np.zeros(0) for name in OHLCV}
    if (index[1:] < index[:-1]).any():
        raise InternalError("bars are not in order", where=f"interval {tape.interval}")
    frame = pl.DataFrame({"index": index, "open": tape.open, "close": tape.close}).with_columns(pl.col("index").set_sorted())
    made = frame.group_by_dynamic("index", every=f"{step}i").agg(*EDGES)
    bars = made["bars"].to_numpy().astype(np.int64)
    begin = np.cumsum(bars) - bars
    return made["index"].to_numpy(), bars, {
        "open": made["open"].to_numpy(),
        "high": np.maximum.reduceat(tape.high, begin),
        "low": np.minimum.reduceat(tape.low, begin),
        "close": made["close"].to_numpy(),
        "volume": np.add.reduceat(tape.volume, begin),
    }  # fmt: skip


def _cut(shape: tuple[int, ...], step: int, *, whole: bool) -> tuple[Ints, Ints]:
    """Start and end of every bucket of a session of this shape (length, break start, break end), relative to its open."""
    length, lunch, resumed = shape
    if whole:
        return np.zeros(1, np.int64), np.array([length], np.int64)
    parts = [(0, length)] if lunch == NO_BREAK else [(0, lunch), (resumed, length)]
    starts, ends = [], []
    for begin, stop in parts:
        floors = np.arange(begin // step, -(-stop // step), dtype=np.int64) * step
        starts.append(np.maximum(floors, begin))
        ends.append(np.minimum(floors + step, stop))
    return np.concatenate(starts), np.concatenate(ends)


def _shift(sessions: Sessions, interval: str) -> Ints:
    """What to add to a floor after the break, so that it counts the session's buckets; shape (sessions,)."""
    if interval == "1d":
        return np.zeros(len(sessions), np.int64)
    step = Interval(interval).step_us
    has_break = sessions.break_start != NO_BREAK
    morning = -((sessions.open - sessions.break_start) // step)
    shift: Ints = np.where(has_break, morning - (sessions.break_end - sessions.open) // step, 0)
    return shift


def _base_slots(sessions: Sessions, owner: Ints, moment: Ints, step: int) -> Ints:
    """Base slots of a session that begin before a moment; shape of `moment`."""
    opened = sessions.open[owner]
    if (sessions.break_start == NO_BREAK).all():
        return -((opened - moment) // step)
    lunch, resumed = sessions.break_start[owner], sessions.break_end[owner]
    has_break = lunch != NO_BREAK
    before = -((opened - np.where(has_break, np.minimum(moment, lunch), moment)) // step)
    after = np.where(has_break & (moment > resumed), -((resumed - moment) // step), 0)
    total: Ints = before + after
    return total


def _cumulated(bars: Ints, line: Ints) -> Floats | Ints:
    """Running sum of `bars` that starts anew with every line."""
    if not len(bars):
        return bars
    total = np.cumsum(bars)
    fresh = np.concatenate([[True], line[1:] != line[:-1]])
    before = (total - bars)[fresh]
    running: Ints = total - np.repeat(before, np.diff(np.append(np.flatnonzero(fresh), len(bars))))
    return running

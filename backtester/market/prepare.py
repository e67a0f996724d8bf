"""Prepare: from the stored bars of a chunk of sessions to everything that a strategy may see of them.

Place in the flow: phases 2 to 4 of its days. Pure: the same bars, needs and past give the same columns, however a run is cut
into chunks. Never trades, never reads the lake.

    chunk -> grid -> base tape -> derived tapes -> quality, gaps, findings -> history -> Prepared, and the past of the next chunk
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtester.columns import OHLCV, Bools, Floats, Ints, Sessions, Tape, place
from backtester.intervals import MINUTE_US, Interval
from backtester.market import findings, grid, quality, resample, tapes
from backtester.market.actions import splits_of
from backtester.market.grid import Clock, Grid
from backtester.market.history import Daily, HistoricalIndicatorSettings, daily_of, indicator, indicator_by_slot, preferred
from backtester.market.load import Chunk
from backtester.market.resample import DerivedSettings
from backtester.schema import CORPORATE_ACTIONS, QUALITY, empty
from backtester.splits import Splits

LONG = ("5d", "1w")
ANY_BAR = DerivedSettings(min_completeness=1e-9)


@dataclass(frozen=True)
class Needs:
    """What a run asks of every chunk, known before the first.

    depth: sessions of history to keep of each interval; daily_depth: of daily values; calendar and ordinal: the run's sessions
    with what comes before and after them; slots: base slots of the longest session; actions: rows of the table `actions`, whose
    splits explain jumps; splits: those by which history is adjusted; told: the tables quality, gaps and findings are wanted.
    """

    base: str
    derived: tuple[str, ...]
    settings: DerivedSettings
    look: bool
    historical: Mapping[str, HistoricalIndicatorSettings]
    depth: Mapping[str, int]
    daily_depth: int
    calendar: Sessions
    ordinal: Ints
    slots: int
    actions: pl.DataFrame = field(default_factory=partial(empty, CORPORATE_ACTIONS))
    splits: Splits = field(default_factory=Splits.none)
    told: bool = True

    @property
    def daily(self) -> bool:
        """True where daily values are needed."""
        return self.daily_depth > 0


@dataclass(frozen=True)
class Past:
    """What passes from one chunk to the next: tapes of the last sessions, daily values, and the last closes, shape (symbols,).

    Where a known split came after a last close, it is what that close is worth after it.
    """

    tapes: Mapping[str, Tape] = field(default_factory=dict)
    daily: Daily | None = None
    close: Floats | None = None


@dataclass(frozen=True)
class Prepared:
    """A chunk of sessions, ready for strategies and fills.

    tapes and seen end with the chunk's sessions and begin with the history before it; seen is what later sessions may see of a
    session (they differ for `1d` where the lake's own daily bar is preferred). historical: arrays (sessions, symbols) or
    (sessions, symbols, slots). last_slots: of each interval, how many bars each session of its tape may hold, and for all of them
    in turn the base slot that ends it. dropped: derived bars not
    made for holes. quotes: arrays (symbols, slots) or None. stored_days, built_days: symbol-sessions of the chunk whose daily
    values are the lake's own `1d` bars, and those whose were built from the base; 0 where nothing needs daily values.
    """

    sessions: Sessions
    grid: Grid
    tapes: Mapping[str, Tape]
    seen: Mapping[str, Tape]
    last_slots: Mapping[str, tuple[Ints, Ints]]
    historical: Mapping[str, Floats]
    quality: pl.DataFrame
    gaps: pl.DataFrame
    findings: pl.DataFrame
    percent: Floats
    dropped: Mapping[str, NDArray[np.int32]]
    quotes: Mapping[str, Floats] | None
    stored_days: int
    built_days: int
    seconds: Mapping[str, float]

    def first(self, interval: str) -> int:
        """Index of the chunk's first session on the tape of an interval."""
        return len(self.tapes[interval].sessions) - len(self.sessions)


def prepare(
    chunk: Chunk, quotes: Chunk | None, stored: Chunk | None, needs: Needs, past: Past, placed: Grid | None = None
) -> tuple[Prepared, Past]:
    """Columns of one chunk; `stored` are the lake's own `1d` bars of the same sessions, where it has them. placed: the chunk's bars on
    their slots, where somebody has put them there already.
    """
    started = time.perf_counter()
    made = placed or grid.place_on_slots(chunk, needs.base)
    base = grid.tape_of(made, needs.look)
    fresh = {needs.base: base}
    dropped = {}
    for interval in needs.derived:
        if interval not in LONG:
            fresh[interval], dropped[interval] = resample.derive(base, interval, needs.settings, needs.look)
    own = _own_days(stored, needs)
    table, gaps, found, percent = _assess(made, fresh, own, needs, past)
    activated = time.perf_counter()
    fresh[needs.base] = grid.tape_of(made, needs.look)  # strategies look at few of the columns: those made so far need not stay
    kept = dict(fresh)
    if "1d" in fresh and own is not None:
        kept["1d"] = _preferred_tape(own, fresh["1d"], needs.base)
    live = {interval: _after(past.tapes.get(interval), tape) for interval, tape in fresh.items()}
    seen = {
        interval: live[interval] if kept[interval] is fresh[interval] else _after(past.tapes.get(interval), kept[interval])
        for interval in fresh
    }
    daily = _daily(base, own, needs, past)
    for interval in LONG:
        if interval in needs.derived:
            live[interval] = seen[interval] = _long(seen["1d"], interval, needs)
    count = len(chunk.sessions)
    stored_days, built_days = _whence(base, own, fresh, needs)
    prepared = Prepared(
        sessions=chunk.sessions,
        grid=made,
        tapes=live,
        seen=seen,
        last_slots={name: _last_slots(tape, needs.base) for name, tape in live.items()},
        historical=_historical(live.get("1m"), daily, needs, count),
        quality=table,
        gaps=gaps,
        findings=found,
        percent=percent,
        dropped=dropped,
        quotes=None if quotes is None else grid.quotes_on_slots(quotes, made.clock),
        stored_days=stored_days,
        built_days=built_days,
        seconds={"activate": activated - started, "history": time.perf_counter() - activated},
    )
    return prepared, _next(kept, daily, base, needs, past)


def _assess(
    made: Grid, fresh: Mapping[str, Tape], own: Tape | None, needs: Needs, past: Past
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, Floats]:
    """Tables quality, gaps and findings of the chunk, empty where nobody is told, and each symbol-session's quality in percent."""
    clock, symbols = made.clock, made.symbols
    percent = quality.percent_of(made.count, clock) if needs.look else np.full(made.count.shape, 100.0)
    if not needs.told:
        return empty(QUALITY), quality.no_gaps(), findings.no_findings(), percent
    found = quality.gaps_of(made.present, made.count, clock) if needs.look else None
    odd = np.stack([quality.strays_by_session(made, kind) for kind in (grid.OUT_OF_SESSION, grid.DUPLICATE)])
    frames = [quality.quality_frame(clock, symbols, list(fresh), fresh[needs.base], found, percent, odd)]
    for interval, tape in fresh.items():
        if interval != needs.base:
            slots = _derived_clock(tape, needs.base)
            holes = quality.gaps_of(_presence(tape, slots), tape.count, slots) if needs.look else None
            frames.append(quality.quality_frame(slots, symbols, list(fresh), tape, holes, percent, np.zeros((2, *percent.shape))))
    table = pl.concat(frames).sort("session", "interval", "symbol", maintain_order=True)  # intervals in the order of `fresh`
    agrees = quality.reconciled(made, own) if own is not None and found is not None and len(found.symbol) else None
    gaps = quality.gaps_frame(found, clock, symbols, agrees) if found is not None else quality.no_gaps()
    before = past.close if past.close is not None else np.full(len(symbols), np.nan)
    splits = _splits(needs, clock.sessions, symbols)
    seen = findings.findings_frame(made, fresh[needs.base], before, splits) if needs.look else findings.no_findings()
    return table, gaps, seen, percent


def _derived_clock(tape: Tape, base: str) -> Clock:
    """The buckets of a derived interval as a clock."""
    buckets = resample.buckets_of(tape.sessions, tape.interval, base)
    session = np.repeat(np.arange(len(tape.sessions)), buckets.count)
    slot = np.arange(len(session)) - buckets.offset[session]
    return Clock(tape.sessions, tape.interval, buckets.offset, session, slot, buckets.ts, buckets.end)


def _presence(tape: Tape, clock: Clock) -> Bools:
    lines, width = len(tape.symbols), len(clock.ts)
    line = np.repeat(np.arange(lines), tape.count.sum(axis=0))
    present = np.zeros(lines * width, np.bool_)
    present[line * width + tape.per_bar(clock.offset[:-1]) + tape.slot] = True
    return present.reshape(lines, width)


def _last_slots(tape: Tape, base: str) -> tuple[Ints, Ints]:
    daily = not Interval(tape.interval).is_intraday
    if base == "1d":
        return np.ones(len(tape.sessions), np.int64), np.zeros(len(tape.sessions), np.int64)
    buckets = resample.buckets_of(tape.sessions, "1d" if daily else tape.interval, base)
    return buckets.count, buckets.base_slot


def _after(before: Tape | None, tape: Tape) -> Tape:
    return tape if before is None or not len(before.sessions) else tapes.joined(before, tape)


def _own_days(stored: Chunk | None, needs: Needs) -> Tape | None:
    """The lake's own daily bars as a tape; None where they are not needed or are the base themselves."""
    if stored is None or needs.base == "1d":
        return None
    return grid.tape_of(grid.place_on_slots(stored, "1d"))


def _whence(base: Tape, own: Tape | None, fresh: Mapping[str, Tape], needs: Needs) -> tuple[int, int]:
    """stored_days and built_days of a chunk."""
    if not needs.daily and ("1d" not in fresh or needs.base == "1d"):
        return 0, 0
    held = base.count > 0
    stored = held if needs.base == "1d" else np.zeros_like(held) if own is None else own.count > 0
    return int(stored.sum()), int((held & ~stored).sum())


def _preferred_tape(own: Tape, built: Tape, base: str) -> Tape:
    """Daily bars as later sessions see them: the lake's own where there is one, else the derived one."""
    has = own.count > 0
    count = np.where(has, 1, built.count).astype(np.int32)
    choice = has.T.ravel()[count.T.ravel() > 0]
    rank = [np.cumsum(part.count.T.ravel()) - 1 for part in (own, built)]
    rows = [part[count.T.ravel() > 0] for part in rank]

    def pick(name: str) -> NDArray[np.generic]:
        left, right = own.column(name), built.column(name)
        out = np.empty(len(choice), right.dtype)
        out[choice], out[~choice] = left[rows[0][choice]], right[rows[1][~choice]]
        return out

    last = (built.sessions.slots(Interval(base).step_us) - 1).astype(np.int32)
    base_slot = np.tile(last, len(built.symbols))[count.T.ravel() > 0]
    columns = {name: pick(name) for name in ("ts", "end", "slot", *OHLCV, "quality", "complete")}
    return Tape("1d", built.symbols, built.sessions, place(count), count, base_slot=base_slot, **columns)  # type: ignore[arg-type]


def _daily(base: Tape, own: Tape | None, needs: Needs, past: Past) -> Daily | None:
    """Daily values of the history before and of this chunk, from whatever bars a session has."""
    if not needs.daily:
        return None
    built = daily_of(base if needs.base == "1d" else resample.derive(base, "1d", ANY_BAR)[0], stored=needs.base == "1d")
    fresh = built if own is None else preferred(daily_of(own, stored=True), built)
    if past.daily is None:
        return fresh
    columns = {name: np.concatenate([past.daily.column(name), fresh.column(name)]) for name in OHLCV}
    both = tapes.adjoined(past.daily.sessions, fresh.sessions)
    return Daily(sessions=both, stored=np.concatenate([past.daily.stored, fresh.stored]), **columns)


def _long(daily: Tape, interval: str, needs: Needs) -> Tape:
    where = np.searchsorted(needs.calendar.label, daily.sessions.label)
    spans = resample.spans_of(interval, needs.calendar.label, needs.ordinal)
    own = resample.Spans(spans.bucket[where], spans.expected[where], spans.last[where])
    last_slot = np.zeros(len(where), np.int64) if needs.base == "1d" else daily.sessions.slots(Interval(needs.base).step_us) - 1
    return resample.derive_long(daily, interval, own, last_slot, needs.settings, needs.look, needs.splits)


def _historical(minutes: Tape | None, daily: Daily | None, needs: Needs, sessions: int) -> dict[str, Floats]:
    """Every historical indicator of the config, for the chunk's sessions; what has one value a minute is spread over base slots."""
    made: dict[str, Floats] = {}
    for name, settings in needs.historical.items():
        if settings.granularity == "minute":
            assert minutes is not None
            slots_a_minute = MINUTE_US // Interval(needs.base).step_us
            slots = -(-needs.slots // slots_a_minute)
            values = indicator_by_slot(settings, minutes, len(minutes.sessions) - sessions, slots, needs.splits)
            made[name] = np.repeat(values, slots_a_minute, axis=-1)
        else:
            assert daily is not None
            made |= indicator(settings, name, daily, len(daily.sessions) - sessions, needs.splits)
    return made


def _next(kept: Mapping[str, Tape], daily: Daily | None, base: Tape, needs: Needs, past: Past) -> Past:
    pools = {
        interval: tapes.latest(past.tapes.get(interval), tape, needs.depth[interval])
        for interval, tape in kept.items()
        if needs.depth.get(interval, 0)
    }
    before = past.close if past.close is not None else np.full(len(base.symbols), np.nan)
    days = None if daily is None else daily[max(len(daily.sessions) - needs.daily_depth, 0) :]
    close = tapes.last_close(base, before)
    for session, symbol, value in _splits(needs, base.sessions, base.symbols):
        if not base.count[session:, symbol].any():  # the jump comes with a bar of a later chunk
            close[symbol] /= value
    return Past(pools, days, close)


def _splits(needs: Needs, sessions: Sessions, symbols: Sequence[str]) -> list[tuple[int, int, float]]:
    """(session of the chunk, symbol, value) of the known splits that act in a chunk."""
    if not len(needs.actions):
        return []
    first = int(np.searchsorted(needs.calendar.label, sessions.label[0]))
    known = splits_of(needs.actions, symbols).acting(needs.calendar.label)
    return [(place - first, symbol, value) for place, symbol, value in known if 0 <= place - first < len(sessions)]

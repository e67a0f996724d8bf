"""Planning: what a config asks for, said before the first bar is read.

Place in the flow: between config and pipeline: sessions, base interval, how much history, in which parts to read, and what it
will cost. Never reads bars; the calendar and the lake's catalog say everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from backtester.columns import Ints, Sessions
from backtester.config import Config, bind_strategies
from backtester.errors import CalendarError, ConfigError, DataError, ResourceError
from backtester.intervals import Interval
from backtester.market import sessions
from backtester.market.actions import SPLIT, Actions, splits_of
from backtester.market.finer import FINER
from backtester.market.lake import Kind, Lake
from backtester.market.prepare import LONG, Needs
from backtester.market.requirements import Requirements, has_all, requirements, wanted_of
from backtester.market.resample import buckets_of
from backtester.market.shelves import Shelves
from backtester.reach import Trader, back_of, bars_of, day_of, extended, historical_of, indicator_columns, needs_of
from backtester.signals import indicators
from backtester.splits import Splits

CELLS_A_PART = 400_000
MOST_SESSIONS_A_PART = 42
BYTES_A_CELL = 1_250
"""Peak bytes for each slot of a part, measured: stored rows of five parts under way, grid, tapes, rows of strategies, what was traded."""
BASE_BYTES = 290_000_000
"""Libraries, and what any run gathers on its way, measured."""
BARS_A_SECOND = 2_500_000


@dataclass(frozen=True)
class Part:
    """Sessions that are read together; trade: they belong to the run, not to the history before it; read: bars are needed."""

    sessions: Sessions
    trade: bool
    read: bool


@dataclass(frozen=True)
class Setup:
    """Everything that is known before the first bar.

    back: (interval, bars of history) -> sessions that each session may look into for them, shape (sessions, symbols).
    """

    config: Config
    lake: Lake
    calendar: str
    overrides: Path | None
    sessions: Sessions
    symbols: tuple[str, ...]
    requirements: Requirements
    needs: Needs
    traders: tuple[Trader, ...]
    back: Mapping[tuple[str, int], Ints]
    parts: tuple[Part, ...]
    warnings: tuple[str, ...]
    reads_daily: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The strategies' names, in the config's order."""
        return tuple(trader.entry.name for trader in self.traders)

    @cached_property
    def acting(self) -> pl.DataFrame:
        """The splits and dividends that change positions: those whose ex-date is after the run's first session; none where ignored."""
        if self.config.execution.actions == "ignore":
            return self.needs.actions.clear()
        first, last = self.sessions.label[0], self.sessions.label[-1]
        return self.needs.actions.filter((pl.col("ex_date") > day_of(first)) & (pl.col("ex_date") <= day_of(last)))

    @cached_property
    def applied(self) -> pl.DataFrame:
        """All actions that bear on the result: those that act, and the splits of the history that is read; none where ignored."""
        if self.config.execution.actions == "ignore":
            return self.needs.actions.clear()
        first, last = self.parts[0].sessions.label[0], self.sessions.label[-1]
        read = (pl.col("ex_date") > day_of(first)) & (pl.col("ex_date") <= day_of(last))
        of_history = read & (pl.col("kind") == SPLIT)
        return self.needs.actions.filter(of_history | (pl.col("ex_date") > day_of(self.sessions.label[0])) & read)

    @property
    def prefetch_days(self) -> int:
        """Sessions of the largest part."""
        return max(len(part.sessions) for part in self.parts)


@dataclass(frozen=True)
class Plan:
    """What a run would read and cost; `bt plan` prints it."""

    session_name: str
    calendar: str
    first_session: str
    last_session: str
    sessions: int
    history_sessions: int
    symbols: int
    base: str
    streams: list[dict[str, str]]
    strategies: list[dict[str, Any]]
    files: int
    rows: int
    bytes: int
    prefetch_days: int
    memory_bytes: int
    seconds: float
    warnings: list[str]


def setup(config: Config, most_sessions: int = MOST_SESSIONS_A_PART, deeper: Sequence[int] = (1,)) -> Setup:
    """Work out what the config asks for, in parts of so many sessions at most where it does not say how many.

    deeper: how many times each history that is asked for shall be there to be looked at. Raises the errors of calendar, data and
    config, before any bar is read.
    """
    lake = Lake.open(config.lake)
    name = _calendar(config)
    days = _sessions(config, name, lake)
    symbols = tuple(sorted(config.session_data_config.symbols))
    traders = tuple(_traders(config, symbols))
    needed = dict(_needed(config, traders))
    required = requirements(config.session_data_config.streams, needed, lake, days, symbols)
    if config.execution.stop_watch == "quote" and not required.quotes:
        raise _nothing_to_watch(lake, required.base)
    derived = _with_daily(required)
    asked = _lookbacks(config, traders, deeper)
    span, start = extended(config, name, lake, days, asked)
    bars = {interval: bars_of(interval, required.base, span) for interval in (required.base, *derived)}
    back = {
        (interval, lookback): back_of(config, interval, lookback, bars[interval], start, len(days), symbols)
        for interval in bars
        for lookback in sorted(asked.get(interval, {0}))
    }
    actions = Actions.of(lake, config.session_data_config.verify).between(span.label[0], span.label[-1], symbols)
    splits = splits_of(actions, symbols) if config.execution.actions == "apply" else Splits.none()
    needs = needs_of(config, required.base, derived, span, start, len(days), back, lake, name)
    needs = replace(needs, actions=actions, splits=splits)
    parts = _parts(config, required.base, needs, span, start, len(days), lake, symbols, most_sessions)
    doubts = sessions.doubts(name, day_of(days.label[0]), day_of(days.label[-1]), lake.overrides)
    partial, empty = _partial(derived, required.base, days), _without_bars(lake, required.base, days)
    warnings = (
        *config.warnings,
        *doubts,
        *partial,
        *empty,
        *_of_actions(actions, parts, config),
        *_too_short(lake, required.base, span, start, back),
        *_nothing_finer(config, lake, required.base, days),
    )
    stored = needs.base != "1d" and bool(len(lake.files("bars", "1d", span.label)))
    return Setup(config, lake, name, lake.overrides, days, symbols, required, needs, traders, back, parts, warnings, stored)


def base_of(config: Config, lake: Lake) -> str:
    """The interval that a run of the config reads. Raises the errors of `setup` that come before it."""
    name, symbols = _calendar(config), tuple(sorted(config.session_data_config.symbols))
    needed = dict(_needed(config, tuple(_traders(config, symbols))))
    return requirements(config.session_data_config.streams, needed, lake, _sessions(config, name, lake), symbols).base


def check(config: Config) -> str:
    """What can be said of a config without a lake; returns the calendar's name.

    Raises CalendarError, StrategyError where a strategy declares what it cannot mean, ConfigError where names of columns clash
    or no interval is wanted.
    """
    name = _calendar(config)
    traders = tuple(_traders(config, tuple(sorted(config.session_data_config.symbols))))
    wanted_of(config.session_data_config.streams, dict(_needed(config, traders)))
    _lookbacks(config, traders, (1,))
    return name


def plan(config: Config) -> Plan:
    """What a run of the config would read and cost. Raises ResourceError where resources.max_memory would not do."""
    made = setup(config)
    files = files_of(made)
    share = (len(made.symbols) / pl.col("symbols").list.len().clip(1)).clip(upper_bound=1.0)
    rows = int(files.select((pl.col("rows") * share).sum()).item())
    if not files.filter(kind="bars", interval=made.needs.base)["rows"].sum():
        raise no_bars(made)
    memory = expected_memory(made)
    check_memory(made, memory)
    return Plan(
        config.session_name, made.calendar, str(made.sessions.label[0]), str(made.sessions.label[-1]), len(made.sessions),
        sum(len(part.sessions) for part in made.parts if not part.trade), len(made.symbols), made.needs.base,
        [{"stream": stream.stream, "mark": stream.mark, "reason": stream.reason} for stream in made.requirements.streams],
        [{"name": trader.entry.name, "use": trader.entry.use, "inputs": dict(trader.inputs), "lookback": dict(trader.lookback)}
         for trader in made.traders],
        len(files), rows, int(files["bytes"].sum()), made.prefetch_days, memory, round(0.5 + rows / BARS_A_SECOND, 2), list(made.warnings),
    )  # fmt: skip


def files_of(made: Setup) -> pl.DataFrame:
    """The catalog's rows of every file that a run of the setup would read, once each."""
    quoted = made.config.execution.quoted
    reads: list[tuple[Kind, str, list[Part]]] = [
        ("bars", made.needs.base, [part for part in made.parts if part.read]),
        ("quotes", made.needs.base, [part for part in made.parts if part.trade and quoted]),
        ("bars", "1d", list(made.parts) if made.reads_daily else []),
    ]
    found = [made.lake.files("bars", made.needs.base, [])]
    for kind, interval, parts in reads:
        shelves = Shelves(made.lake, kind, interval, made.needs.calendar)
        found += [shelves.files(part.sessions) for part in parts]
    return pl.concat(found).unique("path", maintain_order=True)


def expected_memory(made: Setup) -> int:
    """Peak memory in bytes that the run is expected to need."""
    cells = made.prefetch_days * made.needs.slots * len(made.symbols)
    kept = sum(depth * made.needs.slots for depth in made.needs.depth.values()) * len(made.symbols)
    return BASE_BYTES + BYTES_A_CELL * cells + 100 * kept


def check_memory(made: Setup, memory: int) -> None:
    """Raise ResourceError where the limit of the config is below what is expected."""
    limit = made.config.resources.max_memory
    if limit is not None and memory > limit:
        raise ResourceError(
            "the run would need more memory than it may", where="/resources/max_memory", value=f"about {memory:,} bytes",
            allowed=f"{limit:,} bytes", action="lower backtest_config.prefetch_days or the number of symbols, or raise the limit",
        )  # fmt: skip


def no_bars(made: Setup) -> DataError:
    """The error of a window without any bar."""
    window = f"{made.sessions.label[0]} to {made.sessions.label[-1]}"
    return DataError(
        f"no {made.needs.base} bar of any symbol in the window", where=f"{made.lake.root}, {window}", action="see bt data list"
    )


def _calendar(config: Config) -> str:
    """The calendar's name; errors carry the pointer of what named it."""
    try:
        return sessions.calendar_for(config.exchange_group, config.asset_class, config.calendar)
    except CalendarError as error:
        where = "/exchange_group" if config.calendar is None else "/calendar"
        raise CalendarError(error.what, where=where, value=error.value, allowed=error.allowed, action=error.action) from error


def _sessions(config: Config, name: str, lake: Lake) -> Sessions:
    first, last = config.backtest_config.start_date, config.backtest_config.end_date
    found = sessions.sessions_between(name, first, last, lake.overrides)
    if not len(found):
        raise CalendarError(
            f"0 sessions of {name} from {first} to {last}", where="/backtest_config", action="choose days on which it trades"
        )
    return found


def _traders(config: Config, symbols: Sequence[str]) -> Iterator[Trader]:
    place = {symbol: index for index, symbol in enumerate(symbols)}
    for entry, described, strategy in bind_strategies(config):
        chosen = symbols if entry.symbols == "all" else sorted(entry.symbols)
        yield Trader(entry, described, strategy, np.array([place[symbol] for symbol in chosen], np.int64))


def _needed(config: Config, traders: Sequence[Trader]) -> Iterator[tuple[str, str]]:
    """Intervals that are wanted beside `streams`, and who needs them."""
    for item in config.session_data_config.indicators.session:
        yield item.interval, f"indicator {item.name}"
    for name, settings in historical_of(config).items():
        if settings.granularity == "minute":
            yield "1m", f"historical indicator {name}"
    for entry in config.session_data_config.historical.data:
        for interval in entry.intervals:
            yield interval, "historical data"
    for trader in traders:
        for interval in trader.inputs.values():
            yield interval, f"strategy {trader.entry.name}"


def _with_daily(required: Requirements) -> tuple[str, ...]:
    """The derived intervals, with `1d` where `5d` or `1w` are built from it."""
    derived = required.derived
    if required.base != "1d" and "1d" not in derived and any(interval in LONG for interval in derived):
        return tuple(sorted((*derived, "1d"), key=lambda interval: Interval(interval).step_us))
    return derived


def _lookbacks(config: Config, traders: Sequence[Trader], deeper: Sequence[int]) -> dict[str, set[int]]:
    """Interval -> every number of bars of history that somebody asks for: a strategy for itself, a configured indicator for its
    warm-up, each so many times as `deeper` says, and an indicator that a strategy looks at for both.
    """
    configured = {
        interval: {indicators.settled(kind, params) for kind, params, _ in indicator_columns(config, interval).values()}
        for interval in dict.fromkeys(item.interval for item in config.session_data_config.indicators.session)
    }
    asked = {interval: {0, *(times * warmup for warmup in warmups for times in deeper)} for interval, warmups in configured.items()}
    for trader in traders:
        for name, interval in trader.inputs.items():
            for own in (times * trader.lookback[name] for times in deeper):
                asked.setdefault(interval, {0}).update({own, *(own + more for more in configured.get(interval, ()))})
    return asked


def _parts(
    config: Config,
    base: str,
    needs: Needs,
    span: Sessions,
    start: int,
    count: int,
    lake: Lake,
    symbols: Sequence[str],
    most_sessions: int,
) -> tuple[Part, ...]:
    size = config.backtest_config.prefetch_days or max(1, min(most_sessions, CELLS_A_PART // (needs.slots * len(symbols))))
    deepest = min(max([needs.daily_depth, *needs.depth.values()]), start)
    # Daily values come from the lake's own `1d` bars where it has them; where those are the base, it is they that are read.
    bases = deepest if base == "1d" else max((depth for name, depth in needs.depth.items() if Interval(name).is_intraday), default=0)
    parts = []
    for first in range(start - deepest, start, size):
        rows = span[first : min(first + size, start)]
        near = first + len(rows) > start - bases
        parts.append(Part(rows, False, bool(near or not has_all(lake, "1d", rows, symbols).all())))
    for first in range(start, start + count, size):
        parts.append(Part(span[first : min(first + size, start + count)], True, True))
    return tuple(parts)


def alone(made: Setup, at: int) -> Setup:
    """The setup that reads one of its sessions, the run's `at`-th, and the history before it; nothing else of it changes."""
    calendar = made.needs.calendar
    start = int(np.searchsorted(calendar.label, made.sessions.label[at]))
    parts = _parts(made.config, made.needs.base, made.needs, calendar, start, 1, made.lake, made.symbols, MOST_SESSIONS_A_PART)
    return replace(made, parts=parts)


def _nothing_finer(config: Config, lake: Lake, base: str, days: Sessions) -> Iterator[str]:
    """A sentence where bars shall be looked into and the lake holds nothing finer."""
    if config.execution.intrabar == "drill_down":
        finer = FINER.get(base, ())
        if not any(len(Shelves(lake, "bars", interval, days).files(days)) for interval in finer):
            wanted = " or ".join(finer) or "anything finer"
            yield f"drill_down: the lake holds no bars of {wanted} in these sessions, so stops are taken where a bar of {base} is in doubt"


def _nothing_to_watch(lake: Lake, base: str) -> ConfigError:
    """The error of stops that shall look at quotes where the lake has none."""
    return ConfigError(
        "stops cannot look at quotes that the lake does not hold", where="/execution/stop_watch", value=f"no {base} quotes in {lake.root}",
        action=f"import quote bars of {base}, or leave out stop_watch",
    )  # fmt: skip


def _too_short(lake: Lake, base: str, span: Sessions, start: int, back: Mapping[tuple[str, int], Ints]) -> Iterator[str]:
    """A sentence for every interval of which the run's first session would look further back than the lake reaches."""
    for interval in dict.fromkeys(interval for interval, _ in back):
        wanted = span.label[start - min(start, max(int(looked[0].max()) for (name, _), looked in back.items() if name == interval))]
        stored = [base] if Interval(interval).is_intraday else [base, "1d"]
        held = min(str(first) for name in stored if (first := lake.files("bars", name)["session"].min()) is not None)
        if held > str(wanted):
            yield f"history of {interval} is wanted from {wanted} on, the lake begins on {held}: the first sessions have less of it"


def _without_bars(lake: Lake, base: str, days: Sessions) -> Iterator[str]:
    """A sentence where the lake has nothing of some sessions: they count as quiet days in every figure."""
    shelves = Shelves(lake, "bars", base, days)
    held = np.isin(days.label, shelves.files(days)["session"].to_numpy().astype("datetime64[D]"))
    if not shelves.foreign.any() and not held.all():
        first, last = days.label[held][[0, -1]]
        yield (f"the lake holds nothing of {np.count_nonzero(~held):,} of {len(days):,} sessions; "
               f"the first with bars is {first}, the last {last}")  # fmt: skip


def _of_actions(actions: pl.DataFrame, parts: Sequence[Part], config: Config) -> Iterator[str]:
    """A sentence where actions fall into the run or the history it reads, and what becomes of them."""
    first, last = parts[0].sessions.label[0], parts[-1].sessions.label[-1]
    inside = actions.filter((pl.col("ex_date") > day_of(first)) & (pl.col("ex_date") <= day_of(last)))
    inside = inside.sort("kind", "ex_date", "symbol", descending=[True, False, False])
    if len(inside):
        row, more = inside.row(0, named=True), f" and {len(inside) - 1:,} more" if len(inside) > 1 else ""
        known = f"the lake knows a {row['kind']} of {row['symbol']} on {row['ex_date']} ({row['value']:g}){more}"
        if config.execution.actions == "apply":
            yield (f"{known}: positions, orders and cash are adjusted, and what strategies see of the sessions before a split; "
                   "where the bars are adjusted already, set execution.actions to ignore")  # fmt: skip
        else:
            yield f"{known}: ignored, as execution.actions says"


def _partial(derived: Sequence[str], base: str, days: Sessions) -> Iterator[str]:
    """A sentence for every interval that does not divide the sessions, or their parts before and after a break."""
    for interval in derived:
        if Interval(interval).is_intraday:
            buckets = buckets_of(days, interval, base)
            if (buckets.end - buckets.ts != Interval(interval).step_us).any():
                yield f"{interval} does not divide every session: the last bar is shorter there"

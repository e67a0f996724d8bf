"""Planning: what a config asks for, said before the first bar is read.

Place in the flow: between config and pipeline: sessions, base interval, how much history, in which parts to read, and what it
will cost. Never reads bars; the calendar and the lake's catalog say everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from backtester.columns import Ints, Sessions
from backtester.config import Config, StrategySettings, bind_strategies
from backtester.errors import CalendarError, DataError, ResourceError
from backtester.intervals import Interval
from backtester.market import history, sessions
from backtester.market.lake import Lake
from backtester.market.prepare import LONG, Needs
from backtester.market.requirements import Requirements, has_all, requirements
from backtester.market.resample import buckets_of
from backtester.signals import indicators
from backtester.signals.strategy import Strategy, declared

CELLS_A_PART = 400_000
MOST_SESSIONS_A_PART = 63
BYTES_A_CELL = 420
"""Peak bytes for each slot of a part: stored rows twice (one part is read ahead), grid, tapes, rows of strategies."""
BASE_BYTES = 260_000_000
BARS_A_SECOND = 2_500_000
SESSIONS_A_WEEK = 7


@dataclass(frozen=True)
class Part:
    """Sessions that are read together; trade: they belong to the run, not to the history before it; read: bars are needed."""

    sessions: Sessions
    trade: bool
    read: bool


@dataclass(frozen=True)
class Trader:
    """One strategy of the run: its entry in the config, the object, its symbols (index), and the history of each input."""

    entry: StrategySettings
    strategy: Strategy
    symbols: Ints
    lookback: Mapping[str, int]


@dataclass(frozen=True)
class Setup:
    """Everything that is known before the first bar.

    back: interval -> sessions that each session may look into, shape (sessions, symbols).
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
    back: Mapping[str, Ints]
    parts: tuple[Part, ...]
    warnings: tuple[str, ...]
    reads_daily: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The strategies' names, in the config's order."""
        return tuple(trader.entry.name for trader in self.traders)

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


def setup(config: Config) -> Setup:
    """Work out what the config asks for. Raises the errors of calendar, data and config, before any bar is read."""
    lake = Lake.open(config.lake)
    name = sessions.calendar_for(config.exchange_group, config.asset_class, config.calendar)
    days = _sessions(config, name, lake)
    symbols = tuple(sorted(config.session_data_config.symbols))
    traders = tuple(_traders(config, symbols))
    needed = dict(_needed(config, traders))
    required = requirements(config.session_data_config.streams, needed, lake, days, symbols)
    derived = _with_daily(required)
    extended, start = _extended(config, name, lake, days, traders)
    back = {
        interval: _back(config, interval, required.base, extended, start, len(days), symbols, traders)
        for interval in (required.base, *derived)
    }
    needs = _needs(config, required.base, derived, extended, start, len(days), back, lake, name)
    parts = _parts(config, required.base, needs, extended, start, len(days), lake, symbols)
    doubts = sessions.doubts(name, _day(days.label[0]), _day(days.label[-1]), lake.overrides)
    warnings = (*config.warnings, *doubts, *_partial(derived, required.base, days))
    stored = needs.base != "1d" and bool(len(lake.files("bars", "1d", extended.label)))
    return Setup(config, lake, name, lake.overrides, days, symbols, required, needs, traders, back, parts, warnings, stored)


def plan(config: Config) -> Plan:
    """What a run of the config would read and cost. Raises ResourceError where resources.max_memory would not do."""
    made = setup(config)
    files = pl.concat([made.lake.files("bars", made.needs.base, part.sessions.label) for part in made.parts if part.read])
    share = min(1.0, len(made.symbols) / max(int(files["symbols"].list.len().max() or 1), 1))  # type: ignore[arg-type]
    rows = int(int(files["rows"].sum()) * share)
    if not rows:
        raise no_bars(made)
    memory = expected_memory(made)
    check_memory(made, memory)
    return Plan(
        config.session_name, made.calendar, str(made.sessions.label[0]), str(made.sessions.label[-1]), len(made.sessions),
        sum(len(part.sessions) for part in made.parts if not part.trade), len(made.symbols), made.needs.base,
        [{"stream": stream.stream, "mark": stream.mark, "reason": stream.reason} for stream in made.requirements.streams],
        [{"name": trader.entry.name, "use": trader.entry.use, "inputs": dict(trader.strategy.inputs), "lookback": dict(trader.lookback)}
         for trader in made.traders],
        len(files), rows, int(files["bytes"].sum()), made.prefetch_days, memory, round(0.5 + rows / BARS_A_SECOND, 2), list(made.warnings),
    )  # fmt: skip


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
    for entry, strategy in bind_strategies(config):
        chosen = symbols if entry.symbols == "all" else sorted(entry.symbols)
        lookback = {}
        said = declared(strategy, entry.name)
        for name, interval in said.inputs.items():
            configured = [
                indicators.warmup(item.name, _params(item))
                for item in config.session_data_config.indicators.session
                if item.interval == interval
            ]
            lookback[name] = max([said.lookback[name], *configured])
        yield Trader(entry, strategy, np.array([place[symbol] for symbol in chosen], np.int64), lookback)


def _params(item: Any) -> dict[str, float | int]:
    """Parameters of a configured session indicator."""
    return {**({} if item.period is None else {"period": item.period}), **item.params}


def indicator_columns(config: Config, interval: str) -> dict[str, tuple[str, dict[str, float | int], str]]:
    """Configured session indicators of an interval: column name -> (indicator, parameters, output)."""
    found: dict[str, tuple[str, dict[str, float | int], str]] = {}
    for item in config.session_data_config.indicators.session:
        if item.interval != interval:
            continue
        stem = item.name if item.period is None else f"{item.name}_{item.period}"
        outputs = indicators.CATALOG[item.name].outputs
        found[stem] = (item.name, _params(item), outputs[0])
        found |= {f"{stem}.{output}": (item.name, _params(item), output) for output in outputs if len(outputs) > 1}
    return found


def _needed(config: Config, traders: Sequence[Trader]) -> Iterator[tuple[str, str]]:
    """Intervals that are wanted beside `streams`, and who needs them."""
    for item in config.session_data_config.indicators.session:
        yield item.interval, f"indicator {item.name}"
    named = config.session_data_config.historical.named(config.session_data_config.indicators.historical)
    for name, settings in named.items():
        if settings.granularity == "minute":
            yield "1m", f"historical indicator {name}"
    for entry in config.session_data_config.historical.data:
        for interval in entry.intervals:
            yield interval, "historical data"
    for trader in traders:
        for interval in trader.strategy.inputs.values():
            yield interval, f"strategy {trader.entry.name}"


def _with_daily(required: Requirements) -> tuple[str, ...]:
    """The derived intervals, with `1d` where `5d` or `1w` are built from it."""
    derived = required.derived
    if required.base != "1d" and "1d" not in derived and any(interval in LONG for interval in derived):
        return tuple(sorted((*derived, "1d"), key=lambda interval: Interval(interval).step_us))
    return derived


def _extended(config: Config, name: str, lake: Lake, days: Sessions, traders: Sequence[Trader]) -> tuple[Sessions, int]:
    """The run's sessions with enough before them for every history, and some after them; and where the run starts."""
    wanted = [30]
    for trader in traders:
        for input_name, interval in trader.strategy.inputs.items():
            wanted.append(_most_sessions(interval, trader.lookback[input_name]))
    for entry in config.session_data_config.historical.data:
        wanted.append(entry.trailing_days * SESSIONS_A_WEEK if any(item in LONG for item in entry.intervals) else entry.trailing_days)
    named = config.session_data_config.historical.named(config.session_data_config.indicators.historical)
    wanted += [history.days_back(settings.period) for settings in named.values()]
    before = sessions.sessions_before(name, _day(days.label[0]), max(wanted) + 10, lake.overrides)
    last = _day(days.label[-1] + np.timedelta64(14, "D"))
    return sessions.sessions_between(name, _day(before.label[0]) if len(before) else _day(days.label[0]), last, lake.overrides), len(before)


def _most_sessions(interval: str, lookback: int) -> int:
    """A bound on the sessions that hold so many bars: sessions of two hours, weeks of seven days."""
    parsed = Interval(interval)
    if parsed.is_intraday:
        return 2 + lookback * parsed.step_us // (2 * 3600 * 1_000_000)
    return (lookback + 2) * (1 if interval == "1d" else SESSIONS_A_WEEK)


def _back(
    config: Config, interval: str, base: str, extended: Sessions, start: int, count: int, symbols: Sequence[str], traders: Sequence[Trader]
) -> Ints:
    """Sessions that each session of the run may look into for bars of an interval; shape (sessions, symbols)."""
    out = np.zeros((count, len(symbols)), np.int64)
    lookbacks = [trader.lookback[name] for trader in traders for name, wanted in trader.strategy.inputs.items() if wanted == interval]
    lookbacks += [
        indicators.warmup(item.name, _params(item)) for item in config.session_data_config.indicators.session if item.interval == interval
    ]
    most = max(lookbacks, default=0)
    if interval in LONG:
        out[:] = (most + 1) * SESSIONS_A_WEEK if most else 0
    elif most:
        expected = np.ones(len(extended), np.int64) if interval == "1d" else buckets_of(extended, interval, base).count
        out[:] = history.sessions_back(expected, most)[start : start + count, None]
    for entry in config.session_data_config.historical.data:
        if interval in entry.intervals:
            chosen = [place for place, symbol in enumerate(symbols) if entry.apply_to == "all" or symbol in entry.apply_to]
            out[:, chosen] = np.maximum(out[:, chosen], entry.trailing_days * (SESSIONS_A_WEEK if interval in LONG else 1))
    return out


def _needs(
    config: Config, base: str, derived: tuple[str, ...], extended: Sessions, start: int, count: int,
    back: Mapping[str, Ints], lake: Lake, name: str,
) -> Needs:  # fmt: skip
    named = config.session_data_config.historical.named(config.session_data_config.indicators.historical)
    depth = {interval: int(sessions_back.max(initial=0)) for interval, sessions_back in back.items()}
    long = max((depth[interval] for interval in derived if interval in LONG), default=-1)
    if long >= 0:
        daily = base if base == "1d" else "1d"
        depth[daily] = max(depth.get(daily, 0), long + SESSIONS_A_WEEK)
    daily_depth = 0
    for settings in named.values():
        reach = _reach(settings, extended, start, count)
        if settings.granularity == "minute":
            depth["1m"] = max(depth["1m"], reach)
        else:
            daily_depth = max(daily_depth, reach)
    slots = np.ones(len(extended), np.int64) if base == "1d" else extended.slots(Interval(base).step_us)
    data = config.session_data_config
    return Needs(
        base, derived, data.derived, data.gap_filler.enable_session_quality, named, depth, daily_depth, extended,
        sessions.ordinals(name, extended.label, lake.overrides), int(slots.max()),
    )  # fmt: skip


def _reach(settings: history.HistoricalIndicatorSettings, extended: Sessions, start: int, count: int) -> int:
    """Sessions before any session of the run that its window needs, with the close before the window."""
    reach = 0
    for current in range(start, start + count):
        chosen = history.window(extended, current, settings.period, settings.skip_early_close)
        if chosen is not None and len(chosen):
            reach = max(reach, current - int(chosen[0]))
    return reach + 2


def _parts(
    config: Config, base: str, needs: Needs, extended: Sessions, start: int, count: int, lake: Lake, symbols: Sequence[str]
) -> tuple[Part, ...]:
    size = config.backtest_config.prefetch_days or max(1, min(MOST_SESSIONS_A_PART, CELLS_A_PART // (needs.slots * len(symbols))))
    deepest = min(max([needs.daily_depth, *needs.depth.values()]), start)
    intraday = max((depth for interval, depth in needs.depth.items() if Interval(interval).is_intraday or interval == base), default=0)
    parts = []
    for first in range(start - deepest, start, size):
        rows = extended[first : min(first + size, start)]
        near = first + len(rows) > start - intraday
        parts.append(Part(rows, False, bool(near or not has_all(lake, "1d", rows, symbols).all())))
    for first in range(start, start + count, size):
        parts.append(Part(extended[first : min(first + size, start + count)], True, True))
    return tuple(parts)


def _partial(derived: Sequence[str], base: str, days: Sessions) -> Iterator[str]:
    """A sentence for every interval that does not divide the sessions."""
    for interval in derived:
        step = Interval(interval).step_us
        if Interval(interval).is_intraday and ((days.close - days.open) % step != 0).all():
            yield f"{interval} does not divide the session: its last bar is shorter"


def _day(label: np.datetime64) -> date:
    found: date = label.astype("datetime64[D]").item()
    return found

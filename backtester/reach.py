"""Reach: how far back a run must see, so that its first session has all the history it asks for.

Place in the flow: planning, before the first bar. Counts sessions of the calendar and bars that they may hold; never reads any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from backtester.columns import Ints, Sessions
from backtester.config import Config, StrategySettings
from backtester.errors import ConfigError
from backtester.intervals import Interval
from backtester.market import history, sessions
from backtester.market.lake import Lake
from backtester.market.prepare import LONG, Needs
from backtester.market.resample import buckets_of
from backtester.signals import indicators
from backtester.signals.loading import Described
from backtester.signals.strategy import Strategy

SESSIONS_A_WEEK = 7


@dataclass(frozen=True)
class Trader:
    """One strategy of the run: its entry in the config, what is known of it, the object (None: it lives in a process of its own), and
    its symbols (index).
    """

    entry: StrategySettings
    described: Described
    strategy: Strategy | None
    symbols: Ints

    @property
    def inputs(self) -> Mapping[str, str]:
        """Name -> interval of each input."""
        return self.described.declared.inputs

    @property
    def lookback(self) -> Mapping[str, int]:
        """Name -> bars of history of each input."""
        return self.described.declared.lookback


def params_of(item: Any) -> dict[str, float | int]:
    """Parameters of a configured session indicator."""
    return {**({} if item.period is None else {"period": item.period}), **item.params}


def indicator_columns(config: Config, interval: str) -> dict[str, tuple[str, dict[str, float | int], str]]:
    """Configured session indicators of an interval: column name -> (indicator, parameters, output).

    Raises ConfigError where one name would mean two columns.
    """
    found: dict[str, tuple[str, dict[str, float | int], str]] = {}
    for item in config.session_data_config.indicators.session:
        if item.interval != interval:
            continue
        stem = item.name if item.period is None else f"{item.name}_{item.period}"
        outputs = indicators.CATALOG[item.name].outputs
        if found.setdefault(stem, (item.name, params_of(item), outputs[0]))[1] != params_of(item):
            raise ConfigError("two session indicators of one name", where="/session_data_config/indicators/session",
                              value=f"{stem} of {interval}", action="tell them apart by period, or compute one in a strategy")  # fmt: skip
        found |= {f"{stem}.{output}": (item.name, params_of(item), output) for output in outputs if len(outputs) > 1}
    return found


def historical_of(config: Config) -> dict[str, history.HistoricalIndicatorSettings]:
    """Historical indicators by name: the config's, and the session before where a configured indicator looks at it."""
    data = config.session_data_config
    named = data.historical.named(data.indicators.historical)
    prior = history.prior_session()
    looked = {name for item in data.indicators.session for name in indicators.CATALOG[item.name].inputs if name in prior}
    for name in sorted(looked):
        if named.setdefault(name, prior[name]) != prior[name]:
            raise ConfigError("a historical indicator's name is taken", where="/session_data_config/historical/indicators", value=name,
                              allowed="any name but those of the session before: " + ", ".join(prior))  # fmt: skip
    return named


def extended(config: Config, name: str, lake: Lake, days: Sessions, asked: Mapping[str, set[int]]) -> tuple[Sessions, int]:
    """The run's sessions with enough before them for every history, and some after them; and where the run starts."""
    wanted = [30, *(_most_sessions(interval, max(lookbacks)) for interval, lookbacks in asked.items())]
    for entry in config.session_data_config.historical.data:
        wanted.append(entry.trailing_days * SESSIONS_A_WEEK if any(item in LONG for item in entry.intervals) else entry.trailing_days)
    wanted += [history.days_back(settings.period) for settings in historical_of(config).values()]
    before = sessions.sessions_before(name, day_of(days.label[0]), max(wanted) + 10, lake.overrides)
    first = day_of(before.label[0]) if len(before) else day_of(days.label[0])
    last = day_of(days.label[-1] + np.timedelta64(14, "D"))
    return sessions.sessions_between(name, first, last, lake.overrides), len(before)


def _most_sessions(interval: str, lookback: int) -> int:
    """A bound on the sessions that hold so many bars: sessions of two hours, weeks of seven days."""
    parsed = Interval(interval)
    if parsed.is_intraday:
        return 2 + lookback * parsed.step_us // (2 * 3600 * 1_000_000)
    return (lookback + 2) * (1 if interval == "1d" else SESSIONS_A_WEEK)


def bars_of(interval: str, base: str, extended: Sessions) -> Ints:
    """Bars that each session can hold of an interval; shape (sessions,)."""
    if interval == "1d" or interval in LONG:
        return np.ones(len(extended), np.int64)
    return buckets_of(extended, interval, base).count


def back_of(config: Config, interval: str, lookback: int, expected: Ints, start: int, count: int, symbols: Sequence[str]) -> Ints:
    """Sessions that each session of the run may look into for `lookback` bars of an interval; shape (sessions, symbols).

    expected: `bars_of` the interval.
    """
    if interval in LONG:
        back = np.full(count, (lookback + 1) * SESSIONS_A_WEEK if lookback else 0)
    else:
        back = history.sessions_back(expected, lookback)[start : start + count]
    trailing = np.zeros(len(symbols), np.int64)
    for entry in config.session_data_config.historical.data:
        if interval in entry.intervals:
            chosen = [place for place, symbol in enumerate(symbols) if entry.apply_to == "all" or symbol in entry.apply_to]
            trailing[chosen] = np.maximum(trailing[chosen], entry.trailing_days * (SESSIONS_A_WEEK if interval in LONG else 1))
    if trailing.any():
        both: Ints = np.maximum(back[:, None], trailing)
        return both
    return np.broadcast_to(back[:, None], (count, len(symbols)))


def needs_of(
    config: Config, base: str, derived: tuple[str, ...], extended: Sessions, start: int, count: int,
    back: Mapping[tuple[str, int], Ints], lake: Lake, name: str,
) -> Needs:  # fmt: skip
    """What the run asks of every chunk; `start` and `count` say which of the extended sessions are the run's."""
    named = historical_of(config)
    depth = dict.fromkeys((base, *derived), 0)
    for (interval, _), sessions_back in back.items():
        depth[interval] = max(depth[interval], int(sessions_back.max(initial=0)))
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


def day_of(label: np.datetime64) -> date:
    """A label as a date."""
    found: date = label.astype("datetime64[D]").item()
    return found

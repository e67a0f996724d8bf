"""History: how far back a session may see, and historical indicators, from sessions before the current one only.

Place in the flow: phase 2 of a day. Daily values come from the lake's `1d` bars where it has them for the symbol and session,
else from the session's base bars. Too little history gives NaN, never a number from fewer sessions than asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from backtester.columns import OHLCV, Bools, Floats, Ints, Sessions, Tape
from backtester.errors import ConfigError
from backtester.settings import IntervalText, Settings
from backtester.splits import Placed, Splits, in_terms

HistoricalType = Literal[
    "trailing_average", "trailing_max", "trailing_min", "avg_volume", "avg_range", "atr_daily", "gap_stats", "range_ratio", "high_low"
]
PERIOD = re.compile(r"([1-9][0-9]{0,3})([dwmy])")
PERIOD_ALLOWED = "Nd sessions, or the sessions in Nw (7 days), Nm (30 days) or Ny (365 days)"
_DAYS = {"w": 7, "m": 30, "y": 365}


def parts_of(period: str) -> tuple[int, str]:
    """Number and unit of a period. Raises ConfigError where it is not in the grammar.

    >>> parts_of("52w")
    (52, 'w')
    """
    found = PERIOD.fullmatch(period)
    if found is None:
        raise ConfigError("unknown period", value=repr(period), allowed=PERIOD_ALLOWED)
    return int(found[1]), found[2]


def _period(text: str) -> str:
    try:
        parts_of(text)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return text


PeriodText = Annotated[str, AfterValidator(_period), Field(json_schema_extra={"pattern": f"^{PERIOD.pattern}$"})]


class TrailingSettings(Settings):
    """Sessions of history kept for some symbols in some intervals."""

    trailing_days: int = Field(ge=1, le=5000)
    intervals: list[IntervalText] = Field(min_length=1)
    apply_to: Literal["all"] | list[str] = "all"


class HistoricalIndicatorSettings(Settings):
    """One value a session (`daily`) or one a slot (`minute`), from the sessions before; period such as 10d, 52w, 3m, 1y."""

    type: HistoricalType
    period: PeriodText
    granularity: Literal["daily", "minute"] = "daily"
    field: Literal["open", "high", "low", "close", "volume"] = "close"
    skip_early_close: bool = False

    @model_validator(mode="after")
    def _one_value_a_slot(self) -> Self:
        if self.granularity == "minute" and not self.type.startswith("trailing_"):
            raise ValueError("granularity minute goes with trailing_average, trailing_max and trailing_min only")
        return self


class ListedIndicatorSettings(Settings):
    """The list form: {name, period, unit, interval}; name is also the kind of indicator."""

    name: Literal["avg_volume", "avg_range", "atr_daily", "gap_stats", "range_ratio", "high_low"]
    period: int = Field(ge=1, le=5000)
    unit: Literal["days", "weeks"] = "days"
    interval: IntervalText = "1d"
    type: str | None = None
    params: dict[str, float | int | str | bool] = {}

    def spelled(self) -> HistoricalIndicatorSettings:
        """The same in the other form."""
        return HistoricalIndicatorSettings(type=self.name, period=f"{self.period}{'d' if self.unit == 'days' else 'w'}")


class HistorySettings(Settings):
    """`session_data_config.historical`."""

    enable_quality: bool = True
    data: list[TrailingSettings] = []
    indicators: dict[str, HistoricalIndicatorSettings] | list[ListedIndicatorSettings] = {}

    def named(self, listed: Sequence[ListedIndicatorSettings] = ()) -> dict[str, HistoricalIndicatorSettings]:
        """All historical indicators by name, whichever form they were given in. Raises ConfigError where a name means two things."""
        found: dict[str, HistoricalIndicatorSettings] = {}
        if isinstance(self.indicators, dict):
            found.update(self.indicators)
        else:
            listed = [*self.indicators, *listed]
        for item in listed:
            if found.setdefault(item.name, item.spelled()) != item.spelled():
                raise ConfigError("two historical indicators of one name", where="/session_data_config/historical/indicators",
                                  value=repr(item.name),
                                  action="give them names of their own: {name: {type, period, ...}}")  # fmt: skip
        return found


def prior_session() -> dict[str, HistoricalIndicatorSettings]:
    """The inputs of indicators that look at the session before, as historical indicators."""
    return {
        "prior_high": HistoricalIndicatorSettings(type="trailing_max", period="1d", field="high"),
        "prior_low": HistoricalIndicatorSettings(type="trailing_min", period="1d", field="low"),
        "prior_close": HistoricalIndicatorSettings(type="trailing_average", period="1d", field="close"),
    }


@dataclass(frozen=True)
class Daily:
    """One value a session: columns of shape (sessions, symbols), NaN where a symbol has no bar; stored: from the lake's 1d."""

    sessions: Sessions
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    stored: Bools

    def column(self, name: str) -> Floats:
        """One column by name."""
        values: Floats = getattr(self, name)
        return values

    def __getitem__(self, rows: slice) -> Daily:
        columns = {name: self.column(name)[rows] for name in OHLCV}
        return Daily(sessions=self.sessions[rows], stored=self.stored[rows], **columns)

    def seen_in(self, current: int, known: Placed) -> Daily:
        """The values before the session `current` in its terms; itself where no split lies between."""
        ratios = {symbol: ratio for symbol in known.steps if (ratio := known.ratio(symbol, 0, current)) is not None}
        if not ratios:
            return self
        columns = {name: self.column(name).copy() for name in OHLCV}
        for name, values in columns.items():
            for symbol, ratio in ratios.items():
                in_terms(values[:current, symbol], name, ratio)
        return Daily(sessions=self.sessions, stored=self.stored, **columns)


def daily_of(tape: Tape, *, stored: bool) -> Daily:
    """Daily values from a tape of `1d` (at most one bar a symbol-session)."""
    has = tape.count > 0
    columns = {}
    for name in OHLCV:
        columns[name] = np.full(tape.count.shape, np.nan)
        columns[name][has] = tape.column(name)[tape.start[has]]
    return Daily(sessions=tape.sessions, stored=has & stored, **columns)


def preferred(stored: Daily, built: Daily) -> Daily:
    """The lake's own daily bars where it has them, else those built from the base."""
    has = stored.stored
    columns = {name: np.where(has, stored.column(name), built.column(name)) for name in OHLCV}
    return Daily(sessions=built.sessions, stored=has, **columns)


def sessions_back(expected: Ints, lookback: int) -> Ints:
    """How many sessions before each one hold `lookback` expected bars; shape of `expected`, which counts bars a session."""
    total = np.concatenate([np.zeros(1, np.int64), np.cumsum(expected)])[:-1]
    found = np.searchsorted(total, total - lookback, side="right") - 1
    back: Ints = np.arange(len(expected)) - np.maximum(found, 0)
    return back if lookback else np.zeros(len(expected), np.int64)


def window(sessions: Sessions, current: int, period: str, skip_early_close: bool = False) -> Ints | None:
    """Indices of the sessions that `period` names before session `current`; None where history does not reach so far.

    Raises ConfigError for a period that is not in the grammar.
    """
    number, unit = parts_of(period)
    before = np.arange(current)
    if unit == "d":
        usable = before[~sessions.early[:current]] if skip_early_close else before
        return usable[-number:] if len(usable) >= number else None
    oldest = sessions.label[current] - np.timedelta64(number * _DAYS[unit], "D")
    if current == 0 or sessions.label[0].astype(np.int64) > oldest.astype(np.int64):
        return None
    usable = np.flatnonzero(sessions.label[:current] >= oldest)
    return usable[~sessions.early[usable]] if skip_early_close else usable


def days_back(period: str) -> int:
    """Calendar days that surely hold the period's sessions (a `d` may stand for four days over long holidays)."""
    number, unit = parts_of(period)
    return number * 2 + 30 if unit == "d" else number * _DAYS[unit] + 7


def indicator(
    settings: HistoricalIndicatorSettings, name: str, daily: Daily, first: int, splits: Splits | None = None
) -> dict[str, Floats]:
    """A historical indicator of daily values for the sessions from index `first` on: arrays of shape (sessions, symbols).

    Each session's value is in its own terms: of `splits` those known by then adjust the values before them. Names gain a suffix
    where the type has several values (`gap_stats.mean`).
    """
    windows, count = _windows(daily.sessions, settings, first), len(daily.sessions)
    known = (splits or Splits.none()).on(daily.sessions.label)
    cuts = [first, *(session for session in known.sessions() if session > first), count]
    parts = [
        _DAILY[settings.type](daily.seen_in(low, known), windows[low - first : high - first], settings.field)
        for low, high in pairwise(cuts)
    ]
    return {name + suffix: np.concatenate([part[suffix] for part in parts]) for suffix in parts[0]}


def indicator_by_slot(settings: HistoricalIndicatorSettings, base: Tape, first: int, slots: int, splits: Splits | None = None) -> Floats:
    """A historical indicator with one value a slot for the base tape's sessions from `first` on: (sessions, symbols, slots).

    Aligned by time since the open, over the window's sessions that have a bar in the slot; NaN where a session of the window
    has no bar of the symbol at all. Each session's values are in its own terms, as those of `indicator`.
    """
    known = (splits or Splits.none()).on(base.sessions.label)
    windows = _windows(base.sessions, settings, first)
    symbols = len(base.symbols)
    line = np.repeat(np.arange(symbols), base.count.sum(axis=0))
    cube = np.full((len(base.sessions), symbols, slots), np.nan)
    cube[base.per_bar(np.arange(len(base.sessions))), line, base.slot] = base.column(settings.field)
    out = np.full((len(windows), symbols, slots), np.nan)
    for row, chosen in enumerate(windows):
        if chosen is not None and len(chosen):
            whole: Bools = np.all(base.count[chosen] > 0, axis=0)
            values = cube[chosen]
            for symbol in known.steps:
                if (ratio := known.ratio(symbol, 0, first + row)) is not None:
                    in_terms(values[:, symbol], settings.field, ratio[chosen][:, None])
            out[row] = np.where(whole[:, None], _slot_value(settings.type, values), np.nan)
    return out


Windows = Sequence[Ints | None]


def _windows(sessions: Sessions, settings: HistoricalIndicatorSettings, first: int) -> Windows:
    return [window(sessions, current, settings.period, settings.skip_early_close) for current in range(first, len(sessions))]


def _reduced(values: Floats, windows: Windows, reduce: Callable[[Floats], Floats]) -> Floats:
    """One value a window and symbol; NaN where a session of the window has none."""
    out = np.full((len(windows), values.shape[1]), np.nan)
    for row, chosen in enumerate(windows):
        if chosen is not None and len(chosen):
            out[row] = reduce(values[chosen])
    return out


def total_of(values: Floats) -> Floats:
    """Sum over the first axis, added up in its order whatever the other axes are, so that a subset gives the same bits."""
    total: Floats = np.zeros(values.shape[1:])
    for row in values:
        total = total + row
    return total


def mean_of(values: Floats) -> Floats:
    """Mean over the first axis."""
    return total_of(values) / len(values)


def _highest(values: Floats) -> Floats:
    highest: Floats = np.max(values, axis=0)
    return highest


def _lowest(values: Floats) -> Floats:
    lowest: Floats = np.min(values, axis=0)
    return lowest


def _average(daily: Daily, windows: Windows, field: str) -> dict[str, Floats]:
    return {"": _reduced(daily.column(field), windows, mean_of)}


def _maximum(daily: Daily, windows: Windows, field: str) -> dict[str, Floats]:
    return {"": _reduced(daily.column(field), windows, _highest)}


def _minimum(daily: Daily, windows: Windows, field: str) -> dict[str, Floats]:
    return {"": _reduced(daily.column(field), windows, _lowest)}


def _avg_volume(daily: Daily, windows: Windows, field: str) -> dict[str, Floats]:
    return {"": _reduced(daily.volume, windows, mean_of)}


def _avg_range(daily: Daily, windows: Windows, field: str) -> dict[str, Floats]:
    return {"": _reduced(daily.high - daily.low, windows, mean_of)}


def _previous_close(daily: Daily) -> Floats:
    return np.concatenate([np.full((1, daily.close.shape[1]), np.nan), daily.close[:-1]])


def _atr(daily: Daily, windows: Windows, field: str) -> dict[str, Floats]:
    """Mean true range of the window: the seed of Wilder's smoothing."""
    previous = _previous_close(daily)
    true_range = np.maximum(daily.high, previous) - np.minimum(daily.low, previous)
    return {"": _reduced(true_range, windows, mean_of)}


def _gap_stats(daily: Daily, windows: Windows, field: str) -> dict[str, Floats]:
    """Opening gaps as fractions of the close before: mean, mean size, largest size."""
    gap = daily.open / _previous_close(daily) - 1.0
    return {
        ".mean": _reduced(gap, windows, mean_of),
        ".size": _reduced(np.abs(gap), windows, mean_of),
        ".largest": _reduced(np.abs(gap), windows, _highest),
    }


def _range_ratio(daily: Daily, windows: Windows, field: str) -> dict[str, Floats]:
    """The last session's range over the mean range of the window."""
    spread = daily.high - daily.low
    average = _reduced(spread, windows, mean_of)
    last = _reduced(spread, windows, lambda values: values[-1])
    return {"": np.divide(last, average, out=np.full_like(last, np.nan), where=average > 0)}


def _high_low(daily: Daily, windows: Windows, field: str) -> dict[str, Floats]:
    return {".high": _reduced(daily.high, windows, _highest), ".low": _reduced(daily.low, windows, _lowest)}


_DAILY: Mapping[str, Callable[[Daily, Windows, str], dict[str, Floats]]] = {
    "trailing_average": _average,
    "trailing_max": _maximum,
    "trailing_min": _minimum,
    "avg_volume": _avg_volume,
    "avg_range": _avg_range,
    "atr_daily": _atr,
    "gap_stats": _gap_stats,
    "range_ratio": _range_ratio,
    "high_low": _high_low,
}


def _slot_value(kind: str, values: Floats) -> Floats:
    seen: NDArray[np.bool_] = ~np.isnan(values)
    number = seen.sum(axis=0)
    if kind == "trailing_max":
        best = np.max(values, axis=0, initial=-np.inf, where=seen)
    elif kind == "trailing_min":
        best = np.min(values, axis=0, initial=np.inf, where=seen)
    else:
        best = total_of(np.where(seen, values, 0.0)) / np.maximum(number, 1)
    result: Floats = np.where(number > 0, best, np.nan)
    return result

"""History: trailing bars and historical indicators, from sessions before the current one only."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from backtester.settings import Settings

HISTORICAL_TYPES = ("trailing_average", "trailing_max", "trailing_min", "avg_volume", "avg_range", "atr_daily", "gap_stats", "range_ratio", "high_low")


class TrailingSettings(Settings):
    """Sessions of history kept for some symbols in some intervals."""

    trailing_days: int = Field(ge=1, le=5000)
    intervals: list[str] = Field(min_length=1)
    apply_to: Literal["all"] | list[str] = "all"


class HistoricalIndicatorSettings(Settings):
    """One value a session (`daily`) or one a slot (`minute`), from the sessions before; period such as 10d, 52w, 3m, 1y."""

    type: Literal["trailing_average", "trailing_max", "trailing_min", "avg_volume", "avg_range", "atr_daily", "gap_stats", "range_ratio", "high_low"]
    period: str
    granularity: Literal["daily", "minute"] = "daily"
    field: Literal["open", "high", "low", "close", "volume"] = "close"
    skip_early_close: bool = False


class ListedIndicatorSettings(Settings):
    """The list form: {name, period, unit, interval}; name is also the kind of indicator."""

    name: Literal["avg_volume", "avg_range", "atr_daily", "gap_stats", "range_ratio", "high_low"]
    period: int = Field(ge=1, le=5000)
    unit: Literal["days", "weeks"] = "days"
    interval: str = "1d"
    type: str | None = None
    params: dict[str, float | int | str | bool] = {}


class HistorySettings(Settings):
    """`session_data_config.historical`."""

    enable_quality: bool = True
    data: list[TrailingSettings] = []
    indicators: dict[str, HistoricalIndicatorSettings] | list[ListedIndicatorSettings] = {}

"""Configs as tests write them: what every run needs, and what a test changes of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PLAIN: dict[str, Any] = {
    "session_name": "test",
    "exchange_group": "US_EQUITY",
    "asset_class": "EQUITY",
    "mode": "backtest",
    "backtest_config": {"start_date": "2013-10-07", "end_date": "2013-10-11"},
    "session_data_config": {"symbols": ["SPY"], "streams": ["1m"]},
    "trading_config": {},
    "account": {"cash": 100000},
}


def config(lake: Path, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The plain config over `lake`, with changes at dotted paths: {"backtest_config.prefetch_days": 2}."""
    made = copy.deepcopy(PLAIN)
    made["session_data_config"]["lake"] = str(lake)
    for path, value in (changes or {}).items():
        *parents, last = path.split(".")
        place: Any = made
        for parent in parents:
            place = place[int(parent)] if isinstance(place, list) else place.setdefault(parent, {})
        place[last] = copy.deepcopy(value)
    return made


def strategy(use: str, **params: Any) -> list[dict[str, Any]]:
    """The `strategies` section with one strategy."""
    return [{"name": "only", "use": use, "params": params}]

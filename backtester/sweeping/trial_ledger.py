"""The ledger of trials: how many have ever been made of the same market and strategies, on this machine, by this user.

Place in the flow: a sweep adds itself when it is done and asks for the sum; a deflated Sharpe ratio that counts only the last sweep's
trials flatters whoever has swept ten times. A line of JSON a sweep, appended in one write. Never a condition of a result: where
there is no place for it, only this sweep's trials count.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from backtester import home
from backtester.config import Config
from backtester.outcome.digests import json_digest

FILE = "trials.jsonl"


def subject(config: Config, plan: Mapping[str, Any]) -> str:
    """What trials are counted together by: the market's days and symbols, and the strategies' sources."""
    data, days = config.session_data_config, config.backtest_config
    window = [config.exchange_group, config.asset_class, config.calendar, str(days.start_date), str(days.end_date)]
    files = sorted([*plan["strategies"].values(), *plan.get("uses", {}).values()])
    return json_digest({"window": window, "symbols": sorted(data.symbols), "strategies": files})


def counted(key: str, sweep_key: str, trials: int) -> int:
    """Note a sweep and return how many trials all sweeps of the same subject made; one that is repeated counts once."""
    path = home.place(FILE)
    if path is None:
        return trials
    lines = _lines(path)
    known = {sweep_key: trials} | {line["sweep"]: int(line["trials"]) for line in lines if line["subject"] == key}
    if not any(line["sweep"] == sweep_key for line in lines):
        with suppress(OSError):
            home.append(path, {"subject": key, "sweep": sweep_key, "trials": trials})
    return sum(known.values())


def _lines(path: Path) -> list[dict[str, Any]]:
    """The ledger's lines; others are left out."""
    return [line for line in home.lines(path) if {"subject", "sweep", "trials"} <= line.keys() and type(line["trials"]) is int]

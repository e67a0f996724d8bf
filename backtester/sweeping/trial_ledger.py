"""The ledger of trials: how many have ever been made of the same market and strategies, on this machine, by this user.

Place in the flow: a sweep adds itself when it is done and asks for the sum; a deflated Sharpe ratio that counts only the last sweep's
trials flatters whoever has swept ten times. A line of JSON a sweep, appended in one write. Never a condition of a result: where
there is no place for it, only this sweep's trials count.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backtester.config import Config
from backtester.outcome.digests import json_digest

HOME = "BT_DATA_HOME"
FILE = "trials.jsonl"


def place() -> Path | None:
    """The ledger's file: in BT_DATA_HOME, else in the user's data folder; None where there is none."""
    home = os.environ.get(HOME) or os.environ.get("XDG_DATA_HOME")
    try:
        folder = Path(home) / ("" if os.environ.get(HOME) else "backtester") if home else Path.home() / ".local" / "share" / "backtester"
    except RuntimeError:
        return None
    return folder / FILE


def subject(config: Config, plan: Mapping[str, Any]) -> str:
    """What trials are counted together by: the market's days and symbols, and the strategies' sources."""
    data, days = config.session_data_config, config.backtest_config
    window = [config.exchange_group, config.asset_class, config.calendar, str(days.start_date), str(days.end_date)]
    files = sorted([*plan["strategies"].values(), *plan.get("uses", {}).values()])
    return json_digest({"window": window, "symbols": sorted(data.symbols), "strategies": files})


def counted(key: str, sweep_key: str, trials: int) -> int:
    """Note a sweep and return how many trials all sweeps of the same subject made; one that is repeated counts once."""
    path = place()
    if path is None:
        return trials
    known = {sweep_key: trials} | {line["sweep"]: int(line["trials"]) for line in _lines(path) if line["subject"] == key}
    if not any(line["sweep"] == sweep_key for line in _lines(path)):
        line = json.dumps({"subject": key, "sweep": sweep_key, "trials": trials}) + "\n"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError:
            return sum(known.values())
    return sum(known.values())


def _lines(path: Path) -> list[dict[str, Any]]:
    """The ledger's lines; those that cannot be read, as after a crash of the machine, are left out."""
    found = []
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and {"subject", "sweep", "trials"} <= value.keys() and type(value["trials"]) is int:
            found.append(value)
    return found

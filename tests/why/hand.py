"""Runs made by hand: minutes at 100.00 but where a test says otherwise, and strategies that do what a list tells them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

import backtester as bt
from backtester import Bars, Signals, Strategy
from backtester.market.importers.table import Layout
from backtester.market.imports import Request, import_files
from tests.configs import config

NEW_YORK = ZoneInfo("America/New_York")
DAY = "2024-11-05"
Price = float | tuple[float, float, float, float]
Days = Mapping[str, Mapping[str, Mapping[int, Price | None]]]
"""Day -> symbol -> slot -> a price, open high low close, or None where there is no bar."""


def stamp(day: str, slot: int) -> str:
    """The UTC open of a minute of a XNYS session."""
    local = dt.datetime.fromisoformat(f"{day}T09:30").replace(tzinfo=NEW_YORK) + dt.timedelta(minutes=slot)
    return f"{local.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


def lake(root: Path, days: Days, slots: int = 390) -> Path:
    """A lake of whole sessions of a thousand shares a minute."""
    lines = ["symbol,ts,open,high,low,close,volume"]
    for day, symbols in days.items():
        for symbol, changed in symbols.items():
            for slot in range(slots):
                found = changed.get(slot, 100.0)
                if found is not None:
                    prices = found if isinstance(found, tuple) else (found,) * 4
                    lines.append(",".join(map(str, (symbol, stamp(day, slot), *prices, 1000))))
    file = root.with_suffix(".csv")
    file.write_text("\n".join(lines) + "\n")
    import_files(root, Request((file,), "csv", layout=Layout()))
    return root


class Told(Strategy):
    """Asks for what it is told: a JSON list of [day, symbol, slot, action, numbers]."""

    interval: str = "1m"
    wishes: str = "[]"

    def signals(self, bars: Bars) -> Signals:
        shape = bars.shape
        columns: dict[str, Any] = {}
        slot = np.broadcast_to(bars.slot if self.layout == "bars" else np.arange(shape[-1]), shape)
        for day, symbol, at, action, numbers in json.loads(self.wishes):
            here = (slot == at) & (bars.symbol == symbol) & (bars.session == np.datetime64(day))
            if action == "target":
                columns.setdefault("target", np.full(shape, np.nan))[here] = numbers["weight"]
                continue
            columns.setdefault(action, np.zeros(shape, np.bool_))[here] = True
            for name, value in numbers.items():
                empty = np.zeros(shape, np.bool_) if name in ("on_open", "on_close") else np.full(shape, np.nan)
                columns.setdefault(name, empty)[here] = value
        return Signals(**(columns or {"enter_long": np.zeros(shape, np.bool_)}))


class ToldByTheClock(Told):
    """The same, on slots whether or not there is a bar."""

    layout = "clock"


Wish = tuple[str, str, int, str, dict[str, float]]


def run(folder: Path, days: Days, wishes: Sequence[Wish] | Mapping[str, Sequence[Wish]], kind: str = "Told", **changes: Any) -> bt.Run:
    """A run over a lake of its own; several strategies by their names; changes at paths written with `__`."""
    folder.mkdir(parents=True, exist_ok=True)
    told = wishes if isinstance(wishes, Mapping) else {"told": wishes}
    symbols = sorted({symbol for day in days.values() for symbol in day})
    settings = {
        "backtest_config.start_date": min(days),
        "backtest_config.end_date": max(days),
        "session_data_config.symbols": symbols,
        "strategies": [
            {"name": name, "use": f"{__name__}:{kind}", "params": {"wishes": json.dumps(list(own))}} for name, own in told.items()
        ],
        "execution.sizing": {"type": "shares", "value": 10},
        **{path.replace("__", "."): value for path, value in changes.items()},
    }
    return bt.run(config(lake(folder / "lake", days), settings), out=folder / "run")

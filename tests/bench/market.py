"""The sample market of the bench: lakes made by `bt data simulate`, the same bars as one Parquet file a symbol, configs.

Everything stands below `.bench/` and is made once.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / ".bench"
BT = Path(sys.executable).parent / "bt"
SEED = 20240102
CROSS = {"use": "sma_crossover", "params": {"interval": "1m", "fast": 5, "slow": 20}}
USE_BANDED = {"use": f"{Path(__file__).resolve().parent / 'banded.py'}:Banded"}
"""The strategies of the bench, as a config names them."""


@dataclass(frozen=True)
class Market:
    """A simulated market without missing bars: how many symbols, first and last day, 1m bars of XNYS sessions."""

    symbols: int
    first: str
    last: str

    @property
    def names(self) -> list[str]:
        """S000, S001, ..."""
        return [f"S{number:03d}" for number in range(self.symbols)]

    @property
    def lake(self) -> Path:
        """Where its lake is; made by `make`."""
        return PLACE / f"lake_{self.symbols}_{self.first}_{self.last}"

    def make(self) -> Path:
        """Simulate the lake unless it is there."""
        done = self.lake / "complete"
        if not done.exists():
            words = ["--lake", self.lake, "--symbols", ",".join(self.names), "--start", self.first, "--end", self.last, "--seed", SEED]
            subprocess.run([str(word) for word in (BT, "data", "simulate", *words)], check=True, stdout=sys.stderr)
            done.touch()
        return self.lake

    def export(self, year: str) -> Path:
        """The lake's bars of one year as one Parquet file a symbol (ts open high low close volume), for the other programs."""
        import polars as pl

        folder = PLACE / f"files_{self.symbols}_{year}"
        if not folder.exists():
            files = sorted((self.make() / "bars" / "1m").glob(f"{year}-*.parquet"))
            bars = pl.concat(pl.read_parquet(file, columns=["symbol", "ts", "open", "high", "low", "close", "volume"]) for file in files)
            partial = folder.with_name(f"{folder.name}.partial")
            partial.mkdir(parents=True, exist_ok=True)
            for (name,), rows in bars.partition_by("symbol", as_dict=True).items():
                rows.drop("symbol").sort("ts").write_parquet(partial / f"{name}.parquet")
            partial.rename(folder)
        return folder


def config(
    name: str, market: Market, *, first: str, last: str, symbols: int, streams: list[str], prefetch_days: int | None = None,
    strategy: Mapping[str, object] = CROSS,
) -> Path:  # fmt: skip
    """Write the config of a strategy (an SMA 5/20 crossover) on 1m bars, 100 shares a trade, without costs or limits, and give its path.

    prefetch_days None: as many sessions at once as `bt` chooses itself.
    """
    content = {
        "session_name": name,
        "exchange_group": "US_EQUITY",
        "asset_class": "EQUITY",
        "mode": "backtest",
        "backtest_config": {"start_date": first, "end_date": last} | ({"prefetch_days": prefetch_days} if prefetch_days else {}),
        "session_data_config": {"lake": str(market.make()), "symbols": market.names[:symbols], "streams": streams},
        "strategies": [{"name": "swept", "symbols": "all", **strategy}],
        "account": {"cash": 100_000_000},
        "execution": {"fill": "next_open", "sizing": {"type": "shares", "value": 100}, "commission": {"preset": "zero"}},
    }
    path = PLACE / f"{name}.json"
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
    return path

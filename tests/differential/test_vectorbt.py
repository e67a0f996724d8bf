"""Fills given equal orders: vectorbt's from_orders books the same prices, fees and equity."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import polars as pl
import pytest

import backtester as bt
from backtester.market.simulate import Simulation, simulate
from tests.bench.market import PLACE
from tests.bench.peers import VECTORBT
from tests.configs import config, strategy
from tests.differential.days import FIRST, LAST

pytestmark = pytest.mark.differential
PROGRAM = Path(__file__).parent / "programs" / "vectorbt_orders.py"
SYMBOLS = ("AAA", "BBB", "CCC", "DDD")
DRAWN = """
import numpy as np
from backtester import Bars, Signals, Strategy


class Drawn(Strategy):
    both: bool = False

    def signals(self, bars: Bars) -> Signals:
        number = np.array([sum(map(ord, name)) for name in bars.symbol.ravel()]).reshape(bars.symbol.shape)
        drawn = (bars.ts // 60_000_000 * 2654435761 + number * 40503) % 1009
        shorts = self.both & (drawn % 2 == 1)
        enter, leave = drawn < 60, (drawn >= 60) & (drawn < 160)
        return Signals(enter_long=enter & ~shorts, exit_long=leave & ~shorts, enter_short=enter & shorts, exit_short=leave & shorts)
"""


@pytest.mark.parametrize("both", [False, True], ids=["long", "long and short"])
def test_vectorbt_books_the_same_fills_and_equity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, both: bool) -> None:
    """Ten sessions of four symbols, 5 bps commission, 3 bps slippage; a session's equity to 1e-9 of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "drawn.py").write_text(DRAWN)
    simulate(tmp_path / "lake", Simulation(SYMBOLS, FIRST, LAST, seed=3))
    changes = {
        "backtest_config.start_date": str(FIRST),
        "backtest_config.end_date": str(LAST),
        "session_data_config.symbols": list(SYMBOLS),
        "strategies": strategy("drawn.py:Drawn", both=both),
        "account": {"cash": 10_000_000} | ({"allow_short": True} if both else {}),
        "execution": {"sizing": {"type": "shares", "value": 100}, "commission": {"bps": 5.0}, "slippage": {"bps": 3.0}},
    }
    run = bt.run(config(tmp_path / "lake", changes), out=tmp_path / "run")
    ours = run.table("fills").with_columns(size=pl.when(pl.col("side") == "buy").then("quantity").otherwise(-pl.col("quantity")))
    assert ours.height > 800
    assert set(run.table("trades")["direction"]) == ({"long", "short"} if both else {"long"})
    fills, equity = _vectorbt(tmp_path, ours)
    key = ["ts", "symbol"]
    mine = ours.group_by(key).agg(pl.col("size").sum(), pl.col("price").first(), pl.col("fee").sum()).sort(key)
    theirs = fills.sort(key)
    assert theirs.select(key).rows() == mine.select(key).rows()
    assert theirs["size"].to_list() == pytest.approx(mine["size"].to_list(), rel=1e-12)
    assert theirs["price"].to_list() == pytest.approx(mine["price"].to_list(), rel=1e-12)
    assert theirs["fee"].to_list() == pytest.approx(mine["fee"].to_list(), abs=1.1e-6)  # ours are whole millionths
    assert equity["equity"].to_list() == pytest.approx(run.table("equity")["equity"].to_list(), rel=1e-9)


def _vectorbt(folder: Path, ours: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The fills and the equity that vectorbt makes of our orders at the opens of their bars."""
    bars = pl.concat(pl.read_parquet(file) for file in sorted((folder / "lake" / "bars" / "1m").glob("*.parquet")))
    naive = pl.col("ts").dt.replace_time_zone(None)
    opened = bars.select("ts", "symbol", price="open")
    orders = ours.group_by("ts", "symbol").agg(pl.col("size").sum()).join(opened, on=["ts", "symbol"]).with_columns(naive)
    orders.write_parquet(folder / "orders.parquet")
    bars.pivot(on="symbol", index="ts", values="close").sort("ts").with_columns(naive).write_parquet(folder / "close.parquet")
    (folder / "account.json").write_text(json.dumps({"cash": 10_000_000, "fees": 0.0005, "slippage": 0.0003}))
    subprocess.run([VECTORBT.python(PLACE), PROGRAM, folder], check=True)
    made = [
        pl.read_parquet(folder / f"{name}.parquet").with_columns(pl.col("ts").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))
        for name in ("fills", "equity")
    ]
    return made[0], made[1]

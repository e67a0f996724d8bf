"""Trades given equal signals: backtesting.py enters, stops, takes profit and gaps at the same bars and prices."""

from __future__ import annotations

import subprocess
from pathlib import Path

import polars as pl
import pytest

import backtester as bt
from backtester.market.simulate import Simulation, simulate
from tests.bench.market import PLACE
from tests.bench.peers import BACKTESTING
from tests.configs import config, strategy
from tests.differential.days import FIRST, LAST

pytestmark = pytest.mark.differential
PROGRAM = Path(__file__).parent / "programs" / "backtesting_trades.py"
DRAWN = """
import numpy as np
from backtester import Bars, Signals, Strategy


class Drawn(Strategy):
    both: bool = False

    def signals(self, bars: Bars) -> Signals:
        drawn = bars.ts // 60_000_000 * 2654435761 % 1009
        shorts = self.both & (drawn % 2 == 1)
        enter, leave = drawn < 60, (drawn >= 60) & (drawn < 70)
        away = np.where(shorts, -1.0, 1.0) * (1 + drawn % 7) / 2000
        return Signals(
            enter_long=enter & ~shorts, exit_long=leave, enter_short=enter & shorts, exit_short=leave,
            stop_price=bars.close * (1 - away), target_price=bars.close * (1 + 1.5 * away),
        )
"""


@pytest.mark.parametrize("both", [False, True], ids=["long", "long and short"])
def test_backtesting_makes_the_same_trades(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, both: bool) -> None:
    """Entries at the next open, stops and targets of 5 to 50 basis points, held over nights and their gaps; every price exactly."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "drawn.py").write_text(DRAWN)
    simulate(tmp_path / "lake", Simulation(("AAA",), FIRST, LAST, seed=5))
    changes = {
        "backtest_config.start_date": str(FIRST),
        "backtest_config.end_date": str(LAST),
        "session_data_config.symbols": ["AAA"],
        "strategies": strategy("drawn.py:Drawn", both=both),
        "account": {"cash": 100_000_000} | ({"allow_short": True} if both else {}),
        "execution": {"sizing": {"type": "shares", "value": 100}},
        "keep": ["signals"],
    }
    run = bt.run(config(tmp_path / "lake", changes), out=tmp_path / "run")
    trades = run.table("trades").filter(~pl.col("is_open"))
    exits = trades["exit_reason"].value_counts()
    assert exits.filter(pl.col("exit_reason").is_in(["stop", "target", "signal"]))["count"].min() > 5
    theirs, opens = _backtesting(tmp_path, run.table("signals"))
    number = {ts: place for place, ts in enumerate(opens)}
    sign = pl.when(pl.col("direction") == "long").then(1.0).otherwise(-1.0)
    made = trades.select("entry_ts", "exit_ts", "entry_price", "exit_price", pl.col("quantity") * sign)
    mine = [(number[entered], number[left], *rest) for entered, left, *rest in made.iter_rows()]
    assert theirs.sort("entry", "exit").select("entry", "exit", "entry_price", "exit_price", "size").rows() == sorted(mine)


def _backtesting(folder: Path, signals: pl.DataFrame) -> tuple[pl.DataFrame, list[object]]:
    """The trades that backtesting.py makes of our signals, and the opens of all bars."""
    bars = pl.concat(pl.read_parquet(file) for file in sorted((folder / "lake" / "bars" / "1m").glob("*.parquet"))).sort("ts")
    end = pl.col("ts") + pl.duration(minutes=1)
    named = bars.select(
        pl.col("ts").dt.replace_time_zone(None), *(pl.col(name).alias(name.title()) for name in ("open", "high", "low", "close", "volume"))
    )
    named.write_parquet(folder / "bars.parquet")
    made = bars.select(end.alias("available"), bar="ts").join(signals, left_on="available", right_on="ts")
    columns = {"ts": pl.col("bar").dt.replace_time_zone(None), "action": "action", "stop": "stop_price", "target": "target_price"}
    exits_first = made.sort("bar", pl.col("action").str.starts_with("enter"))
    exits_first.select(**columns).write_parquet(folder / "signals.parquet")
    subprocess.run([BACKTESTING.python(PLACE), PROGRAM, folder], check=True)
    return pl.read_parquet(folder / "trades.parquet"), bars["ts"].to_list()

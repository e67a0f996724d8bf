"""Orders on the open and on the close from a strategy's columns to fills, in the run's process and in one of its own."""

from __future__ import annotations

from pathlib import Path

import polars as pl

import backtester as bt
from backtester import Bars, Signals, Strategy
from tests.configs import config


class Overnight(Strategy):
    """Buys on each session's close what it sells on the next one's open."""

    def signals(self, bars: Bars) -> Signals:
        first = bars.slot == 0
        late = bars.slot == 100
        return Signals(enter_long=first, exit_long=late, on_close=first, on_open=late)


def run(lake: Path, out: Path, apart: bool) -> bt.Run:
    changes = {
        "session_data_config.symbols": ["AAA", "BBB"],
        "backtest_config.start_date": "2024-11-04",
        "backtest_config.end_date": "2024-11-15",
        "strategies": [{"name": "overnight", "use": f"{__name__}:Overnight"}],
        "resources": {"isolate_strategies": apart},
    }
    return bt.run(config(lake, changes), out=out)


def test_the_first_and_last_bar_of_a_session_fill_them(simulated: Path, tmp_path: Path) -> None:
    """Entered at the close of the last minute stored of a session, left at the open of the first one of a later session."""
    made = run(simulated, tmp_path / "together", apart=False)
    assert run(simulated, tmp_path / "apart", apart=True).result_key == made.result_key
    bars = pl.concat([pl.read_parquet(path) for path in sorted((simulated / "bars" / "1m").glob("*.parquet"))]).sort("symbol", "ts")
    day = (pl.col("ts").dt.convert_time_zone("America/New_York").dt.date()).alias("day")
    ends = bars.group_by("symbol", day).agg(first=pl.first("open"), opened=pl.first("ts"), last=pl.last("close"), closed=pl.last("ts"))
    known = {(row["symbol"], row["day"]): row for row in ends.to_dicts()}
    fills = made.table("fills").to_dicts()
    assert {fill["type"] for fill in fills} == {"market_on_open", "market_on_close"}
    for fill in fills:
        ends_of = known[fill["symbol"], fill["session"]]
        wanted = ("first", "opened") if fill["type"] == "market_on_open" else ("last", "closed")
        assert (fill["price"], fill["ts"]) == tuple(ends_of[name] for name in wanted)
    assert sum(fill["side"] == "buy" for fill in fills) > 5

"""backtesting.py's own example over its own data: every trade, and every figure that it gives."""

from __future__ import annotations

import subprocess
from pathlib import Path

import polars as pl
import pytest

import backtester as bt
from backtester.market.importers.table import Layout
from backtester.market.importers.times import Stamps
from backtester.market.imports import Request, import_files
from tests.answers.test_parity import HERE, figures_of
from tests.bench.market import PLACE
from tests.bench.peers import BACKTESTING

pytestmark = pytest.mark.differential
CASE = "backtesting_goog"
PROGRAM = Path(__file__).parent / "programs" / "backtesting_goog.py"


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GOOG's daily bars as the package brings them (goog.csv), and the trades that it makes of them (trades.parquet)."""
    folder = tmp_path_factory.mktemp("goog")
    subprocess.run([BACKTESTING.python(PLACE), PROGRAM, folder], check=True)
    return folder


@pytest.fixture(scope="module")
def run(theirs: Path) -> bt.Run:
    layout = Layout(interval="1d", symbol="GOOG", mapped={"ts": "time"}, stamps=Stamps(zone="America/New_York"))
    import_files(theirs / "lake", Request((theirs / "goog.csv",), "csv", layout=layout))
    return bt.run(HERE / f"{CASE}.json", lake=theirs / "lake", out=theirs / "run")


def test_every_trade_is_theirs(theirs: Path, run: bt.Run) -> None:
    """Days, prices and signed whole shares of all trades."""
    day = pl.col("entry", "exit").dt.date()
    wanted = pl.read_parquet(theirs / "trades.parquet").with_columns(day).sort("entry")
    sign = pl.when(pl.col("direction") == "long").then(1.0).otherwise(-1.0)
    made = run.table("trades").select(
        pl.col("entry_ts").dt.date(), pl.col("exit_ts").dt.date(), "entry_price", "exit_price", pl.col("quantity") * sign
    )
    assert made.rows() == wanted.select("entry", "exit", "entry_price", "exit_price", "size").rows()


def test_every_figure_is_theirs(run: bt.Run) -> None:
    """Its profit factor is of returns, and a trade's last day counts as exposed: both are worked out here of the trades."""
    figures, trades = figures_of(CASE), run.table("trades")
    gains = trades["return"]
    assert (trades.height, round(run.metrics["final_equity"], 6)) == (figures["trades"], round(figures["final_equity"], 6))
    assert (run.metrics["win_rate"], gains.max(), gains.min()) == pytest.approx((figures["win_rate"], figures["best"], figures["worst"]))
    assert gains.filter(gains > 0).sum() / -gains.filter(gains < 0).sum() == pytest.approx(figures["profit_factor"], rel=1e-12)
    assert run.metrics["max_drawdown"] == pytest.approx(figures["max_drawdown"], rel=1e-9)
    days = run.table("equity").select(day=pl.col("ts").dt.date())
    held = days.join_where(trades, pl.col("day") >= pl.col("entry_ts").dt.date(), pl.col("day") <= pl.col("exit_ts").dt.date())
    assert held["day"].n_unique() / days.height == pytest.approx(figures["exposure"], rel=1e-12)

"""Minutes that hold stop and target, looked into by the second: SPY and IBM of October 2013, beside a plain loop over the seconds."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import backtester as bt
from backtester import Bars, Signals, Strategy
from backtester.market.importers.table import Layout
from backtester.market.imports import Request, import_files
from tests.configs import config

MINUTE = dt.timedelta(minutes=1)


class Often(Strategy):
    """Wishes to be long at every bar."""

    def signals(self, bars: Bars) -> Signals:
        return Signals(enter_long=bars.valid)


class Higher(Strategy):
    """Wishes at every bar to be long from a little higher on."""

    def signals(self, bars: Bars) -> Signals:
        return Signals(enter_long=bars.valid, entry_stop=bars.close * 1.0002)


@pytest.fixture(scope="module")
def lake(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Minutes and seconds of SPY and IBM, 2013-10-07 to 11."""
    root = tmp_path_factory.mktemp("seconds") / "lake"
    names = ("SPY", "IBM")
    for folder, interval in (("lean_usa_minute", "1m"), ("lean_usa_second", "1s")):
        files = tuple(path for name in names for path in sorted((shared_data / folder).glob(f"{name}*")))
        import_files(root, Request(files, "parquet", layout=Layout(interval=interval)))
    return root


def run(lake: Path, out: Path, kind: type[Strategy] = Often, days: int | None = None, **execution: Any) -> bt.Run:
    """Stops and targets 3 bps away, 100 shares, without costs."""
    changes = {
        "session_data_config.symbols": ["IBM", "SPY"],
        "backtest_config.prefetch_days": days,
        "account.cash": 1_000_000,
        "strategies": [{"name": "often", "use": f"{__name__}:{kind.__name__}"}],
        "execution": {"stop_loss": 0.0003, "take_profit": 0.0003, **execution},
    }
    return bt.run(config(lake, changes), out=out)


def seconds(lake: Path) -> dict[str, list[tuple[dt.datetime, float, float, float]]]:
    """(ts, open, high, low) of all seconds with volume, by symbol."""
    frames = [pl.read_parquet(path) for path in sorted((lake / "bars" / "1s").glob("*.parquet"))]
    rows = pl.concat(frames).filter(pl.col("volume") > 0).sort("symbol", "ts")
    return {name: rows.filter(symbol=name).select("ts", "open", "high", "low").rows() for name in ("IBM", "SPY")}


def by_second(rows: list[tuple[dt.datetime, float, float, float]], fill: dict[str, Any], stop: float, target: float, entered: bool) -> Any:
    """Type, price and doubt of what the seconds of a fill's minute meet first, of a long position."""
    first = True
    for ts, opened, high, low in rows:
        if not fill["ts"] <= ts < fill["ts"] + MINUTE:
            continue
        if opened <= stop:
            return "stop", opened, False
        if opened > target or (opened == target and not (entered and first)):
            return "target", opened, False
        first = False
        if low <= stop:
            return "stop", stop, high > target
        if high > target:
            return "target", target, False
    return None


def test_every_drilled_fill_is_what_the_seconds_say(lake: Path, tmp_path: Path) -> None:
    plain, drilled = run(lake, tmp_path / "plain"), run(lake, tmp_path / "drilled", intrabar="drill_down")
    orders = {row["order_id"]: row for row in drilled.table("orders").to_dicts()}
    trades = {row["order_id"]: row for row in drilled.table("trades").to_dicts()}
    rows, kinds, sure = seconds(lake), set(), 0
    for fill in drilled.table("fills").filter(pl.col("flags") == "drilled").to_dicts():
        number, other = fill["order_id"], fill["order_id"] + (1 if fill["type"] == "stop" else -1)
        stop, target = (orders[number], orders[other]) if fill["type"] == "stop" else (orders[other], orders[number])
        entered = trades[number]["entry_ts"] == fill["ts"]
        wanted = by_second(rows[fill["symbol"]], fill, stop["stop"], target["limit"], entered)
        assert (fill["type"], fill["price"], fill["ambiguous"]) == wanted, fill
        kinds.add(fill["type"])
        sure += not fill["ambiguous"]
    assert kinds == {"stop", "target"}
    assert sure > 100
    assert plain.metrics["ambiguous_fills"] > 5 * drilled.metrics["ambiguous_fills"]


def test_what_a_run_has_looked_into_is_part_of_its_manifest_however_it_is_cut(lake: Path, tmp_path: Path) -> None:
    whole, parts = (run(lake, tmp_path / name, days=days, intrabar="drill_down") for name, days in (("whole", 5), ("parts", 1)))
    for table in ("fills", "trades", "ambiguity", "equity"):
        assert whole.table(table).equals(parts.table(table))
    assert whole.result_key == parts.result_key
    read = [file["path"] for file in whole.manifest["data"]["files"]]
    assert [path for path in read if "/1s/" in path] == [f"bars/1s/2013-10-{day:02}.parquet" for day in range(7, 12)]
    assert not [file for file in run(lake, tmp_path / "plain").manifest["data"]["files"] if "/1s/" in file["path"]]


def test_an_entry_inside_a_minute_counts_from_its_second_on(lake: Path, tmp_path: Path) -> None:
    """Of stop entries: the position holds from the first second that trades at the level; the stop of that very second is in doubt."""
    drilled = run(lake, tmp_path / "drilled", Higher, intrabar="drill_down")
    orders = {row["order_id"]: row for row in drilled.table("orders").to_dicts()}
    fills = drilled.table("fills").to_dicts()
    rows, checked = seconds(lake), 0
    entry_of = {row["order_id"]: row for row in drilled.table("trades").to_dicts()}
    entries = {(row["symbol"], row["ts"]): orders[row["order_id"]] for row in fills if row["side"] == "buy" and row["type"] == "stop"}
    for fill in (row for row in fills if row["flags"] == "drilled" and row["side"] == "sell"):
        entry = entries.get((fill["symbol"], fill["ts"]))
        if (
            entry is None
            or entry_of[fill["order_id"]]["entry_ts"] != fill["ts"]
            or entry_of[fill["order_id"]]["entry_price"] != entry["stop"]
        ):
            continue
        inside = [row for row in rows[fill["symbol"]] if fill["ts"] <= row[0] < fill["ts"] + MINUTE]
        at = next(place for place, row in enumerate(inside) if row[2] >= entry["stop"])
        number, other = fill["order_id"], fill["order_id"] + (1 if fill["type"] == "stop" else -1)
        stop, target = (orders[number], orders[other]) if fill["type"] == "stop" else (orders[other], orders[number])
        if inside[at][3] <= stop["stop"]:
            wanted = ("stop", stop["stop"], True)
        else:
            wanted = by_second(inside[at + 1 :], fill, stop["stop"], target["limit"], False)
        assert (fill["type"], fill["price"], fill["ambiguous"]) == wanted, fill
        checked += 1
    assert checked > 20


def test_the_cost_ladder_looks_into_bars_too(lake: Path, tmp_path: Path) -> None:
    made = run(lake, tmp_path / "run", intrabar="drill_down", cost_ladder=[1.0, 2.0], commission={"minimum": 0.01})
    assert made.metrics["costs"]["rungs"][0]["net_profit"] == made.metrics["net_profit"]


def test_a_trial_of_a_sweep_looks_into_bars_as_its_run_does(lake: Path, tmp_path: Path) -> None:
    execution = {"stop_loss": 0.0003, "take_profit": 0.0003, "intrabar": "drill_down"}
    changes = {"strategies": [{"name": "often", "use": f"{__name__}:Often"}], "execution": execution}
    document = config(lake, changes | {"session_data_config.symbols": ["IBM", "SPY"], "account.cash": 1_000_000})
    trials = bt.sweep(document, out=tmp_path / "sweep", parameters={"execution.intrabar": ["drill_down", "pessimistic"]}).trials
    for row in trials.to_dicts():
        alone = run(lake, tmp_path / row["intrabar"], intrabar=row["intrabar"])
        assert (row["net_profit"], row["trades"]) == (alone.metrics["net_profit"], alone.metrics["trades"])
    assert trials["net_profit"].n_unique() == 2

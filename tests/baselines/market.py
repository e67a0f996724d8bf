"""The lakes over which the baselines run: simulated, and edited where a baseline needs a market that no simulation makes.

    python -m tests.baselines.market build/baselines

Nothing is downloaded and nothing random: the same program makes the same bars anywhere. A folder that holds them already is left as it
is; one of another state of this file is made anew.

    demo     what `make demo` simulates: AAA, BBB, CCC, DDD on XNYS, October to December 2024
    us       AAA to EEE with quotes on XNYS, 2024-10-21 to 2024-12-06: the clocks change on 11-03, 11-29 closes at 13:00
                 AAA  splits two for one on 11-12          BBB  is halted on 11-06 from 10:00 to 11:30, pays 0.50 on 11-14
                 CCC  opens 6 % lower on 11-14              DDD  has a bar without a close on 11-07, 10:30
    london   VOD, BP on XLON, 2024-10-21 to 2024-11-01: the clocks change on 10-27
    spring   VOD, BP on XLON, 2025-03-24 to 2025-04-03: the clocks change on 03-30
    tokyo    7203, 6758 on XTKS, 2024-10-28 to 2024-11-08: a lunch break, half an hour longer from 11-05 on
    seconds  AAA in seconds and minutes on XNYS, 2024-11-04 and 05
    daily    AAA to DDD in days on XNYS, the first quarter of 2024
"""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
import sys
from pathlib import Path

import polars as pl

from backtester.market.action_changes import ROWS, add_actions
from backtester.market.change import changing
from backtester.market.lake import Lake
from backtester.market.simulate import Simulation, simulate

STAMP = "made_by"
OHLC = ("open", "high", "low", "close")


def make(root: Path) -> bool:
    """Make every lake below a folder; False where they stand there already."""
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    stamp = root / STAMP
    if stamp.is_file() and stamp.read_text() == digest:
        return False
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    simulate(root / "demo", Simulation(("AAA", "BBB", "CCC", "DDD"), day("2024-10-01"), day("2024-12-31"), seed=7, missing=0.001))
    us(root)
    for name, first, last in (("london", "2024-10-21", "2024-11-01"), ("spring", "2025-03-24", "2025-04-03")):
        simulate(root / name, Simulation(("VOD", "BP"), day(first), day(last), seed=13, missing=0.002, calendar="XLON"))
    simulate(root / "tokyo", Simulation(("7203", "6758"), day("2024-10-28"), day("2024-11-08"), seed=17, calendar="XTKS"))
    for interval in ("1s", "1m"):
        simulate(root / "seconds", Simulation(("AAA",), day("2024-11-04"), day("2024-11-05"), seed=19, interval=interval))
    simulate(root / "daily", Simulation(("AAA", "BBB", "CCC", "DDD"), day("2023-12-01"), day("2024-03-28"), seed=23, interval="1d"))
    stamp.write_text(digest)
    return True


def us(root: Path) -> None:
    """The lake with a split, a dividend, a halt, a gap and a bar without a close."""
    plain = root / "plain"
    names = ("AAA", "BBB", "CCC", "DDD", "EEE")
    simulate(plain, Simulation(names, day("2024-10-21"), day("2024-12-06"), seed=11, missing=0.0005, quotes=True))
    lake = Lake.open(plain)
    with changing(root / "us") as change:
        for kind, edit in (("bars", edited_bars), ("quotes", edited_quotes)):
            for label in lake.files(kind, "1m")["session"].to_numpy():
                rows = lake.read(kind, "1m", label).with_columns(session=pl.lit(label.astype("datetime64[D]").item()))
                change.add(kind, "1m", edit(rows))
    shutil.rmtree(plain)
    actions = [("AAA", day("2024-11-12"), "split", 2.0, "made up", ""), ("BBB", day("2024-11-14"), "dividend", 0.5, "made up", "")]
    add_actions(root / "us", pl.DataFrame(actions, schema=ROWS, orient="row"), "XNYS")


def edited_bars(rows: pl.DataFrame) -> pl.DataFrame:
    """One session's bars as this market has them."""
    halted = between("BBB", "2024-11-06T15:00", "2024-11-06T16:30")
    rows = scaled(rows.filter(~halted), OHLC)
    blind = between("DDD", "2024-11-07T15:30", "2024-11-07T15:31")
    return rows.with_columns(close=pl.when(blind).then(float("nan")).otherwise("close"))


def edited_quotes(rows: pl.DataFrame) -> pl.DataFrame:
    """One session's quotes; they go on while a symbol is halted."""
    return scaled(rows, [f"{side}_{part}" for side in ("bid", "ask") for part in OHLC])


def scaled(rows: pl.DataFrame, columns: list[str] | tuple[str, ...]) -> pl.DataFrame:
    """Prices after the split and after the gap, in whole cents."""
    for symbol, first, factor in (("AAA", "2024-11-12", 0.5), ("CCC", "2024-11-14", 0.94)):
        later = (pl.col("symbol") == symbol) & (pl.col("session") >= day(first))
        rows = rows.with_columns(
            pl.when(later).then((pl.col(name) * factor * 100).round() / 100).otherwise(name).alias(name) for name in columns
        )
    return rows


def between(symbol: str, first: str, last: str) -> pl.Expr:
    """The rows of a symbol from one time to another, UTC."""
    bounds = [dt.datetime.fromisoformat(f"{text}+00:00") for text in (first, last)]
    return (pl.col("symbol") == symbol) & (pl.col("ts") >= bounds[0]) & (pl.col("ts") < bounds[1])


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    print(f"{'made' if make(place) else 'there already'}: the lakes of the baselines ({place})")

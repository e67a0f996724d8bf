"""SMA 5/20 with vectorbt: all symbols as columns of one frame, naive timestamps, fills at the next bar's open.

`Portfolio.from_orders` keeps its compiled code on disk; `from_signals` (`--signals`) compiles anew in every process.
Usage: python vectorbt_sma.py FOLDER [--signals] [--twice]. FOLDER holds one Parquet file a symbol. Prints one line of JSON; `second`
is the time of the same calculation once more in the same process, data loaded and code compiled.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import vectorbt as vbt
from vectorbt.signals.nb import clean_enex_nb


def read(folder):
    frames = {path.stem: pd.read_parquet(path, columns=["ts", "open", "close"]) for path in sorted(Path(folder).glob("*.parquet"))}
    ts = {name: frame["ts"].dt.tz_localize(None) for name, frame in frames.items()}
    return tuple(pd.DataFrame({name: frame[column].set_axis(ts[name]) for name, frame in frames.items()}) for column in ("open", "close"))


def backtest(open_, close, by_signals):
    fast = vbt.MA.run(close, 5).ma.to_numpy()
    slow = vbt.MA.run(close, 20).ma.to_numpy()
    enter, leave = np.zeros(close.shape, bool), np.zeros(close.shape, bool)
    enter[1:-1] = ((fast > slow)[1:] & (fast <= slow)[:-1])[:-1]
    leave[1:-1] = ((fast < slow)[1:] & (fast >= slow)[:-1])[:-1]
    enter, leave = np.roll(enter, 1, axis=0), np.roll(leave, 1, axis=0)
    common = {"price": open_, "init_cash": 1e7, "direction": "longonly", "freq": "1min"}
    if by_signals:
        portfolio = vbt.Portfolio.from_signals(close, enter, leave, size=100.0, **common)
    else:
        enter, leave = clean_enex_nb(enter, leave, True)
        size = np.where(enter, 100.0, np.where(leave, -100.0, np.nan))
        portfolio = vbt.Portfolio.from_orders(close, size, **common)
    orders, trades, equity = portfolio.orders.records, portfolio.trades.records, portfolio.value()
    return len(orders), len(trades), float(equity.iloc[-1].sum() - 1e7 * close.shape[1])


def main():
    by_signals = "--signals" in sys.argv
    started = time.perf_counter()
    open_, close = read(sys.argv[1])
    loaded = time.perf_counter()
    fills, trades, profit = backtest(open_, close, by_signals)
    done = time.perf_counter()
    found = {"fills": fills, "trades": trades, "profit": profit, "bars": int(close.size), "load": loaded - started, "first": done - loaded}
    if "--twice" in sys.argv:
        again = time.perf_counter()
        backtest(open_, close, by_signals)
        found["second"] = time.perf_counter() - again
    print(json.dumps(found))


main()

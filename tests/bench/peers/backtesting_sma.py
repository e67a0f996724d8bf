"""SMA 5/20 with backtesting.py: one backtest a symbol, one after the other, fills at the next bar's open.

Usage: python backtesting_sma.py FOLDER. FOLDER holds one Parquet file a symbol. Prints one line of JSON.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import pandas as pd
from backtesting import Backtest, Strategy

warnings.filterwarnings("ignore")  # of trades still open at the end, and of the cash being smaller than a price


def average(values, period):
    return pd.Series(values).rolling(period).mean().to_numpy()


class Cross(Strategy):
    def init(self):
        self.fast = self.I(average, self.data.Close, 5)
        self.slow = self.I(average, self.data.Close, 20)

    def next(self):
        fast, slow = self.fast, self.slow
        if fast[-1] > slow[-1] and fast[-2] <= slow[-2]:
            if not self.position:
                self.buy(size=100)
        elif fast[-1] < slow[-1] and fast[-2] >= slow[-2] and self.position:
            self.position.close()


def backtest(frames):
    fills = trades = 0
    profit = 0.0
    for frame in frames:
        found = Backtest(frame, Cross, cash=10_000_000).run()
        closed, still_open = len(found._trades), len(found._strategy.trades)
        fills, trades = fills + 2 * closed + still_open, trades + closed + still_open
        profit += found["Equity Final [$]"] - 1e7
    return fills, trades, profit


def read(folder):
    names = {"open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Volume"}
    frames = []
    for path in sorted(Path(folder).glob("*.parquet")):
        frame = pd.read_parquet(path, columns=["ts", *names])
        frames.append(frame.set_index(frame.pop("ts").dt.tz_localize(None)).rename(columns=names))
    return frames


def main():
    started = time.perf_counter()
    frames = read(sys.argv[1])
    loaded = time.perf_counter()
    fills, trades, profit = backtest(frames)
    done = time.perf_counter()
    bars = sum(map(len, frames))
    print(json.dumps({"fills": fills, "trades": trades, "profit": profit, "bars": bars, "load": loaded - started, "first": done - loaded}))


if __name__ == "__main__":
    main()

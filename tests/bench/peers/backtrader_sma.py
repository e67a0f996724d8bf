"""SMA 5/20 with backtrader: one strategy over all feeds, vectorized indicators (runonce), no observers, fills at the next bar's open.

Usage: python backtrader_sma.py FOLDER. FOLDER holds one Parquet file a symbol. Prints one line of JSON.
"""

import json
import sys
import time
from pathlib import Path

import backtrader as bt
import pandas as pd


class Cross(bt.Strategy):
    def __init__(self):
        self.fills = 0
        self.cross = [(data, bt.ind.CrossOver(bt.ind.SMA(data, period=5), bt.ind.SMA(data, period=20))) for data in self.datas]

    def next(self):
        for data, cross in self.cross:
            wish = cross[0]
            if wish > 0:
                if not self.getposition(data).size:
                    self.buy(data, size=100)
            elif wish < 0 and self.getposition(data).size:
                self.close(data)

    def notify_order(self, order):
        if order.status == order.Completed:
            self.fills += 1


def main():
    started = time.perf_counter()
    cerebro = bt.Cerebro(stdstats=False, runonce=True, preload=True)
    bars = 0
    for path in sorted(Path(sys.argv[1]).glob("*.parquet")):
        frame = pd.read_parquet(path, columns=["ts", "open", "high", "low", "close", "volume"])
        frame = frame.set_index(frame.pop("ts").dt.tz_localize(None))
        bars += len(frame)
        cerebro.adddata(bt.feeds.PandasData(dataname=frame, timeframe=bt.TimeFrame.Minutes, openinterest=None), name=path.stem)
    cerebro.broker.setcash(1e8)
    cerebro.addstrategy(Cross)
    loaded = time.perf_counter()
    strategy = cerebro.run()[0]
    done = time.perf_counter()
    profit = cerebro.broker.getvalue() - 1e8
    print(json.dumps({"fills": strategy.fills, "profit": profit, "bars": bars, "load": loaded - started, "first": done - loaded}))


main()

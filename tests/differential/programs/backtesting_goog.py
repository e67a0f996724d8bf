"""backtesting.py's own example over its own data: GOOG's daily bars, averages of 10 and 30 closes, each cross reverses, all in.

Usage: python backtesting_goog.py FOLDER. Writes goog.csv (time, open, high, low, close, volume) and trades.parquet (times, prices, size).
"""

import sys
import warnings
from pathlib import Path

from backtesting import Backtest, Strategy
from backtesting.lib import crossover
from backtesting.test import GOOG, SMA

warnings.filterwarnings("ignore")


class Reversal(Strategy):
    def init(self):
        self.fast, self.slow = self.I(SMA, self.data.Close, 10), self.I(SMA, self.data.Close, 30)

    def next(self):
        if crossover(self.fast, self.slow):
            self.position.close()
            self.buy()
        elif crossover(self.slow, self.fast):
            self.position.close()
            self.sell()


folder = Path(sys.argv[1])
GOOG.rename(columns=str.lower).to_csv(folder / "goog.csv", index_label="time")
trades = Backtest(GOOG, Reversal, cash=10_000, commission=0, finalize_trades=True).run()._trades
columns = {"EntryTime": "entry", "ExitTime": "exit", "EntryPrice": "entry_price", "ExitPrice": "exit_price", "Size": "size"}
trades[list(columns)].rename(columns=columns).to_parquet(folder / "trades.parquet", index=False)

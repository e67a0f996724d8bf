"""Given signals, the trades that backtesting.py makes of them: next bar's open, stop and target as prices, one symbol.

Usage: python backtesting_trades.py FOLDER. FOLDER holds bars.parquet (ts Open High Low Close Volume) and signals.parquet (ts of the bar
that made it, action, stop, target). Writes trades.parquet (entry and exit bar, prices, size).
"""

import sys
import warnings
from pathlib import Path

import pandas as pd
from backtesting import Backtest, Strategy

warnings.filterwarnings("ignore")


def main():
    folder = Path(sys.argv[1])
    bars = pd.read_parquet(folder / "bars.parquet").set_index("ts")
    rows = pd.read_parquet(folder / "signals.parquet")
    by_bar = {ts: list(group.itertuples()) for ts, group in rows.groupby("ts")}

    class Given(Strategy):
        def init(self):
            pass

        def next(self):
            for row in by_bar.get(self.data.index[-1], ()):
                if row.action.startswith("exit"):
                    if self.position and self.position.is_long == (row.action == "exit_long"):
                        self.position.close()
                elif not self.position and not self.orders:
                    send = self.buy if row.action == "enter_long" else self.sell
                    send(size=100, sl=row.stop, tp=row.target)

    found = Backtest(bars, Given, cash=100_000_000, finalize_trades=False).run()._trades
    columns = {"EntryBar": "entry", "ExitBar": "exit", "EntryPrice": "entry_price", "ExitPrice": "exit_price", "Size": "size"}
    found[list(columns)].rename(columns=columns).to_parquet(folder / "trades.parquet", index=False)


main()

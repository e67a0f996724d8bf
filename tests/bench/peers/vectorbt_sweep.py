"""A sweep of SMA crossovers with vectorbt: a chunk of parameter sets as columns, collected between chunks; fills at the next open.

25 columns a chunk are its best: the more columns, the more memory, and the slower. Averages are worked out once each. Orders are
prepared as in vectorbt_sma.py and filled by `from_orders`, whose compiled code is kept on disk.
Usage: python vectorbt_sweep.py FOLDER TRIALS. FOLDER holds one Parquet file a symbol. Prints one line of JSON.
"""

import gc
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import vectorbt as vbt
from vectorbt.signals.nb import clean_enex_nb

COLUMNS = 25


def sweep(path, pairs):
    frame = pd.read_parquet(path, columns=["ts", "open", "close"])
    index = frame["ts"].dt.tz_localize(None)
    open_, close = frame["open"].to_numpy(), frame["close"].to_numpy()
    averages = {period: vbt.MA.run(close, period).ma.to_numpy().ravel() for period in sorted({value for pair in pairs for value in pair})}
    fills, profits = 0, []
    for first in range(0, len(pairs), COLUMNS):
        chunk = pairs[first : first + COLUMNS]
        fast = np.column_stack([averages[pair[0]] for pair in chunk])
        slow = np.column_stack([averages[pair[1]] for pair in chunk])
        enter, leave = np.zeros(fast.shape, bool), np.zeros(fast.shape, bool)
        enter[2:] = ((fast > slow)[1:] & (fast <= slow)[:-1])[:-1]
        leave[2:] = ((fast < slow)[1:] & (fast >= slow)[:-1])[:-1]
        enter, leave = clean_enex_nb(enter, leave, True)
        size = np.where(enter, 100.0, np.where(leave, -100.0, np.nan))
        wide = pd.DataFrame(np.repeat(close[:, None], len(chunk), axis=1), index=index)
        prices = np.repeat(open_[:, None], len(chunk), axis=1)
        portfolio = vbt.Portfolio.from_orders(wide, size, price=prices, init_cash=1e7, freq="1min")
        fills += len(portfolio.orders.records)
        profits += portfolio.total_profit().tolist()
        portfolio.max_drawdown(), portfolio.sharpe_ratio(), portfolio.trades.win_rate()
        del portfolio, wide, prices, size, enter, leave, fast, slow
        gc.collect()
    return fills, profits


def main():
    pairs = [(fast, slow) for fast in range(2, 22) for slow in range(22, 122, 2)][: int(sys.argv[2])]
    fills, profits = 0, []
    for path in sorted(Path(sys.argv[1]).glob("*.parquet")):
        found, gained = sweep(path, pairs)
        fills, profits = fills + found, profits + gained
    print(json.dumps({"fills": fills, "profit": sum(profits), "best": max(profits)}))


main()

"""Given orders, what vectorbt's `Portfolio.from_orders` makes of them: one shared cash account, fees and slippage as fractions.

Usage: python vectorbt_orders.py FOLDER. FOLDER holds close.parquet (ts, one column a symbol), orders.parquet (ts, symbol, size with
its sign, price) and account.json (cash, fees, slippage). Writes fills.parquet (ts, symbol, size, price, fee) and
equity.parquet (ts, equity).
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import vectorbt as vbt


def main():
    folder = Path(sys.argv[1])
    account = json.loads((folder / "account.json").read_text())
    close = pd.read_parquet(folder / "close.parquet").set_index("ts")
    orders = pd.read_parquet(folder / "orders.parquet")
    size, price = (
        orders.pivot(index="ts", columns="symbol", values=name).reindex(close.index, columns=close.columns) for name in ("size", "price")
    )
    portfolio = vbt.Portfolio.from_orders(
        close,
        size.to_numpy(),
        price=price.to_numpy(),
        fees=account["fees"],
        slippage=account["slippage"],
        init_cash=account["cash"],
        cash_sharing=True,
        group_by=True,
        call_seq=vbt.portfolio.enums.CallSeqType.Auto,  # sales before purchases
        direction="both",
    )
    made = portfolio.orders.records
    fills = pd.DataFrame(
        {
            "ts": close.index[made["idx"]],
            "symbol": close.columns[made["col"]],
            "size": np.where(made["side"] == 0, made["size"], -made["size"]),
            "price": made["price"],
            "fee": made["fees"],
        }
    )
    fills.to_parquet(folder / "fills.parquet", index=False)
    pd.DataFrame({"ts": close.index, "equity": portfolio.value().to_numpy()}).to_parquet(folder / "equity.parquet", index=False)


main()

"""What the files hold that a run has read: a digest of the values, whatever form the file gives them.

Place in the flow: baselines keep it beside the files' own hashes, so that a file that another release of a library has written with
the same bars is told from one that holds others. Never looks at symbols that the run does not trade.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl

from backtester import schema
from backtester.market.lake import Lake
from backtester.outcome.compare_record import SHORT, file_name
from backtester.outcome.digests import table_digest
from backtester.outcome.run import Run
from backtester.table import Column, Table

_LEFT_OUT = ("source", "flags")
_MEAN = Column("vwap", pl.Float64(), "mean price of the bar", schema.PRICE, empty=True)


def contents_of(run: Run, lake: Lake) -> dict[str, str]:
    """The start of a digest of each file that the run has read, by `kind/interval/session`. Raises DataError where one is gone."""
    symbols = run.manifest["config"]["resolved"]["session_data_config"]["symbols"]
    found = {}
    for file in run.manifest["data"]["files"]:
        label = np.datetime64(dt.date.fromisoformat(file["session"]), "D")
        rows = lake.read(file["kind"], file["interval"], label, "off").filter(pl.col("symbol").is_in(symbols))
        table = schema.BARS if file["kind"] == "bars" else schema.QUOTES
        columns = tuple(column for column in table.columns if column.name not in _LEFT_OUT)
        columns += (_MEAN,) if "vwap" in rows.columns else ()
        found[file_name(file)] = table_digest(Table(table.name, table.grain, table.key, columns), [rows])[:SHORT]
    return found

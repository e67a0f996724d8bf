"""Actions: the splits and cash dividends of a lake.

Place in the flow: beside the lake's bars; what reads them asks here, action_changes.py writes them. Never changes stored bars.

    ex_date    the session on whose open the action acts: bars of earlier sessions are before it, its own bars are after it
    split      `value` new shares for one old: prices before it are divided by `value`, volumes multiplied
    dividend   `value` in account currency on each share; where the same open splits, the split comes first, so on each new share
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from backtester import schema
from backtester.errors import DataError
from backtester.market.lake import ACTIONS_AGAIN, ACTIONS_FILE, READ_ERRORS, Lake
from backtester.splits import Splits

SPLIT, DIVIDEND = schema.ACTION_KINDS
KEY = list(schema.CORPORATE_ACTIONS.key)

Label = dt.date | np.datetime64


@dataclass(frozen=True)
class Actions:
    """Rows of the table `actions` in the order of its key, and the SHA-256 of the lake's file (None: the lake has none)."""

    frame: pl.DataFrame
    sha256: str | None = None

    @classmethod
    def of(cls, lake: Lake, verify: Literal["hash", "size", "off"] = "hash") -> Actions:
        """All actions of a lake. Raises DataError that names the file where it is gone, damaged or not such a table."""
        row = lake.actions
        if row is None:
            return cls(schema.empty(schema.CORPORATE_ACTIONS))
        lake.check(row["path"], verify)
        try:
            frame = pl.read_parquet(lake.root / row["path"], glob=False)
        except READ_ERRORS as error:
            raise _damaged(str(error).splitlines()[0]) from error
        if dict(frame.schema) != schema.CORPORATE_ACTIONS.dtypes:
            raise _damaged("columns " + ", ".join(frame.columns))
        if frame.select(KEY).is_duplicated().any() or not frame.equals(frame.sort(KEY)):
            raise _damaged("rows twice or out of order")
        return cls(frame, row["sha256"])

    def between(self, first_label: Label, last_label: Label, symbols: Collection[str]) -> pl.DataFrame:
        """The actions of some symbols whose ex-date lies within first..last, both included; rows of the table `actions`."""
        inside = pl.col("ex_date").is_between(_day(first_label), _day(last_label))
        return self.frame.filter(inside & pl.col("symbol").is_in(list(symbols)))

    def counts(self) -> dict[str, dict[str, int]]:
        """Symbol -> how many splits and how many dividends it has."""
        number = [(pl.col("kind") == kind).sum().alias(f"{kind}s") for kind in schema.ACTION_KINDS]
        rows = self.frame.group_by("symbol", maintain_order=True).agg(number).to_dicts()
        return {row.pop("symbol"): row for row in rows}


def splits_of(actions: pl.DataFrame, symbols: Sequence[str]) -> Splits:
    """The splits of some symbols, which are named by their place in `symbols`; actions: rows of the table `actions`."""
    places = {symbol: place for place, symbol in enumerate(symbols)}
    rows = actions.filter((pl.col("kind") == SPLIT) & pl.col("symbol").is_in(list(symbols))).sort("ex_date", "symbol")
    line = np.array([places[symbol] for symbol in rows["symbol"].to_list()], np.int64)
    return Splits(rows["ex_date"].to_numpy().astype("datetime64[D]"), line, rows["value"].to_numpy())


def _day(label: Label) -> dt.date:
    found: dt.date = np.asarray(label, "datetime64[D]").item()
    return found


def _damaged(value: str) -> DataError:
    return DataError("the lake's actions are damaged", where=ACTIONS_FILE, value=value, action=ACTIONS_AGAIN)

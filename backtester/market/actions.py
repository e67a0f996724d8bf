"""Actions: the splits and cash dividends of a lake, and bars as they look to somebody who knows those up to a session.

Place in the flow: beside the lake's bars; what reads them asks here, action_changes.py writes them. Never changes stored bars,
and never lets an action be known before its ex-date.

    ex_date    the session on whose open the action acts: bars of earlier sessions are before it, its own bars are after it
    split      `value` new shares for one old: prices before it are divided by `value`, volumes multiplied
    dividend   `value` in account currency on each share; where the same open splits, the split comes first, so on each new share
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtester import schema
from backtester.columns import Bools, Floats
from backtester.errors import DataError
from backtester.market.lake import ACTIONS_AGAIN, ACTIONS_FILE, READ_ERRORS, Lake

SPLIT, DIVIDEND = schema.ACTION_KINDS
KEY = list(schema.CORPORATE_ACTIONS.key)
_PRICED = (column.name for table in (schema.BARS, schema.QUOTES) for column in table.columns if column.unit == schema.PRICE)
PRICES = (*_PRICED, "vwap")
AMOUNTS = ("volume", "bid_size", "ask_size")

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

    def known_by(self, label: Label) -> Actions:
        """What is known when the session `label` opens: the actions with an ex-date up to it, that day's included."""
        return Actions(self.frame.filter(pl.col("ex_date") <= _day(label)), self.sha256)


def split_ratios(
    sessions: NDArray[np.datetime64],
    symbols: Sequence[str],
    actions: pl.DataFrame,
    as_of: NDArray[np.datetime64] | Label,
    since: Label | None = None,
) -> Floats:
    """Shares at the open of `as_of` for one share held in each session: the product of the splits in between; shape (rows, bars).

    Arguments as of `adjusted`.
    """
    return _scales(None, sessions, symbols, actions.filter(pl.col("kind") == SPLIT), as_of, since)[0]


def adjusted(
    columns: Mapping[str, NDArray[Any]],
    sessions: NDArray[np.datetime64],
    symbols: Sequence[str],
    actions: pl.DataFrame,
    as_of: NDArray[np.datetime64] | Label,
    *,
    since: Label | None = None,
    dividends: bool = False,
) -> dict[str, NDArray[Any]]:
    """Bars as they look to somebody who knows the actions up to the open of the session `as_of`, and none after it.

    columns: name -> array of shape (rows, bars), a row in order of time; prices and amounts come back as new arrays, whatever
    else is in there as it is. sessions: label of each bar, datetime64[D] of shape (bars,) or (rows, bars). symbols: of each row.
    actions: rows of the table `actions`. as_of: one label, or one a row. Bars before a split have their prices divided by its
    value and their amounts multiplied, so that price x volume stays. With `dividends` prices before a dividend are also
    multiplied by 1 - dividend / c, where c is the close of the last bar before it, itself adjusted; `columns` must hold `close`.
    `since`: the columns were adjusted as of that label before; only later actions count. So adjusting as of A, and then as of B
    since A, is adjusting as of B, and a second time as of A changes nothing.

    Raises DataError where a dividend is not below the close before it.
    """
    kinds = schema.ACTION_KINDS if dividends else (SPLIT,)
    close = np.asarray(columns["close"], np.float64) if dividends else None
    ratio, kept = _scales(close, sessions, symbols, actions.filter(pl.col("kind").is_in(kinds)), as_of, since)
    scaled: dict[str, NDArray[Any]] = {}
    for name, values in columns.items():
        if name in PRICES:
            scaled[name] = values / ratio * kept
        else:
            scaled[name] = values * ratio if name in AMOUNTS else values
    return scaled


def splits_at(actions: pl.DataFrame, labels: NDArray[np.datetime64], symbols: Sequence[str]) -> list[tuple[int, int, float]]:
    """(session, symbol, value) of each split: where its ex-date, or the first session after it, stands in `labels`, and the symbol."""
    places = {symbol: place for place, symbol in enumerate(symbols)}
    rows = actions.filter((pl.col("kind") == SPLIT) & pl.col("symbol").is_in(list(symbols))).sort("ex_date", "symbol")
    at = np.searchsorted(labels, rows["ex_date"].to_numpy().astype("datetime64[D]")).tolist()
    return [
        (session, places[symbol], value)
        for session, symbol, value in zip(at, rows["symbol"].to_list(), rows["value"].to_list(), strict=True)
        if session < len(labels)
    ]


def _scales(
    close: Floats | None,
    sessions: NDArray[np.datetime64],
    symbols: Sequence[str],
    actions: pl.DataFrame,
    as_of: NDArray[np.datetime64] | Label,
    since: Label | None,
) -> tuple[Floats, Floats]:
    """Of each bar the shares that one became, and the share of its price that dividends left; both of shape (rows, bars)."""
    labels = np.asarray(sessions, "datetime64[D]")
    shape = (len(symbols), labels.shape[-1])
    labels = np.broadcast_to(labels, shape)
    known = np.broadcast_to(np.asarray(as_of, "datetime64[D]"), shape[:1])
    ratio, kept = np.ones(shape), np.ones(shape)
    places: dict[str, list[int]] = {}
    for row, symbol in enumerate(symbols):
        places.setdefault(symbol, []).append(row)
    for symbol, day, kind, value in _in_order(actions, since):
        for row in places.get(symbol, ()):
            before = labels[row] < day
            if known[row] < day or not before.any():
                continue
            if kind == SPLIT:
                ratio[row, before] *= value
            elif close is not None and (last := _last(close[row], before)) is not None:
                seen = float(close[row, last] / ratio[row, last] * kept[row, last])
                kept[row, before] *= _left(symbol, day, value, seen)
    return ratio, kept


def _in_order(actions: pl.DataFrame, since: Label | None) -> Iterator[tuple[str, np.datetime64, str, float]]:
    """Symbol, ex-date, kind and value of the actions after `since` in order of time, splits before dividends."""
    rows = actions if since is None else actions.filter(pl.col("ex_date") > _day(since))
    for symbol, day, kind, value in rows.sort("ex_date", "kind", descending=[False, True]).select(*KEY, "value").iter_rows():
        yield symbol, np.datetime64(day, "D"), kind, value


def _last(close: Floats, before: Bools) -> int | None:
    """The last bar before an action that has a close."""
    found = np.flatnonzero(before & np.isfinite(close))
    return int(found[-1]) if len(found) else None


def _left(symbol: str, day: np.datetime64, dividend: float, close: float) -> float:
    """What a dividend leaves of the price before it, as a fraction."""
    if not dividend < close:
        raise DataError("a dividend that is not below the close before it", where=f"{ACTIONS_FILE}, {symbol} {day}", value=f"{dividend:g}",
                        allowed=f"less than {close:g}", action="correct it with bt data actions add --replace")  # fmt: skip
    return 1.0 - dividend / close


def _day(label: Label) -> dt.date:
    found: dt.date = np.asarray(label, "datetime64[D]").item()
    return found


def _damaged(value: str) -> DataError:
    return DataError("the lake's actions are damaged", where=ACTIONS_FILE, value=value, action=ACTIONS_AGAIN)

"""Finer bars: what a lake holds inside some bars of the base, read where trading asks for it.

Place in the flow: pipeline hands a `Finer` into trading, which calls it with the bars in which it cannot tell what came first. One query
reads all of them; what was read once is kept. Never decides which bars are worth a look.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from backtester.columns import Floats, Ints, Sessions
from backtester.errors import DataError
from backtester.market.lake import Lake
from backtester.market.load import Verify, connect, literal
from backtester.market.shelves import Shelves
from backtester.query_files import query

FINER = {"1m": ("1s",), "1d": ("1s", "1m")}
"""Which intervals stand in for a base, the best first."""
Bars = tuple[Floats, Floats, Floats, Floats]
Key = tuple[int, int]
"""A bar of the base: its symbol's place, its open in us UTC."""


@dataclass
class Looked:
    """What a bar of the base holds, and the files that were looked into."""

    bars: Bars = field(default_factory=lambda: _none())
    paths: list[str] = field(default_factory=list)


class Finer:
    """Reads finer bars of a run's symbols; `calendar` has all sessions of the run."""

    def __init__(
        self, lake: Lake, base: str, symbols: Sequence[str], calendar: Sessions, verify: Verify, threads: int, max_memory: int | None
    ) -> None:
        self._lake, self._symbols, self._calendar, self._verify = lake, symbols, calendar, verify
        self._intervals = [name for name in FINER.get(base, ()) if len(lake.files("bars", name))]
        self._threads, self._max_memory = threads, max_memory
        self._known: dict[Key, Looked] = {}
        self._reading = threading.Lock()

    def __call__(self, symbol: Ints, begin: Ints, finish: Ints) -> tuple[Ints, Floats, Floats, Floats, Floats]:
        """Place (which of the bars), open, high, low and close of the finer bars inside some bars, in the order of place and time.

        symbol: places among the symbols; begin and finish: the bars' opens and ends, us UTC. Raises DataError where a file is damaged.
        """
        keys = list(zip(symbol.tolist(), begin.tolist(), strict=True))
        with self._reading:
            new = np.array([place for place, key in enumerate(keys) if key not in self._known], np.int64)
            looked = {keys[place]: Looked() for place in new.tolist()}
            for interval in self._intervals:
                empty = np.array([place for place in new.tolist() if not len(looked[keys[place]].bars[0])], np.int64)
                self._read(interval, looked, [keys[place] for place in empty.tolist()], begin[empty], finish[empty])
            self._known |= looked  # not before all was read: who asks again for what could not be read must hear of it, too
            found = [self._known[key].bars for key in keys]
        place = np.repeat(np.arange(len(found)), [len(bars[0]) for bars in found])
        opened, high, low, close = (np.concatenate([np.zeros(0), *(bars[column] for bars in found)]) for column in range(4))
        return place, opened, high, low, close

    def files(self, symbol: Ints, begin: Ints) -> pl.DataFrame:
        """The catalog's rows of the files in which the finer bars of some bars were looked for."""
        keys = zip(symbol.tolist(), begin.tolist(), strict=True)
        paths = sorted({path for key in keys if key in self._known for path in self._known[key].paths})
        rows = [self._lake.files("bars", interval) for interval in self._intervals] or [self._lake.files("bars", "1s")]
        return pl.concat(rows).filter(pl.col("path").is_in(paths))

    def _read(self, interval: str, looked: dict[Key, Looked], keys: Sequence[Key], begin: Ints, finish: Ints) -> None:
        """Read the bars of one interval inside some bars of the base, `keys`, into `looked`."""
        if not keys:
            return
        session = np.searchsorted(self._calendar.open, begin, side="right") - 1
        shelves = Shelves(self._lake, "bars", interval, self._calendar)
        paths = {number: shelves.files(self._calendar[number : number + 1])["path"].to_list() for number in np.unique(session).tolist()}
        for key, number in zip(keys, session.tolist(), strict=True):
            looked[key].paths += paths[number]
        files = sorted({path for some in paths.values() for path in some})
        for path in files:
            self._lake.check(path, self._verify)
        if not files:
            return
        rows = self._rows(files, keys, begin, finish)
        for key, (first, last) in zip(keys, _bounds(rows[0], len(keys)), strict=True):
            looked[key].bars = (rows[1][first:last], rows[2][first:last], rows[3][first:last], rows[4][first:last])

    def _rows(self, files: Sequence[str], keys: Sequence[Key], begin: Ints, finish: Ints) -> tuple[Ints, Floats, Floats, Floats, Floats]:
        import duckdb

        with connect(self._threads, self._max_memory, [self._lake.root]) as connection:
            connection.execute("CREATE TEMP TABLE spans (place INTEGER, symbol VARCHAR, begin BIGINT, finish BIGINT)")
            columns = {
                "place": list(range(len(keys))), "symbol": [self._symbols[symbol] for symbol, _ in keys],
                "begin": begin.tolist(), "finish": finish.tolist(),
            }  # fmt: skip
            connection.execute("INSERT INTO spans SELECT unnest($place), unnest($symbol), unnest($begin), unnest($finish)", columns)
            named = [literal(str(self._lake.root / path)) for path in files]
            given = {"files": named, "begin": _instant(begin.min()), "finish": _instant(finish.max())}
            try:
                frame = connection.sql(query("load_finer"), params=given).pl()
            except duckdb.Error as error:
                where = str((self._lake.root / files[0]).parent)
                raise DataError("cannot read finer bars", where=where, value=str(error).splitlines()[0]) from error
        opened, high, low, close = (frame[name].to_numpy() for name in ("open", "high", "low", "close"))
        return frame["place"].to_numpy().astype(np.int64), opened, high, low, close


def _bounds(place: Ints, count: int) -> list[tuple[int, int]]:
    """Where the rows of each place begin and end."""
    first, last = (np.searchsorted(place, np.arange(count), side).tolist() for side in ("left", "right"))
    return list(zip(first, last, strict=True))


def _none() -> Bars:
    return np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0)


def _instant(us: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=int(us))

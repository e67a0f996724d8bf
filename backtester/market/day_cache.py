"""Day cache: sessions on their slots, taken from disk where a run has put them there before, else read from the lake and kept.

Place in the flow: in the place of load.read and grid.place_on_slots where `resources.cache` asks for it. A session's key is made of all
that its grid comes from: the content of its file (the catalog's digest, and the file itself is verified as ever), its hours, the base
interval, and the code and libraries that read it. Symbols are not in it: a file holds those that were asked for so far, and only the
others are read. So a changed day, another calendar or one symbol more makes anew what it touches, and nothing else. What derives from
the grid (coarser bars, quality, gaps, history) depends on settings, on other symbols and on other sessions, and is worked out each time:
it costs less than its digests would. Never a condition of a result: with and without, and for parts of any length, bits are the same.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib.metadata import version
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backtester.arrays import Array
from backtester.columns import OHLCV, Bools, Floats, Ints, Sessions
from backtester.market import grid, load
from backtester.market.day_files import DayFiles
from backtester.market.grid import Grid, Strays
from backtester.market.load import QUERIES, Chunk, Reader
from backtester.query_files import query

FORMAT = 1
LIBRARIES = ("duckdb", "numpy", "numba", "polars", "pyarrow")
_CODE = ("grid.py", "load.py", "shelves.py", "slotting.py", "day_cache.py", "../columns.py", "../arrays.py", "../intervals.py")


@dataclass(frozen=True)
class Day:
    """One session of some symbols (sorted) on its slots: columns of shape (symbols, slots), NaN where there is no bar; rows that do not
    count by symbol, ts and kind, in the order of time. digest: grid.digest of the columns; "" where nobody has worked it out.
    """

    symbols: tuple[str, ...]
    columns: dict[str, Floats]
    symbol: Ints
    ts: Ints
    kind: NDArray[np.int8]
    digest: str = ""

    @classmethod
    def of_arrays(cls, held: dict[str, Array]) -> Day:
        """The session in a file of the cache."""
        symbols = tuple(json.loads(held["symbols"].tobytes()))
        strays = held["stray_symbol"], held["stray_ts"], held["stray_kind"]
        return cls(symbols, {name: held[name] for name in OHLCV}, *strays, held["digest"].tobytes().decode())

    def arrays(self) -> dict[str, Array]:
        """The session for a file of the cache."""
        words, digest = (np.frombuffer(text.encode(), np.uint8) for text in (json.dumps(self.symbols), self.digest))
        strays: dict[str, Array] = {"stray_symbol": self.symbol, "stray_ts": self.ts, "stray_kind": self.kind}
        return {"symbols": words, "digest": digest, **self.columns, **strays}

    def hashed(self) -> Day:
        """The session with its digest."""
        columns = [self.columns[name] for name in OHLCV]
        return replace(self, digest=grid.digest(columns, 0, columns[0].shape[1]))

    def of(self, symbols: Sequence[str]) -> Day:
        """The session of some of its symbols, sorted."""
        if tuple(symbols) == self.symbols:
            return self
        rows = np.array([self.symbols.index(symbol) for symbol in symbols], np.int64)
        place = np.full(len(self.symbols), -1)
        place[rows] = np.arange(len(rows))
        own = place[self.symbol] >= 0
        columns = {name: values[rows] for name, values in self.columns.items()}
        return Day(tuple(symbols), columns, place[self.symbol][own], self.ts[own], self.kind[own])

    def with_more(self, other: Day) -> Day:
        """The session with the symbols of another as well, of which it has none."""
        symbols = tuple(sorted((*self.symbols, *other.symbols)))
        place = {symbol: row for row, symbol in enumerate(symbols)}
        rows = [np.array([place[symbol] for symbol in day.symbols], np.int64) for day in (self, other)]
        columns = {}
        for name in OHLCV:
            columns[name] = np.empty((len(symbols), self.columns[name].shape[1]))
            columns[name][rows[0]], columns[name][rows[1]] = self.columns[name], other.columns[name]
        symbol = np.concatenate([rows[0][self.symbol], rows[1][other.symbol]])
        ts = np.concatenate([self.ts, other.ts])
        order = np.lexsort([symbol, ts])  # stable: rows of one symbol and time stay as they came
        return Day(symbols, columns, symbol[order], ts[order], np.concatenate([self.kind, other.kind])[order])


class DayCache:
    """Reads sessions of a run's base interval through the cache; used by one thread at a time."""

    def __init__(self, files: DayFiles, reader: Reader) -> None:
        self.files, self.reader = files, reader
        self._readers = {reader.symbols: reader}
        self.hits = self.misses = 0

    def read(self, sessions: Sessions) -> tuple[Chunk, Grid]:
        """The sessions on their slots, and what was read of them as a chunk without rows. Errors as of `load.read`."""
        started = time.perf_counter()
        shelves = self.reader.shelves
        if shelves is None or shelves.foreign.any():  # bars of a session stand in files of others: no file's digest speaks for one
            chunk = load.read(self.reader, sessions)
            return chunk, grid.place_on_slots(chunk, self.reader.interval)
        files = shelves.files(sessions)
        sha = dict(zip(files["session"].to_numpy().astype("datetime64[D]").tolist(), files["sha256"], strict=True))
        path = dict(zip(files["session"].to_numpy().astype("datetime64[D]").tolist(), files["path"], strict=True))
        labels = sessions.label.astype("datetime64[D]").tolist()
        keys = [self._key(sha[label], sessions, at) if label in sha else "" for at, label in enumerate(labels)]
        with ThreadPoolExecutor(max(1, self.reader.threads), "cache") as pool:
            days = list(pool.map(lambda at: self._found(keys[at], path.get(labels[at])), range(len(labels))))
        made = self._filled(days, keys, sessions) or _together(days, sessions, self.reader)
        empty = load.unread(self.reader, sessions)
        return replace(empty, files=files, seconds=time.perf_counter() - started), made

    def _filled(self, days: list[Day | None], keys: Sequence[str], sessions: Sessions) -> Grid | None:
        """Read what is missing of some sessions, enter it in `days` and let it be kept; the grid of all, where nothing was there of it."""
        made = None
        for missing, places in groupby(range(len(days)), lambda at: self._missing(days[at]) if keys[at] else ()):
            if missing:
                at, fresh = list(places), []
                made = self._made(missing, sessions[at[0] : at[-1] + 1])
                for place, day in zip(at, _cut(made), strict=True):
                    before = days[place]
                    days[place] = whole = day if before is None else before.with_more(day).hashed()
                    fresh.append((keys[place], str(sessions.label[place]), whole))
                self.files.later(partial(self._keep, fresh))
        return made if made is not None and len(made.clock.sessions) == len(sessions) and made.symbols == self.reader.symbols else None

    def _keep(self, fresh: Sequence[tuple[str, str, Day]]) -> None:
        """Put sessions, with their keys and labels, into the cache."""
        for key, label, day in fresh:
            self.files.keep(key, self.reader.interval, label, day.arrays())

    def _found(self, key: str, path: str | None) -> Day | None:
        """What the cache has of a session; the lake's own file is verified as if it were read."""
        held = self.files.find(key) if key else None
        if held is None or path is None:
            return None
        self.reader.lake.check(path, self.reader.verify)
        return Day.of_arrays(held)

    def _missing(self, day: Day | None) -> tuple[str, ...]:
        """Symbols of the run that are not there."""
        held = frozenset() if day is None else frozenset(day.symbols)
        missing = tuple(symbol for symbol in self.reader.symbols if symbol not in held)
        self.hits += not missing
        self.misses += bool(missing)
        return missing

    def _made(self, symbols: tuple[str, ...], sessions: Sessions) -> Grid:
        """Sessions of some symbols from the lake, with their digests."""
        reader = self._readers.setdefault(symbols, replace(self.reader, symbols=symbols))
        made = grid.place_on_slots(load.read(reader, sessions), reader.interval)
        columns = [getattr(made, name) for name in OHLCV]
        return replace(made, digests=tuple(grid.digest(columns, first, stop) for first, stop in pairwise(made.clock.offset.tolist())))

    def _key(self, sha256: str, sessions: Sessions, at: int) -> str:
        hours = [int(getattr(sessions, name)[at]) for name in ("open", "close", "break_start", "break_end")]
        facts = [FORMAT, self._code, self.reader.kind, self.reader.interval, sha256, str(sessions.label[at]), hours]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]

    @cached_property
    def _code(self) -> str:
        """Digest of the code and the libraries by which a grid is made."""
        from backtester import __version__

        here = Path(__file__).parent
        hasher = hashlib.sha256(json.dumps([__version__, *map(version, LIBRARIES)]).encode())
        hasher.update(query(QUERIES[self.reader.kind]).encode())
        for name in _CODE:
            hasher.update((here / name).read_bytes())
        return hasher.hexdigest()


def _cut(made: Grid) -> Iterator[Day]:
    """The sessions of a grid one by one, on its own memory."""
    strays = made.strays
    for at, (first, stop) in enumerate(pairwise(made.clock.offset.tolist())):
        own = strays.session == at
        columns = {name: getattr(made, name)[:, first:stop] for name in OHLCV}
        yield Day(made.symbols, columns, strays.symbol[own], strays.ts[own], strays.kind[own], made.digests[at] or "")


def _together(days: Sequence[Day | None], sessions: Sessions, reader: Reader) -> Grid:
    """Sessions side by side as one grid; those that the lake has no file of are without a bar."""
    clock, symbols = grid.clock_of(sessions, reader.interval), reader.symbols
    shape, offset = (len(symbols), len(clock.ts)), clock.offset
    columns = {name: np.empty(shape) for name in OHLCV}
    strays = []

    def put(at: int) -> None:
        slots, day = slice(int(offset[at]), int(offset[at + 1])), days[at]
        own = None if day is None else day.of(symbols)
        for name, values in columns.items():
            values[:, slots] = np.nan if own is None else own.columns[name]

    with ThreadPoolExecutor(max(1, reader.threads), "cache") as pool:
        list(pool.map(put, range(len(days))))
    for at, day in enumerate(days):
        if day is not None and len(day.symbol):
            own = day.of(symbols)
            strays.append(Strays(own.symbol, np.full(len(own.symbol), at), own.ts, own.kind))
    digests = tuple(None if day is None or day.symbols != symbols else day.digest for day in days)
    present: Bools = ~np.isnan(columns["close"])
    count = np.add.reduceat(present, offset[:-1], axis=1, dtype=np.int32).T if len(days) else np.zeros((0, len(symbols)), np.int32)
    return Grid(
        clock=clock, symbols=symbols, present=present, count=np.ascontiguousarray(count), strays=_strays(strays), digests=digests, **columns
    )


def _strays(parts: Sequence[Strays]) -> Strays:
    none = Strays(*(np.zeros(0, np.int64),) * 3, np.zeros(0, np.int8))
    whole = [none, *parts]
    return Strays(*(np.concatenate([getattr(part, name) for part in whole]) for name in ("symbol", "session", "ts", "kind")))

"""Load: chunks of sessions from the lake as Arrow, merged by DuckDB, the next one read while this one is worked on.

Place in the flow: phase 3 of a day. A session's bars are ONE Arrow table, a zero-copy slice of its chunk. Never decides
which bars count: out-of-session bars, duplicates and damaged values come through as stored.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from backtester.columns import Sessions
from backtester.errors import DataError, ResourceError
from backtester.market.lake import Lake
from backtester.market.shelves import Shelves
from backtester.query_files import query

Verify = Literal["hash", "size", "off"]
Part = TypeVar("Part")
Done = TypeVar("Done")
QUERIES = {"bars": "load_bars", "quotes": "load_quotes", "means": "load_bars_with_vwap", "ranges": "load_quote_bars"}
COLUMNS = {
    "bars": ("open", "high", "low", "close", "volume"),
    "quotes": ("bid_open", "bid_close", "ask_open", "ask_close"),
    "ranges": ("bid_open", "bid_high", "bid_low", "bid_close", "ask_open", "ask_high", "ask_low", "ask_close"),
}
VWAP = "vwap"


@dataclass(frozen=True)
class Reader:
    """What is read of a lake: kind and interval, symbols (sorted by name), and with how many threads and bytes.

    calendar: all sessions that may be asked for, which tells where bars stand that were filed by another; None: in the files
    with their names. means: with the bars' mean prices, null where a file has none. ranges: with the quotes' highs and lows.
    """

    lake: Lake
    kind: Literal["bars", "quotes"]
    interval: str
    symbols: tuple[str, ...]
    verify: Verify = "hash"
    threads: int = 2
    max_memory: int | None = None
    calendar: Sessions | None = None
    means: bool = False
    ranges: bool = False

    @property
    def nothing(self) -> pa.Table:
        """No rows of what is read."""
        names = COLUMNS["ranges" if self.ranges else self.kind]
        fields = [
            ("day", pa.uint16()),
            ("ts", pa.timestamp("us", "UTC")),
            ("symbol_id", pa.uint16()),
            *[(name, pa.float64()) for name in names],
        ]
        return pa.Table.from_batches([], pa.schema(fields))  # empty_table() would import pandas

    @cached_property
    def shelves(self) -> Shelves | None:
        """Where the bars of the calendar's sessions stand."""
        return None if self.calendar is None else Shelves(self.lake, self.kind, self.interval, self.calendar)

    @cached_property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """A connection that knows the wanted symbols; made at the first read, used by one thread at a time."""
        made = connect(self.threads, self.max_memory, [self.lake.root])
        made.execute("CREATE TEMP TABLE wanted (symbol VARCHAR, id USMALLINT)")
        names = {"symbols": list(self.symbols), "ids": list(range(len(self.symbols)))}
        made.execute("INSERT INTO wanted SELECT unnest($symbols), unnest($ids)", names)
        return made

    def close(self) -> None:
        """Give back what the connection holds, some tens of megabytes; a read after it makes another."""
        if "connection" in self.__dict__:
            self.__dict__.pop("connection").close()


@dataclass(frozen=True)
class Chunk:
    """Bars of several sessions: one Arrow table sorted by (session, ts, symbol), and the first row of each session.

    table columns: day uint16, ts timestamp[us, UTC], symbol_id uint16, then float64 columns. first has shape (sessions + 1,).
    files are the catalog's rows of what was read; seconds is how long it took.
    """

    sessions: Sessions
    symbols: tuple[str, ...]
    table: pa.Table
    first: NDArray[np.int64]
    files: pl.DataFrame
    seconds: float

    def day(self, session: int) -> pa.Table:
        """One session as an Arrow table sorted by (ts, symbol): a slice without a copy."""
        return self.table.slice(int(self.first[session]), int(self.first[session + 1] - self.first[session]))

    def session_of_rows(self) -> NDArray[np.int64]:
        """The session's index of every row, shape (rows,)."""
        return np.repeat(np.arange(len(self.sessions)), np.diff(self.first))

    def column(self, name: str) -> NDArray[Any]:
        """One column as numpy, shape (rows,): ts as int64 us, prices float64 with NaN for null."""
        return _numpy(self.table, name)


def connect(threads: int, max_memory: int | None, roots: Sequence[Path]) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB that reads below `roots` and nothing else, in UTC, without replacement scans or extensions."""
    settings: dict[str, Any] = {"threads": threads, "python_enable_replacements": False}
    if max_memory is not None:
        settings["memory_limit"] = f"{max_memory}B"
    connection = duckdb.connect(config=settings)
    connection.execute("SET TimeZone = 'UTC'")
    folders = [str(root.resolve()) + "/" for root in roots]
    connection.execute("SET allowed_directories = $roots", {"roots": folders + [literal(folder) for folder in folders]})
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def read(reader: Reader, sessions: Sessions) -> Chunk:
    """All bars of `sessions` in one query. Raises DataError that names the file where one is missing or damaged."""
    started = time.perf_counter()
    shelves = reader.shelves
    files = reader.lake.files(reader.kind, reader.interval, sessions.label) if shelves is None else shelves.files(sessions)
    paths = [reader.lake.root / name for name in files["path"]]
    for row, path in zip(files["path"], paths, strict=True):
        _present(path)
        reader.lake.check(row, reader.verify)
        if reader.verify != "hash":
            _check_columns(reader, path)
    table = _merged(reader, paths) if paths else reader.nothing
    label = files["session"].to_numpy().astype("datetime64[D]")
    if shelves is not None and shelves.are_foreign(files):
        table, rows = _refiled(table, label, shelves, sessions)
    else:
        rows = np.zeros(len(sessions), np.int64)
        if paths:
            rows[np.searchsorted(sessions.label, label)] = np.diff(np.searchsorted(_numpy(table, "day"), np.arange(len(paths) + 1)))
    first = np.concatenate([np.zeros(1, np.int64), np.cumsum(rows)])
    return Chunk(sessions, reader.symbols, table, first, files, time.perf_counter() - started)


def ahead(work: Callable[[Part], Done], parts: Iterable[Part]) -> Iterator[Done]:
    """What is made of the parts, in their order; while one is worked with, the next is made on another thread.

    Parts may come from another `ahead`: each is a station of its own, with one part in hand and one that waits.
    """
    rest = iter(parts)

    def step() -> list[Done]:
        return [work(part) for part in islice(rest, 1)]

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead") as pool:
        waiting = pool.submit(step)
        while found := waiting.result():
            waiting = pool.submit(step)
            yield found.pop()


def unread(reader: Reader, sessions: Sessions) -> Chunk:
    """The chunk of sessions that nobody needs to read."""
    first = np.zeros(len(sessions) + 1, np.int64)
    return Chunk(sessions, reader.symbols, reader.nothing, first, reader.lake.files(reader.kind, reader.interval, []), 0.0)


def _merged(reader: Reader, paths: Sequence[Path]) -> pa.Table:
    try:
        means = reader.means and any(VWAP in _schema(path).names for path in paths)
        name = "means" if means else "ranges" if reader.ranges else reader.kind
        relation = reader.connection.sql(query(QUERIES[name]), params={"files": [literal(str(path)) for path in paths]})
        return _settled(relation.to_arrow_table())
    except duckdb.OutOfMemoryException as error:
        raise ResourceError("not enough memory to load a chunk of sessions", value=str(error).splitlines()[0],
                            action="lower backtest_config.prefetch_days or raise resources.max_memory") from error  # fmt: skip
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        for path in paths:
            _check_columns(reader, path)
        raise DataError("cannot read bars", where=str(paths[0].parent), value=str(error).splitlines()[0]) from error


def literal(path: str) -> str:
    """A path for DuckDB, which takes every name for a pattern: this one matches itself alone.

    >>> literal("/data/a[1]/lake")
    '/data/a[[]1]/lake'
    """
    return re.sub(r"([*?\[])", r"[\1]", path)


def _settled(table: pa.Table) -> pa.Table:
    """The table ordered by (day, ts, symbol), rows that share all three by their values, so that threads never change their order.

    The query orders by (ts, symbol): as sessions follow each other, the day is in order too, but for a stray bar filed with
    another day. The full key in the query would cost a quarter more, for strays and duplicates that imports do not let in.
    """
    day, ts, symbol = keys = [_numpy(table, name) for name in ("day", "ts", "symbol_id")]
    same = (ts[1:] == ts[:-1]) & (symbol[1:] == symbol[:-1])
    if not same.any() and (day[1:] >= day[:-1]).all():
        return table
    values = [_numpy(table, name) for name in table.column_names if name not in ("day", "ts", "symbol_id")]
    return table.take(pa.array(np.lexsort([*values[::-1], *keys[::-1]])))


def _refiled(table: pa.Table, label: NDArray[np.datetime64], shelves: Shelves, sessions: Sessions) -> tuple[pa.Table, NDArray[np.int64]]:
    """The rows of `sessions` under the session in which each lies, whichever file it stood in; and how many each has."""
    start, end = shelves.span(sessions)
    ts = _numpy(table, "ts")
    session = shelves.session_of(ts, label[_numpy(table, "day")])
    kept = np.flatnonzero((session >= start) & (session < end))
    day = session[kept] - start
    order = np.lexsort([_numpy(table, "symbol_id")[kept], ts[kept], day])
    moved = table.take(pa.array(kept[order]))
    return moved.set_column(0, moved.schema.field("day"), pa.array(day[order].astype(np.uint16))), np.bincount(day, minlength=len(sessions))


def _numpy(table: pa.Table, name: str) -> NDArray[Any]:
    """A column as numpy: instants as int64 us, floats with NaN for null."""
    frame = pl.from_arrow(table.select([name]))  # not the column alone: that would import all of pyarrow.compute
    assert isinstance(frame, pl.DataFrame)
    return frame.to_series().to_physical().to_numpy()


def _check_columns(reader: Reader, path: Path) -> None:
    """Raise DataError that names the file where it is damaged, lacks a declared column or holds one in another type.

    DuckDB takes the types of the first file for all and casts the others without a word.
    """
    name = str(path.relative_to(reader.lake.root))
    try:
        held = _schema(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError("cannot read a file of the lake", where=name, value=str(error).splitlines()[0],
                        allowed="a complete Parquet file", action="import the session again") from error  # fmt: skip
    expected = {"symbol": pa.string(), **{field.name: field.type for field in reader.nothing.schema}}
    for column, kind in expected.items():
        found = held.field(column).type if column in held.names else None
        if column not in ("day", "symbol_id") and found != kind:
            raise DataError("a file of the lake lacks a declared column", where=name, allowed=f"{column} {kind}",
                            value=None if found is None else f"{column} {found}", action="import the session again")  # fmt: skip


def _schema(path: Path) -> pa.Schema:
    """The columns of a Parquet file."""
    import pyarrow.parquet as pq  # heavy: with it comes what reads the clouds

    return pq.read_schema(path)


def _present(path: Path) -> None:
    if not path.is_file():
        raise DataError("a file of the lake is gone", where=str(path), action="import the session again, or run bt data verify")

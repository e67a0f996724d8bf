"""One table's file, written as its rows come, with memory flat and a digest kept.

Place in the flow: `RunFolder` holds one writer a table. Never decides where the file lies nor when it is shown to readers.

Rows wait until GROUP of them make a row group, so that the file's bytes do not depend on the pieces in which they came.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import polars as pl
import pyarrow as pa

from backtester.atomic import write_error
from backtester.errors import BacktesterError, ResourceError
from backtester.outcome.digests import TableDigest
from backtester.schema import Table, frame
from backtester.table import fits

GROUP = 65_536


@dataclass(frozen=True)
class Stored:
    """What was written of a table."""

    rows: int
    bytes: int
    digest: str


class TableWriter:
    """Writes one table into an open binary file; `close` it, or `drop` it where the run ends early."""

    def __init__(self, table: Table, path: Path, file: BinaryIO) -> None:
        import pyarrow.parquet as pq  # heavy, and sweeps write no table of a run

        self.table, self.path, self.rows = table, path, 0
        self._file = file
        self._schema = pa.schema([pa.field(column.name, _arrow_type(column.dtype), column.empty) for column in table.columns])
        self._parquet = pq.ParquetWriter(
            file,
            self._schema,
            compression="zstd",
            # Dictionaries of numbers that hardly repeat cost four times the time and make the file larger.
            use_dictionary=[column.name for column in table.columns if column.dtype == pl.String],
            # What rises from row to row is a few bits more than its neighbour.
            column_encoding={
                column.name: "DELTA_BINARY_PACKED" for column in table.columns if column.dtype.is_integer() or column.dtype.is_temporal()
            },
            # Bounds are of use where readers look for a time, and cost a fifth of the writing where they do not.
            write_statistics=[column.name for column in table.columns if column.dtype.is_temporal()],
            store_schema=False,  # text is text to every reader, however it was handed over
        )
        self._digest = TableDigest(table)
        self._waiting: list[tuple[pl.DataFrame, pl.Schema]] = []
        self._pending = 0

    @classmethod
    def create(cls, table: Table, folder: Path) -> TableWriter:
        """A writer of a new file `<table>.parquet` in the folder; OutputError or ResourceError where it cannot be made."""
        path = folder / f"{table.name}.parquet"
        try:
            return cls(table, path, path.open("xb"))
        except OSError as error:
            raise write_error(path, error) from error

    def add(self, rows: pl.DataFrame) -> None:
        """Append rows; InternalError where they are not of this table, ResourceError where the disk is full."""
        kinds = rows.schema
        if not fits(self.table, kinds):
            rows = frame(self.table, rows)
            kinds = rows.schema
        self._waiting.append((rows, kinds))
        self._pending += rows.height
        self.rows += rows.height
        if self._pending >= GROUP:
            self._flush(last=False)

    def close(self) -> Stored:
        """Write what waits, finish the file and sync it."""
        self._flush(last=True)
        try:
            self._parquet.close()
            self._file.flush()
            size = self._file.tell()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise no_room(self.path, error, 0) from error
        return Stored(self.rows, size, self._digest.hexdigest())

    def drop(self) -> None:
        """Let the file go unfinished; it is to be deleted."""
        self._waiting.clear()
        # The end of a Parquet file is written at its close, which fails where the disk is full: there is nothing to save.
        with contextlib.suppress(OSError, ValueError):
            self._parquet.close()
        with contextlib.suppress(OSError, ValueError):
            self._file.close()

    def _flush(self, *, last: bool) -> None:
        """Write full row groups, and at the end the rest."""
        if not self._waiting:
            return
        rows = _joined(self._waiting)
        count = rows.height if last else rows.height // GROUP * GROUP
        try:
            for start in range(0, count, GROUP):
                self._parquet.write_table(self._arrow(rows.slice(start, min(GROUP, count - start))))
        except OSError as error:
            raise no_room(self.path, error, int(rows.estimated_size())) from error
        rest = rows.slice(count)
        self._waiting, self._pending = ([(rest, rest.schema)] if rest.height else []), rest.height

    def _arrow(self, rows: pl.DataFrame) -> pa.Table:
        """The next rows, digested, for Parquet: text as the digest's numbers of its words, which it would look for again in every row."""
        columns, arrays = self._digest.add(rows), []
        for field in self._schema:
            values = columns[field.name] if field.name in columns else rows.get_column(field.name)
            array = values.to_arrow()
            if pa.types.is_dictionary(field.type):
                words = pl.Series(self._digest.words(field.name), dtype=pl.String).to_arrow(compat_level=pl.CompatLevel.oldest())
                array = pa.DictionaryArray.from_arrays(array, words)
            arrays.append(array)
        return pa.Table.from_arrays(arrays, schema=self._schema)


def _arrow_type(dtype: pl.DataType) -> pa.DataType:
    """A column's type as it is handed to Parquet."""
    if dtype == pl.String:
        return pa.dictionary(pa.int32(), pa.large_string())
    return pl.Series(dtype=dtype).to_arrow().type


def _joined(pieces: list[tuple[pl.DataFrame, pl.Schema]]) -> pl.DataFrame:
    """Frames of one table on end; text whose Enums differ becomes text again."""
    first = pieces[0][1]
    differs = {name for _, kinds in pieces[1:] for name, kind in kinds.items() if kind != first[name]}
    rows = [rows.with_columns(pl.col(*differs).cast(pl.String)) if differs else rows for rows, _ in pieces]
    return pl.concat(rows).rechunk()


def no_room(path: Path, error: OSError, needed: int) -> BacktesterError:
    """The user's error for a write that failed; where the disk is full with the bytes that are free and at least needed."""
    found = write_error(path, error)
    if not isinstance(found, ResourceError):
        return found
    free = shutil.disk_usage(path.parent).free if path.parent.is_dir() else 0
    return ResourceError(
        found.what,
        where=str(path),
        value=f"{found.value}, {free} bytes free",
        allowed=f"at least {needed} bytes more" if needed else None,
        action=found.action,
    )

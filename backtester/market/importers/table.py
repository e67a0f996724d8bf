"""Tables: any CSV or Parquet file whose columns are declared.

Place in the flow: one importer; its pieces go to the checks. Column names, zone, stamp, delimiter and decimal mark are declared,
or are the lake's own; a file that does not fit stops the import. Never reads a column that nobody asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from backtester.errors import DataError, ResourceError
from backtester.intervals import Interval
from backtester.market.importers import mapping
from backtester.market.importers.source import Piece, Place, read_bytes
from backtester.market.importers.text import numbers, read_text, whole
from backtester.market.importers.times import Stamps, dates, instants, read_times
from backtester.market.lake import Kind

CSV_ENDINGS = (".csv", ".txt", ".csv.gz", ".txt.gz")
PARQUET_ENDINGS = (".parquet",)
MAX_ROWS, MAX_ROW_GROUPS = 200_000_000, 100_000
MAX_FOOTER_BYTES, MAX_DATA_BYTES = 64 * 1024**2, 16 * 1024**3
"""What a Parquet file may ask for before anything of it is read."""

_TICKER_FILE = re.compile(r"([A-Z]{1,5})(?:_\d+)?")
_HIVE = re.compile(r"symbol=(.+)")


@dataclass(frozen=True)
class Layout:
    """What the user declares about a table; `mapped` is field -> column (mapping.parse)."""

    interval: str = "1m"
    mapped: dict[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    symbol: str | None = None
    symbol_from_name: bool = False
    stamps: Stamps = field(default_factory=Stamps)
    delimiter: str = ","
    decimal: str = "."
    header: bool = True
    kind: Kind | None = None
    date_zone: str = "UTC"
    """Zone in which an instant of a daily bar has its date, where none is declared."""


def read_csv(path: Path, layout: Layout) -> Piece:
    """The rows of one CSV file, `.gz` and `.zip` included. Raises DataError with the line of a damaged row."""
    mapped = layout.mapped
    if not layout.header and not mapped:
        mapped = mapping.parse(["ts,open,high,low,close,volume"], False)
    content = read_bytes(path)
    names = None if layout.header else _all_positions(content, path, layout, mapped)
    frame, place = read_text(content, path, layout.delimiter, names)
    ignored = layout.ignored if layout.header else tuple(frame.columns)
    has_symbol = _symbol_of_path(path, layout) is not None
    kind, columns = mapping.resolve(mapped, frame.columns, ignored, place, layout.kind, has_symbol)
    return _built(frame, place, layout, kind, columns, f"csv:{path.name}")


def read_parquet(path: Path, layout: Layout) -> Piece:
    """The rows of one Parquet file. Raises DataError where it is no whole Parquet file, ResourceError past the limits."""
    names = _parquet_columns(path)
    place = Place(path)
    kind, columns = mapping.resolve(layout.mapped, names, layout.ignored, place, layout.kind, _symbol_of_path(path, layout) is not None)
    wanted = list(dict.fromkeys(name for fields in columns.values() for name in fields))
    try:
        frame = pl.read_parquet(path, columns=wanted, hive_partitioning=False, glob=False)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DataError("cannot read a Parquet file", where=str(path), value=str(error).splitlines()[0]) from error
    if not len(frame):
        raise DataError("a file without rows", where=str(path))
    return _built(frame, place, layout, kind, columns, f"parquet:{path.name}")


def _all_positions(content: bytes, path: Path, layout: Layout, mapped: dict[str, str]) -> list[str]:
    """Names `1`, `2`, ... for all fields of a file without a header; its first line tells how many there are."""
    wanted = mapping.positions(mapped)
    first = next((line for line in content[:65_536].decode("utf-8-sig", "replace").splitlines() if line.strip()), "")
    fields = first.count(layout.delimiter) + 1
    if fields < len(wanted):
        raise DataError("fewer columns than mapped", where=f"{path}, line 1", value=f"{fields} in {first[:80]!r}",
                        allowed=f"{len(wanted)}", action="check --delimiter and --map")  # fmt: skip
    return [str(number) for number in range(1, fields + 1)]


def _built(frame: pl.DataFrame, place: Place, layout: Layout, kind: Kind, columns: dict[str, tuple[str, ...]], source: str) -> Piece:
    """The declared columns in the lake's words and dtypes."""
    fields = {name: _column(frame, names, place) for name, names in columns.items()}
    times = read_times(fields.pop("ts"), layout.stamps, place)
    fold = fields.pop("fold", None)
    symbol = _symbols(fields.pop("symbol", None), len(frame), place, layout)
    values = [_number(name, series, place, layout.decimal) for name, series in fields.items()]
    if kind == "quotes":
        values += [pl.Series(name, [None] * len(frame), pl.Float64) for name in mapping.SIZES if name not in fields]
    if layout.interval == "1d":
        stamp = dates(times, layout.stamps, layout.date_zone).alias("day")
    else:
        stamp = instants(times, layout.stamps, None if fold is None else _fold(fold, place), place).alias("ts")
        if layout.stamps.at_close:
            stamp = stamp.dt.offset_by(f"-{Interval.parse(layout.interval).step_us}us")
    built = pl.DataFrame([stamp, symbol, *values]).with_row_index("row").with_columns(source=pl.lit(source))
    volume = fields.get("volume")
    stored_whole = None if volume is None or volume.dtype == pl.String else volume.dtype.is_integer()
    return Piece(place, kind, layout.interval, built, source, None, stored_whole, times.zoned, _notes(fields, place))


def _column(frame: pl.DataFrame, names: tuple[str, ...], place: Place) -> pl.Series:
    """One column of the source, or a date and a time of day as one text."""
    if len(names) == 1:
        return frame[names[0]]
    if any(frame.schema[name] != pl.String for name in names):
        raise DataError("a date and a time of day that are not text", where=str(place), value=" and ".join(names))
    return frame.select(pl.concat_str(names, separator=" ")).to_series()


def _number(name: str, series: pl.Series, place: Place, decimal: str) -> pl.Series:
    """A column of values in the lake's dtype."""
    dtype = series.dtype
    series = series.alias(name)
    if dtype == pl.String:
        series = numbers(series, place, decimal)
    elif dtype.is_integer():
        series = whole(series, place)
    elif dtype.is_float() or dtype.is_decimal() or dtype == pl.Null:
        series = series.cast(pl.Float64)
    else:
        raise DataError("a column of values of another kind", where=str(place), value=f"{name} {dtype}", allowed="numbers")
    if name != "trades":
        return series
    fraction = (series.is_finite() & (series != series.floor())).arg_true()
    if len(fraction):
        raise DataError("a count that is no whole number", where=place.at(int(fraction[0])), value=f"trades {series[int(fraction[0])]}")
    return series.cast(pl.Int64)


def _fold(series: pl.Series, place: Place) -> pl.Series:
    """0 or 1 a row: which pass of a repeated hour."""
    read = series.cast(pl.String).str.strip_chars().replace_strict({"0": 0, "1": 1, "": None}, default=9, return_dtype=pl.Int8)
    wrong = (read == 9).arg_true()
    if len(wrong):
        raise DataError("a fold that is neither 0 nor 1", where=place.at(int(wrong[0])), value=repr(series[int(wrong[0])]))
    return read


def _symbols(column: pl.Series | None, rows: int, place: Place, layout: Layout) -> pl.Series:
    """The symbol of each row as text; the column, the file's path and the declared symbol must agree."""
    declared = _symbol_of_path(place.path, layout)
    if column is None:
        return pl.repeat(declared, rows, dtype=pl.String, eager=True).alias("symbol")
    if column.dtype not in (pl.String, pl.Categorical, pl.Enum):
        raise DataError("a column of symbols that is not text", where=str(place), value=str(column.dtype), allowed="text: 0700 is not 700")
    text = column.cast(pl.String).alias("symbol")
    named = _TICKER_FILE.fullmatch(place.path.stem)
    if declared is None and named is not None and "symbol" not in layout.mapped:
        declared = named[1] if text.n_unique() == 1 else None
    wrong = (text.fill_null("") != declared).arg_true() if declared is not None else pl.Series([], dtype=pl.UInt32)
    if len(wrong):
        raise DataError("the symbol of a row is not that of its file", where=place.at(int(wrong[0])),
                        value=f"{text[int(wrong[0])]}, the file's {declared}",
                        action="correct one of them, or let the column decide with --map symbol=COLUMN")  # fmt: skip
    return text


def _symbol_of_path(path: Path, layout: Layout) -> str | None:
    """The symbol that holds for a whole file: declared, or of a folder `symbol=0700`, or of the file's name where that is asked for."""
    folder = next((found[1] for part in reversed(path.parts[:-1]) if (found := _HIVE.fullmatch(part))), None)
    if layout.symbol is not None and folder is not None and layout.symbol != folder:
        raise DataError("the declared symbol is not that of the file's folder", where=str(path), value=layout.symbol, allowed=folder)
    if layout.symbol is not None or folder is not None:
        return layout.symbol or folder
    return re.split(r"[._]", path.name, maxsplit=1)[0] if layout.symbol_from_name else None


def _notes(fields: dict[str, pl.Series], place: Place) -> tuple[str, ...]:
    """What is worth a sentence in the report."""
    narrow = [name for name, series in fields.items() if series.dtype == pl.Float32]
    return (f"{place.path.name}: {', '.join(narrow)} stored in 32 bits: about 7 digits",) if narrow else ()


def _parquet_columns(path: Path) -> list[str]:
    """Names of a Parquet file's columns, after its footer was found whole and within the limits."""
    try:
        _check_ends(path)
        with pq.ParquetFile(path) as file:
            metadata, names = file.metadata, file.schema_arrow.names
            groups = metadata.num_row_groups
            if metadata.num_rows > MAX_ROWS or groups > MAX_ROW_GROUPS:
                raise _bomb(path, f"{metadata.num_rows} rows in {groups} row groups", f"{MAX_ROWS} rows, {MAX_ROW_GROUPS} row groups")
            size = sum(metadata.row_group(index).total_byte_size for index in range(groups))
            if size > MAX_DATA_BYTES:
                raise _bomb(path, f"{size} bytes once unpacked", f"{MAX_DATA_BYTES}")
    except PermissionError as error:
        raise DataError("no permission to read a file", where=str(path)) from error
    except (OSError, pa.ArrowException) as error:
        encrypted = "encrypt" in str(error)
        raise DataError("an encrypted Parquet file" if encrypted else "cannot read a Parquet file", where=str(path),
                        value=str(error).splitlines()[0]) from error  # fmt: skip
    return list(names)


def _check_ends(path: Path) -> None:
    """Look at the file's first and last bytes: is it Parquet, whole, plain, and of a footer that can be read?"""
    with path.open("rb") as file:
        start = file.read(4)
        size = file.seek(0, 2)
        file.seek(max(size - 8, 0))
        tail = file.read(8)
    if b"PARE" in (start, tail[4:]):
        raise DataError("an encrypted Parquet file", where=str(path), action="decrypt it first")
    if start != b"PAR1":
        raise DataError(
            "not a Parquet file", where=str(path), value=f"{size} bytes that begin {start!r}", action="for text use --format csv"
        )
    if tail[4:] != b"PAR1":
        raise DataError("an incomplete Parquet file (no footer)", where=str(path), value=f"{size} bytes", action="fetch it again")
    if int.from_bytes(tail[:4], "little") > MAX_FOOTER_BYTES:
        raise _bomb(path, f"a footer of {int.from_bytes(tail[:4], 'little')} bytes", f"{MAX_FOOTER_BYTES}")


def _bomb(path: Path, value: str, allowed: str) -> ResourceError:
    return ResourceError("a Parquet file past the limits", where=str(path), value=value, allowed=f"up to {allowed}", action="split it")

"""Text: delimited rows become columns of text, each row of the declared length, and text becomes numbers.

Place in the flow: beneath the importers of CSV and Lean. Never infers a type: `0700`, `TRUE`, `NA` and `1E5` stay what they are.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.csv

from backtester.errors import DataError
from backtester.market.importers.source import Place

_BLANK_LINE = re.compile(rb"(?:^|\n)\r?\n")
_EXACT = 2**53


def read_text(content: bytes, path: Path, delimiter: str = ",", names: Sequence[str] | None = None) -> tuple[pl.DataFrame, Place]:
    """Rows of delimited text as columns of text, and how to name their lines.

    `names` are the columns of a file without a header line. Quotes, CRLF and a byte order mark are understood. Raises DataError
    with the line where a row is short or long, a name is twice, or the bytes are not UTF-8.
    """
    if not content.strip():
        raise DataError("an empty file", where=str(path))
    header = names is None
    place = Place(path, "line", 1 + header, _lines(content, header))
    columns = _header(content, path, delimiter) if names is None else list(names)
    damaged: list[pa.csv.InvalidRow] = []

    def note(row: pa.csv.InvalidRow) -> str:
        damaged.append(row)
        return "skip"

    try:
        table = pa.csv.read_csv(
            pa.BufferReader(content),
            pa.csv.ReadOptions(use_threads=False, column_names=columns, skip_rows=int(header)),
            pa.csv.ParseOptions(delimiter=delimiter, invalid_row_handler=note),
            pa.csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False),
        )
    except pa.ArrowInvalid as error:
        raise DataError("text that cannot be read", where=str(path), value=str(error).splitlines()[0], allowed="rows in UTF-8") from error
    if damaged:
        raise _damaged(damaged[0], place, delimiter)
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    if not len(frame):
        raise DataError("a file with a header and no rows", where=str(path))
    return frame, place


def numbers(text: pl.Series, place: Place, decimal: str = ".") -> pl.Series:
    """Text as float64: null where it is empty or `nan`. DataError with the line where it is no plain number (`1,234.5` is none)."""
    trimmed = text.str.strip_chars()
    plain = trimmed
    if decimal == ",":
        plain = pl.select(pl.when(~trimmed.str.contains(".", literal=True)).then(trimmed.str.replace(",", ".", literal=True))).to_series()
    read = plain.cast(pl.Float64, strict=False)
    lost = (read.is_null() & (trimmed != "")).arg_true()
    if len(lost):
        index = int(lost[0])
        hint = "thousands separators? a decimal comma is declared with --decimal ," if "," in text[index] or decimal == "," else None
        raise DataError("not a number", where=place.at(index), value=f"{text.name} {text[index]!r}", allowed="digits with one decimal mark",
                        action=hint)  # fmt: skip
    return read.fill_nan(None).alias(text.name)


def whole(values: pl.Series, place: Place) -> pl.Series:
    """Whole numbers as float64. DataError where one is too large to be exact."""
    large = (values.abs() > _EXACT).arg_true()
    if len(large):
        shown = f"{values.name} {values[int(large[0])]}"
        raise DataError("a whole number too large to be exact", where=place.at(int(large[0])), value=shown, allowed="up to 2^53")
    return values.cast(pl.Float64)


def _header(content: bytes, path: Path, delimiter: str) -> list[str]:
    """The names of the first line that is not empty."""
    end = content.find(b"\n", len(content) - len(content.lstrip(b"\xef\xbb\xbf\r\n")))
    try:
        line = content[: end if end >= 0 else len(content)].decode("utf-8-sig").strip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError("text that is not UTF-8", where=f"{path}, line 1", value=f"byte {error.start}") from error
    names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter))]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError("two columns of one name", where=f"{path}, line 1", value=repr(twice[0]))
    return names


def _lines(content: bytes, header: bool) -> tuple[int, ...]:
    """Line numbers of the rows; none where they simply follow each other."""
    if _BLANK_LINE.search(content) is None:
        return ()
    lines = [number for number, line in enumerate(content.split(b"\n"), 1) if line.strip(b"\r")]
    return tuple(lines[int(header) :])


def _damaged(row: pa.csv.InvalidRow, place: Place, delimiter: str) -> DataError:
    """The error for a row with too few or too many fields; its number counts lines that are not empty, from 1."""
    index = row.number - place.first if not place.lines else row.number - 1 - (place.first - 1)
    hint = "thousands separators without quotes? decimal comma?" if row.actual_columns > row.expected_columns and delimiter == "," else None
    return DataError("a row of another length", where=place.at(index), value=f"{row.actual_columns} fields in {row.text[:80]!r}",
                     allowed=f"{row.expected_columns} fields", action=hint)  # fmt: skip

"""Action files: splits and dividends as rows of a CSV or Parquet file with declared columns.

Place in the flow: one importer of `bt data actions add`; its rows go to the checks of action_changes.py. The columns are symbol,
ex_date (YYYY-MM-DD), kind (split or dividend), value, and source where the file has one. Never guesses a column or a date.

    symbol,ex_date,kind,value
    AAPL,2014-05-08,dividend,3.29
    AAPL,2014-06-09,split,7
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from backtester.errors import DataError, did_you_mean
from backtester.market.action_changes import ROWS
from backtester.market.importers.source import Place, find_files, read_bytes
from backtester.market.importers.text import numbers, read_text
from backtester.market.lake import READ_ERRORS

NEEDED = ("symbol", "ex_date", "kind", "value")
COLUMNS = (*NEEDED, "source")
CSV_ENDINGS = (".csv", ".csv.gz", ".txt")
ENDINGS = (*CSV_ENDINGS, ".parquet")


def read(sources: Sequence[Path]) -> pl.DataFrame:
    """The rows of all files, columns ROWS. Raises DataError with the file and line or row of what cannot be read."""
    files = find_files(sources, ENDINGS).files
    return pl.concat([pl.DataFrame(schema=ROWS), *(_read(path) for path in files)])


def _read(path: Path) -> pl.DataFrame:
    if path.suffix.lower() == ".parquet":
        frame, place = _parquet(path), Place(path)
    else:
        frame, place = read_text(read_bytes(path), path)
    _check_columns(frame.columns, place)
    name = f"{'parquet' if path.suffix.lower() == '.parquet' else 'csv'}:{path.name}"
    return pl.DataFrame(
        {
            "symbol": _text(frame["symbol"], place),
            "ex_date": _dates(frame["ex_date"], place),
            "kind": _text(frame["kind"], place),
            "value": _values(frame["value"], place),
            "source": _text(frame["source"], place) if "source" in frame.columns else [name] * len(frame),
            "where": [place.at(index) for index in range(len(frame))],
        },
        schema=ROWS,
    )


def _parquet(path: Path) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(path, hive_partitioning=False, glob=False)
    except READ_ERRORS as error:
        raise DataError("cannot read a Parquet file", where=str(path), value=str(error).splitlines()[0]) from error
    if not len(frame):
        raise DataError("a file without rows", where=str(path))
    return frame


def _check_columns(found: Sequence[str], place: Place) -> None:
    for name in found:
        if name not in COLUMNS:
            raise DataError(
                "unknown column", where=str(place), value=repr(name), allowed=", ".join(COLUMNS), action=did_you_mean(name, COLUMNS)
            )
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise DataError("a column is missing", where=str(place), value=", ".join(missing), allowed=", ".join(COLUMNS))


def _text(series: pl.Series, place: Place) -> pl.Series:
    if series.dtype != pl.String:
        raise DataError("a column that is not text", where=str(place), value=f"{series.name} {series.dtype}")
    trimmed = series.str.strip_chars()
    empty = (trimmed.is_null() | (trimmed == "")).arg_true()
    if len(empty):
        raise DataError("an empty field", where=place.at(int(empty[0])), value=series.name)
    return trimmed


def _dates(series: pl.Series, place: Place) -> pl.Series:
    """Dates; text must be YYYY-MM-DD."""
    if series.dtype == pl.Date:
        days = series
    elif series.dtype == pl.String:
        text = series.str.strip_chars()
        whole = text.str.contains(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\z")
        days = pl.select(pl.when(whole).then(text)).to_series().str.to_date("%Y-%m-%d", strict=False)
    else:
        raise DataError(
            "a column that holds no dates", where=str(place), value=f"{series.name} {series.dtype}", allowed="dates, or text YYYY-MM-DD"
        )
    lost = days.is_null().arg_true()
    if len(lost):
        raise DataError("not a date", where=place.at(int(lost[0])), value=f"ex_date {series[int(lost[0])]!r}", allowed="YYYY-MM-DD")
    return days


def _values(series: pl.Series, place: Place) -> pl.Series:
    if series.dtype == pl.String:
        return numbers(series, place)
    if not (series.dtype.is_numeric() or series.dtype == pl.Null):
        raise DataError("a column that holds no numbers", where=str(place), value=f"{series.name} {series.dtype}")
    return series.cast(pl.Float64)

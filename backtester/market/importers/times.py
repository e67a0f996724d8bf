"""Times: what a vendor wrote becomes an instant in UTC, or of a daily bar its date.

Place in the flow: used by the importers of tables and of Lean. A time without a zone needs one declared; a wall clock time that
never was (spring) or was twice (autumn) is refused. Never guesses a unit or an order of day and month.
"""

from __future__ import annotations

import re
import zoneinfo
from dataclasses import dataclass

import polars as pl

from backtester.errors import DataError, UsageError, did_you_mean
from backtester.intervals import DAY_US
from backtester.market.importers.source import Place

INSTANT = pl.Datetime("us", "UTC")
WALL = pl.Datetime("us")
UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": -1_000}
"""Microseconds in a unit of a numeric time; below zero: units in a microsecond."""
EPOCH_YEARS = (1971, 2199)
FAR_US = 1e16
"""More microseconds than there are until the year 2199."""

_DAY = r"^\d{4}-\d{2}-\d{2}"
_CLOCK = r"[ T]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?"
_ZONE = r" ?(Z|[+-]\d{2}:?\d{2})$"
_NUMBER = r"^[+-]?\d{9,20}$"
_HAS_CLOCK = re.compile(r"%[HIkTRrXcs+]")


@dataclass(frozen=True)
class Stamps:
    """How a source writes times: zone of wall clock times, format (None: ISO 8601), and whether a time is a bar's open or close."""

    zone: str | None = None
    format: str | None = None
    at_close: bool = False

    def __post_init__(self) -> None:
        if self.zone is not None and self.zone not in (names := zoneinfo.available_timezones()):
            raise UsageError("unknown timezone", where="--tz", value=self.zone, action=did_you_mean(self.zone, names))


@dataclass(frozen=True)
class Times:
    """One column of times: `at` as instants (zoned) or as wall clock times (not zoned); `dates_only` where none has a clock time."""

    at: pl.Series
    zoned: bool
    dates_only: bool


def read_times(values: pl.Series, stamps: Stamps, place: Place) -> Times:
    """The times of a column of text, numbers, dates or datetimes; unreadable ones raise DataError with their index as row."""
    dtype = values.dtype
    if dtype == pl.Date:
        return Times(values.cast(WALL), False, True)
    if isinstance(dtype, pl.Datetime):
        zoned = dtype.time_zone is not None
        at = values.dt.convert_time_zone("UTC").cast(INSTANT) if zoned else values.cast(WALL)
        return Times(at, zoned, not zoned and _all_midnight(at))
    if dtype.is_integer():
        return _numbers(values, stamps, place)
    if dtype != pl.String:
        raise DataError(
            "a column of times of another kind", where=str(place), value=str(dtype), allowed="text, dates, datetimes, whole numbers"
        )
    if stamps.format in UNITS:
        return _numbers(_strict(values, values.cast(pl.Int64, strict=False), place, "not a whole number"), stamps, place)
    return _formatted(values, stamps.format, place) if stamps.format is not None else _iso(values, place)


def instants(times: Times, stamps: Stamps, fold: pl.Series | None, place: Place) -> pl.Series:
    """Times as instants in UTC. `fold` (0 or 1 a row) tells the two passes of a repeated hour apart."""
    if times.zoned:
        return times.at
    if stamps.zone is None:
        raise DataError("times without a timezone", where=str(place), value=_first(times.at),
                        action="declare the zone with --tz, for example --tz America/New_York")  # fmt: skip
    return localized(times.at, stamps.zone, fold, place)


def localized(wall: pl.Series, zone: str, fold: pl.Series | None, place: Place) -> pl.Series:
    """Wall clock times of a zone as instants. DataError where a time never was, or was twice and `fold` does not tell which."""
    frame = pl.DataFrame({"wall": wall, "fold": pl.Series(fold if fold is not None else [None] * len(wall), dtype=pl.Int8)})
    which = pl.when(pl.col("fold") == 0).then(pl.lit("earliest")).when(pl.col("fold") == 1).then(pl.lit("latest")).otherwise(pl.lit("null"))
    column = pl.col("wall")
    found = frame.select(
        "wall",
        at=column.dt.replace_time_zone(zone, ambiguous=which, non_existent="null"),
        first=column.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null"),
    ).with_row_index("row")
    lost = found.filter(pl.col("wall").is_not_null() & pl.col("at").is_null())
    if len(lost):
        row = lost.row(0, named=True)
        if row["first"] is None:
            raise DataError("a time that the clocks skipped", where=place.at(row["row"]), value=f"{row['wall']} in {zone}",
                            action="check --tz")  # fmt: skip
        raise DataError("a time that was twice when the clocks went back", where=place.at(row["row"]),
                        value=f"{row['wall']} in {zone}", action="map a column of 0 and 1 with --map fold=COLUMN, or use UTC")  # fmt: skip
    return found["at"].dt.convert_time_zone("UTC").cast(INSTANT)


def dates(times: Times, stamps: Stamps, zone: str) -> pl.Series:
    """The trading dates of daily bars; of instants the date in `zone`, but midnight UTC stands for its own date."""
    at = times.at
    if times.zoned:
        if _all_midnight(at):
            return at.dt.date()
        at = at.dt.convert_time_zone(stamps.zone or zone).dt.replace_time_zone(None)
    if stamps.at_close and not times.dates_only and not _all_midnight(at):
        at = at.dt.offset_by("-1us")
    return at.dt.date()


def _numbers(values: pl.Series, stamps: Stamps, place: Place) -> Times:
    """Numbers since 1970 in the declared unit."""
    unit = UNITS.get(stamps.format or "")
    if unit is None:
        raise DataError("times are numbers of an undeclared unit: epoch unit?", where=str(place), value=_first(values),
                        action="declare it with --time-format s, ms, us or ns")  # fmt: skip
    # Before the exact conversion: a number of the wrong unit may be too large for one.
    if (values.cast(pl.Float64).abs() * (unit if unit > 0 else 1 / -unit) > FAR_US).any():
        raise _wrong_unit(values, place)
    whole = values.cast(pl.Int64)
    micro = whole * unit if unit > 0 else whole // -unit
    at = micro.cast(WALL).dt.replace_time_zone("UTC").cast(INSTANT)
    year = at.dt.year()
    if ((year < EPOCH_YEARS[0]) | (year > EPOCH_YEARS[1])).any():
        raise _wrong_unit(values, place)
    return Times(at, True, False)


def _wrong_unit(values: pl.Series, place: Place) -> DataError:
    return DataError("times far from any market: epoch unit?", where=str(place), value=_first(values),
                     allowed=f"years {EPOCH_YEARS[0]} to {EPOCH_YEARS[1]}", action="check --time-format: s, ms, us or ns")  # fmt: skip


def _iso(values: pl.Series, place: Place) -> Times:
    """ISO 8601 dates and times, all with an offset or all without."""
    text = values.str.strip_chars()
    given = text.filter(text.is_not_null())
    if given.str.contains(_NUMBER).any():
        raise DataError("times are numbers of an undeclared unit: epoch unit?", where=str(place), value=repr(given[0]),
                        action="declare it with --time-format s, ms, us or ns")  # fmt: skip
    offset = text.str.contains(_DAY + _CLOCK + _ZONE)
    naive = text.str.contains(_DAY + f"({_CLOCK})?$")
    _strict(values, pl.select(pl.when(offset | naive).then(1)).to_series(), place, "not a time that can be read")
    if offset.any() and naive.any():
        both = f"{text.filter(offset)[0]} and {text.filter(naive)[0]}"
        raise DataError("times with and without an offset in one file", where=str(place), value=both, action="write all of them one way")
    if offset.any():
        plain = text.str.replace("T", " ").str.replace(" ?Z$", "+0000").str.replace(r" ?([+-]\d{2}):?(\d{2})$", "${1}${2}")
        return Times(_strict(values, _parsed(plain, "%#z", "UTC"), place, "not a time that can be read").cast(INSTANT), True, False)
    plain = text.str.replace("T", " ")
    at = _strict(values, _parsed(plain, "", None), place, "not a time that can be read")
    return Times(at, False, bool((text.str.len_chars() <= 10).all()))


def _parsed(text: pl.Series, zone_format: str, zone: str | None) -> pl.Series:
    """Text in the shapes that `_iso` lets through, null where it is no time (2025-02-30)."""
    dtype = pl.Datetime("us", zone)
    column = pl.col("text")
    shapes = [column.str.strptime(dtype, f"%Y-%m-%d %H:%M{seconds}{zone_format}", strict=False) for seconds in (":%S%.f", "")]
    if zone is None:
        shapes.append(column.str.strptime(pl.Date, "%Y-%m-%d", strict=False).cast(dtype))
    return pl.DataFrame({"text": text}).select(pl.coalesce(shapes)).to_series()


def _formatted(values: pl.Series, form: str, place: Place) -> Times:
    """Text in a declared strptime format."""
    form = form.replace(".%f", "%.f")
    text = values.str.strip_chars()
    zoned, clock = "%z" in form or "%#z" in form, bool(_HAS_CLOCK.search(form))
    try:
        if not clock:
            at = text.str.strptime(pl.Date, form, strict=False).cast(WALL)
        elif zoned:
            at = text.str.strptime(pl.Datetime("us", "UTC"), form, strict=False).cast(INSTANT)
        else:
            at = text.str.strptime(WALL, form, strict=False)
    except pl.exceptions.PolarsError as error:
        raise UsageError(
            "a time format that cannot be used", where="--time-format", value=form, allowed="strptime, as %Y%m%d %H%M%S"
        ) from error
    return Times(_strict(values, at, place, f"not a time in the format {form}"), zoned and clock, not clock)


def _strict(values: pl.Series, read: pl.Series, place: Place, what: str) -> pl.Series:
    """`read`, or DataError at the first value that was there and could not be read."""
    lost = (values.is_not_null() & (values.str.strip_chars() != "") & read.is_null()).arg_true()
    if len(lost):
        raise DataError(what, where=place.at(int(lost[0])), value=repr(values[int(lost[0])]),
                        allowed="YYYY-MM-DD or YYYY-MM-DD HH:MM:SS, with or without offset", action="or declare --time-format")  # fmt: skip
    return read


def _first(values: pl.Series) -> str:
    """The first value that is there, as text."""
    return str(next(iter(values.drop_nulls().head(1).to_list()), None))


def _all_midnight(at: pl.Series) -> bool:
    """True where no time has a clock time."""
    return bool((at.drop_nulls().dt.epoch("us") % DAY_US == 0).all())

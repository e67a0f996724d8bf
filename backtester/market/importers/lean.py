"""Lean: QuantConnect's zips of trade and quote bars, `equity/usa/minute/spy/20131007_trade.zip`.

Place in the flow: one importer; its pieces go to the checks. Symbol, date and interval come from the member's name and the path,
which must agree. Bars are stamped at their open: milliseconds since midnight (second, minute) or `YYYYMMDD HH:mm` (hour,
daily) in New York, of crypto in UTC. Prices of equities are stored x 10000. Ticks are left out and reported.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from backtester.errors import DataError
from backtester.intervals import DAY_US
from backtester.market.importers.source import Piece, Place, read_zip
from backtester.market.importers.text import numbers, read_text
from backtester.market.importers.times import localized
from backtester.market.lake import Kind

ENDINGS = (".zip",)
INTERVALS = {"second": "1s", "minute": "1m", "hour": "1h", "daily": "1d"}
CLASSES = {"equity": ("America/New_York", 10_000.0, None), "crypto": ("UTC", 1.0, "24/7")}
"""Asset class -> zone of its times, scale of its prices, calendar (None: the import's)."""
OTHER_CLASSES = ("cfd", "cryptofuture", "forex", "future", "futureoption", "index", "indexoption", "option")
LAYOUT = "minute/spy/20131007_trade.zip, second/spy/20131007_quote.zip, hour/spy.zip, daily/spy.zip"

_PARTS = ("open", "high", "low", "close")
VALUES: dict[Kind, tuple[str, ...]] = {
    "bars": (*_PARTS, "volume"),
    "quotes": (*(f"bid_{part}" for part in _PARTS), "bid_size", *(f"ask_{part}" for part in _PARTS), "ask_size"),
}
_DATED_FILE = re.compile(r"(\d{8})_(trade|quote|openinterest)")
_DATED_MEMBER = re.compile(r"(\d{8})_(.+)_(tick|second|minute)_(trade|quote|openinterest)")
_LONG_FILE = re.compile(r"(.+?)(?:_(trade|quote))?")


@dataclass(frozen=True)
class Address:
    """What a zip's path and its member's name say; resolution is None where neither tells hours from days."""

    asset_class: str
    resolution: str | None
    side: str
    symbol: str
    day: dt.date | None


def read(path: Path) -> Piece | str:
    """The bars of one zip, or the reason why it is left out (ticks, other asset classes).

    Raises DataError where path and content disagree or a row is damaged, ResourceError where the zip is a bomb.
    """
    folders = [part.lower() for part in path.absolute().parts[:-1]]
    resolution = next((part for part in reversed(folders) if part in (*INTERVALS, "tick")), None)
    asset_class = _asset_class(folders, resolution)
    if asset_class in OTHER_CLASSES:
        return f"{asset_class}: unsupported"
    if resolution == "tick":
        return "ticks: unsupported"
    member, content = read_zip(path)
    where = _address(path, folders, member.lower(), asset_class, resolution)
    if where.resolution == "tick" or where.side == "openinterest":
        return "ticks: unsupported" if where.resolution == "tick" else "open interest: unsupported"
    return _piece(path, where, content)


def _asset_class(folders: list[str], resolution: str | None) -> str:
    """The folder two above the resolution's (`crypto/coinbase/minute`), equity where there is none."""
    if resolution is None:
        return "equity"
    index = len(folders) - 1 - folders[::-1].index(resolution)
    found = folders[index - 2] if index >= 2 else ""
    return found if found in (*CLASSES, *OTHER_CLASSES) else "equity"


def _address(path: Path, folders: list[str], member: str, asset_class: str, resolution: str | None) -> Address:
    """Symbol, day, side and resolution, each said the same by path and member."""
    stem = path.stem.lower()
    inside = _DATED_MEMBER.fullmatch(member.removesuffix(".csv"))
    dated = _DATED_FILE.fullmatch(stem)
    if inside is None and dated is None:
        found = _LONG_FILE.fullmatch(stem)
        assert found is not None
        if resolution in ("second", "minute"):
            raise DataError("a zip whose name does not follow Lean's layout", where=str(path), allowed=LAYOUT)
        _agree(path, "symbol", found[1], member.removesuffix(".csv").removesuffix("_trade").removesuffix("_quote"))
        return Address(asset_class, resolution, found[2] or "trade", found[1].upper(), None)
    if inside is None or dated is None:
        raise DataError("a zip whose member does not follow Lean's layout", where=str(path), value=member, allowed=LAYOUT)
    _agree(path, "date", dated[1], inside[1])
    _agree(path, "side", dated[2], inside[4])
    if resolution is not None:
        _agree(path, "interval", resolution, inside[3])
        _agree(path, "symbol", folders[-1], inside[2])
    return Address(asset_class, inside[3], inside[4], inside[2].upper(), _date(path, inside[1]))


def _agree(path: Path, word: str, outside: str, inside: str) -> None:
    if outside != inside:
        raise DataError(f"the {word} of a zip's path and of its member differ", where=str(path), value=f"{outside} and {inside}",
                        action="restore the file's own name and folder")  # fmt: skip


def _date(path: Path, text: str) -> dt.date:
    try:
        return dt.datetime.strptime(text, "%Y%m%d").date()
    except ValueError as error:
        raise DataError("not a date", where=str(path), value=text, allowed="YYYYMMDD") from error


def _piece(path: Path, where: Address, content: bytes) -> Piece:
    """Rows of the member in the lake's words."""
    zone, scale, calendar = CLASSES[where.asset_class]
    kind: Kind = "quotes" if where.side == "quote" else "bars"
    names = VALUES[kind]
    text, place = read_text(content, path, ",", ["time", *names])
    values = [_unscaled(numbers(text[name], place), 1.0 if name.endswith(("volume", "size")) else scale) for name in names]
    source = pl.lit(f"lean:{path.name}").alias("source")
    symbol = pl.lit(where.symbol).alias("symbol")
    stamp, interval = _stamps(text["time"], where, zone, place)
    frame = pl.DataFrame([stamp, *values]).with_row_index("row").with_columns(symbol, source)
    return Piece(place, kind, interval, frame, f"lean:{path.name}", calendar, zoned=None)


def _unscaled(values: pl.Series, scale: float) -> pl.Series:
    """Values divided by the scale, each correctly rounded: 6448000 is 644.8."""
    # polars multiplies by the reciprocal where it divides by a number, which gives 644.8000000000001.
    return values if scale == 1.0 else pl.Series(values.name, np.divide(values.to_numpy(), scale), nan_to_null=True)


def _stamps(text: pl.Series, where: Address, zone: str, place: Place) -> tuple[pl.Series, str]:
    """The times as `ts`, or of daily bars as `day`, and the interval that they are of."""
    if where.day is not None:
        since = numbers(text, place)
        wrong = (since.is_null() | (since < 0) | (since * 1000 >= DAY_US) | (since != since.floor())).arg_true()
        if len(wrong):
            raise DataError("not a time of day", where=place.at(int(wrong[0])), value=text[int(wrong[0])],
                            allowed="milliseconds since midnight, 0 to 86399999")  # fmt: skip
        midnight = pl.lit(where.day).cast(pl.Datetime("us"))
        wall = pl.select(midnight + pl.lit(since.cast(pl.Int64)).cast(pl.Duration("ms"))).to_series()
        assert where.resolution is not None
        return localized(wall, zone, None, place).alias("ts"), INTERVALS[where.resolution]
    wall = text.str.strptime(pl.Datetime("us"), "%Y%m%d %H:%M", strict=False)
    if wall.null_count():
        index = int(wall.is_null().arg_true()[0])
        raise DataError("not a time", where=place.at(index), value=repr(text[index]), allowed="YYYYMMDD HH:mm")
    days = bool((wall.dt.epoch("us") % DAY_US == 0).all())
    resolution = where.resolution or ("daily" if days else "hour")
    if resolution == "daily":
        return wall.dt.date().alias("day"), "1d"
    return localized(wall, zone, None, place).alias("ts"), INTERVALS[resolution]

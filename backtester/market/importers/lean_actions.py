"""Splits and dividends out of Lean's factor files, `factor_files/aapl.csv`.

Place in the flow: one importer of `bt data actions import-lean`; its rows go to the checks of action_changes.py. A file's name is
the symbol. factors.py uses the same files to adjust prices at an import; whoever does that needs no splits. Never asks for prices
beside those in the file.

A row holds up to and including its date, the last session before a change, and has the raw close of that session:

    20140507,0.8961764,0.03571430,592.33      date, price factor, split factor, close
    20140606,0.9011818,0.03571430,645.57
    20140806,0.9011818,0.25,94.97

What changes from a row to the next acts on the session after the row's date. From the first row to the second the price factor
grows: a dividend D on a close C leaves (C - D) / C of the price, so D = C x (1 - 0.8961764 / 0.9011818) = 592.33 x 0.00555426 =
3.28996. Factors have seven decimals and closes two; the amount with the fewest decimals within that rounding is meant: 3.29, on
2014-05-08. From the second row to the third the split factor grows by 0.25 / 0.0357143 = 6.999997: 7 new shares for one old, on
2014-06-09. A ratio within TOLERANCE of one of small whole numbers is that ratio; others stay as the file has them.
Where one session has both, the close is of an old share and so is D: the dividend on a new share is D / split.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from backtester.columns import Sessions
from backtester.errors import DataError
from backtester.market.action_changes import ROWS
from backtester.market.actions import DIVIDEND, SPLIT
from backtester.market.importers.source import find_files, read_bytes
from backtester.market.sessions import sessions_between

ENDINGS = (".csv",)
ROUNDING = 0.5e-7
"""Half a unit of a price factor's last decimal."""
CENT = 0.005
"""Half a unit of a close's last decimal."""
TOLERANCE = 2e-4
"""Split factors are products of reciprocals that were rounded to as few as four decimals: 0.3333 for 1:3."""
LARGEST = 20
FEW_DECIMALS = 6
AFTER = dt.timedelta(days=31)


@dataclass(frozen=True)
class Row:
    """One line of a factor file."""

    day: dt.date
    price: float
    split: float
    close: float
    where: str


def read(sources: Sequence[Path], calendar: str, overrides: Path | None) -> pl.DataFrame:
    """Splits and dividends of factor files and of folders of them, columns ROWS; a session of `calendar` follows each row's date.

    Raises DataError that names the line of a row that cannot be read or means no action.
    """
    files = {path: _rows(path) for path in find_files(sources, ENDINGS).files}
    changes = [row.day for rows in files.values() for row, after in pairwise(rows) if _differ(row, after)]
    if not changes:
        return pl.DataFrame(schema=ROWS)
    sessions = sessions_between(calendar, min(changes), max(changes) + AFTER, overrides)
    found = []
    for path, rows in files.items():
        source = f"lean:{path.name}@{hashlib.sha256(read_bytes(path)).hexdigest()[:12]}"
        symbol = path.stem.upper()
        found += [(symbol, day, kind, value, source, where) for day, kind, value, where in _actions(rows, sessions)]
    return pl.DataFrame(found, schema=ROWS, orient="row")


def cash(before: float, after: float, close: float) -> float:
    """The dividend between two price factors, with the fewest decimals that their rounding allows; 0 where they are equal so far.

    >>> cash(0.8961764, 0.9011818, 592.33), cash(0.9967882, 0.9985079, 119.03), cash(0.5, 0.5000001, 100.0)
    (3.29, 0.205, 0.0)
    """
    left = before / after
    exact = close * (1.0 - left)
    slack = close * ROUNDING * (1.0 + left) / after + CENT * abs(1.0 - left)
    if abs(exact) <= slack:
        return 0.0
    fits = (amount for digits in range(FEW_DECIMALS) if abs((amount := round(exact, digits)) - exact) <= slack)
    return next(fits, round(exact, FEW_DECIMALS))


def shares(before: float, after: float) -> float:
    """New shares for one old between two split factors; 1 where they are equal within TOLERANCE.

    >>> shares(0.0357143, 0.25), shares(1.49993008, 3.0003), shares(20, 1), shares(0.997307, 1), shares(2797.2, 80), shares(0.5, 0.5)
    (7.0, 2.0, 0.05, 1.0027, 0.02860003, 1.0)
    """
    ratio = max(after / before, before / after)
    near = float(Fraction(ratio).limit_denominator(LARGEST))
    if abs(near / ratio - 1.0) > TOLERANCE:
        return float(f"{after / before:.7g}")
    return near if after >= before else 1.0 / near


def _actions(rows: Sequence[Row], sessions: Sessions) -> Iterator[tuple[dt.date, str, float, str]]:
    """Ex-date, kind, value and place of every change from one row to the next."""
    for row, after in pairwise(rows):
        if not _differ(row, after):
            continue
        day: dt.date = sessions.label[np.searchsorted(sessions.label, np.datetime64(row.day, "D"), side="right")].item()
        ratio = shares(row.split, after.split)
        if ratio != 1.0:
            yield day, SPLIT, ratio, row.where
        if row.price != after.price and row.close <= 0:
            raise DataError(
                "a price factor that changes without a close", where=row.where, value=f"{row.close:g}", allowed="a close above zero"
            )
        amount = cash(row.price, after.price, row.close) if row.price != after.price else 0.0
        if amount < 0:
            raise DataError("a price factor that falls, which no cash dividend does", where=row.where, allowed=f"up to {after.price:g}",
                            value=f"{row.price:g}", action="take the line out and add the action by hand")  # fmt: skip
        if amount > 0:
            yield day, DIVIDEND, amount / ratio, row.where


def _differ(row: Row, after: Row) -> bool:
    return row.price != after.price or row.split != after.split


def _rows(path: Path) -> list[Row]:
    """The file's rows in order of date."""
    lines = read_bytes(path).decode("utf-8", "replace").splitlines()
    rows = sorted((_row(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()), key=lambda row: row.day)
    if not rows:
        raise DataError("a factor file without rows", where=str(path))
    for row, after in pairwise(rows):
        if row.day == after.day:
            raise DataError("two rows of one date", where=after.where, value=str(after.day), action="keep one of them")
    return rows


def _row(line: str, where: str) -> Row:
    fields = line.split(",")
    try:
        day = dt.datetime.strptime(fields[0].strip(), "%Y%m%d").date()
        price, split, close = (float(field) for field in fields[1:4])
    except (ValueError, IndexError) as error:
        raise DataError("not a row of a factor file", where=where, value=repr(line[:80]),
                        allowed="YYYYMMDD,price factor,split factor,close") from error  # fmt: skip
    if not all(math.isfinite(number) for number in (price, split, close)) or price <= 0 or split <= 0:
        raise DataError("a factor that is not above zero", where=where, value=repr(line[:80]))
    return Row(day, price, split, close, where)

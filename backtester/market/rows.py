"""Rows: what every imported row must fulfil before it may enter the lake.

Place in the flow: between an importer's piece and filing. Damaged rows stop the import with their place in the file; a bar
without a price is left out and counted. Never repairs a value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from backtester.errors import DataError
from backtester.market.importers.source import Piece

SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
SYMBOL_ALLOWED = "1 to 32 letters, digits, dots, dashes or underscores, the first a letter or digit"
YEARS = (1800, 2199)
PRICES = ("open", "high", "low", "close")
SIDES = ("bid", "ask")


@dataclass(frozen=True)
class Policy:
    """What an import lets pass: rows in any order, prices of zero and below, and how many rows of impossible prices to leave out."""

    sort: bool = False
    allow_nonpositive: bool = False
    max_bad_rows: int = 0


@dataclass(frozen=True)
class Tally:
    """Rows left out or moved: exact duplicates, rows without a value, rows of impossible prices, rows that stood out of order."""

    duplicates: int = 0
    invalid: int = 0
    bad: int = 0
    unsorted: int = 0
    newest_first: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


def checked(piece: Piece, policy: Policy, bad_before: int = 0) -> tuple[pl.DataFrame, Tally]:
    """The piece's rows that count, sorted by (symbol, time), one a bar, with what was left out.

    `bad_before` rows of impossible prices were already left out of other files. Raises DataError that names file, row and value.
    """
    stamp = "day" if piece.interval == "1d" else "ts"
    frame = piece.frame.with_columns(pl.col(pl.Float64).fill_nan(None))
    if not len(frame):
        raise DataError("a file without rows", where=str(piece.place))
    _check_symbols(piece, frame)
    _check_times(piece, frame, stamp)
    _refuse(piece, frame, pl.any_horizontal(pl.col(pl.Float64).is_infinite()), "an infinite value")
    whole = frame.filter(_whole(piece.kind))
    _check_values(piece, whole, policy)
    good = whole.filter(pl.all_horizontal(~impossible for impossible in _impossible(piece.kind)))
    bad = len(whole) - len(good)
    if bad_before + bad > policy.max_bad_rows:
        _refuse(piece, whole, pl.any_horizontal(_impossible(piece.kind)), "high, low, open and close contradict each other",
                action=f"correct the file, or leave such rows out with --max-bad-rows ({bad_before + bad} so far)")  # fmt: skip
    ordered, unsorted, newest_first = _in_order(piece, good, policy, stamp)
    unique = _one_a_bar(piece, ordered, stamp)
    return unique, Tally(len(ordered) - len(unique), len(frame) - len(whole), bad, unsorted, newest_first)


def merged(frames: list[pl.DataFrame], interval: str) -> tuple[pl.DataFrame, int]:
    """Checked rows of several files, sorted by (symbol, time), one a bar, and how many were in more than one file.

    Raises DataError that names both files where they differ on a bar.
    """
    stamp = "day" if interval == "1d" else "ts"
    together = pl.concat(frames, how="diagonal").sort("symbol", stamp, maintain_order=True)
    if not together.select(_same_bar_as_before(stamp).any()).item():
        return together, 0
    unique = together.unique([name for name in together.columns if name not in ("row", "source")], keep="first", maintain_order=True)
    twice = unique.filter(unique.select("symbol", stamp).is_duplicated())
    if len(twice):
        raise _two_rows(twice, stamp, " and ".join(str(twice["source"][row]) for row in (0, 1)))
    return unique, len(together) - len(unique)


def valid_symbol(text: str) -> bool:
    """True for text that may name a symbol: `TRUE`, `0700`, `1E5` and `nan` may.

    >>> valid_symbol("0700"), valid_symbol("BRK.B"), valid_symbol("../x")
    (True, True, False)
    """
    return SYMBOL.fullmatch(text) is not None


def _check_symbols(piece: Piece, frame: pl.DataFrame) -> None:
    for symbol in frame["symbol"].unique().to_list():
        if symbol is None or not valid_symbol(symbol):
            row = frame.filter(pl.col("symbol").eq_missing(pl.lit(symbol, pl.String)))["row"][0]
            raise DataError("not a symbol", where=piece.place.at(row), value=repr(symbol), allowed=SYMBOL_ALLOWED)


def _check_times(piece: Piece, frame: pl.DataFrame, stamp: str) -> None:
    _refuse(piece, frame, pl.col(stamp).is_null(), "a row without a time")
    year = pl.col(stamp).dt.year()
    _refuse(piece, frame, (year < YEARS[0]) | (year > YEARS[1]), "a time outside all years", show=[stamp],
            action="declare the unit with --time-format s, ms, us or ns: epoch unit?")  # fmt: skip
    step = {"1s": 1_000_000, "1m": 60_000_000}.get(piece.interval)
    if step is not None:
        _refuse(piece, frame, pl.col("ts").dt.epoch("us") % step != 0, f"a bar that does not open on a whole {piece.interval}", show=["ts"],
                action="check --interval and --stamp")  # fmt: skip


def _check_values(piece: Piece, frame: pl.DataFrame, policy: Policy) -> None:
    prices = PRICES if piece.kind == "bars" else [f"{side}_{part}" for side in SIDES for part in PRICES]
    amounts = ["volume"] if piece.kind == "bars" else [f"{side}_size" for side in SIDES]
    for name in prices if not policy.allow_nonpositive else ():
        _refuse(piece, frame, pl.col(name) <= 0, "a price that is not above zero", show=[name],
                action="if the instrument may trade there, add --allow-nonpositive")  # fmt: skip
    for name in amounts:
        _refuse(piece, frame, pl.col(name) < 0, f"a negative {name}", show=[name])


def _whole(kind: str) -> pl.Expr:
    """True where no value is missing; of a quote where each side is there or absent as a whole, and one is there."""
    if kind == "bars":
        return pl.all_horizontal(pl.col(*PRICES, "volume").is_not_null())
    given = [pl.sum_horizontal(pl.col(*(f"{side}_{part}" for part in PRICES)).is_not_null()) for side in SIDES]
    return ((given[0] == 4) | (given[0] == 0)) & ((given[1] == 4) | (given[1] == 0)) & (given[0] + given[1] > 0)


def _impossible(kind: str) -> list[pl.Expr]:
    """Where open or close lie outside low..high; never of a side that is absent."""
    groups = [PRICES] if kind == "bars" else [tuple(f"{side}_{part}" for part in PRICES) for side in SIDES]
    return [
        ((pl.col(low) > pl.min_horizontal(first, last, high)) | (pl.col(high) < pl.max_horizontal(first, last, low))).fill_null(False)
        for first, high, low, last in groups
    ]


def _in_order(piece: Piece, frame: pl.DataFrame, policy: Policy, stamp: str) -> tuple[pl.DataFrame, int, int]:
    """Rows sorted by (symbol, time); how many stood out of order, and how many in a file that runs strictly backwards."""
    steps = frame.select("row", "symbol", stamp, step=pl.col(stamp).diff().over("symbol").dt.total_microseconds())
    back = steps.filter(pl.col("step") < 0)
    ordered = frame.sort("symbol", stamp, maintain_order=True)
    if not len(back):
        return ordered, 0, 0
    if not (steps["step"] > 0).any():
        return ordered, 0, len(frame)
    if not policy.sort:
        row = back.row(0, named=True)
        raise DataError("rows out of order", where=piece.place.at(row["row"]), value=f"{row['symbol']} {row[stamp]} after a later row",
                        allowed="rows in order of time, oldest or newest first", action=f"add --sort ({len(back)} such rows)")  # fmt: skip
    return ordered, len(back), 0


def _one_a_bar(piece: Piece, frame: pl.DataFrame, stamp: str) -> pl.DataFrame:
    """Exact duplicates once; DataError where two rows of one bar differ."""
    if not frame.select(_same_bar_as_before(stamp).any()).item():
        return frame
    unique = frame.unique([name for name in frame.columns if name != "row"], keep="first", maintain_order=True)
    twice = unique.filter(unique.select("symbol", stamp).is_duplicated())
    if len(twice):
        raise _two_rows(twice, stamp, " and ".join(piece.place.at(twice["row"][row]) for row in (0, 1)))
    return unique


def _same_bar_as_before(stamp: str) -> pl.Expr:
    """True in sorted rows for a second row of the same bar."""
    return ((pl.col("symbol") == pl.col("symbol").shift()) & (pl.col(stamp) == pl.col(stamp).shift())).fill_null(False)


def _two_rows(twice: pl.DataFrame, stamp: str, where: str) -> DataError:
    """The error for the first two rows of one bar that differ."""
    first, second = twice.row(0, named=True), twice.row(1, named=True)
    differ = [f"{name} {first[name]} and {second[name]}" for name in first if name not in ("row", "source") and first[name] != second[name]]
    return DataError("two different rows for one bar", where=where, value=f"{first['symbol']} {first[stamp]}: {', '.join(differ[:3])}",
                     action="keep one of them")  # fmt: skip


def _refuse(piece: Piece, frame: pl.DataFrame, wrong: pl.Expr, what: str, show: list[str] | None = None, action: str | None = None) -> None:
    """Raise DataError at the first row where `wrong` holds."""
    found = frame.filter(wrong)
    if not len(found):
        return
    row = found.row(0, named=True)
    hidden = ("row", "source")
    values = ", ".join(f"{name} {row[name]}" for name in ["symbol", *(show or [name for name in row if name not in (*hidden, "symbol")])])
    raise DataError(what, where=piece.place.at(row["row"]), value=f"{values} ({len(found)} such rows)", action=action)

"""An import: files of one format are read, checked, filed under their sessions and brought into the lake, all or nothing.

Place in the flow: what `bt data import` calls. Every step stands in a file of its own; this one holds their order:

    find files -> read (importers/) -> check rows (rows.py) -> file under sessions (filing.py) -> factors -> stage (change.py)
    ... and when all files are through: commit

Never changes the lake before the last file was read and found good.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl

from backtester.errors import DataError
from backtester.market.calendar_overrides import OVERRIDES_FILE
from backtester.market.change import Change, Counts, changing
from backtester.market.doubts import doubts
from backtester.market.filing import file_rows
from backtester.market.importers import lean, table
from backtester.market.importers.factors import Factors
from backtester.market.importers.source import Piece, find_files
from backtester.market.rows import Policy, Tally, checked, merged
from backtester.market.sessions import sessions_between
from backtester.schema import OUT_OF_SESSION

Format = Literal["lean", "csv", "parquet"]
FORMATS: tuple[Format, ...] = ("lean", "csv", "parquet")
ENDINGS = {"lean": lean.ENDINGS, "csv": table.CSV_ENDINGS, "parquet": table.PARQUET_ENDINGS}
CALENDAR = "XNYS"
BATCH_ROWS = 4_000_000
"""Rows that are held at once; what is more is staged and forgotten."""


@dataclass(frozen=True)
class Request:
    """What is to be imported and how; interval None takes all intervals that the format names itself."""

    sources: tuple[Path, ...]
    format: Format
    interval: str | None = None
    layout: table.Layout = field(default_factory=table.Layout)
    policy: Policy = field(default_factory=Policy)
    calendar: str | None = None
    factors: Path | None = None
    replace: bool = False


@dataclass
class ImportReport:
    """What an import found and did; `skipped` holds (path, reason), `notes` sentences on what looks odd."""

    files_read: int = 0
    rows_read: int = 0
    counts: Counts = field(default_factory=Counts)
    tally: Tally = field(default_factory=Tally)
    duplicates_across_files: int = 0
    out_of_session: int = 0
    symbols: set[str] = field(default_factory=set)
    intervals: set[tuple[str, str]] = field(default_factory=set)
    sessions: set[Any] = field(default_factory=set)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The report as one object."""
        return {
            "files_read": self.files_read,
            "rows_read": self.rows_read,
            "rows_added": self.counts.added,
            "rows_replaced": self.counts.replaced,
            "rows_unchanged": self.counts.unchanged,
            "days_written": self.counts.files,
            "days_unchanged": self.counts.files_unchanged,
            "out_of_session": self.out_of_session,
            **asdict(self.tally),
            "duplicates": self.tally.duplicates + self.duplicates_across_files,
            "symbols": sorted(self.symbols),
            "intervals": [f"{kind} {interval}" for kind, interval in sorted(self.intervals)],
            "sessions": len(self.sessions),
            "first_session": min(self.sessions, default=None),
            "last_session": max(self.sessions, default=None),
            "skipped": [{"file": path, "reason": reason} for path, reason in self.skipped],
            "notes": self.notes,
        }


def import_files(root: Path, request: Request, progress: Callable[[int, int], None] | None = None) -> ImportReport:
    """Bring the request's files into the lake at `root`, which is made where it is missing; all of them or none.

    progress is called with (files read, files in all). Raises DataError for data that is damaged, contradicts itself or the
    lake; OutputError where the lake is locked or not writable; ResourceError for bombs and full disks; CalendarError.
    """
    found = find_files(request.sources, ENDINGS[request.format])
    report = ImportReport(skipped=[(str(path), reason) for path, reason in found.skipped])
    overrides = root / OVERRIDES_FILE if (root / OVERRIDES_FILE).is_file() else None
    factors = _Adjustment.of(request.factors)
    with changing(root, replace=request.replace) as change:
        batch: list[tuple[Piece, pl.DataFrame]] = []
        for number, (piece, frame) in enumerate(_pieces(found.files, request, report), 1):
            if len(frame):  # a file may hold nothing but rows that lack values
                batch.append((piece, frame))
            if sum(len(rows) for _, rows in batch) >= BATCH_ROWS:
                _bring(change, batch, request, overrides, factors, report)
                batch = []
            if progress is not None:
                progress(number, len(found.files))
        _bring(change, batch, request, overrides, factors, report)
        if not report.files_read:
            raise DataError("nothing to import", where=", ".join(map(str, request.sources)), value="; ".join(sorted(
                {reason for _, reason in report.skipped})) or None)  # fmt: skip
        if not report.intervals:
            raise DataError("no row can be used", where=", ".join(map(str, request.sources)), allowed="rows that have all their values",
                            value=f"{report.rows_read:,} rows, all left out")  # fmt: skip
    report.notes += factors.notes()
    return report


def _pieces(files: Sequence[Path], request: Request, report: ImportReport) -> Iterator[tuple[Piece, pl.DataFrame]]:
    """Each file's piece and its checked rows; what must hold of all files together is checked on the way."""
    first: dict[str, Piece] = {}
    request = _with_zone(request)
    for path in files:
        piece = _read(path, request)
        if isinstance(piece, str):
            report.skipped.append((str(path), piece))
            continue
        _agree(piece, first)
        frame, tally = checked(piece, request.policy, report.tally.bad)
        report.files_read += 1
        report.rows_read += len(piece.frame)
        report.tally += tally
        report.notes += piece.notes
        if tally.newest_first:
            report.notes.append(f"{path.name}: newest row first; turned round")
        yield piece, frame


def _read(path: Path, request: Request) -> Piece | str:
    """One file's piece, or the reason why it is left out."""
    if request.format == "lean":
        piece = lean.read(path)
        if isinstance(piece, str):
            return piece
        if request.interval not in (None, piece.interval):
            return f"interval {piece.interval}: not asked for"
        wanted = request.layout.symbol
        return "other symbols: not asked for" if wanted is not None and piece.frame["symbol"][0] != wanted else piece
    return table.read_csv(path, request.layout) if request.format == "csv" else table.read_parquet(path, request.layout)


def _with_zone(request: Request) -> Request:
    """The request, its layout told in which zone an instant of a daily bar has its date: the calendar's."""
    if request.layout.interval != "1d" or request.format == "lean":
        return request
    day = dt.date(2024, 1, 2)
    zone = sessions_between(request.calendar or CALENDAR, day, day).timezone
    return dataclasses.replace(request, layout=dataclasses.replace(request.layout, date_zone=zone))


def _agree(piece: Piece, first: dict[str, Piece]) -> None:
    """Times with and without zone do not mix in one import, nor whole and broken volumes of one kind."""
    if piece.zoned is not None:
        other = first.setdefault("zoned", piece)
        if other.zoned != piece.zoned:
            raise DataError("times with and without a timezone in one import", where=f"{other.place} and {piece.place}",
                            action="import them one by one, each with its own --tz")  # fmt: skip
    if piece.whole_volumes is None:
        return
    if piece.whole_volumes:
        first.setdefault("integers", piece)
    elif (piece.frame["volume"] % 1 != 0).any():
        first.setdefault("fractions", piece)
    if {"integers", "fractions"} <= set(first):
        raise DataError("volumes are whole numbers in one file and have fractions in another",
                        where=f"{first['integers'].place} and {first['fractions'].place}", action="import them one by one")  # fmt: skip


def _bring(change: Change, batch: list[tuple[Piece, pl.DataFrame]], request: Request, overrides: Path | None,
           factors: _Adjustment, report: ImportReport) -> None:  # fmt: skip
    """Stage the batch's rows, one kind, interval and calendar after the other."""
    groups: dict[tuple[Any, str, str], list[pl.DataFrame]] = {}
    for piece, frame in batch:
        calendar = request.calendar or piece.calendar or CALENDAR
        groups.setdefault((piece.kind, piece.interval, calendar), []).append(frame)
    for (kind, interval, calendar), frames in groups.items():
        rows, duplicates = merged(frames, interval)
        filed = file_rows(rows, interval, calendar, overrides)
        adjusted = factors.apply(filed)
        report.counts += change.add(kind, interval, adjusted)
        report.duplicates_across_files += duplicates
        report.out_of_session += int(((filed["flags"] & OUT_OF_SESSION) != 0).sum())
        report.symbols |= set(rows["symbol"].unique())
        report.sessions |= set(filed["session"].unique())
        report.intervals.add((kind, interval))
        if kind == "bars":
            report.notes += doubts(adjusted, interval, calendar, overrides)


class _Adjustment:
    """The factors of an import: none, those of one file for its one symbol, or of a folder with a file a symbol."""

    def __init__(self, path: Path | None, one: Factors | None) -> None:
        self._path, self._one = path, one
        self._symbols: set[str] = set()
        self._without: set[str] = set()

    @classmethod
    def of(cls, path: Path | None) -> _Adjustment:
        """The factors at `path`; DataError where there is nothing."""
        if path is not None and not path.exists():
            raise DataError("no such factor file or folder", where=str(path))
        return cls(path, Factors.read(path) if path is not None and not path.is_dir() else None)

    def apply(self, filed: pl.DataFrame) -> pl.DataFrame:
        """The rows with their prices adjusted, in the same order."""
        if self._path is None:
            return filed
        self._symbols |= set(filed["symbol"].unique())
        if self._one is not None:
            if len(self._symbols) > 1:
                raise DataError("a factor file holds for one symbol", where=str(self._path), value=", ".join(sorted(self._symbols)[:5]),
                                action="import one symbol at a time, or give the folder of factor files")  # fmt: skip
            return self._one.apply(filed, filed["session"])
        parts = []
        for rows in filed.partition_by("symbol", maintain_order=True):
            path = self._path / f"{rows['symbol'][0].lower()}.csv"
            if path.is_file():
                rows = Factors.read(path).apply(rows, rows["session"])
            else:
                self._without.add(rows["symbol"][0])
            parts.append(rows)
        return pl.concat(parts)

    def notes(self) -> list[str]:
        """Which symbols had no factors."""
        return [f"no factor file for {symbol}: its prices are as they came" for symbol in sorted(self._without)]

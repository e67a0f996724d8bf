"""Sources: which files an import reads, and their bytes within limits.

Place in the flow: beneath every importer. A zip is read in memory and never unpacked to disk; a member with a path, a link,
an encrypted or a second member is refused, and nothing is read past the limits. Never knows a vendor's columns.
"""

from __future__ import annotations

import gzip
import os
import stat
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from backtester.errors import DataError, ResourceError
from backtester.market.lake import Kind

MAX_BYTES = 2 * 1024**3
"""Most bytes that one file may hold once it is unpacked."""
MAX_RATIO = 1000
"""Most bytes that one packed byte may become; market data packs to a tenth, not to a thousandth."""


@dataclass(frozen=True)
class Place:
    """A source file, and how to name one of its rows: by number, or by line where it is text.

    >>> Place(Path("a.csv"), "line", 2).at(0), str(Place(Path("a.parquet")))
    ('a.csv, line 2', 'a.parquet')
    """

    path: Path
    word: str = "row"
    first: int = 1
    lines: tuple[int, ...] = ()

    def at(self, index: int) -> str:
        """The place of the row with this index (from 0)."""
        number = self.lines[index] if self.lines else self.first + index
        return f"{self.path}, {self.word} {number}"

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class Piece:
    """Rows of one source file in the lake's words.

    frame: symbol, ts (instant, bar open) or of 1d `day` (Date), the kind's values, and `row`: the index of each in the file.
    notes are sentences for the report; whole_volumes tells whether volumes were stored as whole numbers (None: as text),
    zoned whether times carried their zone (None: the format settles it).
    """

    place: Place
    kind: Kind
    interval: str
    frame: pl.DataFrame
    source: str
    calendar: str | None = None
    whole_volumes: bool | None = None
    zoned: bool | None = None
    notes: tuple[str, ...] = ()


class Readable(Protocol):
    """An open file of bytes, packed or not."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, fewer only at the end."""
        ...


@dataclass(frozen=True)
class Found:
    """The files to read, and those left out with the reason."""

    files: tuple[Path, ...]
    skipped: tuple[tuple[Path, str], ...]


def find_files(sources: Sequence[Path], endings: Sequence[str]) -> Found:
    """Files of the sources in order of path: a file as it is given, a folder with all below it that has one of the endings.

    Raises DataError where a source does not exist or nothing is found. Links to folders are not followed.
    """
    files: list[Path] = []
    skipped: list[tuple[Path, str]] = []
    for source in sources:
        if source.is_dir():
            _walk(source, tuple(endings), files, skipped)
        elif source.exists():
            files.append(source)
        else:
            raise DataError("no such file or folder to import", where=str(source))
    if not files:
        raise DataError("nothing to import", where=", ".join(map(str, sources)), allowed=f"files that end in {', '.join(endings)}")
    return Found(tuple(dict.fromkeys(files)), tuple(skipped))


def _walk(folder: Path, endings: tuple[str, ...], files: list[Path], skipped: list[tuple[Path, str]]) -> None:
    def refuse(error: OSError) -> None:
        raise DataError("cannot read a folder", where=error.filename, value=error.strerror) from error

    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent) / name
            if name.startswith(".") or not name.lower().endswith(endings):
                continue
            if name.startswith("tmp_"):
                skipped.append((path, "a temporary file that another program left"))
            else:
                files.append(path)


def read_bytes(path: Path) -> bytes:
    """A file's bytes; of `.gz` and `.zip` the unpacked ones. DataError where it cannot be read, ResourceError past the limits."""
    try:
        if path.suffix.lower() == ".zip":
            return read_zip(path)[1]
        with path.open("rb") as file:
            if path.suffix.lower() == ".gz":
                with gzip.GzipFile(fileobj=file) as unpacked:
                    return _limited(unpacked, path, os.fstat(file.fileno()).st_size)
            return _limited(file, path, None)
    except PermissionError as error:
        raise DataError("no permission to read a file", where=str(path)) from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError("cannot read a file", where=str(path), value=str(error)) from error


def read_zip(path: Path) -> tuple[str, bytes]:
    """Name and bytes of the only member of a zip. DataError where it is damaged or not plain, ResourceError past the limits."""
    try:
        with zipfile.ZipFile(path) as archive:
            member = _only_member(path, archive.infolist())
            _refuse_bomb(path, member)
            with archive.open(member) as file:
                return member.filename, _limited(file, path, None)
    except PermissionError as error:
        raise DataError("no permission to read a file", where=str(path)) from error
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise DataError("a damaged zip", where=str(path), value=str(error), action="fetch it again") from error


def _only_member(path: Path, members: list[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    """The single plain member; a folder entry, a path, a link or a device is none."""
    if len(members) != 1:
        names = ", ".join(member.filename for member in members[:5])
        raise DataError("a zip must hold exactly one file", where=str(path), value=f"{len(members)} ({names})")
    member = members[0]
    name = member.orig_filename
    mode = member.external_attr >> 16
    if "/" in name or "\\" in name or "\0" in name or name in ("", ".", "..") or ":" in name:
        raise DataError("a zip's member has a path", where=str(path), value=repr(name), allowed="a plain file name")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise DataError("a zip's member is not a plain file", where=str(path), value=repr(name))
    if member.flag_bits & 0x1:
        raise DataError("an encrypted zip", where=str(path), value=repr(name), action="unpack it first")
    return member


def _refuse_bomb(path: Path, member: zipfile.ZipInfo) -> None:
    """Look at the declared size before anything is unpacked."""
    if member.file_size > MAX_BYTES or member.file_size > MAX_RATIO * max(member.compress_size, 1024):
        raise _too_large(path, f"{member.file_size} bytes packed into {member.compress_size}")


def _limited(file: Readable, path: Path, packed: int | None) -> bytes:
    """All bytes of an open file, and ResourceError as soon as they are more than the limits allow."""
    most = MAX_BYTES if packed is None else min(MAX_BYTES, MAX_RATIO * max(packed, 1024))
    content = file.read(most + 1)
    if len(content) > most:
        raise _too_large(path, f"more than {most} bytes")
    return content


def _too_large(path: Path, value: str) -> ResourceError:
    return ResourceError("a file is too large once unpacked", where=str(path), value=value, allowed=f"up to {MAX_BYTES} bytes",
                         action="split it")  # fmt: skip

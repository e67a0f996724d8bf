"""Calendar years kept on disk, so that a warm process imports no calendar library.

Place in the flow: sessions.py asks here first and stores here what it had to compute. A file is one calendar's year:

    <cache>/<library version>/XNYS-2024.json      first line: SHA-256 of the second; second line: the year as JSON

A damaged, foreign or older file counts as absent and is made anew. Where there is no place to write, everything works
without. Never computes a session, never trusts a folder that others can write to.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backtester.atomic import commit
from backtester.columns import Ints
from backtester.errors import OutputError, ResourceError

FORMAT = 1
"""Raised whenever what a year's file means changes."""

LABEL, OPEN, CLOSE, BREAK_START, BREAK_END, REGULAR_CLOSE = range(6)
"""Rows of CalendarYear.rows."""


@dataclass(frozen=True)
class CalendarYear:
    """The sessions of one calendar in one year, as the library gives them.

    rows is int64 of shape (6, sessions): label in days since 1970-01-01, then open, close, break_start, break_end (NO_BREAK
    where there is none) and the regular close of that date, in microseconds UTC. known_from and known_until (ISO dates, None:
    no bound) are the dates between which the library knows holidays; disputed are the dates of the year on which another
    calendar of the same market says otherwise.
    """

    calendar: str
    timezone: str
    year: int
    rows: Ints
    known_from: str | None = None
    known_until: str | None = None
    disputed: tuple[str, ...] = ()


def default_folder(name: str = "calendars") -> Path | None:
    """The user's cache folder of that name; None where the environment names no home."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(given):
        return Path(given) / "backtester" / name
    home = os.environ.get("HOME") or os.environ.get("USERPROFILE")
    return Path(home) / ".cache" / "backtester" / name if home else None


def read_year(folder: Path | None, version: str, calendar: str, year: int) -> CalendarYear | None:
    """The stored year, or None where it is absent, damaged, of another version or not to be trusted."""
    body = _read(folder, version, f"{calendar}-{year}")
    if body is None or (body.get("calendar"), body.get("year")) != (calendar, year):
        return None
    try:
        rows = np.array(body["rows"], np.int64).reshape(6, -1)
        facts = (body["known_from"], body["known_until"], tuple(body["disputed"]))
        return CalendarYear(calendar, body["timezone"], year, rows, *facts)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def write_year(folder: Path | None, version: str, year: CalendarYear) -> None:
    """Store a year; does nothing where the place cannot be written."""
    facts = {"known_from": year.known_from, "known_until": year.known_until, "disputed": list(year.disputed)}
    body = {"calendar": year.calendar, "timezone": year.timezone, "year": year.year, **facts, "rows": year.rows.tolist()}
    _write(folder, version, f"{year.calendar}-{year.year}", body)


def read_names(folder: Path | None, version: str) -> tuple[str, ...] | None:
    """The stored names of all calendars, or None."""
    body = _read(folder, version, "names")
    names = body.get("names") if body is not None else None
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def write_names(folder: Path | None, version: str, names: tuple[str, ...]) -> None:
    """Store the names of all calendars; does nothing where the place cannot be written."""
    _write(folder, version, "names", {"names": list(names)})


def _read(folder: Path | None, version: str, name: str) -> dict[str, Any] | None:
    if folder is None or not is_ours(folder):
        return None
    try:
        head, _, text = _path(folder, version, name).read_bytes().partition(b"\n")
        if head != hashlib.sha256(text).hexdigest().encode():
            return None
        body = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) and body.get("format") == FORMAT and body.get("version") == version else None


def _write(folder: Path | None, version: str, name: str, body: dict[str, Any]) -> None:
    if folder is None:
        return
    path = _path(folder, version, name)
    text = json.dumps({"format": FORMAT, "version": version, **body}, separators=(",", ":")).encode()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for made in (folder, path.parent):
            made.mkdir(mode=0o700, exist_ok=True)
        if is_ours(folder):
            commit(path, lambda new: _fill(new, hashlib.sha256(text).hexdigest().encode() + b"\n" + text))
    except (OSError, OutputError, ResourceError):
        # A cache is a convenience: a read-only home or a full disk must not stop anyone.
        return


def _fill(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def is_ours(folder: Path) -> bool:
    """True where the folder belongs to this user and nobody else may write into it."""
    try:
        found = folder.stat()
    except OSError:
        return False
    owned = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    return owned and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _path(folder: Path, version: str, name: str) -> Path:
    """Where a file stands; every character that a file name may not hold is spelled as its number."""
    spelled = (f"{char}" if char.isascii() and (char.isalnum() or char in "-_.+") else f"%{ord(char):02X}" for char in name)
    return folder / version / ("".join(spelled) + ".json")

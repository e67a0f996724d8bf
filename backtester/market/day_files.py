"""Day files: the cache on disk, one file a session that some run has put on its slots.

Place in the flow: `day_cache.py` asks and adds; `bt cache` lists and clears. A file's name says what it holds, from what it was made
(the key), and the SHA-256 of its content, which is looked at before every use: what is not what was written is dropped, with a warning.

    <cache>/backtester/sessions/1m_2024-01-02_<key>_<sha256>.arrow

Only the user reads and writes the folder; one that is another's, or that others may write to, is not used. Files that were not used
for the longest time go first where there are too many. Where there is no place to write, everything works without.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from backtester import arrays
from backtester.arrays import Array
from backtester.behind import Behind
from backtester.market.calendar_cache import default_folder, is_ours

LOG = logging.getLogger("backtester.cache")
_NAME = re.compile(r"([0-9]+[smhdw])_([0-9]{4}-[0-9]{2}-[0-9]{2})_([0-9a-f]{32})_([0-9a-f]{64})\.arrow")
_SHARE = 16
"""What was added before the files are counted again: one part in so many of the limit."""


@dataclass(frozen=True)
class Entry:
    """One file of the cache; bytes, and when it was used last (seconds since 1970)."""

    path: Path
    interval: str
    session: str
    key: str
    sha256: str
    bytes: int
    used: float


def folder_of_user() -> Path | None:
    """The user's own folder; None where the environment names no home."""
    return default_folder("sessions")


def entries(folder: Path | None) -> list[Entry]:
    """What the cache holds, what was used last at the end."""
    found = []
    with suppress(OSError):
        for file in os.scandir(folder) if folder is not None else ():
            name = _NAME.fullmatch(file.name)
            with suppress(OSError):  # another process has just removed it
                if name and file.is_file(follow_symlinks=False):
                    facts = file.stat(follow_symlinks=False)
                    found.append(Entry(Path(file.path), name[1], name[2], name[3], name[4], facts.st_size, facts.st_mtime))
    return sorted(found, key=lambda entry: (entry.used, entry.path))


def summary(folder: Path | None) -> list[tuple[str, int, int, str, str, str, str]]:
    """Of each interval: its name, files, bytes, first and last session, when one was used least and most recently (UTC)."""
    held = entries(folder)
    rows = []
    for interval in sorted({entry.interval for entry in held}):
        own = [entry for entry in held if entry.interval == interval]
        days = sorted(entry.session for entry in own)
        used = [dt.datetime.fromtimestamp(entry.used, dt.UTC).isoformat(timespec="seconds") for entry in own]
        rows.append((interval, len(own), sum(entry.bytes for entry in own), days[0], days[-1], used[0], used[-1]))
    return rows


def clear(folder: Path | None, older_than: float = 0.0) -> tuple[int, int]:
    """Remove what was not used for so many seconds, and what killed runs left; how many files and bytes went."""
    gone, now = [entry for entry in entries(folder) if time.time() - entry.used >= older_than], time.time()
    for entry in gone:
        entry.path.unlink(missing_ok=True)
    for path in folder.glob(".*.tmp") if folder is not None else ():
        with suppress(OSError):
            if now - path.stat().st_mtime >= older_than:
                path.unlink()
    return len(gone), sum(entry.bytes for entry in gone)


class DayFiles:
    """The cache in a folder, kept below `limit` bytes; for the threads of one process. `said`: warnings, as sentences.

    Use it in a `with` block where work is done `later`: the end of the block waits for it.
    """

    def __init__(self, folder: Path | None, limit: int) -> None:
        self.said: list[str] = []
        self._behind = Behind()
        self._folder, self._limit, self._added = self._opened(folder), limit, 0
        self._known = {entry.key: entry for entry in entries(self._folder)}

    def find(self, key: str) -> dict[str, Array] | None:
        """The arrays of a file, if they are what was written; None where there are none.

        The file is read whole, not mapped: what was hashed is what is used, one that another process cuts short meanwhile ends
        nobody, and thousands of sessions hold no descriptors. It takes no longer.
        """
        entry = self._known.get(key)
        if entry is None:
            return None
        try:
            content = entry.path.read_bytes()
            if hashlib.sha256(content).hexdigest() == entry.sha256:
                os.utime(entry.path)
                return arrays.of_bytes(content)
        except FileNotFoundError:  # cleared meanwhile
            return None
        except (OSError, ValueError) as error:
            LOG.info("%s: %s", entry.path.name, error)
        self._warn(f"the cache's file of {entry.interval} {entry.session} was not what was written: it was dropped and is made anew")
        self._drop(key)
        return None

    def keep(self, key: str, interval: str, session: str, found: Mapping[str, Array]) -> None:
        """Add the arrays of a session; does nothing where the place cannot be written."""
        if self._folder is None:
            return
        content = arrays.as_bytes(found)
        digest = hashlib.sha256(content).hexdigest()
        path = self._folder / f"{interval}_{session}_{key}_{digest}.arrow"
        try:
            _write(path, content)
        except OSError as error:
            self._warn(f"the cache cannot be written, the run goes on without: {error.strerror or error}")
            self._folder = None
            return
        before = self._known.get(key)
        if before is not None and before.path != path:
            self._drop(key)
        self._known[key] = Entry(path, interval, session, key, digest, len(content), time.time())
        self._added += len(content)
        if self._added * _SHARE > self._limit:
            self._trim()

    def later(self, work: Callable[[], object]) -> None:
        """Do some work with the files, such as to keep some, on a thread of its own, one piece after the other."""
        self._behind.do(work)

    def trim(self) -> None:
        """Remove what was not used for the longest time until the rest is no more than the limit; all that was given is done before."""
        self._behind.wait()
        self._trim()

    def __enter__(self) -> DayFiles:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._behind.__exit__(kind, error, trace)

    def _trim(self) -> None:
        self._added, held = 0, entries(self._folder)
        over = sum(entry.bytes for entry in held) - self._limit
        for entry in held:
            if over <= 0:
                break
            with suppress(OSError):
                entry.path.unlink(missing_ok=True)
                over -= entry.bytes

    def _drop(self, key: str) -> None:
        with suppress(OSError):
            self._known.pop(key).path.unlink(missing_ok=True)

    def _opened(self, folder: Path | None) -> Path | None:
        """The folder, made where it is absent; None where it is not to be used."""
        if folder is None:
            self._warn("there is no place for a cache: neither XDG_CACHE_HOME nor HOME names one")
            return None
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            ours = is_ours(folder)
            if ours and folder.stat().st_mode & 0o077:
                folder.chmod(0o700)
        except OSError as error:
            self._warn(f"the cache cannot be made, the run goes on without: {error.strerror or error}")
            return None
        if not ours:
            self._warn(f"the cache is not used: {folder} belongs to another user, or others may write into it")
            return None
        return folder

    def _warn(self, sentence: str) -> None:
        LOG.warning(sentence)
        if sentence not in self.said:
            self.said.append(sentence)


def _write(path: Path, content: memoryview) -> None:
    """A file that is there with all of its content, or not at all; not synced: a torn one is found by its digest."""
    handle, name = tempfile.mkstemp(prefix=".day.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

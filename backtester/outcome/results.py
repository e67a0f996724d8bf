"""A run's folder while it is written: claimed before any data is read, shown to readers in one step at the end.

Place in the flow: the pipeline claims, appends tables chunk by chunk, seals them, and publishes with manifest, metrics and config.
Never computes a result, and never touches an existing one before the new one is complete.

    1 claim     the lock `.NAME.lock` beside the place; the place is free, or a run's folder and `force`; leftovers of dead runs go
    2 append    rows into `.NAME.<random>.tmp/<table>.parquet`, a hidden folder beside the place that only its owner reads
    3 seal      every table of schema.RUN_TABLES is finished, also those without rows, and those kept on request
    4 publish   config.json, metrics.json, then manifest.json; all synced; the lock confirmed; one swap with the place

Fault points (BT_FAIL_AT): `claimed`, `sealed`, those of each JSON file's commit, `swap` and `swapped`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import polars as pl

from backtester.atomic import commit, fail_point, sync_folder, write_error
from backtester.errors import InternalError, OutputError, ResourceError, did_you_mean
from backtester.outcome.digests import plain
from backtester.outcome.lock import Lock, take
from backtester.outcome.swap import put_in_place
from backtester.outcome.writer import Stored, TableWriter, no_room
from backtester.schema import KEPT_TABLES, RUN_TABLES, STAGES

MANIFEST, METRICS, CONFIG, LOG = "manifest.json", "metrics.json", "config.json", "run.log"
_USERINFO = re.compile(r"(?<=://)[^/@\s\"]+@")


@dataclass(frozen=True)
class Sealed:
    """What was written: table -> rows, bytes and digest; stage -> digest over all sessions."""

    tables: dict[str, Stored]
    stages: dict[str, str]


class RunFolder:
    """The folder of one run in the making; use it in a `with` block, which clears up whatever was not published."""

    def __init__(self, place: Path, path: Path, lock: Lock, mode: int, force: bool) -> None:
        self.place, self.path = place, path
        self._lock, self._mode, self._force = lock, mode, force
        self._writers: dict[str, TableWriter] = {}
        self._stages = {stage: hashlib.sha256() for stage in STAGES}
        self._sealed: Sealed | None = None
        self._ended = False

    @classmethod
    def claim(cls, out: Path, force: bool = False, *, make_parent: bool = False, needed_bytes: int = 0) -> RunFolder:
        """Reserve `out` for this run. Read nothing before it.

        OutputError where the parent is missing (and not to be made), the place is a file, not writable, locked, holds a complete
        run and not `force`, or holds anything else; ResourceError where fewer than `needed_bytes` are free.
        """
        place = _place(Path(out), make_parent)
        lock = take(place.with_name(f".{place.name}.lock"), place)
        try:
            _recover(place)
            _check_free(place, force)
            _check_room(place, needed_bytes)
            path, mode = _temporary(place)
        except BaseException:
            lock.release()
            raise
        fail_point(f"claimed:{place.name}")
        return cls(place, path, lock, mode, force)

    @property
    def log(self) -> Path:
        """Where the run's log file belongs; close it before `publish`."""
        return self.path / LOG

    def append(self, name: str, rows: pl.DataFrame) -> None:
        """Append rows to one of the run's tables; ResourceError where the disk is full."""
        known = RUN_TABLES | KEPT_TABLES
        if name not in known:
            raise InternalError("no such table", value=name, action=did_you_mean(name, known))
        if self._sealed is not None:
            raise InternalError("the tables are sealed", where=f"table {name}")
        if name not in self._writers:
            self._writers[name] = TableWriter.create(known[name], self.path)
        self._writers[name].add(rows)
        if name == "digests":
            for session, stage, digest in rows.select("session", "stage", "digest").iter_rows():
                self._stages[stage].update(f"{session} {digest}\n".encode())

    def seal(self) -> Sealed:
        """Finish every table, also those without rows, and say what was written. A second call returns the same."""
        if self._sealed is None:
            for name, table in RUN_TABLES.items():
                if name not in self._writers:
                    self._writers[name] = TableWriter.create(table, self.path)
            tables = {name: self._writers[name].close() for name in (*RUN_TABLES, *KEPT_TABLES) if name in self._writers}
            self._sealed = Sealed(tables, {stage: hasher.hexdigest() for stage, hasher in self._stages.items()})
            fail_point(f"sealed:{self.place.name}")
        return self._sealed

    def publish(self, manifest: Mapping[str, Any], metrics: Mapping[str, Any], config: Mapping[str, Any]) -> Path:
        """Write the three JSON files, the manifest last, and put the folder in its place; returns the place.

        The old run, where there is one, stands until the swap. OutputError where the lock was lost meanwhile.
        """
        self.seal()
        for name, value in ((CONFIG, config), (METRICS, metrics), (MANIFEST, manifest)):
            _write_json(self.path / name, value)
        try:
            self._show()
            self._lock.confirm()
            _check_free(self.place, self._force)
            put_in_place(self.path, self.place)
        except OSError as error:
            raise no_room(self.place, error, 0) from error
        self._end()
        return self.place

    def abandon(self) -> None:
        """Delete what was written and give the place free; does nothing after `publish`."""
        if self._ended:
            return
        for writer in self._writers.values():
            writer.drop()
        shutil.rmtree(self.path, ignore_errors=True)
        self._end()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.abandon()

    def _show(self) -> None:
        """Sync every file and the folder, and let others read them as far as the user's umask lets them."""
        for file in self.path.iterdir():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
            file.chmod(self._mode & 0o666)
        self.path.chmod(self._mode)
        sync_folder(self.path)

    def _end(self) -> None:
        self._ended = True
        self._lock.release()


def is_run(folder: Path) -> bool:
    """True for a folder that holds a complete run: a manifest of ours stands in it."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and "result_key" in manifest.get("identity", {})


def _place(out: Path, make_parent: bool) -> Path:
    """The real path of the result's place; OutputError where there can be none."""
    place = Path(os.path.realpath(out.expanduser()))
    if not place.name:
        raise OutputError("this cannot be a result's place", where=str(out), action="name a folder that does not exist yet")
    if make_parent and not place.parent.exists():
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(place.parent, error) from error
    if not place.parent.is_dir():
        what = "is not a folder" if place.parent.exists() else "does not exist"
        raise OutputError(f"the parent of the result's place {what}", where=str(place.parent), action="make the folder first")
    if place.exists() and not place.is_dir():
        raise OutputError("the result's place is a file", where=str(place), action="choose another place")
    return place


def _check_free(place: Path, force: bool) -> None:
    """Refuse a complete run without force, and with or without it whatever is not a run of ours."""
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        return
    if not is_run(place):
        raise OutputError("the result's place holds something that is not a run", where=str(place), action="choose another place")
    if not force:
        raise OutputError("the result's place holds a complete run", where=str(place), action="choose another place, or use --force")


def _check_room(place: Path, needed: int) -> None:
    free = shutil.disk_usage(place.parent).free
    if free < needed:
        raise ResourceError(
            "not enough room for the result",
            where=str(place),
            value=f"{free} bytes free",
            allowed=f"{needed} bytes",
            action="free some space",
        )


def _temporary(place: Path) -> tuple[Path, int]:
    """A new hidden folder beside the place, mode 0700, and the mode that the user's umask gives to folders."""
    path = place.with_name(f".{place.name}.{secrets.token_hex(8)}.tmp")
    try:
        path.mkdir(mode=0o700)
        probe = path / "mode"
        probe.mkdir()  # the umask itself belongs to all threads and must not be touched to be read
        mode = probe.stat().st_mode & 0o777
        probe.rmdir()
    except OSError as error:
        shutil.rmtree(path, ignore_errors=True)
        raise write_error(path, error) from error
    return path, mode


def _recover(place: Path) -> None:
    """Clear what dead runs left beside the place; call it under the lock.

    `.NAME.<16 hex>.tmp` was in the making or has been replaced; `.NAME.<16 hex>.old` stood aside while two renames replaced it,
    and goes back where the second rename never came.
    """
    ours = re.compile(re.escape(f".{place.name}.") + r"[0-9a-f]{16}\.(tmp|old)")
    try:
        for path in [path for path in place.parent.iterdir() if ours.fullmatch(path.name)]:
            if path.suffix == ".old" and not place.exists():
                path.rename(place)
            else:
                shutil.rmtree(path)
    except OSError as error:
        raise write_error(place, error) from error


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a value as JSON that people can read, too; user info in URLs, which may be a password, stays out."""
    text = _USERINFO.sub("", json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)) + "\n"
    content = text.encode("utf-8", "backslashreplace")  # half a surrogate pair, from a file name, becomes an escape

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    commit(path, write)

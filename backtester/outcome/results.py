"""A run's folder while it is written: claimed before any data is read, shown to readers in one step at the end.

Place in the flow: the pipeline claims, appends tables chunk by chunk, seals them, and publishes with manifest, metrics and config.
Never computes a result, and never touches an existing one before the new one is complete.

    1 claim     the lock `.NAME.lock` beside the place; the place is free, or a run's folder and `force`; leftovers of dead runs go,
                but for the one that shall be gone on with
    2 append    rows into `.NAME.<random>.tmp/<table>.parquet`, a hidden folder beside the place that only its owner reads
    3 seal      every table of schema.RUN_TABLES is finished, also those without rows, and those kept on request
    4 publish   config.json, metrics.json, then manifest.json; all synced; the lock confirmed; one swap with the place

What was not published goes, but where there is a checkpoint and the run was stopped by its user, or never got to work.

Fault points (BT_FAIL_AT): `claimed`, `sealed`, those of checkpoints and of each JSON file's commit, `swap` and `swapped`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import polars as pl

from backtester.atomic import commit, fail_point, sync_folder
from backtester.errors import InternalError, did_you_mean
from backtester.outcome.checkpoints import FOLDER as RESUME
from backtester.outcome.checkpoints import Checkpoints
from backtester.outcome.digests import plain
from backtester.outcome.lock import Lock, take
from backtester.outcome.place import MANIFEST as MANIFEST
from backtester.outcome.place import adopted, check_free, check_room, place_of, recovered, temporary
from backtester.outcome.place import is_run as is_run
from backtester.outcome.swap import put_in_place
from backtester.outcome.writer import Stored, TableWriter, no_room
from backtester.schema import KEPT_TABLES, RUN_TABLES, STAGES

METRICS, CONFIG, LOG = "metrics.json", "config.json", "run.log"
_USERINFO = re.compile(r"(?<=://)[^/@\s\"]+@")


@dataclass(frozen=True)
class Sealed:
    """What was written: table -> rows, bytes and digest; stage -> digest over all sessions."""

    tables: dict[str, Stored]
    stages: dict[str, str]


class RunFolder:
    """The folder of one run in the making; use it in a `with` block, which clears up whatever was not published."""

    def __init__(self, place: Path, path: Path, lock: Lock, mode: int, force: bool, unfinished: bool = False) -> None:
        self.place, self.path = place, path
        self.unfinished = unfinished
        self.checkpoints = Checkpoints(path)
        self.keeps = True
        self._lock, self._mode, self._force = lock, mode, force
        self._writers: dict[str, TableWriter] = {}
        self._stages = {stage: hashlib.sha256() for stage in STAGES}
        self._sealed: Sealed | None = None
        self._ended = False

    @classmethod
    def claim(cls, out: Path, force: bool = False, *, make_parent: bool = False, needed_bytes: int = 0, resume: bool = False) -> RunFolder:
        """Reserve `out` for this run. Read nothing before it.

        resume: where a dead run has left a checkpoint, `unfinished` is true of the folder, and `again` goes on with it.
        OutputError where the parent is missing (and not to be made), the place is a file, not writable, locked, holds a complete
        run and not `force`, or holds anything else; ResourceError where fewer than `needed_bytes` are free.
        """
        place = place_of(Path(out), make_parent)
        lock = take(place.with_name(f".{place.name}.lock"), place)
        try:
            left = recovered(place, resume)
            check_free(place, force)
            check_room(place, needed_bytes)
            path, mode = temporary(place)
            if left is not None:
                adopted(left, path)
        except BaseException:
            lock.release()
            raise
        fail_point(f"claimed:{place.name}")
        return cls(place, path, lock, mode, force, left is not None)

    @property
    def log(self) -> Path:
        """Where the run's log file belongs; close it before `publish`."""
        return self.path / LOG

    def append(self, name: str, rows: pl.DataFrame) -> None:
        """Append rows to one of the run's tables; ResourceError where the disk is full."""
        self._write(name, rows)
        if self.keeps:
            self.checkpoints.add(name, rows)

    def again(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Go on with what a dead run has left: write the rows that its last checkpoint vouches for, and hand them on as they come.

        Rows of what is no table of the run are handed on only. Errors as of `Checkpoints.begun`.
        """
        self.unfinished = False
        self._clear()
        for name, rows in self.checkpoints.again():
            if name in RUN_TABLES or name in KEPT_TABLES:
                self._write(name, rows)
            yield name, rows

    def _write(self, name: str, rows: pl.DataFrame) -> None:
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
            check_free(self.place, self._force)
            self.checkpoints.remove()
            put_in_place(self.path, self.place)
        except OSError as error:
            raise no_room(self.place, error, 0) from error
        self._end()
        return self.place

    def abandon(self, *, keep: bool = False) -> None:
        """Delete what was written and give the place free; does nothing after `publish`. keep: what the last checkpoint names stays."""
        if self._ended:
            return
        for writer in self._writers.values():
            writer.drop()
        self.checkpoints.close()
        if keep:
            self._clear()
        else:
            shutil.rmtree(self.path, ignore_errors=True)
        self._end()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        stopped = isinstance(error, KeyboardInterrupt) and self.checkpoints.made
        if stopped and error is not None and not self._ended:
            error.add_note("what is done is kept: the same command with --resume goes on with it")
        self.abandon(keep=stopped or self.unfinished)

    def _clear(self) -> None:
        """Delete all but what is needed to go on, and the log."""
        with contextlib.suppress(OSError):  # what cannot be deleted now goes when the run is begun again
            for path in self.path.iterdir():
                if path.name not in (RESUME, LOG):
                    path.unlink()

    def _show(self) -> None:
        """Sync every file and the folder, and let others read them as far as the user's umask lets them."""
        for file in [path for path in self.path.iterdir() if path.name != RESUME]:
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
            file.chmod(self._mode & 0o666)
        self.path.chmod(self._mode)
        sync_folder(self.path)

    def _end(self) -> None:
        self._ended = True
        self._lock.release()


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a value as JSON that people can read, too; user info in URLs, which may be a password, stays out."""
    text = _USERINFO.sub("", json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)) + "\n"
    content = text.encode("utf-8", "backslashreplace")  # half a surrogate pair, from a file name, becomes an escape

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    commit(path, write)

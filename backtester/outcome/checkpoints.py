"""Checkpoints: what an unfinished run leaves, so that it can be gone on with after a kill.

Place in the flow: `RunFolder` hands every row here as it goes to its table, and the pipeline now and then all that its next part
needs. Lies in the folder `resume` of the run's hidden folder and goes when the run is complete. Never knows what the state means.

    plan.json          what is run: must be the same for a resume
    pieces.arrows      the rows of all tables as they came: Arrow streams, one after the other
    state-<n>.arrow    the arrays of the last checkpoint (see arrays.py)
    checkpoint.json    the rest of it, and digests of that file and of each piece; put in place last: what it names, counts

A kill at any moment leaves the last checkpoint whole: pieces are only added to, and what stands after those that count is cut off.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from backtester import arrays
from backtester.arrays import Array
from backtester.atomic import commit, fail_point, remove_leftovers, sync_folder, write_error
from backtester.errors import BacktesterError, OutputError
from backtester.outcome.digests import plain
from backtester.outcome.writer import no_room

FOLDER, PLAN, CHECKPOINT, PIECES = "resume", "plan.json", "checkpoint.json", "pieces.arrows"
VERSION = 1
WAITING_ROWS = 262_144
"""Rows that wait in memory, at most, until they become pieces."""


@dataclass(frozen=True)
class Piece:
    """Rows of one table, as they lie in the file of pieces."""

    table: str
    rows: int
    bytes: int
    sha256: str


class Checkpoints:
    """The checkpoints of one run; nothing is on disk before the first, or before more than WAITING_ROWS rows are there."""

    def __init__(self, run: Path) -> None:
        self.path = run / FOLDER
        self._waiting: dict[str, list[pl.DataFrame]] = {}
        self._rows = 0
        self._pieces: list[Piece] = []
        self._file: BinaryIO | None = None
        self._made = 0

    @property
    def made(self) -> bool:
        """True where there is a checkpoint to go on from."""
        return self._made > 0

    def add(self, table: str, rows: pl.DataFrame) -> None:
        """Rows that the next checkpoint vouches for. Raises ResourceError where the disk is full."""
        if rows.height:
            self._waiting.setdefault(table, []).append(rows)
            self._rows += rows.height
        if self._rows > WAITING_ROWS:
            self._flush()

    def save(self, plan: Mapping[str, Any], facts: Mapping[str, Any], state: Mapping[str, Array]) -> None:
        """Make a checkpoint: everything added so far, and what goes on from here. `plan` is written once, with the first."""
        self._flush()
        fail_point(f"pieces:{FOLDER}")
        file = self._opened()
        try:
            os.fsync(file.fileno())
        except OSError as error:
            raise write_error(self.path / PIECES, error) from error
        if not (self.path / PLAN).exists():
            _write_json(self.path / PLAN, plan)
        place = self.path / f"state-{self._made}.arrow"
        commit(place, lambda path: _write_state(path, state, place))
        kept = {"file": place.name, "sha256": _sha256(place)}
        whole = {"version": VERSION, "facts": facts, "state": kept, "pieces": [asdict(piece) for piece in self._pieces]}
        _write_json(self.path / CHECKPOINT, whole)
        self._made += 1
        fail_point(f"checkpoint:{FOLDER}")
        self._remove_older(place)

    def begun(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Array]]:
        """Plan, facts and arrays of the last checkpoint; OutputError where they cannot be read or are not what was written."""
        try:
            plan, found = (json.loads((self.path / name).read_bytes()) for name in (PLAN, CHECKPOINT))
            if found["version"] != VERSION:
                raise ValueError(f"version {found['version']}, this program reads {VERSION}")
            place = self.path / str(found["state"]["file"])
            if _sha256(place) != found["state"]["sha256"]:
                raise ValueError(f"{place.name} is not what was written")
            state = {name: values.copy() for name, values in arrays.read(place).items()}
            self._pieces = [Piece(**piece) for piece in found["pieces"]]
            self._made = int(place.stem.rpartition("-")[2]) + 1
            return plan, found["facts"], state
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(error) from error

    def again(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """The rows that the last checkpoint vouches for, as they came; what stands after them is cut off. Errors as of `begun`."""
        self._remove_older(self.path / f"state-{self._made - 1}.arrow")
        file, end = self._opened(), 0
        try:
            file.seek(0)
            for piece in self._pieces:
                content = file.read(piece.bytes)
                if hashlib.sha256(content).hexdigest() != piece.sha256:
                    raise ValueError(f"{PIECES} is not what was written")
                end += piece.bytes
                yield piece.table, pl.read_ipc_stream(io.BytesIO(content))
            file.truncate(end)
            file.seek(end)
        except (OSError, ValueError, pl.exceptions.PolarsError) as error:
            raise self._damaged(error) from error

    def close(self) -> None:
        """Let the files go; what a checkpoint vouches for stays."""
        self._waiting.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Delete all of it: the run is complete."""
        self.close()
        shutil.rmtree(self.path, ignore_errors=True)

    def _flush(self) -> None:
        """Write what waits, one piece a table."""
        waiting, self._waiting, self._rows = self._waiting, {}, 0
        if not waiting:
            return
        file, content = self._opened(), b""
        try:
            for table, frames in waiting.items():
                content = _stream(frames)
                file.write(content)
                digest = hashlib.sha256(content).hexdigest()
                self._pieces.append(Piece(table, sum(rows.height for rows in frames), len(content), digest))
            file.flush()
        except OSError as error:
            raise no_room(self.path / PIECES, error, len(content)) from error

    def _opened(self) -> BinaryIO:
        """The file of pieces, made at its first use."""
        if self._file is None:
            try:
                self.path.mkdir(mode=0o700, exist_ok=True)
                remove_leftovers(self.path)
                path = self.path / PIECES
                handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
                self._file = os.fdopen(handle, "r+b")
                sync_folder(self.path)
            except OSError as error:
                raise write_error(self.path / PIECES, error) from error
        return self._file

    def _remove_older(self, last: Path) -> None:
        for path in self.path.glob("state-*.arrow"):
            if path != last:
                path.unlink(missing_ok=True)

    def _damaged(self, error: Exception) -> BacktesterError:
        return OutputError(
            "what is left of the run cannot be gone on with",
            where=str(self.path),
            value=str(error).splitlines()[0] if str(error) else type(error).__name__,
            action="run without --resume, which begins anew",
        )


def sessions_of(run: Path) -> int | None:
    """Sessions that a run's hidden folder has done by its last checkpoint; None where there is nothing to go on from."""
    path = run / FOLDER / CHECKPOINT
    if not path.is_file():
        return None
    try:
        return int(json.loads(path.read_bytes())["facts"]["sessions"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0  # it is for `begun` to say what is wrong with it


def _stream(frames: Sequence[pl.DataFrame]) -> bytes:
    """Frames of one table as an Arrow stream; text whose words differ becomes text again."""
    kinds = frames[0].schema
    differs = {name for rows in frames[1:] for name, kind in rows.schema.items() if kind != kinds[name]}
    same = [rows.with_columns(pl.col(*differs).cast(pl.String)) for rows in frames] if differs else frames
    buffer = io.BytesIO()
    pl.concat(same).write_ipc_stream(buffer, compression="lz4")
    return buffer.getvalue()


def _write_state(path: Path, state: Mapping[str, Array], place: Path) -> None:
    """Write the arrays that go to `place`; ResourceError with the bytes that are free and needed where the disk is full."""
    try:
        arrays.write(path, state)
    except OSError as error:
        raise no_room(place, error, sum(values.nbytes for values in state.values())) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    content = json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    commit(path, write)

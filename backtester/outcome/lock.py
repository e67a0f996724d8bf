"""The lock of a run's place: one run at a time, and a dead one does not keep it.

Place in the flow: `RunFolder.claim` takes it before anything is read, `publish` confirms it before the swap. Never touches results.

The lock is a file beside the place, `.NAME.lock`, made with O_EXCL; it holds pid, host, since and a random token as JSON, and its
mtime is the heartbeat, renewed every HEARTBEAT_SECONDS by a thread. It is also held by flock where the file system can. It is free
    when flock (where it works) can be had, and either its pid is dead on this host, or its heartbeat is STALE_SECONDS old.
A free lock is taken over in place, under flock, so that of several that find it dead one wins. Where flock does not work the
takeover waits a moment and looks whose token stands. Whoever lost its lock (a stopped process, a network share that hung) finds
out in `confirm` and does not publish.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import json
import os
import secrets
import socket
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from backtester.atomic import write_error
from backtester.errors import OutputError

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0
SETTLE_SECONDS = 0.2
TURNS = 40


@dataclass(frozen=True)
class Holder:
    """Who holds a lock; since is ISO 8601 in UTC, birth the kernel's start time of the process ("" where it does not tell)."""

    pid: int
    host: str
    since: str
    birth: str
    token: str

    def alive(self, age_seconds: float) -> bool:
        """True unless the heartbeat is old or the process, on this host, is gone."""
        return age_seconds < STALE_SECONDS and not (self.host == socket.gethostname() and _is_dead(self.pid, self.birth))


class Lock:
    """A held lock; `release` it, or let the process end."""

    def __init__(self, path: Path, handle: int, holder: Holder) -> None:
        self.path, self.holder = path, holder
        self._handle = handle
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="run-folder-heartbeat", daemon=True)
        self._heart.start()

    def confirm(self) -> None:
        """Raise OutputError where another run has taken the lock over."""
        found = _read(self.path)
        if found is None or found.token != self.holder.token:
            raise OutputError(
                "the lock of the result's place was lost: this run was silent for too long",
                where=str(self.path),
                value="no lock" if found is None else f"pid {found.pid}, host {found.host}, since {found.since}",
                action="run again",
            )

    def release(self) -> None:
        """Give the place free; a second call does nothing."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._heart.join()
        found = _read(self.path)
        if found is not None and found.token == self.holder.token:
            self.path.unlink(missing_ok=True)
        os.close(self._handle)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            # A heartbeat that cannot be written is a lock that may be lost, which `confirm` finds out.
            with contextlib.suppress(OSError):
                os.utime(self._handle)


def take(path: Path, place: Path) -> Lock:
    """The lock `path` of `place`, or OutputError naming its holder (ResourceError where the disk is full)."""
    holder: Holder | None = None
    for _ in range(TURNS):
        try:
            lock = _create(path) or _take_over(path)
        except OSError as error:
            raise write_error(path, error) from error
        if lock is not None:
            return lock
        holder = _read(path) or holder
        if holder is not None:
            break
        time.sleep(0.025)  # the holder is just writing its name, or has just gone
    who = "a run that is just starting" if holder is None else f"pid {holder.pid}, host {holder.host}, since {holder.since}"
    raise OutputError(f"the result's place is locked by {who}", where=str(place), action="wait for that run, or choose another place")


def _create(path: Path) -> Lock | None:
    """A new lock, or None where there is one already."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return None
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)  # one who looks at the new file holds it for a moment only
        return Lock(path, handle, _sign(handle))
    except OSError:
        path.unlink(missing_ok=True)
        os.close(handle)
        raise


def _take_over(path: Path) -> Lock | None:
    """The lock of a dead run, or None where its holder lives or the file has just changed."""
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    flocked = _flock(handle)
    try:
        if flocked is False or not _is_same_file(handle, path) or _is_held(handle, path):
            os.close(handle)
            return None
        lock = Lock(path, handle, _sign(handle))
    except OSError:
        os.close(handle)  # or this process itself would keep the place
        raise
    if flocked is None:
        time.sleep(SETTLE_SECONDS)
    found = _read(path)
    if found is None or found.token != lock.holder.token:
        lock.release()
        return None
    return lock


def _sign(handle: int) -> Holder:
    """Write this process's name into the lock file."""
    since = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    holder = Holder(os.getpid(), socket.gethostname(), since, _birth(os.getpid()), secrets.token_hex(8))
    content = json.dumps(asdict(holder)).encode()
    os.pwrite(handle, content, 0)
    os.ftruncate(handle, len(content))
    os.fsync(handle)
    return holder


def _read(path: Path) -> Holder | None:
    """Who the lock file names, or None where it is gone or not (yet) readable."""
    try:
        found = json.loads(path.read_bytes())
        return Holder(int(found["pid"]), str(found["host"]), str(found["since"]), str(found["birth"]), str(found["token"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_held(handle: int, path: Path) -> bool:
    """True where the holder lives; one without a name lives as long as its file is young."""
    age = _now_of_folder(path.parent) - os.fstat(handle).st_mtime
    holder = _read(path)
    return age < STALE_SECONDS if holder is None else holder.alive(age)


def _now_of_folder(folder: Path) -> float:
    """The file system's own clock, in seconds: a share's server and this machine may disagree on the time."""
    with tempfile.NamedTemporaryFile(prefix=".clock.", suffix=".tmp", dir=folder) as probe:
        return os.fstat(probe.fileno()).st_mtime


def _flock(handle: int) -> bool | None:
    """True: had it; False: another holds it; None: this file system has no flock."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_same_file(handle: int, path: Path) -> bool:
    """True where the open file is still the one at the path."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _is_dead(pid: int, birth: str) -> bool:
    """True where no process of this host has that id, or only another one, born later, or a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return birth != "" and _birth(pid) != birth


def _birth(pid: int) -> str:
    """When the kernel started the process, in its own ticks; "" for a zombie, and where there is no /proc."""
    try:
        state, *facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if state in "ZX" else facts[18]

"""The one way a file is written: whole or not at all.

Place in the flow: the lowest floor; the lake and the results write through `commit`. A reader sees the old file or the new
one, never a part: temporary name in the same folder, fsync, replace, fsync of the folder. Never reads what it writes.

A temporary name is `.<name>.<random>.tmp`: no pattern of a reader (`*.parquet`, `*.json`) matches it.

Faults for tests: the environment variable BT_FAIL_AT names a step, and the process ends there as if it had been killed.
The steps are `write`, `sync`, `replace` and `done`, each named `<step>:<file name>`; BT_FAIL_AT holds a step
(`replace`) or a pattern of the whole name (`replace:2025-07-*`). The exit code of such a death is 137.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

from backtester.errors import BacktesterError, OutputError, ResourceError

FAIL_AT = "BT_FAIL_AT"
KILLED = 137

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EFBIG}
_FULL_TEXTS = ("no space left", "disk quota exceeded", "input/output error", "file too large")


def commit(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file, then put it at `path` in one step.

    The temporary file is readable by its owner alone; the final one gets the mode of the file it replaces, else that of
    its folder. Raises ResourceError where the disk is full or fails, OutputError where the place is not writable; then,
    and whenever `write` raises, the old file stands and the temporary one is gone.
    """
    temporary = stage(path, write)
    try:
        publish(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    fail_point(f"done:{path.name}")


def stage(path: Path, write: Callable[[Path], None]) -> Path:
    """Let `write` fill a temporary file beside `path`, durable and ready to be put there by `publish`; returns its path.

    Its mode is 0600 while it is written. Errors as of `commit`; then the temporary file is gone.
    """
    temporary = _temporary(path)
    try:
        fail_point(f"write:{path.name}")
        write(temporary)
        fail_point(f"sync:{path.name}")
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        # The folder's mode shows what the user's umask lets others see, without the umask being touched (all threads share it).
        shown = path.stat().st_mode if path.exists() else path.parent.stat().st_mode
        temporary.chmod(shown & 0o666)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise write_error(path, error) from error
        raise
    return temporary


def publish(temporary: Path, path: Path) -> None:
    """Put a staged file in its place; durable after `sync_folder`."""
    fail_point(f"replace:{path.name}")
    temporary.replace(path)


def fail_point(name: str) -> None:
    """End the process here, as a kill would, where BT_FAIL_AT names this step."""
    wanted = os.environ.get(FAIL_AT)
    if wanted and (wanted == name.partition(":")[0] or fnmatchcase(name, wanted)):
        os._exit(KILLED)


def is_temporary(path: Path) -> bool:
    """True for a name that `commit` gives to a file in the making.

    >>> is_temporary(Path("lake/.catalog.parquet.x1y2.tmp")), is_temporary(Path("lake/catalog.parquet"))
    (True, False)
    """
    return path.name.startswith(".") and path.name.endswith(".tmp")


def remove_leftovers(folder: Path) -> int:
    """Delete what killed commits left in `folder`, not below it; call it under the folder's lock. Returns how many."""
    left = [path for path in folder.glob(".*.tmp") if is_temporary(path)] if folder.is_dir() else []
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def write_error(path: Path, error: OSError) -> BacktesterError:
    """The user's error for an operating system error met while writing `path`."""
    text = error.strerror or str(error)
    if error.errno in _FULL or any(sign in str(error).casefold() for sign in _FULL_TEXTS):
        return ResourceError("the file could not be written", where=str(path), value=text, action="free some space and try again")
    return OutputError("the file could not be written", where=str(path), value=text, action="choose a writable place")


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable; file systems that cannot sync a folder are left alone."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


def _temporary(path: Path) -> Path:
    """A new empty file beside `path`, with mode 0600."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise write_error(path, error) from error
    os.close(handle)
    return path.with_name(Path(name).name)  # beside `path` as it was given: what mkstemp returns is absolute

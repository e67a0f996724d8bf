"""The last step of a run: its folder takes the place, and the old run, if any, goes.

Place in the flow: called by `RunFolder.publish` with everything synced. Never leaves the place without a complete run where there
was one: Linux exchanges two names in one step; elsewhere two renames do, and the next claim mends a kill between them.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
from pathlib import Path

from backtester.atomic import fail_point, sync_folder

_HERE = -100  # AT_FDCWD
_EXCHANGE = 2  # RENAME_EXCHANGE


def put_in_place(made: Path, place: Path) -> None:
    """Rename the folder `made` to `place`; a folder that stands there is deleted once the new one stands. OSError as it comes."""
    fail_point(f"swap:{place.name}")
    old: Path | None = None
    if not place.exists() or not any(place.iterdir()):
        made.rename(place)
    elif _exchange(made, place):
        old = made
    else:
        old = place.with_name(f".{place.name}.{secrets.token_hex(8)}.old")
        place.rename(old)
        fail_point(f"aside:{place.name}")
        try:
            made.rename(place)
        except OSError:
            old.rename(place)
            raise
    sync_folder(place.parent)
    fail_point(f"swapped:{place.name}")
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)  # what cannot be deleted now is a leftover, which the next claim clears


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step; False where the system or the file system cannot."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError):
        return False
    return bool(rename(_HERE, os.fsencode(first), _HERE, os.fsencode(second), _EXCHANGE) == 0)

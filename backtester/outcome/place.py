"""The place of a run's folder: whether it is free, what dead runs left beside it, and the hidden folder that a run is written in.

Place in the flow: `RunFolder.claim` asks here, under the lock. Never touches a complete run.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from pathlib import Path

from backtester.atomic import write_error
from backtester.errors import OutputError, ResourceError
from backtester.outcome.checkpoints import sessions_of

MANIFEST = "manifest.json"


def is_run(folder: Path) -> bool:
    """True for a folder that holds a complete run: a manifest of ours stands in it."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and "result_key" in manifest.get("identity", {})


def place_of(out: Path, make_parent: bool) -> Path:
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


def check_free(place: Path, force: bool) -> None:
    """Refuse a complete run without force, and with or without it whatever is not a run of ours."""
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        return
    if not is_run(place):
        raise OutputError("the result's place holds something that is not a run", where=str(place), action="choose another place")
    if not force:
        raise OutputError("the result's place holds a complete run", where=str(place), action="choose another place, or use --force")


def check_room(place: Path, needed: int) -> None:
    """Raise ResourceError where fewer than `needed` bytes are free."""
    free = shutil.disk_usage(place.parent).free
    if free < needed:
        raise ResourceError(
            "not enough room for the result",
            where=str(place),
            value=f"{free} bytes free",
            allowed=f"{needed} bytes",
            action="free some space",
        )


def temporary(place: Path) -> tuple[Path, int]:
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


def recovered(place: Path, keep: bool) -> Path | None:
    """Clear what dead runs left beside the place; call it under the lock. Returns what stays: where one shall be kept, the folder
    whose checkpoint is furthest.

    `.NAME.<16 hex>.tmp` was in the making or has been replaced; `.NAME.<16 hex>.old` stood aside while two renames replaced it,
    and goes back where the second rename never came.
    """
    ours = re.compile(re.escape(f".{place.name}.") + r"[0-9a-f]{16}\.(tmp|old)")
    try:
        left = [path for path in place.parent.iterdir() if ours.fullmatch(path.name)]
        done = {path: sessions for path in left if keep and (sessions := sessions_of(path)) is not None}
        kept = max(done, key=done.__getitem__, default=None)
        for path in left:
            if path.suffix == ".old" and not place.exists():
                path.rename(place)
            elif path != kept:
                shutil.rmtree(path)
    except OSError as error:
        raise write_error(place, error) from error
    return kept


def adopted(left: Path, path: Path) -> None:
    """What a dead run left becomes the empty folder `path`: a new name, so that one who is not dead after all cannot write into it."""
    try:
        path.rmdir()
        left.rename(path)
    except OSError as error:
        raise write_error(path, error) from error

"""The user's own folder of data: small files of one JSON object a line, to which programs append.

Place in the flow: the lowest floor; the ledger of trials and the catalog of runs live here. Never a condition of a result: where there
is no place for it, or it cannot be written, callers go on without.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HOME = "BT_DATA_HOME"


def place(name: str) -> Path | None:
    """The file of that name: in BT_DATA_HOME, else in the user's data folder; None where there is none."""
    own, shared = os.environ.get(HOME), os.environ.get("XDG_DATA_HOME")
    if own:
        return Path(own) / name
    try:
        return (Path(shared) if shared else Path.home() / ".local" / "share") / "backtester" / name
    except RuntimeError:  # nobody's home
        return None


def append(path: Path, value: Mapping[str, Any]) -> None:
    """Add a line in one write, which other programs' lines cannot tear; OSError where it cannot be written. A new file is the user's alone.

    A line that a crash of the machine has torn before stays alone: the new one begins after it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(value, allow_nan=False) + "\n"
    with open(path, "ab+", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            line = line if file.read(1) == b"\n" else f"\n{line}"
        file.write(line.encode("ascii"))


def lines(path: Path, holding: str = "") -> list[dict[str, Any]]:
    """The objects of a file, the oldest first; lines that cannot be read are left out, and so is a file that cannot.

    holding: only lines with this text in them, which takes no time to tell.
    """
    found = []
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    for line in text.split("\n"):
        if holding not in line:
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found

"""The catalog: every run and sweep that this user has finished on this machine, remembered when its folder is gone.

Place in the flow: `bt run`, `bt sweep` and their Python twins note what they have finished; `bt runs` reads. A line of JSON a result in
`runs.jsonl`, in the folder of the ledger of trials. Never a condition of a result: what cannot be noted is not. BT_CATALOG=off keeps
nothing.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from backtester import home
from backtester.outcome.entries import GONE, REPLACED, entry, key
from backtester.outcome.held import held

FILE = "runs.jsonl"
SWITCH = "BT_CATALOG"
_OFF = ("off", "0", "no", "false")


def note(folder: Path) -> None:
    """Remember a finished result; one that is repeated in the same folder is remembered once."""
    if os.environ.get(SWITCH, "").casefold() in _OFF:
        return
    with suppress(Exception):  # the result stands, whatever becomes of its line
        path, found = home.place(FILE), entry(held(folder))
        if path is not None and _same(found) not in {_same(line) for line in home.lines(path, str(found["result_key"]))}:
            home.append(path, found)


def remembered() -> list[dict[str, Any]]:
    """What was noted, the oldest first, each with its `status` as of now: gone, replaced by another result, or as it was."""
    path = home.place(FILE)
    lines = [] if path is None else home.lines(path)
    kept = {_same(line): line for line in lines if isinstance(line.get("folder"), str)}
    return [line | _now(line) for line in kept.values()]


def _same(line: dict[str, Any]) -> tuple[str, str]:
    """What tells results apart: where, and what came out."""
    return str(line.get("folder")), str(line.get("result_key"))


def _now(line: dict[str, Any]) -> dict[str, Any]:
    try:
        found = held(Path(line["folder"]))
    except Exception:  # gone, or damaged: in no case is the result there
        return {"status": GONE}
    return {} if key(found.manifest) == line.get("result_key") else {"status": REPLACED}

"""Verify: every file of a lake against its catalog.

Place in the flow: `bt data verify`; a run checks what it reads by itself. Never repairs anything.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from backtester.atomic import is_temporary
from backtester.errors import DataError
from backtester.market.lake import ACTIONS_FILE, KINDS, Lake

THREADS = 2


@dataclass(frozen=True)
class Verdict:
    """What was found: how many files and bytes were read, the damaged files' errors by path, and files the catalog does not list."""

    files: int
    bytes: int
    damaged: dict[str, DataError]
    unlisted: tuple[str, ...]


def verify(lake: Lake, progress: Callable[[int, int], None] | None = None) -> Verdict:
    """Hash every file of the lake; progress gets (files done, files in all)."""
    paths = lake.catalog["path"].to_list()
    damaged: dict[str, DataError] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        for number, (path, error) in enumerate(zip(paths, pool.map(lambda path: _look(lake, path), paths), strict=True), 1):
            if error is not None:
                damaged[path] = error
            if progress is not None:
                progress(number, len(paths))
    return Verdict(len(paths), int(lake.catalog["bytes"].sum()), damaged, _unlisted(lake, set(paths)))


def _look(lake: Lake, path: str) -> DataError | None:
    """The error of one file, or None where it is as the catalog says."""
    try:
        lake.check(path, "hash")
    except DataError as error:
        return error
    return None


def _unlisted(lake: Lake, listed: set[str]) -> tuple[str, ...]:
    """Day files and a file of actions that the catalog does not know; every reader passes them by."""
    found = [path for kind in KINDS for path in (lake.root / kind).glob("*/*") if path.suffix == ".parquet" or is_temporary(path)]
    found += [path for path in lake.root.glob(f"*{ACTIONS_FILE}*") if path.name == ACTIONS_FILE or is_temporary(path)]
    return tuple(sorted(name for path in found if (name := path.relative_to(lake.root).as_posix()) not in listed))

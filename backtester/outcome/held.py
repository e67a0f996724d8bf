"""What folders hold: complete runs, sweeps and walks, found, told apart and named.

Place in the flow: what is asked in SQL and what is listed begins here. A folder's files are what its user was given: no name in them
leads out of the folder. Reads manifests only, never a table.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from backtester.errors import BacktesterError, DataError, OutputError
from backtester.outcome.manifest import VERSION
from backtester.outcome.results import LOG, MANIFEST, METRICS

Kind = Literal["run", "sweep", "walk"]
EVIDENCE, PLAN = "evidence.json", "plan.json"
SWEEP_TABLES = ("trials", "trial_equity")
WALKS = {"walk.json": ("folds", "walk"), "cross.json": ("choices", "paths")}
"""The file of figures that a walk writes last, and the tables beside it."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_BEGUN = (METRICS, LOG, PLAN, "fills.parquet", "trials.parquet", "folds.parquet", "choices.parquet")


@dataclass(frozen=True)
class Held:
    """A complete result: its folder, the files of its tables by name, its manifest ({} for a walk), the file of its figures if any."""

    kind: Kind
    folder: Path
    tables: Mapping[str, Path]
    manifest: Mapping[str, Any]
    figures: Path | None


def held(folder: Path) -> Held:
    """The result in a folder; OutputError where there is no complete one, DataError where it is damaged or of another version."""
    place = Path(os.path.expanduser(folder))
    if not os.path.isdir(place):
        raise OutputError("there is no result here", where=str(folder), action="give the folder of a finished run or sweep")
    found = _result(place.absolute())
    if found is None:
        raise OutputError("this folder holds no complete result", where=str(folder), value=f"no {MANIFEST}", action="run it again")
    return found


def gathered(places: Sequence[Path]) -> tuple[dict[str, Held], list[str]]:
    """The results in some places, by names of their own, and a sentence for each folder left out.

    A place is a result's folder, or a folder with results below it. OutputError where there is no such folder, or nothing in it.
    """
    results: dict[Path, Held] = {}
    notes: list[str] = []
    for place in places:
        found, left_out = _at(place)
        if not found:
            more = f"; {left_out[0]}" if left_out else ""
            raise OutputError(
                "there is no finished run or sweep here", where=str(place), action=f"give the folder of one, or above it{more}"
            )
        results |= {each.folder.resolve(): each for each in found}
        notes += left_out
    names = unique_names([result.folder for result in results.values()])
    return dict(zip(names, results.values(), strict=True)), list(dict.fromkeys(notes))


def below(place: Path) -> tuple[list[Held], list[str]]:
    """Every complete result below a folder, by path, and a sentence for each folder that holds an incomplete or a damaged one.

    Links to other folders are not followed: they lead elsewhere.
    """
    found: list[Held] = []
    notes: list[str] = []
    for inside, folders, files in os.walk(place):
        folder = Path(inside)
        notes += [f"left out {folder / name}: a run under way, or one that was killed" for name in sorted(folders) if _is_draft(name)]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        try:
            result = _result(folder)
        except BacktesterError as error:
            notes.append(f"left out {folder}: {error.what}")
            continue
        if result is not None:
            found.append(result)
        elif any(name in files for name in _BEGUN):
            notes.append(f"left out {folder}: incomplete, no {MANIFEST}")
    return found, notes


def unique_names(folders: Iterable[Path]) -> list[str]:
    """A name for each folder: its own, with as many folders above it as tell it from others of the same name.

    >>> unique_names([Path("/r/one/a"), Path("/r/two/a"), Path("/r/b")])
    ['one/a', 'two/a', 'b']
    """
    parts = [tuple(_text(part) for part in folder.resolve().parts) for folder in folders]
    known = Counter(own[-length:] for own in parts for length in range(1, len(own) + 1))
    return ["/".join(next((own[-n:] for n in range(1, len(own)) if known[own[-n:]] == 1), own)) for own in parts]


def document(path: Path) -> dict[str, Any]:
    """An object in a JSON file of a result; DataError where it cannot be read."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError("a file of the result cannot be read", where=str(path), value=str(error)) from error
    if not isinstance(value, dict):
        raise DataError("a file of the result cannot be read", where=str(path), value=type(value).__name__, allowed="an object")
    return value


def _at(place: Path) -> tuple[list[Held], list[str]]:
    folder = Path(os.path.expanduser(place))
    if not os.path.isdir(folder):  # Path.is_dir fails for names that are too long
        raise OutputError("there is no such folder", where=str(place), action="give the folder of a finished run or sweep, or one above it")
    own = _result(folder.absolute())
    return ([own], []) if own is not None else below(folder.absolute())


def _result(folder: Path) -> Held | None:
    """The result in a folder, None where there is none; DataError where it is damaged or of another version."""
    if (folder / MANIFEST).is_file():
        return _run_or_sweep(folder, document(folder / MANIFEST))
    for figures, tables in WALKS.items():
        if (folder / figures).is_file():
            return Held("walk", folder, dict(_present(folder, tables)), {}, _inside(folder, figures))
    return None


def _run_or_sweep(folder: Path, manifest: dict[str, Any]) -> Held | None:
    identity = manifest.get("identity")
    if not isinstance(identity, dict) or not {"sweep_key", "manifest_version"} & identity.keys():
        return None
    if "sweep_key" in identity:
        return Held("sweep", folder, dict(_present(folder, SWEEP_TABLES)), manifest, None)
    if identity["manifest_version"] != VERSION:
        raise DataError(
            "the run was written in another form",
            where=str(folder / MANIFEST), value=identity["manifest_version"], allowed=f"version {VERSION}",
        )  # fmt: skip
    results = manifest.get("results")
    tables = results.get("tables") if isinstance(results, dict) else None
    if not isinstance(tables, dict) or not all(_NAME.fullmatch(name) for name in tables):
        raise DataError("the run's manifest is damaged", where=str(folder / MANIFEST), value="no names of tables", action="run it again")
    found = dict(_present(folder, tables))
    missing = [f"{name}.parquet" for name in tables if name not in found]
    if missing:
        raise DataError("files of the run are missing", where=str(folder), value=", ".join(missing), action="run it again")
    return Held("run", folder, found, manifest, _inside(folder, METRICS))


def _present(folder: Path, tables: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """The tables that are there, with their files."""
    for name in tables:
        path = _inside(folder, f"{name}.parquet")
        if path is not None:
            yield name, path


def _inside(folder: Path, name: str) -> Path | None:
    """A file of the folder, None where there is none; DataError where it is a link to another place."""
    path = folder / name
    if not path.is_file():
        return None
    if path.resolve().parent != folder.resolve():
        raise DataError("a file of the result is a link out of its folder", where=str(path), value=str(path.resolve()))
    return path


def _is_draft(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")


def _text(part: str) -> str:
    """A part of a path as text that any program can hold: bytes that are no UTF-8 written out."""
    return part.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")

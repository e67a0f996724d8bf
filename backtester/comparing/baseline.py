"""A baseline: the record of a run that somebody has looked at and accepted, in one small JSON file.

Place in the flow: `accept` writes it, `check` reads it and runs its config again. Never runs anything.

    tests/baselines/quickstart.json     name, config and lake (relative to the file's folder), who accepted what when, the record
    tests/baselines/RESULTS-CHANGES.md  what was accepted, why, and what changed by it
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backtester.atomic import commit
from backtester.config import OUTSIDE_THE_RESULT, Config, load
from backtester.config_document import read as read_config
from backtester.errors import DataError, OutputError
from backtester.outcome.compare_causes import flat
from backtester.outcome.compare_record import FORM

CHANGES = "RESULTS-CHANGES.md"
NO_CACHE = "resources.cache=false"
"""Baselines see the program's own work, never what a cache has kept of another's."""


@dataclass(frozen=True)
class Baseline:
    """One baseline. config, lake: paths relative to its folder, lake None where the config's own is read.

    accepted: date and reason; record: see outcome/compare_record.py.
    """

    path: Path
    config: str
    lake: str | None
    accepted: Mapping[str, str]
    record: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its name: that of its file."""
        return self.path.stem

    def load(self, *changes: str) -> Config:
        """The config to run, with `PATH=VALUE` changes; errors as of `config.load`."""
        folder = self.path.parent
        return load(folder / self.config, (NO_CACHE, *changes), None if self.lake is None else folder / self.lake)

    def idle(self, now: Mapping[str, Any]) -> list[tuple[str, ...]]:
        """Keys of the config that cannot be why a result differs; `now` is the config as it is resolved today.

        Those that never influence one, and those that the program did not know when the record was made and that the config does not
        set: their defaults leave everything as it was, or the program has changed.
        """
        was, given = ({name for name, _ in flat(side)} for side in (self.record["made_of"]["config"]["resolved"],
                                                                    read_config(self.path.parent / self.config)))  # fmt: skip
        fresh = [name for name, _ in flat(now) if name not in was and name not in given]
        return [*OUTSIDE_THE_RESULT, *(tuple(name.removeprefix("/").split("/")) for name in fresh)]

    def write(self) -> None:
        """Write the file, whole or not at all."""
        value = {"name": self.name, "config": self.config, "lake": self.lake, "accepted": dict(self.accepted), **self.record}
        content = (text_of(value) + "\n").encode()

        def fill(temporary: Path) -> None:
            temporary.write_bytes(content)

        commit(self.path, fill)


def relative(path: Path, folder: Path) -> str:
    """A path as seen from a folder, with forward strokes."""
    return Path(os.path.relpath(path.expanduser().resolve(), folder.resolve())).as_posix()


def find(place: Path) -> list[Baseline]:
    """The baselines of a folder by name, or the one in a file. OutputError where there is none, DataError where one is damaged."""
    if not place.exists():
        raise OutputError("there are no baselines here", where=str(place), value="no such folder", action="make some: bt regress accept")
    files = [place] if place.is_file() else sorted(place.glob("*.json"))
    if not files:
        raise OutputError("there are no baselines here", where=str(place), value="no .json file", action="make some: bt regress accept")
    return [read(file) for file in files]


def read(path: Path) -> Baseline:
    """The baseline in a file. Raises DataError where it is none, or one of another form."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError("cannot read a baseline", where=str(path), value=str(error), action="accept it again") from error
    if not isinstance(value, dict) or "form" not in value:
        raise DataError("not a baseline", where=str(path), allowed="a file that bt regress accept has written", action="move it elsewhere")
    if value["form"] != FORM:
        raise DataError("the baseline was written in another form", where=str(path), value=value["form"], allowed=f"form {FORM}",
                        action="accept it again with this bt")  # fmt: skip
    record = {name: part for name, part in value.items() if name not in ("name", "config", "lake", "accepted")}
    return Baseline(path, value["config"], value["lake"], value["accepted"], record)


def text_of(value: Any, depth: int = 0) -> str:
    """A JSON value with a line for each entry of what is long, so that two versions can be read beside each other.

    >>> print(text_of({"a": [1, 2], "rows": [[1], [2]]}))
    {
     "a": [1, 2],
     "rows": [
      [1],
      [2]
     ]
    }
    """
    plain = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if not isinstance(value, (dict, list)) or not value or (depth and len(plain) <= 100) or depth > 4:
        return plain
    pad, end = "\n" + " " * (depth + 1), "\n" + " " * depth
    if isinstance(value, dict):
        parts = [f"{json.dumps(str(name), ensure_ascii=False)}: {_entry(str(name), part, depth)}" for name, part in value.items()]
        return "{" + ",".join(pad + part for part in parts) + end + "}"
    return "[" + ",".join(pad + text_of(part, 9) for part in value) + end + "]"


def _entry(name: str, value: Any, depth: int) -> str:
    """The value of a key: rows always a line each."""
    if name == "rows" and isinstance(value, list) and value:
        pad = "\n" + " " * (depth + 2)
        return "[" + ",".join(pad + text_of(part, 9) for part in value) + "\n" + " " * (depth + 1) + "]"
    return text_of(value, depth + 1)

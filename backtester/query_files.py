"""The queries: `queries/<name>.sql`, each with a header that says purpose, parameters, columns and grain.

Place in the flow: between the wings and the lowest floor. The text is handed to DuckDB unchanged and values are bound by DuckDB
(`connection.execute(query("day_bars"), {"first": ..., "last": ...})`). Never puts a value or a name into SQL text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from backtester.errors import InternalError, UsageError, did_you_mean

KEYS = ("purpose", "parameters", "columns", "grain")
_KEY = re.compile(r"--\s(purpose|parameters|columns|grain):\s*(.*)")
_FIELD = re.compile(r"--\s{2,}(\w+)\s+(\S.*)")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Field:
    """A parameter or a column: its name, and its type and meaning in words."""

    name: str
    meaning: str


@dataclass(frozen=True)
class Query:
    """One query file: what its header says, and its whole text."""

    name: str
    purpose: str
    parameters: tuple[Field, ...]
    columns: tuple[Field, ...]
    grain: str
    text: str


def names() -> tuple[str, ...]:
    """The names of all queries, sorted."""
    return tuple(sorted(path.stem for path in _folder().glob("*.sql")))


def query(name: str) -> str:
    """The text of `queries/<name>.sql`, unchanged. UsageError where no such file exists."""
    return describe(name).text


@cache
def describe(name: str) -> Query:
    """The query of that name with its header read. UsageError where no such file exists, InternalError where the header is off."""
    path = _folder() / f"{name}.sql"
    if _NAME.fullmatch(name) is None or not path.is_file():
        raise UsageError("unknown query", value=repr(name), action=did_you_mean(name, names()))
    return parse(name, path.read_text(encoding="utf-8"))


def parse(name: str, text: str) -> Query:
    r"""Read the header of a query's text.

    >>> parse("x", "-- purpose: all\n-- parameters: none\n-- columns:\n--   a  int64\n-- grain: one row\nselect 1 as a").columns
    (Field(name='a', meaning='int64'),)
    """
    said: dict[str, str] = {}
    fields: dict[str, list[Field]] = {"parameters": [], "columns": []}
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        if found := _KEY.fullmatch(line):
            said[found[1]] = found[2].strip()
        elif (found := _FIELD.fullmatch(line)) and said and (last := list(said)[-1]) in fields:
            fields[last].append(Field(found[1], found[2].strip()))
        else:
            raise InternalError("a query's header has a line that says nothing known", where=f"queries/{name}.sql", value=repr(line))
    if tuple(said) != KEYS:
        raise InternalError("a query's header is not complete", where=f"queries/{name}.sql", value=", ".join(said), allowed=", ".join(KEYS))
    return Query(name, said["purpose"], tuple(fields["parameters"]), tuple(fields["columns"]), said["grain"], text)


def _folder() -> Path:
    """The folder of queries: inside the installed package, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent
    for folder in (package / "queries", package.parent / "queries"):
        if folder.is_dir():
            return folder
    raise InternalError("the queries are missing", where=str(package / "queries"), action="install the package again")

"""Parameters of queries: their kinds and defaults as a header says them, and values as users type them.

Place in the flow: `bt query` binds what `bound` returns. A value becomes a number, a day or a text here and is bound as one: it never
becomes a part of SQL.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backtester.errors import InternalError, UsageError, did_you_mean
from backtester.query_files import Field, Query, describe, names, parse

LOADERS = "load_"
"""Names of the queries that read the lake begin so; they are no results' queries."""
SUFFIX = ".sql"
_SAID = re.compile(r"(?P<kind>\w+)(?: = (?P<default>[^,]+))?, (?P<meaning>.+)")
_NUMBER = re.compile(r"[+-]?\d+(?P<part>\.\d*)?(?P<power>e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Parameter:
    """A parameter: its kind (one of KINDS), the text of its default (None: it must be given; "null": none), its meaning."""

    name: str
    kind: str
    default: str | None
    meaning: str


def known() -> tuple[str, ...]:
    """Names of the queries over results."""
    return tuple(name for name in names() if not name.startswith(LOADERS))


def found(word: str) -> Query:
    """The query of a name, or of a file of the user's own (a path, or a name that ends with .sql).

    UsageError where there is none, or where the header of a file is not complete. A file without a header has no declared parameters.
    """
    if not word.endswith(SUFFIX) and "/" not in word:
        if word not in known():
            raise UsageError("unknown query", value=repr(word), action=did_you_mean(word, known()))
        return describe(word)
    path = Path(word).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            "the query's file cannot be read", where=word, value=said, action="bt query lists the queries there are"
        ) from error
    if not text.startswith("-- purpose:"):
        return Query(path.stem, "", (), (), "", text)
    try:
        return parse(path.stem, text)
    except InternalError as error:
        raise UsageError(error.what, where=word, value=error.value, allowed=error.allowed) from error


def parameters(query: Query) -> list[Parameter]:
    """The parameters that a query's header declares; UsageError where a line of it is off."""
    return [_parameter(query.name, field) for field in query.parameters]


def columns(query: Query) -> list[Parameter]:
    """The columns that a query's header declares, as parameters without defaults."""
    return [_parameter(query.name, field) for field in query.columns]


def bound(query: Query, given: Sequence[str]) -> dict[str, Any]:
    """Values to bind: those given as NAME=VALUE, else the defaults.

    UsageError where a name is unknown, a value of another kind, or one is missing. Of a query without a header every name is taken;
    what looks like a number is one.
    """
    values = dict(_split(word) for word in given)
    if not query.purpose:
        return {name: _guessed(name, text) for name, text in values.items()}
    declared = {parameter.name: parameter for parameter in parameters(query)}
    for name in values:
        if name not in declared:
            raise UsageError(f"the query {query.name} has no such parameter", value=repr(name), action=did_you_mean(name, declared))
    missing = [name for name, parameter in declared.items() if parameter.default is None and name not in values]
    if missing:
        raise UsageError(f"the query {query.name} needs a value", where=missing[0], action=f"add --param {missing[0]}=...")
    return {name: _value(parameter, values.get(name, parameter.default or "")) for name, parameter in declared.items()}


def _split(word: str) -> tuple[str, str]:
    name, sign, value = word.partition("=")
    if not sign or not name:
        raise UsageError("not a parameter", value=repr(word), allowed="NAME=VALUE", action="for example --param n=5")
    return name, value


def _parameter(query: str, field: Field) -> Parameter:
    said = _SAID.fullmatch(field.meaning)
    if said is None or said["kind"] not in KINDS:
        raise UsageError(
            "a parameter is not declared as one",
            where=f"{query}, {field.name}", value=repr(field.meaning), allowed=f"KIND [= DEFAULT], MEANING; kinds: {', '.join(KINDS)}",
        )  # fmt: skip
    return Parameter(field.name, said["kind"], said["default"], said["meaning"])


def _value(parameter: Parameter, text: str) -> Any:
    if text == "null" and parameter.default == "null":
        return None
    try:
        return KINDS[parameter.kind](text)
    except ValueError:
        raise UsageError(
            "not a value of the parameter's kind", where=parameter.name, value=repr(text), allowed=_ALLOWED[parameter.kind]
        ) from None


def _whole(text: str) -> int:
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise ValueError(text)
    return value


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def _instant(text: str) -> dt.datetime:
    value = dt.datetime.fromisoformat(text)
    return value if value.tzinfo else value.replace(tzinfo=dt.UTC)


def _text(text: str) -> str:
    text.encode()  # a lone surrogate is no text; UnicodeEncodeError is a ValueError
    return text


def _guessed(name: str, text: str) -> Any:
    """A number where it looks like one, else text."""
    said = _NUMBER.fullmatch(text)
    kind = _text if said is None else _number if said["part"] or said["power"] else _whole
    try:
        return kind(text)
    except ValueError:
        raise UsageError("a value that cannot be bound", where=name, value=repr(text), allowed="text, or a number of 64 bits") from None


KINDS: Mapping[str, Callable[[str], Any]] = {
    "int64": _whole, "float64": _number, "text": _text, "bool": _truth, "date": dt.date.fromisoformat, "timestamp": _instant,
}  # fmt: skip
_ALLOWED = {
    "int64": "a whole number", "float64": "a number", "text": "text", "bool": "true or false", "date": "a day such as 2025-07-02",
    "timestamp": "an instant such as 2025-07-02T13:30:00Z",
}  # fmt: skip

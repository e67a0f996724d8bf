"""A config as a document: bytes to plain JSON values, with every fault named by its place.

Place in the flow: the first step of `config.load`; knows JSON, comments and `--set`, nothing of what the keys mean.
Imports no heavy library, so that a command can look at a document before it loads the rest. Never guesses: what is not
exactly JSON in UTF-8 is refused.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path, PurePath
from typing import Any

from backtester.errors import ConfigError, UsageError, did_you_mean

Document = dict[str, Any]
Parts = tuple[str | int, ...]

MAX_BYTES = 5_000_000
MAX_DEPTH = 32
MAX_DIGITS = 19
FREE = ("metadata",)

# A string (closed or not, so that the scan stays linear in the text's length) or a bracket outside of strings.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Refused:
    """A literal that JSON or the program does not have; stands in the document until its place is known."""

    def __init__(self, text: str) -> None:
        self.text = text


class _Repeating(dict[str, Any]):
    """An object in which a key stands more than once."""

    repeated: tuple[str, ...] = ()


def pointer(parts: Sequence[str | int]) -> str:
    """The JSON pointer (RFC 6901) of a place.

    >>> pointer(("session_data_config", "symbols", 3))
    '/session_data_config/symbols/3'
    """
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts) or "/"


def shown(value: Any) -> str:
    """A value as short ASCII JSON, so that no control or direction mark reaches a terminal."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:76] + " ..."


def is_comment(key: str) -> bool:
    """True for keys that the program skips anywhere: those that begin with `_`, and `comment`."""
    return key.startswith("_") or key == "comment"


def read(source: str | Path | Mapping[str, Any]) -> Document:
    """The document of a config file, or of a mapping made in Python. Raises ConfigError with every place at fault."""
    if isinstance(source, Mapping):
        return parse(_dumped(source), "the given mapping")
    path = Path(source)
    return parse(_decode(_bytes(path), path), str(path))


def parse(text: str, where: str) -> Document:
    """The object that JSON text holds, comments left out. Raises ConfigError with line and column, or with pointers."""
    if not text.strip():
        raise ConfigError("the config is empty", where=where, allowed="one JSON object", action="`bt schema` shows its shape")
    _check_depth(text, where)
    document = _load(text, where)
    if not isinstance(document, dict):
        found = "a list" if isinstance(document, list) else "a single value"
        raise ConfigError("the top level is not an object", where=where, value=found, allowed='one JSON object: {"session_name": ...}')
    problems = list(_faults(document, ()))
    if problems:
        raise ConfigError(f"cannot read {where}", problems=problems)
    return {key: item if key in FREE else without_comments(item) for key, item in document.items() if not is_comment(key)}


def assign(document: Document, assignments: Sequence[str]) -> Document:
    """A copy of the document with each `PATH=VALUE` set, in order; values are JSON where they parse, else text.

    A dotted path names keys and list indices (`strategies.0.params.fast=8`); keys that are not there yet are made, and the
    check that follows refuses those that have no meaning.
    """
    changed: Document = json.loads(json.dumps(document))
    problems = []
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path or not all(path.split(".")):
            raise UsageError("--set needs PATH=VALUE", value=repr(assignment), allowed="such as strategies.0.params.fast=8")
        try:
            _assign(changed, path.split("."), _value(text, path))
        except ConfigError as problem:
            problems.append(problem)
    if problems:
        raise ConfigError("cannot apply --set", problems=problems)
    return changed


def with_values(document: Document, values: Mapping[str, Any]) -> Document:
    """A copy of the document with a JSON value set at each dotted path; raises ConfigError for a path that leads nowhere."""
    changed: Document = json.loads(json.dumps(document))
    for path, value in values.items():
        _assign(changed, path.split("."), value)
    return changed


def _dumped(source: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(source), default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError("the given mapping is not JSON", value=str(error)[:80]) from None


def _plain(value: Any) -> Any:
    if isinstance(value, (date, PurePath)):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise ConfigError("a value that JSON cannot hold", value=repr(value)[:80], allowed="text, numbers, true, false, null, lists, objects")


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError("config not found", where=str(path), action="check the path; `bt schema` shows what a config holds") from None
    except IsADirectoryError:
        raise ConfigError("the config is a folder", where=str(path), allowed="a JSON file") from None
    except (OSError, ValueError) as error:
        raise ConfigError("cannot read the config", where=shown(str(path)), value=str(error)) from None
    if len(data) > MAX_BYTES:
        raise ConfigError("the config is too large", where=str(path), value=f"more than {MAX_BYTES:,} bytes", allowed="up to 5 MB")
    return data


def _decode(data: bytes, path: Path) -> str:
    for mark, name in ((codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16")):
        if data.startswith(mark):
            raise _not_utf8(path, 0, f"the mark of {name}")
    data = data.removeprefix(codecs.BOM_UTF8)
    zero = data.find(0)
    if zero >= 0:
        raise _not_utf8(path, zero, "a zero byte, as in UTF-16 or a binary file")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error.start, f"byte 0x{data[error.start]:02x}") from None


def _not_utf8(path: Path, byte: int, seen: str) -> ConfigError:
    return ConfigError(f"the config is not UTF-8 at byte {byte}", where=str(path), value=seen, action="save the file as UTF-8")


def _check_depth(text: str, where: str) -> None:
    """Refuse deep nesting before the parser, which recurses, sees it."""
    depth = 0
    for token in _TOKEN.finditer(text):
        bracket = token[0]
        if bracket in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ConfigError("the config is nested too deep", where=_spot(text, token.start(), where), allowed=f"{MAX_DEPTH} levels")
        elif bracket in "]}":
            depth -= 1


def _load(text: str, where: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_Refused, parse_float=_number, parse_int=_whole)
    except json.JSONDecodeError as error:
        at, hint = _hint(text, error.pos)
        raise ConfigError(f"not valid JSON: {error.msg}", where=_spot(text, at, where), action=hint) from None


def _object(pairs: list[tuple[str, Any]]) -> Document:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    repeating = _Repeating(found)
    repeating.repeated = tuple(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
    return repeating


def _number(text: str) -> float | _Refused:
    number = float(text)
    return number if math.isfinite(number) else _Refused(text)


def _whole(text: str) -> int | _Refused:
    return int(text) if len(text.lstrip("-")) <= MAX_DIGITS else _Refused(text[:40])


def _spot(text: str, position: int, where: str) -> str:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return f"{where}, line {line} column {column}"


def _hint(text: str, position: int) -> tuple[int, str | None]:
    """Where to point and what to do, for the slips that people make in JSON."""
    rest = text[position:]
    before = text[:position].rstrip()
    if rest[:1] in ("]", "}") and before.endswith(","):
        return len(before) - 1, "remove the trailing comma"
    if rest[:1] == "#" or rest[:2] in ("//", "/*"):
        return position, 'JSON has no comments: use a key named "comment" or one that begins with "_"'
    if rest[:1] == "'":
        return position, "use double quotes, not single ones"
    word = re.match(r"[A-Za-z]+", rest)
    if word:
        return position, {"True": "write true", "False": "write false", "None": "write null"}.get(word[0], "put text in double quotes")
    return position, None


def _faults(value: Any, at: Parts) -> Iterator[ConfigError]:
    """What the parser let through: refused literals, repeated keys, text that is not Unicode."""
    if isinstance(value, _Refused):
        allowed = "a finite number" if not value.text.lstrip("-").isdigit() else f"whole numbers of up to {MAX_DIGITS} digits"
        yield ConfigError("not a number that a config may hold", where=pointer(at), value=value.text, allowed=allowed)
    elif isinstance(value, str) and _SURROGATE.search(value):
        yield ConfigError("text is not valid Unicode (a lone surrogate)", where=pointer(at), value=shown(value))
    elif isinstance(value, dict):
        for key in getattr(value, "repeated", ()):
            yield ConfigError("key stands more than once", where=pointer((*at, key)), action="keep one of them")
        for key, item in value.items():
            if _SURROGATE.search(key):
                yield ConfigError("a key is not valid Unicode (a lone surrogate)", where=pointer(at), value=shown(key))
            yield from _faults(item, (*at, key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _faults(item, (*at, place))


def without_comments(value: Any) -> Any:
    """A JSON value without the keys that the program skips, at any depth."""
    if isinstance(value, dict):
        return {key: without_comments(item) for key, item in value.items() if not is_comment(key)}
    if isinstance(value, list):
        return [without_comments(item) for item in value]
    return value


def _value(text: str, path: str) -> Any:
    """A `--set` value: JSON where it parses, else the text itself."""
    where = f"--set {path}"
    _check_depth(text, where)
    try:
        value = _load(text, where)
    except ConfigError:
        return text
    for fault in _faults(value, tuple(path.split("."))):
        raise fault
    return value


def _assign(document: Document, keys: list[str], value: Any) -> None:
    node: Any = document
    for place, key in enumerate(keys):
        last = place == len(keys) - 1
        if isinstance(node, list):
            step: str | int = _index(node, key, keys[: place + 1])
        elif isinstance(node, dict):
            step = key
            node.setdefault(key, {})
        else:
            holder = f"{pointer(keys[:place])} is {shown(node)}"
            raise ConfigError(
                "no such place to set", where=pointer(keys[: place + 1]), value=holder, allowed="a path into an object or a list"
            )
        if last:
            node[step] = value
        node = node[step]


def _index(items: list[Any], key: str, at: Sequence[str]) -> int:
    if key.isascii() and key.isdigit() and int(key) < len(items):
        return int(key)
    names = [str(item["name"]) for item in items if isinstance(item, dict) and "name" in item]
    if key in names:
        return names.index(key)
    allowed = f"0 to {len(items) - 1}" if items else "the list is empty"
    raise ConfigError(
        "no such list item", where=pointer(at), value=key, allowed=allowed, action=did_you_mean(key, names) if names else None
    )

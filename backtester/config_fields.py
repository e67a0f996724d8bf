"""The kinds of values that a config's keys hold: days, symbols, streams, names, amounts of memory.

Place in the flow: the types of the fields of `config`'s models. Each says in words what is allowed, and carries the same as a
pattern into the JSON Schema. Never looks at more than one value.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from backtester.config_errors import Fault, Refusal, repeated
from backtester.errors import ConfigError, did_you_mean
from backtester.intervals import ALLOWED, Interval

MAX_SYMBOLS = 100_000
WORD_STREAMS = ("quotes", "ticks")

_SYMBOL = r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}"
_SYMBOL_WORDS = "letters, digits and . _ - after a first letter or digit, up to 32 characters"
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_MEMORY = r"([0-9]+(?:\.[0-9]+)?) ?(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)"
_UNIT = {name: 1000**power for power, name in enumerate(("B", "KB", "MB", "GB", "TB"))} | {
    name: 1024**power for power, name in enumerate(("KiB", "MiB", "GiB", "TiB"), start=1)
}


def _day(value: Any) -> Any:
    if isinstance(value, str):
        if not re.fullmatch(_DAY, value, re.ASCII):
            raise Refusal([Fault((), "not a date", value, action="use YYYY-MM-DD")])
        try:
            value = date.fromisoformat(value)
        except ValueError:
            raise Refusal([Fault((), "no such day", value, action="use YYYY-MM-DD")]) from None
        if not 1900 <= value.year <= 2200:
            raise Refusal([Fault((), "date out of range", value, "1900-01-01 to 2200-12-31")])
        return value
    raise Refusal([Fault((), "not a date", value, 'text such as "2025-07-02"')])


def _symbol(text: str) -> str:
    if not re.fullmatch(_SYMBOL, text):
        raise Refusal([Fault((), "not a symbol", text, _SYMBOL_WORDS)])
    return text


def _symbols(names: tuple[str, ...]) -> tuple[str, ...]:
    """Sorted by name: the order in which a config lists its symbols has no meaning."""
    faults = list(repeated(names, (), "symbol"))
    if faults:
        raise Refusal(faults)
    return tuple(sorted(names))


def _stream(text: str) -> str:
    if text not in WORD_STREAMS:
        try:
            Interval.parse(text)
        except ConfigError:
            action = did_you_mean(text, WORD_STREAMS) if text.isalpha() else None
            raise Refusal([Fault((), "unknown stream", text, f"{ALLOWED}, {', '.join(WORD_STREAMS)}", action)]) from None
    return text


def _memory(value: Any) -> Any:
    if isinstance(value, str):
        found = re.fullmatch(_MEMORY, value, re.ASCII)
        if found is None:
            raise Refusal([Fault((), "not an amount of memory", value, 'bytes, or text such as "2GB", "512MB", "4GiB"')])
        return int(float(found[1]) * _UNIT[found[2]])
    return value


def _printable(text: str) -> str:
    if not text.isprintable():
        raise Refusal([Fault((), "text with control or invisible characters", text, "printable characters")])
    return text


Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date", "pattern": f"^{_DAY}$"})]
Symbol = Annotated[str, AfterValidator(_symbol), WithJsonSchema({"type": "string", "pattern": f"^{_SYMBOL}$"})]
Symbols = Annotated[tuple[Symbol, ...], Field(min_length=1, max_length=MAX_SYMBOLS), AfterValidator(_symbols)]
Stream = Annotated[str, AfterValidator(_stream)]
Text = Annotated[str, AfterValidator(_printable)]
Name = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]
_MEMORY_SCHEMA: dict[str, Any] = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": f"^{_MEMORY}$"}]}
Memory = Annotated[int, BeforeValidator(_memory), Field(ge=1), WithJsonSchema(_MEMORY_SCHEMA)]

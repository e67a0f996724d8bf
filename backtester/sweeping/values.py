"""The values that one parameter of a sweep takes: a list, a range, a scale, or a range to draw from.

Place in the flow: `space` asks for the values of each parameter of a config's `sweep` section or of `--param`. Never knows what a
parameter means, never draws.

    [5, 10, 20] or "5,10,20"    these values (JSON where they parse, else text)
    "2:20:2"                    from, to (included), step; exact in decimals, whole where all three are
    "log:1e-4:1e-1:7"           from, to, number of values, each the same multiple of the one before
    "int:2:50"                  whole numbers from, to, to draw from
    "uniform:0.5:2"             numbers from, to, to draw from; "loguniform:1e-4:1e-1" evenly over their logarithms
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from backtester.errors import ConfigError

FORMS = 'a list, "2:20:2", "5,10,20", "log:1e-4:1e-1:7", and to draw from "int:2:50", "uniform:0:1" or "loguniform:1e-4:1"'
MOST = 1_000_000
"""Values that one parameter may list."""


@dataclass(frozen=True)
class Listed:
    """Values in the order in which they were given, no two the same."""

    values: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.values)

    def at(self, part: float) -> Any:
        """The value at a part of the whole, 0 <= part < 1."""
        return self.values[int(part * len(self.values))]


@dataclass(frozen=True)
class Drawn:
    """A range without steps, both ends included; scale is int, uniform or loguniform."""

    low: float
    high: float
    scale: str

    def at(self, part: float) -> Any:
        """The value at a part of the whole, 0 <= part < 1."""
        if self.scale == "int":
            return int(self.low) + int(part * (int(self.high) - int(self.low) + 1))
        if self.scale == "uniform":
            return self.low + part * (self.high - self.low)
        return math.exp(math.log(self.low) + part * (math.log(self.high) - math.log(self.low)))


Values = Listed | Drawn


def values_of(given: Any, where: str) -> Values:
    """The values that a text or a list means. Raises ConfigError with `where` for what means none.

    >>> values_of("2:8:3", "").values, values_of("0.1:0.3:0.1", "").values, values_of("log:1:100:3", "").values
    ((2, 5, 8), (0.1, 0.2, 0.3), (1.0, 10.0, 100.0))
    """
    if isinstance(given, str):
        found = _of_text(given.strip(), where)
    elif isinstance(given, Sequence):
        found = Listed(tuple(given))
    else:
        raise ConfigError("not the values of a parameter", where=where, value=json.dumps(given, default=str)[:80], allowed=FORMS)
    if isinstance(found, Listed):
        _check(found, where)
    return found


def _of_text(text: str, where: str) -> Values:
    head, *rest = text.split(":")
    if head in ("int", "uniform", "loguniform"):
        low, high = _numbers(rest, 2, text, where)
        if low > high or (head == "loguniform" and low <= 0):
            raise ConfigError("not a range to draw from", where=where, value=text, allowed="from <= to, above 0 for loguniform")
        if head == "int" and (low % 1 or high % 1):
            raise ConfigError("not a range of whole numbers", where=where, value=text, allowed="int:2:50")
        return Drawn(float(low), float(high), head)
    if head == "log":
        return _scale(_numbers(rest, 3, text, where), text, where)
    if rest:
        return _range(_numbers([head, *rest], 3, text, where), text, where)
    return Listed(tuple(_value(part.strip()) for part in text.split(","))) if text else Listed(())


def _numbers(parts: Sequence[str], count: int, text: str, where: str) -> list[Decimal]:
    try:
        found = [Decimal(part.strip()) for part in parts]
    except InvalidOperation:
        found = []
    if len(found) != count or not all(number.is_finite() for number in found):
        raise ConfigError("not the values of a parameter", where=where, value=text, allowed=FORMS)
    return found


def _range(numbers: Sequence[Decimal], text: str, where: str) -> Listed:
    first, last, step = numbers
    if step <= 0 or first > last:
        raise ConfigError("an empty range", where=where, value=text, allowed="from <= to, step above 0", action="such as 2:20:2")
    count = int((last - first) / step) + 1
    if count > MOST:
        raise ConfigError("too many values", where=where, value=f"{count:,}", allowed=f"at most {MOST:,} for a parameter")
    whole = not (first % 1 or step % 1)
    return Listed(tuple((int if whole else float)(first + place * step) for place in range(count)))


def _scale(numbers: Sequence[Decimal], text: str, where: str) -> Listed:
    first, last, count = numbers
    if first <= 0 or last < first or count % 1 or not 1 <= count <= MOST or (count == 1) != (first == last):
        raise ConfigError("not a logarithmic scale", where=where, value=text, allowed="0 < from <= to, and how many values")
    steps = int(count) - 1
    ratio = math.log10(last / first) if steps else 0.0
    inner = [float(f"{float(first) * 10 ** (ratio * place / steps):.12g}") for place in range(1, steps)]
    return Listed((float(first), *inner, float(last)) if steps else (float(first),))


def _value(text: str) -> Any:
    """JSON where it parses, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _check(found: Listed, where: str) -> None:
    if not found.values:
        raise ConfigError("a parameter without values", where=where, value="[]", allowed=FORMS)
    if len(found) > MOST:
        raise ConfigError("too many values", where=where, value=f"{len(found):,}", allowed=f"at most {MOST:,} for a parameter")
    seen: set[str] = set()
    for value in found.values:
        text = json.dumps(value, sort_keys=True)
        if text in seen:
            raise ConfigError("a value stands more than once", where=where, value=text, action="keep one of them")
        seen.add(text)

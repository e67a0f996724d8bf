"""The finer bars of a random run's bars, drawn so that they make up the bar, but for those that are missing. Never looks at the engine."""

from __future__ import annotations

from dataclasses import replace

from tests.properties.digits import Digits, Source, codes
from tests.scene import Bar, Slot


def with_finer(source: Source, slots: list[Slot], tick: float) -> list[Slot]:
    """The slots with finer bars for some of their bars."""
    return [replace(s, fine={name: parts_of(bar, Digits(codes(source, 1, 32)[0]), tick) for name, bar in s.bars.items()}) for s in slots]


def parts_of(bar: Bar, choice: Digits, tick: float) -> tuple[Bar, ...]:
    """Up to eight bars from the bar's open to its close that reach its high and its low; some are missing or without volume."""
    count, is_whole = choice.pick(0, 2, 4, 8, 1, 3), choice.pick(True, True, False)
    low, high = round(bar.low / tick), round(bar.high / tick)

    def somewhere() -> int:
        return low + choice.take(high - low + 1)

    closes = [*(somewhere() for _ in range(count - 1)), round(bar.close / tick)]
    opens = [round(bar.open / tick), *(close if choice.pick(True, True, False) else somewhere() for close in closes[:-1])]
    highest, lowest = choice.take(max(count, 1)), choice.take(max(count, 1))
    parts = []
    for k, (first, last) in enumerate(zip(opens[:count], closes[:count], strict=True)):
        top = high if k == highest else min(high, max(first, last) + choice.pick(0, 1, 2))
        bottom = low if k == lowest else max(low, min(first, last) - choice.pick(0, 1, 2))
        volume = 1.0 if is_whole else choice.pick(1.0, 0.0, None, 7.0)
        if volume is not None:
            parts.append(Bar(first * tick, top * tick, bottom * tick, last * tick, volume))
    return tuple(parts)

"""Choices packed into whole numbers, and taken apart digit by digit. Knows nothing of markets."""

from __future__ import annotations

from collections.abc import Callable

Source = Callable[[int], bytes]
"""Gives so many bytes: hypothesis, or a random generator."""


class Digits:
    """A packed whole number, taken apart from its low end."""

    def __init__(self, code: int) -> None:
        self.code = code

    def take(self, base: int) -> int:
        """The next digit, in [0, base)."""
        self.code, digit = divmod(self.code, base)
        return digit

    def pick(self, *choices):
        """One of the choices."""
        return choices[self.take(len(choices))]


def codes(source: Source, count: int, size: int) -> list[int]:
    """So many packed numbers of `size` bytes each."""
    packed = source(size * count)
    return [int.from_bytes(packed[size * k : size * (k + 1)], "little") for k in range(count)]

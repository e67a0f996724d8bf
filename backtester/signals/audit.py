"""Audit: what a strategy or an indicator says in one session as rows that can be compared with what it says elsewhere, bit for bit.

Place in the flow: beneath the proofs that nothing knows the future; columns only. Never makes a market, never calls a strategy.

    Track       rows (symbol, base slot at whose end the row is known, part), and what stands in them
    differences how many rows two tracks do not share up to a slot, and the first of them
    changes     where the signals of a strategy begin and end
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtester.columns import Ints
from backtester.signals.batch import Found
from backtester.signals.strategy import ACTIONS

NOTHING = "nothing"
Key = tuple[int, int, int]


@dataclass(frozen=True)
class Track:
    """What is said in one session; shape (rows,): symbol (index), slot (base slot at whose end the row is known, -1: before the
    session), part (index into `parts`, what the row is; rows differ in one of the three). columns are floats, whole numbers,
    booleans or texts.
    """

    symbol: Ints
    slot: Ints
    part: Ints
    parts: Sequence[str]
    columns: Mapping[str, NDArray[Any]]

    def known(self, limit: Ints) -> Track:
        """The rows that are known at the end of each symbol's slot `limit`, shape (symbols,)."""
        kept = self.slot <= limit[self.symbol]
        return self if kept.all() else self._rows(kept)

    def ordered(self) -> Track:
        """The rows in the order of time."""
        return self._rows(np.lexsort((self.part, self.symbol, self.slot)))

    def _rows(self, chosen: NDArray[Any]) -> Track:
        columns = {name: values[chosen] for name, values in self.columns.items()}
        return Track(self.symbol[chosen], self.slot[chosen], self.part[chosen], self.parts, columns)

    def bits(self) -> dict[str, NDArray[Any]]:
        """Every column as something that is equal where its bits are; every NaN is one."""
        return {name: _bits(values) for name, values in self.columns.items()}

    def keys(self) -> list[Key]:
        """Where each row stands: slot, symbol, part."""
        return list(zip(self.slot.tolist(), self.symbol.tolist(), self.part.tolist(), strict=True))


@dataclass(frozen=True)
class Difference:
    """One row of two tracks that is not the same: symbol (index), base slot, and what stands in it here and there."""

    symbol: int
    slot: int
    usual: str
    other: str


def differences(usual: Track, other: Track, limit: Ints) -> tuple[int, Difference | None]:
    """How many rows two tracks do not share up to each symbol's slot `limit`, and the first in time."""
    one, two = usual.known(limit), other.known(limit)
    if _same(one, two) or _same(one := one.ordered(), two := two.ordered()):
        return 0, None
    left, right = one.bits(), two.bits()
    here = {key: row for row, key in enumerate(one.keys())}
    there = {key: row for row, key in enumerate(two.keys())}
    wrong = [key for key in sorted({*here, *there}) if _row(left, here.get(key)) != _row(right, there.get(key))]
    if not wrong:
        return 0, None
    slot, symbol, part = first = wrong[0]
    a, b = here.get(first), there.get(first)
    unlike = [name for name in {**left, **right} if _cell(left, name, a) != _cell(right, name, b)]
    word = usual.parts[part]
    return len(wrong), Difference(symbol, slot, _said(one, a, word, unlike), _said(two, b, word, unlike))


def track_of(found: Found, offset: Ints, session: int | None = None) -> Track:
    """The signals of a call, in all of its sessions or in one; slots are counted from `offset` of their session, shape (sessions,).

    A number that is not given is NaN.
    """
    own = np.arange(len(found.symbol)) if session is None else np.flatnonzero(found.session == session)
    columns: dict[str, NDArray[Any]] = {"price": found.price, "quality": found.quality, **found.numbers, **found.calls}
    if found.tags is not None:
        columns["tag"] = np.array([tag or "" for tag in found.tags], dtype=object)
    slot = offset[found.session[own]] + found.base_slot[own]
    return Track(found.symbol[own], slot, found.action[own], ACTIONS, {name: values[own] for name, values in columns.items()})


def largest_change(usual: Track, other: Track) -> float:
    """The largest change of a number in rows that both tracks have, as a part of what it is usually; 0.0 where none changes."""
    here = {key: row for row, key in enumerate(usual.keys())}
    pairs = [(here[key], row) for row, key in enumerate(other.keys()) if key in here]
    left, right = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    largest = 0.0
    for name, values in usual.columns.items():
        if values.dtype.kind == "f" and name in other.columns:
            was, now = values[left], other.columns[name][right]
            both = np.isfinite(was) & np.isfinite(now) & (was != 0.0)
            largest = max(largest, float(np.max(np.abs(now[both] / was[both] - 1.0), initial=0.0)))
    return largest


def changes(found: Found, step: int) -> tuple[Ints, Ints]:
    """Where signals begin and end: sessions and base slots, each once. `step`: base slots from one bar to the next.

    A signal of the bar before goes on; a weight, while it is the same. Where it ends is the bar after its last.
    """
    order = np.lexsort((found.base_slot, found.action, found.symbol, found.session))
    session, slot = found.session[order], found.base_slot[order]
    same = np.ones(max(len(order) - 1, 0), np.bool_)
    weight = [_bits(found.numbers["target"])] if "target" in found.numbers else []
    for values in (found.session, found.symbol, found.action, *weight):
        same &= values[order][1:] == values[order][:-1]
    joined = same & (np.diff(slot) <= step)
    begins, ends = np.append(True, ~joined)[: len(order)], np.append(~joined, True)[: len(order)]
    cells = np.concatenate([np.stack([session[begins], slot[begins]]), np.stack([session[ends], slot[ends] + step])], axis=1)
    unique = np.unique(cells, axis=1)
    return unique[0], unique[1]


def _same(one: Track, two: Track) -> bool:
    """Whether two tracks have the same rows in the same order, bit for bit."""
    if one.columns.keys() != two.columns.keys():
        return False
    keys = all(np.array_equal(getattr(one, name), getattr(two, name)) for name in ("symbol", "slot", "part"))
    return keys and all(_alike(values, two.columns[name]) for name, values in one.columns.items())


def _alike(one: NDArray[Any], two: NDArray[Any]) -> bool:
    if one.dtype == two.dtype == np.float64 and np.array_equal(one.view(np.int64), two.view(np.int64)):
        return True
    return np.array_equal(_bits(one), _bits(two))


def _bits(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind != "f":
        return values
    return np.where(np.isnan(values), np.nan, values).astype(np.float64).view(np.int64)


NO_NUMBER = int(np.array([np.nan]).view(np.int64)[0])


def _cell(columns: Mapping[str, NDArray[Any]], name: str, row: int | None) -> Any:
    """A cell's bits; a column that is not there holds NaN throughout."""
    if row is None:
        return None
    return columns[name][row] if name in columns else NO_NUMBER


def _row(columns: Mapping[str, NDArray[Any]], row: int | None) -> dict[str, Any] | None:
    """A row's cells that hold something."""
    if row is None:
        return None
    return {name: cell for name, values in columns.items() if (cell := values[row]) != NO_NUMBER}


def _said(track: Track, row: int | None, word: str, unlike: Sequence[str]) -> str:
    """A row in words: what it is, and the columns in which it is unlike its counterpart."""
    if row is None:
        return NOTHING
    shown = unlike[:2] if len(unlike) < len(track.columns) or len(track.columns) == 1 else []
    return " ".join([word, *(f"{name} {_text(track.columns[name][row])}".strip() for name in shown if name in track.columns)])


def _text(value: Any) -> str:
    return repr(float(value)) if isinstance(value, (float, np.floating)) else str(value)

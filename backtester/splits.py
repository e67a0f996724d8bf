"""Splits: how many shares of a session one share of an earlier session has become by then.

Place in the flow: the lowest floor. The lake's actions become Splits once a run; what looks back over sessions asks for ratios:
the bars that strategies see, daily values, long bars. A split is not known before its session opens. Never knows a price.

    sessions           0     1     2     3        splits of A: 2 new for one old at session 1, 3 for one at session 3
    seen in session 0  1
    seen in session 1  2     1
    seen in session 3  6     3     3     1        prices are divided by the ratio, volumes multiplied
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtester.columns import PRICES, Floats, Ints


@dataclass(frozen=True)
class Splits:
    """Splits in order of time; shape (splits,): ex-date as datetime64[D], index of the symbol, new shares for one old."""

    day: NDArray[np.datetime64]
    symbol: Ints
    value: Floats

    @classmethod
    def none(cls) -> Splits:
        """No split at all."""
        return cls(np.zeros(0, "datetime64[D]"), np.zeros(0, np.int64), np.zeros(0))

    def __len__(self) -> int:
        return len(self.day)

    def acting(self, labels: NDArray[np.datetime64]) -> list[tuple[int, int, float]]:
        """(session, symbol, value) of each: the first session that is not before its ex-date; those after the last are left out."""
        at = np.searchsorted(labels.astype("datetime64[D]"), self.day).tolist()
        rows = zip(at, self.symbol.tolist(), self.value.tolist(), strict=True)
        return [row for row in rows if row[0] < len(labels)]

    def on(self, labels: NDArray[np.datetime64]) -> Placed:
        """The same on sessions that stand in a row."""
        steps: dict[int, list[tuple[int, float]]] = {}
        for session, symbol, value in self.acting(labels) if len(self) else ():
            if session > 0:  # one before all sessions changes none of them
                steps.setdefault(symbol, []).append((session, value))
        return Placed(steps)


@dataclass(frozen=True)
class Placed:
    """Splits on some sessions: index of a symbol -> its (session, new shares for one old) in order; only symbols that split."""

    steps: Mapping[int, Sequence[tuple[int, float]]]

    def __bool__(self) -> bool:
        return bool(self.steps)

    def sessions(self) -> list[int]:
        """The sessions on which any symbol splits, in order."""
        return sorted({session for steps in self.steps.values() for session, _ in steps})

    def ratio(self, symbol: int, first: int, current: int) -> Floats | None:
        """Shares in session `current` for one share of each session from `first` up to it, shape (current - first,); None: one each."""
        steps = [(session, value) for session, value in self.steps.get(symbol, ()) if first < session <= current]
        if not steps:
            return None
        found = np.ones(current - first)
        for session, value in steps:
            found[: session - first] *= value
        return found


def in_terms(values: NDArray[Any], name: str, ratio: Floats) -> None:
    """Write a column of bars anew, as it looks to somebody who has `ratio` shares for each one of then."""
    if name in PRICES:
        values /= ratio
    elif name == "volume":
        values *= ratio

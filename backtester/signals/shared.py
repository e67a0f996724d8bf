"""Shared indicators: worked out once over the longest history that any trial asks for, and cut to what each of them sees.

Place in the flow: the columns of a sweep's trials ask here before they compute anything. Only what is decided by a window alone is
shared: its value at a bar is the same to the last bit wherever the row begins, as soon as the window lies inside it; before that
there is none. (A window's sum is kept exactly, so its mean is rounded once, while values are not too far apart: `NEAR`.) Never
changes what a strategy sees.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from backtester.columns import OHLCV, Floats, Ints
from backtester.signals.bars import Bars
from backtester.signals.indicator_catalog import CATALOG

Rows = tuple[str, bytes]
"""Interval and symbols (index, as bytes)."""
Key = tuple[Any, ...]
KEPT_BYTES = 20_000_000
"""So much of a chunk's shared indicators is kept; those that were asked for last."""
NEAR = 2.0**20
"""The largest value of a column may be so many times the smallest; beyond, sums might not be exact."""


class Shared:
    """The indicators of a chunk that trials share; for many threads.

    longest: bars of history that any trial asks for, of the rows that more than one length is asked of. make: (interval, symbols,
    bars of history) -> rows.
    """

    def __init__(self, longest: Mapping[Rows, int], make: Callable[[str, Ints, int], Bars]) -> None:
        self._longest, self._make = longest, make
        self._rows: dict[Rows, Bars] = {}
        self._lacks: dict[tuple[Rows, int], Ints] = {}
        self._near: dict[tuple[Rows, str], bool] = {}
        self._kept: dict[Key, dict[str, Floats]] = {}
        self._lock = threading.Lock()

    def share(self, bars: Bars, interval: str, symbols: Ints) -> None:
        """Let bars look here for their indicators."""
        rows = interval, symbols.tobytes()
        if rows in self._longest:
            bars.sharing(partial(self._cut, rows, symbols))  # which must not know the bars: a circle would keep a whole chunk

    def _cut(self, rows: Rows, symbols: Ints, bars: Bars, kind: str, params: Mapping[str, float]) -> dict[str, Floats] | None:
        """An indicator of the bars; None where it is not to be shared. Raises as `Bars.indicator` does."""
        from backtester.signals.indicator_kernels import kernel  # numba is heavy: not before a strategy is called

        spec = CATALOG[kind]
        if not spec.windowed or not all(self._is_near(rows, symbols, name) for name in spec.inputs):
            return None
        begins = self._missing(rows, bars) + spec.warmup(params)
        cut, offset = {}, self._longest[rows] - bars.lookback
        for name, values in self._outputs(rows, symbols, kind, params).items():
            cut[name] = made = np.empty(bars.shape)
            kernel("cut").entry_point(values, begins, offset, made)
        return cut

    def _missing(self, rows: Rows, bars: Bars) -> Ints:
        """Bars of history that each row lacks; shape (rows,)."""
        key = rows, bars.lookback
        if key not in self._lacks:
            self._lacks[key] = bars.lookback - np.count_nonzero(bars.valid[:, : bars.lookback], axis=1)
        return self._lacks[key]

    def _outputs(self, rows: Rows, symbols: Ints, kind: str, params: Mapping[str, float]) -> dict[str, Floats]:
        key = (rows, kind, *((name, type(value), value) for name, value in sorted(params.items())))
        with self._lock:
            found = self._kept.pop(key, None)
            if found is not None:
                self._kept[key] = found
                return found
        found = self._wide(rows, symbols).worked_out(kind, params)  # `computed` would keep them all
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > 1 and sum(values.nbytes for part in self._kept.values() for values in part.values()) > KEPT_BYTES:
                del self._kept[next(iter(self._kept))]
        return found

    def _wide(self, rows: Rows, symbols: Ints) -> Bars:
        with self._lock:
            if rows not in self._rows:
                self._rows[rows] = self._make(rows[0], symbols, self._longest[rows])
            return self._rows[rows]

    def _is_near(self, rows: Rows, symbols: Ints, name: str) -> bool:
        """Whether a column's values are near enough to each other."""
        if name not in OHLCV:
            return False
        if (rows, name) not in self._near:
            values = np.abs(self._wide(rows, symbols).column(name))
            real = values[np.isfinite(values) & (values > 0.0)]
            self._near[rows, name] = not len(real) or bool(real.max() <= NEAR * real.min())
        return self._near[rows, name]

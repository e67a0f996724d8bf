"""Bars: the columns that a strategy sees.

Place in the flow: pipeline cuts tapes into rows here and hands them to strategies. A row is one symbol in one session:
`lookback` bars of history, then the session's bars. Nothing here can reach a bar that was not yet available at the
column it stands in: history comes from sessions before, and coarse inputs are aligned by availability.

    columns      0 .. lookback-1      lookback .. width-1
                 history              the session
    thin row     NaN NaN h h          b b b b b NaN NaN        (existing bars only; NaN stands at the ends)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtester.columns import NO_TIME, OHLCV, Floats, Ints
from backtester.errors import StrategyError, did_you_mean
from backtester.signals import indicators

Column = NDArray[Any]
CUTS = 4
"""Shared indicators that bars keep."""


class Bars:
    """Read-only columns of one interval, shape (rows, width) with width = lookback + bars (clock: (sessions, symbols, width)).

    `open high low close volume quality` float64 (NaN where there is no bar), `ts` and `end` int64 us UTC (open time and the
    time from which the bar is available; the smallest int64 where there is no bar), `slot` int64 (-1 where there is no bar),
    `bar_complete` bool, `minutes_to_close` and `minutes_from_open` float64 (from the bar's end to its session's close, from its
    session's open to the bar's end).
    `symbol` and `session` are labels that broadcast over the columns.
    """

    def __init__(
        self,
        interval: str,
        lookback: int,
        shape: tuple[int, ...],
        read: Callable[[str], Column],
        symbol: Column,
        session: Column,
    ) -> None:
        self.interval, self.lookback, self.shape = interval, lookback, shape
        self.symbol, self.session = _locked(symbol), _locked(session)
        self._read = read
        self._columns: dict[str, Column] = {}
        self._memo: dict[tuple[Any, ...], Column] = {}
        self._inputs: Mapping[str, Bars] = {}
        self._configured: Mapping[str, tuple[str, Mapping[str, float], str]] = {}
        self._longer: Callable[[int], Bars] | None = None
        self._historical: Mapping[str, Column] = {}
        self._shared: Sharing | None = None
        self._cuts: dict[tuple[Any, ...], dict[str, Floats]] = {}

    def __repr__(self) -> str:
        return f"Bars({self.interval}, shape={self.shape}, lookback={self.lookback})"

    def column(self, name: str) -> Column:
        """One column by name, read once."""
        if name not in self._columns:
            self._columns[name] = _locked(self._read(name))
        return self._columns[name]

    def name_of(self, values: Any) -> str | None:
        """The name of the column that this very array is, or None."""
        return next((name for name, column in {**self._columns, **self._historical}.items() if column is values), None)

    def altered(self) -> list[str]:
        """Names of columns that do not hold any more what was read into them."""
        return [name for name, values in self._columns.items() if values.tobytes() != self._read(name).tobytes()]

    @property
    def open(self) -> Floats:
        """Opening prices."""
        return self.column("open")

    @property
    def high(self) -> Floats:
        """Highest prices."""
        return self.column("high")

    @property
    def low(self) -> Floats:
        """Lowest prices."""
        return self.column("low")

    @property
    def close(self) -> Floats:
        """Closing prices."""
        return self.column("close")

    @property
    def volume(self) -> Floats:
        """Volumes."""
        return self.column("volume")

    @property
    def ts(self) -> Ints:
        """Open times, int64 us UTC."""
        return self.column("ts")

    @property
    def end(self) -> Ints:
        """Times from which the bars are available, int64 us UTC."""
        return self.column("end")

    @property
    def slot(self) -> Ints:
        """Index of the bar in its session, in its own interval."""
        return self.column("slot")

    @property
    def quality(self) -> Floats:
        """As-of quality in percent: only slots up to and including the bar count."""
        return self.column("quality")

    @property
    def bar_complete(self) -> NDArray[np.bool_]:
        """True where every base slot of the bar held a bar."""
        return self.column("complete")

    @property
    def minutes_to_close(self) -> Floats:
        """Minutes from the bar's end to the close of its session."""
        return self.column("minutes_to_close")

    @property
    def minutes_from_open(self) -> Floats:
        """Minutes from the open of the bar's session to the bar's end."""
        return self.column("minutes_from_open")

    @property
    def valid(self) -> NDArray[np.bool_]:
        """True where there is a bar."""
        return self.column("valid")

    @property
    def in_session(self) -> NDArray[np.bool_]:
        """True for the columns of the session itself, False for the history before it; shape (width,)."""
        inside: NDArray[np.bool_] = np.arange(self.shape[-1]) >= self.lookback
        return inside

    def input(self, name: str) -> Bars:
        """Another input of the strategy, by its name. Raises StrategyError for a name it did not declare."""
        if name not in self._inputs:
            raise StrategyError("no such input", value=repr(name), action=did_you_mean(name, self._inputs))
        return self._inputs[name]

    def indicator(self, name: str, **params: float) -> Floats:
        """An indicator of these bars, computed once a batch.

        Either a configured column (`sma_20`, `bbands_20.upper`), whose warm-up is read beyond these bars' own history, or a
        built-in name with its parameters (`indicator("sma", period=20)`, outputs of several as
        `indicator("bbands.upper", period=20)`). Raises StrategyError for an unknown name.
        """
        if not params and name in self._configured:
            kind, settings, output = self._configured[name]
            return self._with_warmup(kind, settings, output)
        kind, _, output = name.partition(".")
        if kind not in indicators.CATALOG:
            known = [*self._configured, *indicators.CATALOG]
            raise StrategyError("no such indicator", value=repr(name), action=did_you_mean(name, known))
        return self._compute(kind, params, output)

    @property
    def historical_columns(self) -> Mapping[str, Column]:
        """All historical indicators by name."""
        return self._historical

    def historical(self, name: str) -> Floats:
        """A historical indicator of the config: shape broadcasts over the columns (one value a row, or one a bar)."""
        if name not in self._historical:
            raise StrategyError("no such historical indicator", value=repr(name), action=did_you_mean(name, self._historical))
        return self._historical[name]

    def onto(self, fine: Bars, values: Column | None = None) -> Any:
        """These (coarser) bars aligned on `fine` by availability.

        A fine bar sees the latest coarse bar whose end is not after its own. With `values` (shaped like these bars) the
        aligned array, NaN or False (of whole numbers the smallest) where nothing was available yet; without, a Bars whose
        columns are aligned. Raises StrategyError for bars of other rows, and values of another shape.
        """
        if self.shape[:-1] != fine.shape[:-1]:
            raise StrategyError("bars of other rows cannot be aligned", value=self.shape, allowed=f"rows like those of {fine.shape}")
        # The memo keeps `fine` too: the id of one that is gone may be given to another.
        _, pick = self._once(("onto", id(fine)), lambda: (fine, _latest(self.end, fine.end)))
        if values is not None:
            given = np.asarray(values)
            if given.shape != self.shape:
                raise StrategyError("wrong shape", where="values of onto", value=given.shape, allowed=f"{self.shape}, like its bars")
            return _aligned(given, pick)
        view = Bars(self.interval, fine.lookback, fine.shape, lambda name: self._aligned_column(name, pick), self.symbol, self.session)
        width = self.shape[-1]
        view._historical = {name: _aligned(held, pick) if held.shape[-1] == width > 1 else held for name, held in self._historical.items()}
        return view

    def bound(
        self,
        inputs: Mapping[str, Bars],
        configured: Mapping[str, tuple[str, Mapping[str, float], str]],
        historical: Mapping[str, Column],
        longer: Callable[[int], Bars] | None = None,
    ) -> Bars:
        """The same bars, knowing the strategy's other inputs and the config's indicators.

        `longer` gives the same rows with so many bars more of history.
        """
        self._inputs, self._configured, self._longer = inputs, configured, longer
        self._historical = {name: _locked(values) for name, values in historical.items()}
        return self

    def _aligned_column(self, name: str, pick: Ints) -> Column:
        return _aligned(self.column(name), pick, -1 if name in ("slot", "base_slot") else NO_TIME)

    def _with_warmup(self, kind: str, params: Mapping[str, float], output: str) -> Floats:
        more = indicators.settled(kind, params)
        if self._longer is None or more == 0:
            return self._compute(kind, params, output)
        make = self._longer
        wide: Bars = self._once(("longer", more), lambda: make(more))
        return wide._compute(kind, params, output)[..., more:]

    def sharing(self, shared: Sharing) -> None:
        """Take indicators from where the trials of a sweep share them; it gives None where one is to be computed here."""
        self._shared = shared

    def _compute(self, kind: str, params: Mapping[str, float], output: str) -> Floats:
        outputs = self.computed(kind, params)
        chosen = output or next(iter(outputs))
        if chosen not in outputs:
            raise StrategyError("no such output", where=f"indicator {kind}", value=repr(output), action=did_you_mean(output, outputs))
        values: Floats = outputs[chosen]
        return values

    def computed(self, kind: str, params: Mapping[str, float]) -> dict[str, Floats]:
        """All outputs of a built-in indicator, by name."""
        key = (kind, *sorted(params.items()))
        cut = self._cut(key, kind, params)
        made: dict[str, Floats] = self._once(key, lambda: self.worked_out(kind, params)) if cut is None else cut
        return made

    def _cut(self, key: tuple[Any, ...], kind: str, params: Mapping[str, float]) -> dict[str, Floats] | None:
        """A shared indicator; those asked for last are kept, for they can be cut again."""
        found = self._cuts.pop(key, None)
        if found is None and self._shared is not None and (cut := self._shared(self, kind, params)) is not None:
            found = {name: _locked(values) for name, values in cut.items()}
        if found is not None:
            self._cuts[key] = found
            if len(self._cuts) > CUTS:
                del self._cuts[next(iter(self._cuts))]
        return found

    def worked_out(self, kind: str, params: Mapping[str, float]) -> dict[str, Floats]:
        """The same, worked out anew and not kept."""
        columns = {}
        for name in indicators.CATALOG[kind].inputs:
            if name == "start":
                columns[name] = np.asarray(self.lookback)
            elif name in OHLCV:
                columns[name] = self.column(name)
            elif name in self._historical:
                columns[name] = np.broadcast_to(self._historical[name], self.shape)
            else:
                action = f"list {kind} in session_data_config.indicators.session"
                raise StrategyError("the session before is not known", where=f"indicator {kind}", value=name, action=action)
        return {output: _locked(values) for output, values in indicators.compute(kind, columns, params).items()}

    def _once(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        if key not in self._memo:
            self._memo[key] = make()
        return self._memo[key]


Sharing = Callable[[Bars, str, Mapping[str, float]], dict[str, Floats] | None]
"""Gives all outputs of an indicator of some bars."""


def _latest(coarse_end: Ints, fine_end: Ints) -> Ints:
    """For each fine bar the column of the latest coarse bar with end <= its own end, -1 where none; same leading shape."""
    coarse = coarse_end.reshape(-1, coarse_end.shape[-1])
    fine = fine_end.reshape(-1, fine_end.shape[-1])
    out = np.full(fine.shape, -1, dtype=np.int64)
    for row in range(len(fine)):
        columns = np.flatnonzero(coarse[row] != NO_TIME)
        found = np.searchsorted(coarse[row][columns], fine[row], side="right") - 1
        seen = (found >= 0) & (fine[row] != NO_TIME)
        out[row, seen] = columns[found[seen]]
    return out.reshape(fine_end.shape)


def _aligned(values: Column, pick: Ints, number: int = NO_TIME) -> Column:
    """The values at the columns of `pick`; where it is -1 NaN, False, or of whole numbers `number`."""
    empty: Any = {"b": False, "i": number, "u": 0}.get(values.dtype.kind, np.nan)
    taken = np.take_along_axis(values, np.maximum(pick, 0), axis=-1) if values.shape[-1] else np.full(pick.shape, empty, values.dtype)
    return np.where(pick >= 0, taken, empty).astype(values.dtype)


def _locked(values: Column) -> Column:
    """A view of the array, not to be written to any more; as a view it cannot be made writeable again either."""
    values.flags.writeable = False
    return values.view()

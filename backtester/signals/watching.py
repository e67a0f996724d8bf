"""Watching: what a strategy saw in one call: its inputs, and every indicator that its `signals` asked for on the way.

Place in the flow: inside a call, in the run's process or in a strategy's own, where one session of a finished run is computed again
to be explained. Nothing is replaced and nothing is changed: Python itself says which functions begin and end (`sys.setprofile`), so
the bits are those of a run. Never used while a run goes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType, FrameType, FunctionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtester.signals import indicators
from backtester.signals.bars import Bars
from backtester.signals.indicator_catalog import CATALOG
from backtester.signals.strategy import Signals

OWN = "..."
"""Stands for a column that a strategy has made itself."""
_LONGEST = 80


@dataclass(frozen=True)
class Asked:
    """One indicator that a strategy asked for: how it reads in words, whose bars it is shaped like, and its values, one of the shape."""

    label: str
    bars: Bars
    values: NDArray[Any]


@dataclass
class Watched:
    """What one call of a strategy was given and has asked for.

    inputs by their names, the first is the one it signals on; historical: the config's historical indicators, by input.
    """

    inputs: dict[str, Bars] = field(default_factory=dict)
    historical: dict[str, Mapping[str, NDArray[Any]]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def given(self, inputs: dict[str, Bars]) -> None:
        """Note what the strategy is given."""
        self.inputs = inputs
        self.historical = {name: bars.historical_columns for name, bars in inputs.items()}


class Watching:
    """Stands in for a strategy in a call: passes everything on, and notes what is asked for."""

    def __init__(self, strategy: Any, names: Mapping[str, str], watched: Watched) -> None:
        self._strategy, self._names, self._watched = strategy, names, watched

    def signals(self, bars: Bars) -> Signals:
        """The strategy's own answer."""
        main, *others = self._names
        self._watched.given({main: bars} | {name: bars.input(name) for name in others})
        words = _Words(self._watched.inputs)

        def note(function: str, given: Mapping[str, Any], answer: Any) -> None:
            self._watched.asked += words.noted(function, given, answer)

        with _noting(note):
            answer: Signals = self._strategy.signals(bars)
        return answer


@dataclass(frozen=True)
class _View:
    """Bars that a strategy holds: the prefix of their columns' names, and the input's bars that they are shaped like."""

    prefix: str
    bars: Bars
    home: Bars

    @property
    def name(self) -> str:
        return self.prefix[:-1] or "bars"


class _Words:
    """Names for arrays: columns of the inputs, and what was asked for before."""

    def __init__(self, inputs: Mapping[str, Bars]) -> None:
        main = next(iter(inputs))
        self._views = [_View("" if name == main else f"{name}.", bars, bars) for name, bars in inputs.items()]
        self._known: dict[int, tuple[str, Bars, Any]] = {}
        self._counts: dict[str, int] = {}

    def noted(self, function: str, given: Mapping[str, Any], answer: Any) -> Iterator[Asked]:
        """What one call has brought, one for each output."""
        if isinstance(answer, Bars):
            fine = self._view(given["fine"])
            self._views.append(_View(f"{self._view(given['self']).name} onto {fine.name}.", answer, fine.home))
            return
        home = self._home(function, given, answer)
        label = self._label(function, given)
        outputs = answer if isinstance(answer, tuple) else (answer,)
        names = [f"{label}.{name}" for name in CATALOG[function].outputs] if len(outputs) > 1 else [label]
        for name, values in zip(names, outputs, strict=True):
            if home is not None and isinstance(values, np.ndarray) and self._remember(values, name, home):
                yield Asked(self._known[id(values)][0], home, values)

    def _remember(self, values: NDArray[Any], label: str, home: Bars) -> bool:
        """Give an array its name; False where it has one, or is not shaped like the bars."""
        fits = values.shape[:-1] == home.shape[:-1] and values.shape[-1] in (1, home.shape[-1])
        if id(values) in self._known or not fits:
            return False
        number = self._counts[label] = self._counts.get(label, 0) + 1
        self._known[id(values)] = (label if number == 1 else f"{label} #{number}", home, values)
        return True

    def _label(self, function: str, given: Mapping[str, Any]) -> str:
        """A call as it might be written: `sma(close, period=20)`."""
        if isinstance(given.get("self"), Bars):
            own = self._view(given["self"])
            if function == "onto":
                return f"{self._of(given['values'])} onto {self._view(given['fine']).name}"
            params = ", ".join(f"{name}={self._of(value)}" for name, value in given.get("params", {}).items())
            return f"{own.prefix}{given['name']}" + (f"({params})" if params else "")
        named = ("period", "count", *(CATALOG[function].params if function in CATALOG else ()))
        words = [f"{name}={self._of(value)}" if name in named else self._of(value) for name, value in given.items()]
        label = f"{function}({', '.join(words)})"
        return label if len(label) <= _LONGEST else f"{function}({OWN})"

    def _of(self, value: Any) -> str:
        """A word for an argument."""
        if isinstance(value, int | float | np.number) and not isinstance(value, bool):
            return f"{value:g}"
        if id(value) in self._known:
            return self._known[id(value)][0]
        found = self._column(value)
        return OWN if found is None else f"{found[0].prefix}{found[1]}"

    def _home(self, function: str, given: Mapping[str, Any], answer: Any) -> Bars | None:
        """The input whose bars a call's answer is shaped like; where no argument tells, the first that fits."""
        if function == "onto":
            return self._view(given["fine"]).home
        if isinstance(given.get("self"), Bars):
            return self._view(given["self"]).home
        for value in given.values():
            if id(value) in self._known:
                return self._known[id(value)][1]
            if (found := self._column(value)) is not None:
                return found[0].home
        shape = np.shape(answer[0] if isinstance(answer, tuple) else answer)
        return next((view.home for view in self._views if shape == view.bars.shape), None)

    def _column(self, value: Any) -> tuple[_View, str] | None:
        """Whose column an array is, and its name."""
        if isinstance(value, np.ndarray):
            for view in self._views:
                if (name := view.bars.name_of(value)) is not None:
                    return view, name
        return None

    def _view(self, bars: Bars) -> _View:
        """What is known of some bars; those of a longer history are nobody's."""
        return next((view for view in self._views if view.bars is bars), _View("", bars, bars))


def _watched_code() -> dict[CodeType, str]:
    """The functions to be noted: those of `indicators` that are public, and what bars are asked for."""
    functions = {name: value for name, value in vars(indicators).items() if isinstance(value, FunctionType)
                 and value.__module__ == indicators.__name__ and not name.startswith("_")}  # fmt: skip
    methods = {"indicator": Bars.indicator, "historical": Bars.historical, "onto": Bars.onto}
    return {function.__code__: name for name, function in (functions | methods).items()}


@contextmanager
def _noting(note: Callable[[str, Mapping[str, Any], Any], None]) -> Iterator[None]:
    """Calls `note` with every outermost call of the watched functions that returns: name, arguments, answer.

    Python tells one listener alone: where a profiler listens already, nothing is noted.
    """
    if sys.getprofile() is not None:
        yield
        return
    codes = _watched_code()
    inside: list[tuple[FrameType, dict[str, Any]]] = []

    def watch(frame: FrameType, event: str, answer: Any) -> None:
        if event == "call" and not inside and frame.f_code in codes:
            inside.append((frame, dict(frame.f_locals)))
        elif event == "return" and inside and inside[0][0] is frame:
            _, given = inside.pop()
            if answer is not None:
                note(codes[frame.f_code], given, answer)

    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(None)

"""What an indicator is called, needs and gives: the facts behind `bt indicators`, checks of parameters, and warm-ups.

Place in the flow: every function of `indicators.py` enters itself here; config and engine read the catalog and compute by name.
Never holds a formula.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from backtester.columns import Floats
from backtester.errors import ConfigError, did_you_mean

Number = int | float
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

SETTLING = 10


@dataclass(frozen=True)
class IndicatorSpec:
    """One indicator: function, input columns (`optional` ones may be left out), parameters with defaults, outputs, sentence.

    `first` gives the index of a row's first value from the parameters.
    `recursive` marks those that remember every bar of the row (exponential and Wilder smoothing), so that what a bar shows still
    depends on where the row begins some time after the first value. `windowed` marks those whose value is decided, to the last bit, by
    the `first` bars before a bar and the bar itself.
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[str, ...]
    optional: tuple[str, ...]
    params: Mapping[str, Number]
    outputs: tuple[str, ...]
    sentence: str
    recursive: bool
    first: Callable[..., int]
    windowed: bool = False

    def resolved(self, params: Mapping[str, Number] | None = None) -> dict[str, Number]:
        """All parameters: those given, checked, and defaults. Raises ConfigError with every fault in them."""
        given = params or {}
        where = f"indicator {self.name}"
        unknown = [name for name in given if name not in self.params]
        faults = [ConfigError("unknown parameter", where=where, value=repr(name), action=self._known(name)) for name in unknown]
        for name, default in self.params.items():
            allowed = refusal(given.get(name, default), default)
            if allowed is not None:
                faults.append(ConfigError("bad parameter", where=f"{where}, {name}", value=repr(given[name]), allowed=allowed))
        if len(faults) > 1:
            raise ConfigError(f"parameters of {where}", problems=faults)
        if faults:
            raise faults[0]
        return {name: given.get(name, default) for name, default in self.params.items()}

    def warmup(self, params: Mapping[str, Number] | None = None) -> int:
        """Bars before a bar that it needs to have every output: the index of a row's first value."""
        return int(self.first(**self.resolved(params)))

    def settled(self, params: Mapping[str, Number] | None = None) -> int:
        """Bars before a bar after which the start of the row no longer shows: the warm-up, ten times it where recursive.

        By then what the smoothing began with weighs less than 0.0002.
        """
        return self.warmup(params) * (SETTLING if self.recursive else 1)

    def as_json(self) -> dict[str, Any]:
        """The facts as plain values, with the warm-up of the default parameters."""
        return {
            "name": self.name,
            "sentence": self.sentence,
            "inputs": list(self.inputs),
            "params": dict(self.params),
            "outputs": list(self.outputs),
            "warmup": self.warmup(),
            "settled": self.settled(),
        }

    def _known(self, name: str) -> str:
        return did_you_mean(name, self.params) if self.params else "it has no parameters"


CATALOG: dict[str, IndicatorSpec] = {}


def indicator(
    *outputs: str, first: Callable[..., int], recursive: bool = False, optional: tuple[str, ...] = (), windowed: bool = False
) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Enters a function into the catalog.

    Its arguments without a default (and `optional` ones) are input columns, the others are parameters; a
    default that is an int asks for whole numbers. The first line of its docstring is the sentence; without `outputs` it has
    one, named like itself. `first` gives the index of the first value from the parameters.
    """

    def enter(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        name = function.__name__
        arguments = inspect.signature(function).parameters.values()
        inputs = [item.name for item in arguments if item.default is item.empty or item.name in optional]
        params = {item.name: item.default for item in arguments if item.name not in inputs}
        sentence = (function.__doc__ or "").partition("\n")[0]
        given = name, function, tuple(inputs), optional, params, outputs or (name,), sentence, recursive, first, windowed
        CATALOG[name] = IndicatorSpec(*given)
        return function

    return enter


def refusal(value: Any, default: Number) -> str | None:
    """None where `value` may stand in for `default`; else what is allowed. A truth value is not a number."""
    if isinstance(default, int):
        fits = isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 1
        return None if fits else "a whole number from 1"
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return None if number and math.isfinite(value) and value >= 0 else "a finite number, 0 or more"


def found(name: str) -> IndicatorSpec:
    """The catalog's entry; ConfigError with the nearest name where there is none."""
    if name not in CATALOG:
        raise ConfigError("unknown indicator", value=repr(name), action=did_you_mean(str(name), CATALOG))
    return CATALOG[name]


def warmup(name: str, params: Mapping[str, Number] | None = None) -> int:
    """Bars before a bar that the indicator needs to have every output. Raises ConfigError for an unknown name or parameter."""
    return found(name).warmup(params)


def settled(name: str, params: Mapping[str, Number] | None = None) -> int:
    """Bars before a bar after which the start of the row no longer shows. Raises ConfigError as `warmup` does."""
    return found(name).settled(params)


def compute(name: str, columns: Mapping[str, NDArray[Any]], params: Mapping[str, Number] | None = None) -> dict[str, Floats]:
    """An indicator by name: output name -> array, shaped like the columns (..., bars).

    `columns` holds at least the indicator's inputs (`start` of vwap may be left out). Raises ConfigError for an unknown name, an
    unknown or bad parameter, or a missing column.
    """
    spec = found(name)
    settings = spec.resolved(params)
    missing = [column for column in spec.inputs if column not in columns and column not in spec.optional]
    if missing:
        raise ConfigError("missing column", where=f"indicator {name}", value=", ".join(missing), allowed=", ".join(columns))
    inputs = {column: columns[column] for column in spec.inputs if column in columns}
    values = spec.function(**inputs, **settings)
    return dict(zip(spec.outputs, values if isinstance(values, tuple) else (values,), strict=True))

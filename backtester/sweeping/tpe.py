"""The search by a model: a tree-structured Parzen estimator asks for a generation of trials, and learns from what came of it.

Place in the flow: one of the searches; needs the extra `search` (optuna). All trials of a generation are asked for before one of them is
told, and they are told in their order: what is asked for depends on the seed and on what trials earned, never on who ran them, when,
or how often the sweep was begun. Never tries a combination twice, nor one that a constraint leaves out. Never runs a trial.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from backtester.errors import ConfigError
from backtester.sweeping.space import Combination, Parameter, Space
from backtester.sweeping.values import Drawn
from backtester.sweeping.variants import Trial, key_of

SUGGESTIONS = 20
"""How often the model is asked for one trial, where what it suggests was tried already or is not wanted; then one is drawn."""
MOST_LISTED = 100_000
"""Combinations of a space that are looked through for one that was not tried."""


def library() -> Any:
    """The library that has the model. Raises ConfigError where it is not installed."""
    try:
        import optuna
    except ImportError:
        raise ConfigError("a search by tpe needs optuna", where="/sweep/search", action="pip install 'backtester[search]'") from None
    return optuna


class Tpe:
    """A search that learns; `total` trials, `generation` of them asked for together."""

    def __init__(self, space: Space, total: int, seed: int, generation: int, *, largest: bool) -> None:
        optuna = library()
        self._space, self.total, self._seed, self._generation = space, total, seed, generation
        (start,) = np.random.SeedSequence(seed).generate_state(1)
        sampler = optuna.samplers.TPESampler(seed=int(start), n_startup_trials=generation)
        said = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self._study = optuna.create_study(direction="maximize" if largest else "minimize", sampler=sampler)
        finally:
            optuna.logging.set_verbosity(said)
        self._failed = optuna.trial.TrialState.FAIL
        self._axes = [_axis(optuna, parameter) for parameter in space.parameters]
        self._ranges = {axis.path: axis.range for axis in self._axes}
        self._seen: set[str] = set()
        self._open: dict[int, Any] = {}
        self._made = 0

    def ask(self) -> list[Trial]:
        """The next generation; fewer trials, and at last none, where the space is exhausted."""
        found: list[Trial] = []
        while len(found) < self._generation and self._made < self.total:
            suggested = self._suggested()
            if suggested is None:
                break
            combination, asked = suggested
            self._seen.add(_text(combination))
            self._open[self._made] = asked
            found.append(Trial(self._made, key_of(self._space, combination), combination))
            self._made += 1
        return found

    def tell(self, values: Mapping[int, float | None]) -> None:
        """The objective of each trial of the generation; one without is told as failed, and the model passes it by."""
        for number in sorted(values):
            value, asked = values[number], self._open.pop(number)
            if value is None:
                self._study.tell(asked, state=self._failed)
            else:
                self._study.tell(asked, value)

    def is_exhausted(self) -> bool:
        """Whether no combination is left to try."""
        return self._untried() is None

    def _suggested(self) -> tuple[Combination, Any] | None:
        """A combination that was not tried yet and is wanted, and the library's name for it; None: there is none."""
        for _ in range(SUGGESTIONS):
            asked = self._study.ask(self._ranges)
            combination = tuple(axis.value(asked.params[axis.path]) for axis in self._axes)
            if self._is_new(combination):
                return combination, asked
            self._study.tell(asked, state=self._failed)
        drawn = self._untried()
        if drawn is None:
            return None
        self._study.enqueue_trial({axis.path: axis.place(value) for axis, value in zip(self._axes, drawn, strict=True)})
        return drawn, self._study.ask(self._ranges)

    def _is_new(self, combination: Combination) -> bool:
        return _text(combination) not in self._seen and self._space.wanted(combination)

    def _untried(self) -> Combination | None:
        """A combination at random among those that are left."""
        rng = np.random.Generator(np.random.PCG64([self._seed, self._made]))
        if self._space.size is not None and self._space.size <= MOST_LISTED:
            left = [combination for combination in self._space.grid() if self._is_new(combination)]
            return left[int(rng.integers(len(left)))] if left else None
        drawn = self._space.random(len(self._seen) + 1, int(rng.integers(2**63)))
        return next(filter(self._is_new, drawn), None)


@dataclass(frozen=True)
class _Axis:
    """One parameter as the model sees it: a range, and the values at its places; None: the places are the values."""

    path: str
    range: Any
    values: tuple[Any, ...] | None

    def value(self, place: Any) -> Any:
        """The value at a place of the range."""
        return place if self.values is None else self.values[place]

    def place(self, value: Any) -> Any:
        """The place of a value in the range."""
        return value if self.values is None else [_text(listed) for listed in self.values].index(_text(value))


def _axis(optuna: Any, parameter: Parameter) -> _Axis:
    """A range to draw from as it is, listed numbers by their places in order, other values as kinds without an order."""
    values, kinds = parameter.values, optuna.distributions
    if isinstance(values, Drawn):
        if values.scale == "int":
            return _Axis(parameter.path, kinds.IntDistribution(int(values.low), int(values.high)), None)
        return _Axis(parameter.path, kinds.FloatDistribution(values.low, values.high, log=values.scale == "loguniform"), None)
    if all(type(value) in (int, float) for value in values.values):
        return _Axis(parameter.path, kinds.IntDistribution(0, len(values) - 1), tuple(sorted(values.values)))
    return _Axis(parameter.path, kinds.CategoricalDistribution(tuple(range(len(values)))), values.values)


def _text(value: Any) -> str:
    """A combination, or one value, as a text that is equal for equal ones."""
    return json.dumps(value, sort_keys=True)

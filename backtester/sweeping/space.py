"""The space of a sweep: parameters with their values, and the trials that a search takes from it.

Place in the flow: the first thing a sweep does. Knows names, values and constraints only. Never runs anything.

    grid      every combination that the constraints allow, the last parameter changing fastest
    random    a Latin hypercube: each trial takes another stratum of every parameter; seeded
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from backtester.errors import ConfigError
from backtester.sweeping.constraints import Constraint, constraint
from backtester.sweeping.values import Listed, Values, values_of

MOST_COMBINATIONS = 1_000_000_000
MOST_TRIALS = 10_000_000
ROUNDS = 200
"""Hypercubes that a random search draws before it takes the space for exhausted."""

Combination = tuple[Any, ...]
"""One value for each parameter, in the order of the parameters."""


@dataclass(frozen=True)
class Parameter:
    """One place of the config that trials change: its short name, its dotted path, its values."""

    name: str
    path: str
    values: Values


@dataclass(frozen=True)
class Space:
    """All parameters, and what combinations of them are wanted."""

    parameters: tuple[Parameter, ...]
    constraints: tuple[Constraint, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, as columns of the table of trials."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def size(self) -> int | None:
        """Combinations before constraints; None where a parameter is drawn from a range."""
        sizes = [len(parameter.values) for parameter in self.parameters if isinstance(parameter.values, Listed)]
        return math.prod(sizes) if len(sizes) == len(self.parameters) else None

    @property
    def product(self) -> str:
        """The size in words, factor by factor."""
        sizes = [len(parameter.values) for parameter in self.parameters if isinstance(parameter.values, Listed)]
        return f"{' x '.join(map(str, sizes))} = {math.prod(sizes):,}"

    def wanted(self, combination: Combination) -> bool:
        """Whether every constraint holds."""
        values = dict(zip(self.names, combination, strict=True))
        return all(holds(values) for holds in self.constraints)

    def grid(self) -> Iterator[Combination]:
        """Every combination that the constraints allow. Raises ConfigError for ranges to draw from, and for too many."""
        lists = []
        for parameter in self.parameters:
            if not isinstance(parameter.values, Listed):
                raise ConfigError("a grid needs values, not a range to draw from", where=parameter.path, action="use search random")
            lists.append(parameter.values.values)
        if math.prod(map(len, lists)) > MOST_COMBINATIONS:
            most = f"at most {MOST_COMBINATIONS:,}"
            raise ConfigError("too many combinations", where="/sweep/parameters", value=self.product, allowed=most)
        return filter(self.wanted, product(*lists))

    def random(self, trials: int, seed: int) -> list[Combination]:
        """So many different combinations, or as many as there are; the same for the same seed."""
        rng = np.random.Generator(np.random.PCG64(seed))
        found: dict[str, Combination] = {}
        for _ in range(ROUNDS):
            for combination in self._hypercube(trials, rng):
                if len(found) < trials and self.wanted(combination):
                    found.setdefault(json.dumps(combination, sort_keys=True), combination)
            if len(found) in (trials, self.size):
                break
        return list(found.values())

    def _hypercube(self, trials: int, rng: np.random.Generator) -> Iterator[Combination]:
        parts = [((rng.permutation(trials) + rng.random(trials)) / trials).tolist() for _ in self.parameters]
        for row in zip(*parts, strict=True):
            yield tuple(parameter.values.at(min(part, 1.0 - 2.0**-53)) for parameter, part in zip(self.parameters, row, strict=True))


def space_of(given: Mapping[str, Any], constraints: Sequence[str] = (), reserved: Sequence[str] = ()) -> Space:
    """The space of `path -> values`; raises ConfigError with every problem found.

    A parameter is called by the last part of its path where no other ends so and no column of the result is called so, else by the
    whole path.
    """
    if not given:
        raise ConfigError("a sweep needs parameters", where="/sweep/parameters", action="such as strategies.0.params.fast=5,10,20")
    problems: list[ConfigError] = []
    ends = [path.rpartition(".")[2] for path in given]
    parameters = []
    for path, end in zip(given, ends, strict=True):
        where = f"/sweep/parameters/{path}"
        try:
            if not path or not all(path.split(".")):
                raise ConfigError("not a path into the config", where=where, allowed="such as strategies.0.params.fast")
            short = ends.count(end) == 1 and end not in reserved and not end.isdigit()
            parameters.append(Parameter(end if short else path, path, values_of(given[path], where)))
        except ConfigError as problem:
            problems.append(problem)
    known = {parameter.name: parameter.name for parameter in parameters}
    tests = []
    for place, text in enumerate(constraints):
        try:
            tests.append(constraint(text, known, f"/sweep/constraints/{place}"))
        except ConfigError as problem:
            problems.append(problem)
    if problems:
        raise ConfigError("the sweep cannot be made", problems=problems)
    return Space(tuple(parameters), tuple(tests))

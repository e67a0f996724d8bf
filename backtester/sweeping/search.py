"""Searches: which trials are tried, a generation at a time.

Place in the flow: `sweep` asks for a generation, has it run, and tells what came of it, until nothing more is asked for. Never runs a
trial, and never depends on how one is run.

    grid, random    know all of their trials: one generation
    tpe             learns from each generation where to look next     tpe
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from backtester.errors import ConfigError
from backtester.sweeping.definition import Sweep
from backtester.sweeping.tpe import Tpe
from backtester.sweeping.variants import Trial


class Search(Protocol):
    """Where trials come from; `total`: how many there will be, or fewer where the space is exhausted."""

    total: int

    def ask(self) -> list[Trial]:
        """The next generation; none: the search is over."""

    def tell(self, values: Mapping[int, float | None]) -> None:
        """The objective of each trial of the generation; None of one that failed, or has none."""


class Listing:
    """The search of those that know all of their trials."""

    def __init__(self, trials: list[Trial]) -> None:
        self._left, self.total = trials, len(trials)

    def ask(self) -> list[Trial]:
        """All trials, once."""
        trials, self._left = self._left, []
        return trials

    def tell(self, values: Mapping[int, float | None]) -> None:
        """Nothing is learned."""


def search_of(sweep: Sweep) -> Search:
    """The search that the sweep asks for. Raises ConfigError where there is nothing to try, or a library is missing."""
    settings = sweep.settings
    if settings.search != "tpe":
        return Listing(sweep.trials())
    search = Tpe(sweep.space, settings.trials or 1, settings.seed or 0, settings.generation, largest=sweep.objective[1])
    if search.is_exhausted():
        raise ConfigError("no trial is left", where="/sweep/constraints", action="the constraints leave out every combination")
    return search

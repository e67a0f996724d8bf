"""What is to be swept: a config with its `sweep` section, checked, and the trials that its search takes.

Place in the flow: made once by the command, handed to folder and engine. Never runs anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from backtester.config import Config, of_document
from backtester.config_document import assign, read, with_values
from backtester.config_sweep import SweepSettings, WalkForwardSettings
from backtester.errors import ConfigError, UsageError, did_you_mean
from backtester.sweeping.figures import FIGURES
from backtester.sweeping.space import MOST_TRIALS, Combination, Space, space_of
from backtester.sweeping.tables import RESERVED
from backtester.sweeping.variants import Base, Trial, numbered


@dataclass(frozen=True)
class Sweep:
    """The config that trials vary, checked; the space; how to search, and what is best."""

    base: Base
    config: Config
    space: Space
    settings: SweepSettings

    @property
    def objective(self) -> tuple[str, bool]:
        """The figure that tells which trial is best, and whether the largest is."""
        return self.settings.objective.removeprefix("-"), not self.settings.objective.startswith("-")

    def trials(self) -> list[Trial]:
        """All trials, in the order of the search; of a search that learns as many drawn at random, for what it would cost.

        Raises ConfigError where there are none, or too many.
        """
        if self.settings.search == "grid" and self.settings.trials is None:
            self._check_grid()
        found = list(numbered(self.space, self._combinations()))
        if not found:
            raise ConfigError("no trial is left", where="/sweep/constraints", action="the constraints leave out every combination")
        return found

    def _check_grid(self) -> None:
        """Refuse too many combinations before a trial is made of any: so many trials would take all memory."""
        if (self.space.size or 0) <= MOST_TRIALS:
            return
        left = islice(self.space.grid(), MOST_TRIALS + 1)
        if not self.space.constraints or sum(1 for _ in left) > MOST_TRIALS:
            raise ConfigError("too many trials", where="/sweep/parameters", value=self.space.product, allowed=f"at most {MOST_TRIALS:,}",
                              action="give fewer values, or set sweep.trials")  # fmt: skip

    def _combinations(self) -> Iterable[Combination]:
        if self.settings.search != "grid":
            return self.space.random(self.settings.trials or 1, self.settings.seed or 0)
        return islice(self.space.grid(), self.settings.trials)


def sweep_of(
    source: str | Path | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    lake: Path | None = None,
    parameters: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
    windows: Mapping[str, Any] | None = None,
) -> Sweep:
    """The sweep that a config file or mapping asks for.

    parameters: `PATH=VALUES` texts, in place of those that the section `sweep` names, where there are any; changes: other keys of
    that section; windows: keys of the section `walkforward`.

    Raises the errors of `config.load`, and ConfigError with every problem of the section.
    """
    document = assign(read(source), overrides)
    section = dict(document.get("sweep") or {}) | {name: value for name, value in (changes or {}).items() if value is not None}
    if parameters:
        section["parameters"] = dict(_pair(text) for text in parameters)
    document["sweep"] = {"parameters": {}} | section
    asked = {name: value for name, value in (windows or {}).items() if value is not None}
    if asked:
        document["walkforward"] = dict(document.get("walkforward") or {}) | asked
    root, stem = (Path.cwd(), "sweep") if isinstance(source, Mapping) else (Path(source).resolve().parent, Path(source).stem)
    config = of_document(with_values(document, {}), root, stem, lake)
    settings = config.sweep
    assert settings is not None
    space = space_of(settings.parameters, settings.constraints, RESERVED)
    figure = settings.objective.removeprefix("-")
    if figure not in FIGURES:
        raise ConfigError("no such figure", where="/sweep/objective", value=figure, action=did_you_mean(figure, FIGURES))
    return Sweep(Base(document, root, lake), config, space, settings)


def windows_of(sweep: Sweep) -> WalkForwardSettings:
    """The windows that the config asks for. Raises ConfigError where it asks for none."""
    if sweep.config.walkforward is None:
        action = 'such as "walkforward": {"train": 20, "test": 5}'
        raise ConfigError("a walk needs windows", where="/walkforward", action=action)
    return sweep.config.walkforward


def _pair(text: str) -> tuple[str, str]:
    path, equals, values = text.partition("=")
    if not equals:
        raise UsageError("--param needs PATH=VALUES", value=repr(text), allowed="such as strategies.0.params.fast=2:20:2")
    return path, values

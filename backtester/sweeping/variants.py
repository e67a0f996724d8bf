"""Variants: the config of every trial, checked as a run's is, and which of them can share what is read and prepared.

Place in the flow: between `space` and `block`. Never reads market data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backtester.config import Config, StrategySettings, of_document, together
from backtester.config_document import Document, with_values
from backtester.config_varied import Varied
from backtester.errors import BacktesterError
from backtester.market.lake import Lake
from backtester.outcome.digests import json_digest
from backtester.planning import base_of
from backtester.sweeping.space import Combination, Space

_SHARED = {"exchange_group", "asset_class", "calendar", "backtest_config", "session_data_config"}
"""Sections of a config that say what is read and prepared."""


@dataclass(frozen=True)
class Base:
    """The config that trials vary: its document, the folder of its relative paths, the lake where a command named one."""

    document: Document
    root: Path
    lake: Path | None = None

    def config(self, values: Mapping[str, Any]) -> Config:
        """The config with a value at each dotted path. Raises the errors of `config.load`."""
        return of_document(with_values(self.own, values), self.root, lake=self.lake)

    @property
    def own(self) -> Document:
        """The document without what speaks of sweeps."""
        return {name: part for name, part in self.document.items() if name not in ("sweep", "walkforward")}


@dataclass(frozen=True)
class Trial:
    """One combination of values: its place in the search, a key that is the same wherever the values are."""

    number: int
    key: str
    values: Combination


@dataclass(frozen=True)
class Variant:
    """A trial with its config."""

    trial: Trial
    config: Config


@dataclass(frozen=True)
class Group:
    """Variants that read and prepare the same: one config whose strategies are those of all of them, each once.

    entries: for each variant the places of its strategies in the config's.
    """

    config: Config
    variants: tuple[Variant, ...]
    entries: tuple[tuple[int, ...], ...]


def numbered(space: Space, combinations: Iterable[Combination], first: int = 0) -> Iterator[Trial]:
    """Trials in the order of the search, counted from `first`."""
    for number, values in enumerate(combinations, first):
        yield Trial(number, key_of(space, values), values)


def key_of(space: Space, values: Combination) -> str:
    """Sixteen hex digits that name a combination, whatever the order of the parameters."""
    paths = (parameter.path for parameter in space.parameters)
    return json_digest(dict(sorted(zip(paths, values, strict=True))))[:16]


def variants(base: Base, space: Space, trials: Iterable[Trial]) -> tuple[list[Variant], list[tuple[Trial, BacktesterError]]]:
    """The config of every trial, and the trials whose values a config cannot have."""
    made: list[Variant] = []
    refused: list[tuple[Trial, BacktesterError]] = []
    paths = [parameter.path for parameter in space.parameters]
    varied = Varied(base.own, base.root, base.lake)
    for trial in trials:
        try:
            made.append(Variant(trial, varied.config(dict(zip(paths, trial.values, strict=True)))))
        except BacktesterError as error:
            refused.append((trial, error))
    return made, refused


def groups(made: Sequence[Variant]) -> list[Group]:
    """The variants by what they read and prepare, in the order of their first trials."""
    bases: dict[tuple[str, frozenset[str]], str] = {}
    known: dict[tuple[int, ...], str] = {}
    together: dict[tuple[str, str], list[Variant]] = {}
    for variant in made:
        config = variant.config
        sections = tuple(id(getattr(config, name)) for name in (*_SHARED, "account", "execution"))
        if sections not in known:  # configs share what is equal, and none of them goes away meanwhile
            known[sections] = _shared(config)
        shared = known[sections]
        intervals = frozenset(_intervals(config))
        if (shared, intervals) not in bases:
            bases[shared, intervals] = base_of(config, Lake.open(config.lake))
        together.setdefault((shared, bases[shared, intervals]), []).append(variant)
    return [_group(members) for members in together.values()]


def _group(members: Sequence[Variant]) -> Group:
    places: dict[str, int] = {}
    entries: list[StrategySettings] = []
    chosen = []
    for variant in members:
        own = []
        for entry in variant.config.strategies:
            key = json.dumps([entry.use, entry.symbols, entry.params], sort_keys=True)
            if key not in places:
                places[key] = len(entries)
                entries.append(entry)
            own.append(places[key])
        chosen.append(tuple(own))
    return Group(together([variant.config for variant in members], entries), tuple(members), tuple(chosen))


def _shared(config: Config) -> str:
    """All of a config that decides what is read and prepared, but for its strategies' intervals."""
    execution = config.execution
    parts = {
        **config.model_dump(mode="json", include=_SHARED),
        "leverage": config.account.leverage,  # weights are checked against it
        "read": [
            execution.quoted,
            execution.stop_watch,
            execution.actions,
            execution.fill == "next_vwap",
            execution.intrabar == "drill_down",
        ],
    }
    return json.dumps(parts, sort_keys=True)


def _intervals(config: Config) -> Iterator[str]:
    """What intervals the strategies' parameters may name: all of their texts."""
    for entry in config.strategies:
        yield entry.use
        yield from (value for value in entry.params.values() if isinstance(value, str))

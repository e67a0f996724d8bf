"""The files of the strategies that a sweep may call: those of its config, and of every `use` that a parameter names.

Place in the flow: a sweep's identity and its tasks hold their digests, so that a resume and every worker run the same code. Reads files
that a parameter alone names, but runs none of them: a trial does that (a module's package is imported to find it).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from backtester.config import Config, bind_strategies
from backtester.signals.loading import path_of
from backtester.signals.strategies import BUILT_IN
from backtester.sweeping.space import Space
from backtester.sweeping.values import Listed


def sources(config: Config, space: Space) -> dict[str, str]:
    """The digest of each strategy's file, by `use`. Raises the errors of loading those of the config."""
    own = {entry.use: described.source.digest for entry, described, _ in bind_strategies(config)}
    return {use: digest_of(use, config.root) for use in uses(space)} | own


def uses(space: Space) -> list[str]:
    """Every `use` that a parameter's values name, sorted."""
    found: set[str] = set()
    for parameter in space.parameters:
        first, *rest = parameter.path.split(".")
        if first == "strategies" and "params" not in rest and isinstance(parameter.values, Listed):
            for value in parameter.values.values:
                found.update(_named(rest[-1] if rest else "", value))
    return sorted(found)


def digest_of(use: str, root: Path) -> str:
    """The SHA-256 of the file that `use` names; "" where there is none, and a trial with it fails.

    >>> digest_of("sma_crossover", Path()) == digest_of("backtester.signals.strategies.sma_crossover:SmaCrossover", Path())
    True
    >>> digest_of("nowhere.py:Mine", Path())
    ''
    """
    try:
        return sha256(Path(_file(use, root)).read_bytes()).hexdigest()
    except (OSError, ValueError):
        return ""


def _file(use: str, root: Path) -> str:
    """The file of a built-in strategy, of a path, or of a module, which is not imported."""
    if path := path_of(use, root):
        return path
    module = BUILT_IN.get(use, use).partition(":")[0]
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return ""
    return "" if found is None or found.origin is None else found.origin


def _named(key: str, value: Any) -> Iterator[str]:
    """The values of `use` in a value that stands under a key of the section `strategies`."""
    if isinstance(value, dict):
        for name, part in value.items():
            if name != "params":
                yield from _named(name, part)
    elif isinstance(value, list):
        for part in value:
            yield from _named(key, part)
    elif key == "use" and isinstance(value, str):
        yield value

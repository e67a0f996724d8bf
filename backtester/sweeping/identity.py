"""The identity of a sweep: what must be the same for a resume, and for two sweeps to be equal.

Place in the flow: written as plan.json before the first trial, and part of the manifest. Never holds a path, a time or a number of
threads.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import polars as pl

from backtester.config import Config, bind_strategies
from backtester.market.lake import Lake
from backtester.outcome.digests import json_digest
from backtester.sweeping.sources import digest_of, uses
from backtester.sweeping.space import Space
from backtester.sweeping.tpe import library
from backtester.sweeping.variants import Base

VERSION = 1


def identity(base: Base, config: Config, space: Space) -> dict[str, Any]:
    """Config, parameters, search, strategies' sources and the lake's contents, each as something short that tells others apart."""
    settings = config.sweep
    assert settings is not None
    plan: dict[str, Any] = {
        "sweep_version": VERSION,
        "config": config.digest,
        "parameters": {parameter.path: asdict(parameter.values) for parameter in space.parameters},
        "constraints": list(settings.constraints),
        "search": settings.search,
        "trials": settings.trials,
        "seed": settings.seed if settings.search != "grid" else None,
        "strategies": {entry.name: described.source.digest for entry, described, _ in bind_strategies(config)},
        "lake": _lake(config),
    }
    if settings.search == "tpe":
        plan |= {"generation": settings.generation, "objective": settings.objective, "model": f"optuna {library().__version__}"}
    if called := uses(space):
        plan["uses"] = {use: digest_of(use, config.root) for use in called}
    return plan


def sweep_key(plan: dict[str, Any], trials: str, equity: str) -> str:
    """The key that equal sweeps share: their identity and what came out of them."""
    return json_digest({"plan": plan, "trials": trials, "equity": equity})


def _lake(config: Config) -> str:
    """A digest of all that the lake holds until the last day of the config."""
    catalog = Lake.open(config.lake).catalog
    known = pl.col("session").is_null() | (pl.col("session") <= config.backtest_config.end_date)
    rows = catalog.filter(known).sort("kind", "interval", "session", "path")
    return json_digest(rows.select("kind", "interval", pl.col("session").cast(pl.String), "sha256").rows())

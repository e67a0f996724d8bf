"""Random runs and what came of them, for tests of what must hold of every run. Never judges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import polars as pl

from backtester.errors import DataError
from tests.properties.busy import busy_of
from tests.properties.engine import play
from tests.properties.markets import MANY, scene_of, seeded, seeds
from tests.scene import Scene

Tables = dict[str, pl.DataFrame]


@cache
def played(seed: int) -> tuple[Scene, Tables]:
    """A random run without corporate actions and what came of it; DataError where a price at a fill was not above zero."""
    scene = replace(modest(seeded(seed, busy_of if seed % 2 else scene_of)), actions=())
    return scene, play(scene)


def modest(scene: Scene) -> Scene:
    """The run with no amount above 2^53 of 1e-6 currency, so that tables show every amount exactly."""
    return replace(scene, rules=replace(scene.rules, leverage=min(scene.rules.leverage, 2.0)))


def unhurried(scene: Scene) -> Scene:
    """The run without impact: no price moves with a size."""
    return replace(scene, rules=replace(scene.rules, impact_bps=0.0))


def of_every_run(check: Callable[[Scene, Tables], None]) -> Callable[[], None]:
    """A test that checks every random run that comes to its end; one that fails names its seed."""

    def test() -> None:
        for seed in seeds(max(60, MANY // 5)):
            try:
                scene, got = played(seed)
            except DataError:
                continue
            try:
                check(scene, got)
            except Exception as error:
                error.add_note(f"played({seed})")
                raise

    test.__name__, test.__doc__ = check.__name__, check.__doc__
    return test


def micro(amount: float) -> int:
    """Currency of a table as whole 1e-6."""
    return round(amount * 1e6)


def signed_cash(fill: dict[str, Any]) -> int:
    """What a fill does to cash."""
    value = micro(fill["value"])
    return (-value if fill["side"] == "buy" else value) - micro(fill["fee"])


def plain(scene: Scene) -> Scene:
    """The run with one order into a position and one out of it, and with one purse that is never called."""
    rules = replace(
        scene.rules, max_entries=1, scale_out=(), max_participation=None, capital=None, margin_call="reject", rebalance_threshold=0.0
    )
    signals = [replace(signal, exit_fraction=None) for signal in scene.signals if signal.action != "target"]
    return replace(scene, rules=rules, signals=tuple(signals))


def lots_of(scene: Scene) -> dict[str, float]:
    """The lot of each symbol."""
    own = scene.rules.instruments or {}
    return {symbol: own.get(symbol, (None, None))[0] or scene.rules.lot for symbol in scene.symbols}


def without(table: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """The table without some columns."""
    return table.drop(*columns)

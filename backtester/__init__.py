"""An intraday backtester: a Parquet lake in, column strategies, a folder of tables out; the same result every time.

    import backtester as bt

    run = bt.run("configs/quickstart.json")
    run.metrics["sharpe"]
    run.table("fills")            # a polars frame
    run.sql("select symbol, sum(pnl) from trades group by symbol")

Names are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars

    from backtester.outcome.run import Run
    from backtester.signals import indicators
    from backtester.signals.bars import Bars
    from backtester.signals.strategy import Signals, Strategy
    from backtester.sweeping.folder import SweepRun

__version__ = "0.1.0"
__all__ = ["Bars", "Run", "Signals", "Strategy", "__version__", "indicators", "load", "run", "sql", "sweep"]

_PLACES = {
    "Bars": "backtester.signals.bars",
    "Run": "backtester.outcome.run",
    "Signals": "backtester.signals.strategy",
    "Strategy": "backtester.signals.strategy",
    "indicators": "backtester.signals",
}


def run(
    config: str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    lake: str | Path | None = None,
    overrides: Sequence[str] = (),
    force: bool = False,
    resume: bool = False,
) -> Run:
    """Run a config (file or mapping) and return its result.

    `out` is the result's folder (`runs/<config's name>` where absent), `lake` wins over the config's, `overrides` are
    `PATH=VALUE` texts, `force` replaces a complete run that stands there, `resume` goes on with one that was killed or stopped.
    Raises the errors of `backtester.errors`.
    """
    from backtester import pipeline
    from backtester.config import load as load_config
    from backtester.outcome.catalog import note

    checked = load_config(config, overrides, None if lake is None else Path(lake))
    result = pipeline.run(checked, checked.default_out if out is None else Path(out), force=force, resume=resume)
    note(result.folder)
    return result


def sweep(
    config: str | Path | Mapping[str, Any],
    *,
    parameters: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    lake: str | Path | None = None,
    overrides: Sequence[str] = (),
    force: bool = False,
    resume: bool = False,
    **settings: Any,
) -> SweepRun:
    """Try variants of a config and return their table: `sweep(...).trials` is a polars frame, one row a trial.

    `parameters` maps dotted paths to values (a list, or text such as "2:20:2") and wins over the config's section `sweep`;
    `settings` are other keys of that section (search, trials, seed, constraints, objective, keep_best). `out` is the result's folder
    (`sweeps/<config's name>` where absent), `resume` finishes one that was stopped. Raises the errors of `backtester.errors`.
    """
    from backtester.outcome.catalog import note
    from backtester.sweeping.definition import sweep_of
    from backtester.sweeping.sweep import run_sweep

    changes = settings if parameters is None else {**settings, "parameters": dict(parameters)}
    defined = sweep_of(config, overrides=overrides, lake=None if lake is None else Path(lake), changes=changes)
    place = Path("sweeps") / defined.config.default_out.name if out is None else Path(out)
    result = run_sweep(defined, place, force=force, resume=resume)
    note(result.folder)
    return result


def load(folder: str | Path) -> Run:
    """The result in a run's folder. Raises OutputError where there is no complete one, DataError where it is damaged."""
    from backtester.outcome.run import load as load_run

    return load_run(folder)


def sql(
    results: Run | SweepRun | str | Path | Iterable[Run | SweepRun | str | Path],
    query: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    threads: int = 1,
    max_memory: int | None = None,
) -> polars.DataFrame:
    """The answer to one select over the tables of finished runs and sweeps, united, each with a column `run`.

    `results` are runs, sweeps, their folders, or folders above them. `parameters` are bound to $names of the query, `max_memory` is in
    bytes; with several `threads` sums of floats may differ in their last digits. Raises the errors of `backtester.errors`.
    """
    from backtester.outcome.asking import sql as ask_sql

    return ask_sql(results, query, parameters, threads=threads, max_memory=max_memory)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = import_module(_PLACES[name])
    return import_module(f"{_PLACES[name]}.{name}") if name == "indicators" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)

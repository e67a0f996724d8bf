"""`bt sweep`: many variants of a config, one table.

Place in the flow: commands only; sweeping does the work. Never computes a figure.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backtester.cli.output import print_facts, print_json
from backtester.cli.process import keep_memory
from backtester.cli.words import MAX_THREADS, cache_word, config_words, limit_threads, with_resources
from backtester.errors import StrategyError, UsageError
from backtester.spelling import clean

if TYPE_CHECKING:
    from backtester.sweeping.definition import Sweep
    from backtester.sweeping.folder import SweepRun
    from backtester.sweeping.sweep import Engine

SHOWN = 10
_WALKED = (
    "final_equity", "total_return", "sharpe", "max_drawdown", "efficiency", "kept", "objective", "paths", "mean", "lowest", "highest",
)  # fmt: skip
_ROWS = 50
_parameters = click.option(
    "--param",
    "parameters",
    multiple=True,
    metavar="PATH=VALUES",
    help="Values to try, in place of all that CONFIG names: 2:20:2, 5,10,20, log:1e-4:1e-1:7.",
)
_COLUMNS = ("total_return", "sharpe", "max_drawdown", "trades", "win_rate", "fees")


@click.command(epilog="\b\nExample:\n  bt sweep configs/sma_crossover.json --param strategies.0.params.fast=2:20:2 --objective sortino")
@config_words
@_parameters
@click.option("--search", type=click.Choice(["grid", "random", "tpe"]), help="How to take trials from the space; the config's, or grid.")
@click.option("--trials", type=click.IntRange(1), metavar="N", help="How many; a grid takes all where absent.")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="The seed of a search by random or tpe.")
@click.option("--objective", metavar="FIGURE", help="What is best: a figure, or -figure for the smallest.")
@click.option("--keep-best", type=click.IntRange(0, 1000), metavar="N", help="Run so many of the best trials in full, below best/.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The result's folder; sweeps/<config's name> if absent.")
@click.option("--resume", is_flag=True, help="Finish a sweep that was stopped.")
@click.option("--force", is_flag=True, help="Replace a sweep that stands there.")
@cache_word
@click.option("--threads", type=click.IntRange(1, MAX_THREADS), help="Threads to use; the result is the same with any number.")
@click.option("--workers", type=click.IntRange(1, MAX_THREADS), metavar="N", help="Use so many processes in place of threads.")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True, help="Where trials run.")
@click.option("--address", metavar="HOST:PORT", help="A Ray cluster's; without it --engine ray starts one on this machine.")
@click.option("--quiet", is_flag=True, help="Show neither progress nor summary.")
def sweep(
    config: Path,
    lake: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
    parameters: tuple[str, ...],
    search: str | None,
    trials: int | None,
    seed: int | None,
    objective: str | None,
    keep_best: int | None,
    out: Path | None,
    resume: bool,
    force: bool,
    cached: bool,
    threads: int | None,
    workers: int | None,
    engine: str,
    address: str | None,
    quiet: bool,
) -> None:
    """Try variants of CONFIG and write one table of what came out.

    The section `sweep` of CONFIG says which, or --param. Every trial has the figures that a run of its own would have. What is done
    is on disk: after a stop, --resume finishes the rest. --search tpe learns from each generation of trials where to look next; it needs
    pip install 'backtester[search]'.

    Ends with exit code 0, or 5 where trials failed and the others went on.
    """
    keep_memory(together=True)
    limit_threads(threads, config, overrides)
    from backtester.sweeping.definition import sweep_of

    changes = {"search": search, "trials": trials, "seed": seed, "objective": objective, "keep_best": keep_best}
    wanted = with_resources(overrides, threads, cached)
    with redirect_stdout(sys.stderr):
        defined = sweep_of(config, overrides=wanted, lake=lake, parameters=parameters, changes=changes)
    from backtester.cli.sweep_progress import shown
    from backtester.outcome.catalog import note
    from backtester.sweeping.sweep import run_sweep

    with shown(quiet, defined.settings.objective) as progress, redirect_stdout(sys.stderr):
        place = out or Path("sweeps") / config.stem
        result = run_sweep(defined, place, force=force, resume=resume, engine=_engine(engine, address, workers), progress=progress)
    note(result.folder)
    if as_json:
        print_json(_facts(defined, result))
    elif not quiet:
        _print_summary(defined, result)
    if result.first_failed is not None:
        counts, (number, error) = result.manifest["counts"], result.first_failed
        click.echo(clean(f"warning: {counts['failed']:,} of {counts['trials']:,} trials failed; trial {number}: {error}"), err=True)
        click.get_current_context().exit(StrategyError.exit_code)


@click.command(epilog="\b\nExample:\n  bt walkforward configs/sweeps/walk_forward.json --train 20 --test 5")
@config_words
@_parameters
@click.option("--objective", metavar="FIGURE", help="What is best: a figure, or -figure for the smallest.")
@click.option(
    "--kind",
    type=click.Choice(["rolling", "anchored", "combinatorial"]),
    help="Windows that move on, that all begin at the first session; or folds.",
)
@click.option("--train", type=click.IntRange(1), metavar="N", help="Sessions to choose parameters on.")
@click.option("--test", type=click.IntRange(1), metavar="N", help="Sessions after them to judge the choice on.")
@click.option("--step", type=click.IntRange(1), metavar="N", help="Sessions from one window to the next; those of a test if absent.")
@click.option("--folds", type=click.IntRange(2, 100), metavar="N", help="Folds of combinatorial cross-validation.")
@click.option("--tests", type=click.IntRange(1, 100), metavar="N", help="Folds of them that each choice is judged on.")
@click.option("--purge", type=click.IntRange(0), metavar="N", help="Sessions left out between the two.")
@click.option("--embargo", type=click.IntRange(0), metavar="N", help="Sessions more left out after a test fold.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The result's folder; walks/<config's name> if absent.")
@cache_word
@click.option("--workers", type=click.IntRange(1, MAX_THREADS), metavar="N", help="Use so many processes in place of threads.")
@click.option("--quiet", is_flag=True, help="Show neither progress nor summary.")
def walkforward(
    config: Path,
    lake: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
    parameters: tuple[str, ...],
    objective: str | None,
    kind: str | None,
    train: int | None,
    test: int | None,
    step: int | None,
    folds: int | None,
    tests: int | None,
    purge: int | None,
    embargo: int | None,
    out: Path | None,
    cached: bool,
    workers: int | None,
    quiet: bool,
) -> None:
    """Choose parameters on one window of sessions, judge them on the next, and chain what the choices earned.

    The sections `sweep` and `walkforward` of CONFIG say which, or the options. With --kind combinatorial all sessions are cut into
    folds, and parameters chosen on some folds are judged on the others, in every way. Windows that are done are not done again: the same
    command goes on where it was stopped.

    Ends with exit code 0, or 5 where trials failed and the others went on.
    """
    keep_memory()
    limit_threads(None, config, overrides)
    from backtester.sweeping.definition import sweep_of, windows_of

    windows = {"kind": kind, "train": train, "test": test, "step": step, "folds": folds, "tests": tests, "purge": purge, "embargo": embargo}
    with redirect_stdout(sys.stderr):
        wanted, changes = with_resources(overrides, None, cached), {"objective": objective}
        defined = sweep_of(config, overrides=wanted, lake=lake, parameters=parameters, changes=changes, windows=windows)
    from backtester.cli.sweep_progress import walking
    from backtester.sweeping.cross import cross_validate
    from backtester.sweeping.walk import walk_forward
    from backtester.sweeping.walk_plan import WalkPlan

    place, settings = out or Path("walks") / config.stem, windows_of(defined)
    engine = _engine("local", None, workers)
    with walking(quiet) as progress, redirect_stdout(sys.stderr):
        plan = WalkPlan(defined, settings, place, engine, progress)
        if settings.kind == "combinatorial":
            crossed = cross_validate(plan)
            figures: Mapping[str, Any] = crossed.figures
            failed = crossed.failed
            rows, name, shown = crossed.choices, "choices", list(crossed.choices.columns)
        else:
            walk = walk_forward(plan)
            figures, rows, name, shown = walk.figures, walk.folds, "folds", _folds_shown(defined)
            failed = walk.failed
    if as_json:
        print_json({"folder": str(place), "figures": figures, name: rows.to_dicts()})
    elif not quiet:
        print_facts({name: rows.select(shown).head(_ROWS).to_dicts()})
        click.echo()
        print_facts({key: value for key, value in figures.items() if key in _WALKED})
        click.echo(f"result  {clean(str(place))}")
    if failed:
        click.echo(f"warning: {failed:,} trials failed; their errors are in the tables of the sweeps", err=True)
        click.get_current_context().exit(StrategyError.exit_code)


def _engine(name: str, address: str | None, workers: int | None) -> Engine:
    """Where trials run: threads of this process, processes, a cluster."""
    if name == "ray":
        from backtester.sweeping.ray_engine import Ray

        return Ray(address, workers)
    if address is not None:
        raise UsageError("--address names a Ray cluster", value=address, action="add --engine ray")
    if workers is not None:
        from backtester.sweeping.workers import Workers

        return Workers(workers)
    from backtester.sweeping.local import local

    return local


def _folds_shown(defined: Sweep) -> list[str]:
    """Columns of the folds worth a first look."""
    figure = defined.objective[0]
    columns = ("test_start", "test_end", *defined.space.names, f"in_{figure}", f"out_{figure}", "out_total_return", "out_trades")
    return list(dict.fromkeys(columns))


def _facts(defined: Sweep, result: SweepRun) -> dict[str, Any]:
    return {
        "folder": str(result.folder),
        "sweep_key": result.manifest["identity"]["sweep_key"],
        "counts": result.manifest["counts"],
        "best": _best(defined, result),
        "evidence": result.evidence,
    }


def _best(defined: Sweep, result: SweepRun) -> list[dict[str, Any]]:
    """The best trials: their parameters, the objective, and the usual figures."""
    from backtester.sweeping.sweep import ranked

    columns = ["trial", *defined.space.names, *dict.fromkeys((defined.objective[0], *_COLUMNS))]
    return ranked(defined, result.trials).head(SHOWN).select(columns).to_dicts()


def _print_summary(defined: Sweep, result: SweepRun) -> None:
    counts, seconds = result.manifest["counts"], result.manifest["timings"]["seconds"]
    best = _best(defined, result)
    if best:
        click.echo(f"best by {defined.settings.objective}")
        print_facts({"trials": best})
        click.echo()
    for sentence in _doubts(result.evidence):
        click.echo(f"note: {sentence}", err=True)
    click.echo(f"{counts['trials']:,} trials in {seconds:,.1f} s")
    click.echo(f"result  {clean(str(result.folder))}")


def _doubts(evidence: Mapping[str, Any]) -> Iterator[str]:
    """What the best trial's figures must be read with."""
    deflated, overfit, tested = (evidence.get(name) for name in ("deflated_sharpe", "overfitting", "superiority"))
    if deflated and deflated["trials_ever"] is not None:
        made, ever = evidence["trials"], evidence["trials_ever"]
        more = f", {deflated['trials_ever']:.2f} for all {ever:,} ever made of this market and these strategies" if ever > made else ""
        yield f"the best Sharpe ratio is more than luck with probability {deflated['trials']:.2f} for {made:,} trials{more}"
    if overfit:
        share = f"{overfit['probability']:.0%}"
        yield f"the best trial of one half of the sessions is no better than the median in the other half in {share} of choices"
    if tested:
        yield f"if no trial earned anything, the best of so many would look as good with probability {tested['consistent']:.2f}"

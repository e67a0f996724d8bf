"""`bt run`, `plan`, `validate`, `schema`, `show`: a config to a result, and a look at either.

Place in the flow: commands only; config loads, pipeline runs and plans, outcome reads. Never computes a figure.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backtester.cli.output import print_facts, print_json
from backtester.cli.process import keep_memory
from backtester.cli.words import MAX_THREADS, cache_word, config_words, limit_threads, with_resources
from backtester.spelling import clean

if TYPE_CHECKING:
    from backtester.config import Config
    from backtester.outcome.run import Run

_WIDE = 160
_HEADLINES = (
    "final_equity",
    "net_profit",
    "total_return",
    "annual_return",
    "volatility",
    "sharpe",
    "max_drawdown",
    "trades",
    "win_rate",
    "profit_factor",
    "fees",
    "slippage",
    "ambiguous_fills",
)


@click.command(epilog="\b\nExample:\n  bt run configs/quickstart.json --set strategies.0.params.fast=8 --out runs/fast8")
@config_words
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The result's folder; runs/<config's name> if absent.")
@click.option("--force", is_flag=True, help="Replace a complete run that stands there.")
@click.option("--resume", is_flag=True, help="Go on with what a run that was killed or stopped has left; the result is the same.")
@cache_word
@click.option("--threads", type=click.IntRange(1, MAX_THREADS), help="Threads to use; the result is the same with any number.")
@click.option("--trace", is_flag=True, help="Show each phase of each session on stderr.")
@click.option("--quiet", is_flag=True, help="Show neither progress nor summary.")
def run(
    config: Path,
    lake: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
    out: Path | None,
    force: bool,
    resume: bool,
    cached: bool,
    threads: int | None,
    trace: bool,
    quiet: bool,
) -> None:
    """Run CONFIG and write its result into a folder.

    Ends with exit code 0, or 5 where a strategy was stopped and the others went on. A strategy that hangs is
    stopped with --set resources.strategy_timeout_seconds=10, one that takes all memory with strategy_memory.
    A run that was killed or stopped goes on with --resume where it was at its last checkpoint, if it had made
    one (every resources.checkpoint_seconds), unless config, data or code are others by now: exit code 8.
    """
    keep_memory(together=True)
    limit_threads(threads, config, overrides)
    checked = _loaded(config, with_resources(overrides, threads, cached), lake, quiet)
    from backtester import pipeline
    from backtester.cli.progress import shown
    from backtester.outcome.catalog import note

    with shown(quiet or trace) as progress, redirect_stdout(sys.stderr):  # a strategy may print, and stdout is ours
        told = None if quiet else partial(click.echo, err=True)
        place = out or checked.default_out
        result = pipeline.run(checked, place, force=force, resume=resume, progress=progress, told=told, trace=trace)
    note(result.folder)
    if as_json:
        print_json(_facts(result))
    elif not quiet:
        _print_summary(result)
    click.get_current_context().exit(int(result.manifest["identity"]["status"]))


@click.command(epilog="\b\nExample:\n  bt plan configs/quickstart.json")
@config_words
def plan(config: Path, lake: Path | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Say what a run of CONFIG would read and cost, and a sweep of it where it has one.

    Intervals and their marks, sessions, files, rows, memory and time expected; of a sweep from a few of its trials.
    Ends with exit code 7 where resources.max_memory or sweep.max_seconds would not do.
    """
    checked = _loaded(config, overrides, lake, quiet=True)
    from backtester import pipeline

    with redirect_stdout(sys.stderr):
        facts = asdict(pipeline.plan(checked))
        if checked.sweep is not None:
            from backtester.sweeping.definition import sweep_of
            from backtester.sweeping.estimate import estimate

            facts["sweep"] = [asdict(estimate(sweep_of(config, overrides=overrides, lake=lake)))]
    if as_json:
        print_json(facts)
        return
    warnings = facts.pop("warnings")
    print_facts(facts)
    for sentence in warnings:
        click.echo(clean(f"warning: {sentence}"), err=True)


@click.command(epilog="\b\nExample:\n  bt validate configs/quickstart.json --set execution.slippage.bps=2")
@config_words
def validate(config: Path, lake: Path | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check CONFIG without reading data.

    Its strategies and calendar are checked too; every problem of the config is reported at once.
    """
    checked = _loaded(config, overrides, lake)
    from backtester.planning import check

    with redirect_stdout(sys.stderr):
        name = check(checked)
    facts = {"valid": True, "digest": checked.digest, "calendar": name, "warnings": list(checked.warnings)}
    if as_json:
        print_json(facts)
    else:
        click.echo(f"{clean(str(config))}: valid, calendar {name}, digest {checked.digest[:12]}")


@click.command(epilog="\b\nExample:\n  bt schema > config.schema.json")
def schema() -> None:
    """Print the JSON Schema of a config.

    Editors complete and check with it.
    """
    from backtester.config import schema as config_schema

    print_json(config_schema())


@click.command(epilog="\b\nExample:\n  bt show runs/quickstart --verify")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--verify", is_flag=True, help="Compare every file with what the manifest says.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, errors too.")
def show(run: Path, verify: bool, as_json: bool) -> None:
    """Print what came out of a finished run.

    Figures, what they take for granted, decisions by reason, sessions, gaps, and the tables that its folder holds.
    """
    from backtester import load

    result = load(run)
    if verify:
        result.verify()
    if as_json:
        print_json(_facts(result))
        return
    _print_all(result)
    print_facts({"tables": [{"table": name, "rows": stored["rows"]} for name, stored in result.manifest["results"]["tables"].items()]})


def _loaded(path: Path, overrides: tuple[str, ...], lake: Path | None, quiet: bool = False) -> Config:
    """The config, its warnings said on stderr."""
    from backtester.config import load

    with redirect_stdout(sys.stderr):  # a strategy's file may print
        checked = load(path, overrides, lake)
    for sentence in () if quiet else checked.warnings:
        click.echo(clean(f"warning: {sentence}"), err=True)
    return checked


def _facts(result: Run) -> dict[str, Any]:
    from backtester.outcome.show import assumptions

    identity, execution = result.manifest["identity"], result.manifest["execution"]
    return {
        "folder": str(result.folder),
        "result_key": identity["result_key"],
        "status": identity["status"],
        "warnings": execution["warnings"],
        "assumptions": assumptions(result),
        "metrics": result.metrics,
    }


def _print_summary(result: Run) -> None:
    """The headlines on stdout; warnings and what the figures take for granted on stderr."""
    from backtester.outcome.show import assumptions

    print_facts({name: result.metrics.get(name) for name in _HEADLINES})
    click.echo(f"result           {clean(str(result.folder))}")
    for sentence in assumptions(result):
        click.echo(clean(f"note: {sentence}"), err=True)
    for sentence in result.manifest["execution"]["warnings"]:
        click.echo(clean(f"warning: {sentence}"), err=True)


def _print_all(result: Run) -> None:
    """Everything worth a first look: as wide as the terminal, or wide enough where there is none."""
    from rich.console import Console

    from backtester.outcome.show import summary

    Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False).print(summary(result))

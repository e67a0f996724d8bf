"""Progress of a sweep on stderr: a bar on a terminal, a plain line now and then elsewhere, nothing for the first second.

Place in the flow: `bt sweep` hands the returned function to the sweep. Never touches stdout, and never a result.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from backtester.cli.progress import LINE_SECONDS, QUIET_SECONDS, Bar

if TYPE_CHECKING:
    from backtester.sweeping.sweep import SweepProgress


@contextmanager
def shown(quiet: bool, objective: str) -> Iterator[Callable[[SweepProgress], None] | None]:
    """The function that shows a sweep's progress, or None where nobody wants to see it."""
    if quiet:
        yield None
        return
    start = last = time.monotonic()
    bar: Bar | None = None
    terminal = sys.stderr.isatty()

    def show(progress: SweepProgress) -> None:
        nonlocal bar, last
        now = time.monotonic()
        words = line(progress, now - start, objective)
        if terminal and now - start >= QUIET_SECONDS:
            bar = bar or Bar(progress.total)
            bar.update(progress.done, words)
        elif not terminal and now - last >= LINE_SECONDS:
            last = now
            click.echo(words, err=True)

    try:
        yield show
    finally:
        if bar is not None:
            bar.stop()


def line(progress: SweepProgress, seconds: float, objective: str) -> str:
    """Progress in words: trials on disk, bars walked a second, time left, the best so far."""
    made = progress.done - progress.before
    words = f"{progress.done:,} of {progress.total:,} trials"
    if seconds > 0 and progress.bar_trials:
        words += f", {progress.bar_trials / seconds / 1e6:,.0f} million bars/s"
    if made:
        words += f", {seconds / made * (progress.total - progress.done):,.0f} s left"
    if progress.best is not None:
        words += f", best {objective} {progress.best[1]:.4g} (trial {progress.best[0]})"
    return words


@contextmanager
def walking(quiet: bool) -> Iterator[Callable[[int, int, SweepProgress], None] | None]:
    """The function that shows a walk's progress: the fold, and how far its sweep is; None where nobody wants to see it."""
    if quiet:
        yield None
        return
    last = time.monotonic()

    def show(fold: int, total: int, progress: SweepProgress) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            click.echo(f"fold {fold + 1:,} of {total:,}: {progress.done:,} of {progress.total:,} trials", err=True)

    yield show

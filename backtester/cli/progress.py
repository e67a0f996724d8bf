"""Progress of a run on stderr: a bar on a terminal, a plain line now and then elsewhere, nothing for the first second.

Place in the flow: `bt run` hands the returned function to the pipeline, which calls it after every part. Never touches stdout,
and never a result.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from backtester.pipeline import Progress

QUIET_SECONDS = 1.0
LINE_SECONDS = 5.0


@contextmanager
def shown(quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """The function that shows a run's progress, or None where nobody wants to see it."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _terminal() as show:
            yield show
    else:
        yield _lines()


def line(done: int, total: int, bars: int, seconds: float, before: int = 0) -> str:
    """Progress in words; `before` sessions were done when the process began.

    >>> line(40, 160, 3_000_000, 2.0)
    '40 of 160 sessions, 1,500,000 bars/s, 6 s left'
    """
    left = seconds / (done - before) * (total - done) if done > before else 0.0
    return f"{done:,} of {total:,} sessions, {bars / seconds:,.0f} bars/s, {left:,.0f} s left"


def _lines() -> Callable[[Progress], None]:
    start = last = time.monotonic()

    def show(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LINE_SECONDS and progress.done < progress.total:
            last = now
            click.echo(line(progress.done, progress.total, progress.bars, now - start, progress.before), err=True)

    return show


@contextmanager
def _terminal() -> Iterator[Callable[[Progress], None]]:
    start = time.monotonic()
    bar = None

    def show(progress: Progress) -> None:
        nonlocal bar
        seconds = time.monotonic() - start
        if bar is None and seconds >= QUIET_SECONDS:
            bar = Bar(progress.total)
        if bar is not None:
            bar.update(progress.done, line(progress.done, progress.total, progress.bars, seconds, progress.before))

    try:
        yield show
    finally:
        if bar is not None:
            bar.stop()


class Bar:
    """One line of rich that is gone when the run is."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._rich = RichProgress(BarColumn(), TextColumn("{task.description}"), console=Console(stderr=True), transient=True)
        self._task = self._rich.add_task("", total=total)
        self._rich.start()

    def update(self, done: int, words: str) -> None:
        """So much is done, in words."""
        self._rich.update(self._task, completed=done, description=words)

    def stop(self) -> None:
        """Leave no trace of it."""
        self._rich.stop()

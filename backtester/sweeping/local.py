"""The engine in this process: block after block, each on all threads.

Place in the flow: the default engine of a sweep. Never touches the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from backtester.sweeping.block import run_block, threads_of
from backtester.sweeping.definition import Sweep
from backtester.sweeping.tables import Tables, equity_frame, trials_frame
from backtester.sweeping.variants import Trial


@contextmanager
def local(sweep: Sweep, progress: Callable[[int], None]) -> Iterator[Callable[[Sequence[Sequence[Trial]]], Iterator[Tables]]]:
    """What runs blocks, and gives the tables of each."""
    threads = threads_of(sweep.config.resources.threads)

    def run(blocks: Sequence[Sequence[Trial]]) -> Iterator[Tables]:
        for trials in blocks:
            block = run_block(sweep.base, sweep.space, trials, threads, progress)
            yield trials_frame(sweep.space, block), equity_frame(block)

    yield run

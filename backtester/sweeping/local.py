"""The engine in this process: block after block, each on all threads.

Place in the flow: the default engine of a sweep. Never touches the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import polars as pl

from backtester.sweeping.block import run_block, threads_of
from backtester.sweeping.definition import Sweep
from backtester.sweeping.tables import equity_frame, trials_frame
from backtester.sweeping.variants import Trial


def local(sweep: Sweep, blocks: Sequence[Sequence[Trial]], progress: Callable[[int], None]) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """The tables of each block: trials, equity."""
    threads = threads_of(sweep.config.resources.threads)
    for trials in blocks:
        block = run_block(sweep.base, sweep.space, trials, threads, progress)
        yield trials_frame(sweep.space, block), equity_frame(block)

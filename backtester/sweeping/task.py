"""A block of trials as bytes, and what came of it as bytes: how work travels to other processes and machines.

Place in the flow: between `sweep` and the engines that run blocks elsewhere. Holds JSON and Arrow only, never code: a strategy is
named, and loaded where the block is run from a file that must have the same digest. Never sends anything itself.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from backtester.errors import StrategyError
from backtester.signals.loading import resolve, source_of
from backtester.sweeping.block import run_block
from backtester.sweeping.definition import Sweep
from backtester.sweeping.space import space_of
from backtester.sweeping.tables import RESERVED, equity_frame, trials_frame
from backtester.sweeping.variants import Base, Trial, key_of

_LENGTH = struct.Struct("<Q")

Tables = tuple[pl.DataFrame, pl.DataFrame]
"""Rows of the table of trials, and of their equity."""


def packed(sweep: Sweep, trials: Sequence[Trial], threads: int) -> bytes:
    """A block as a task."""
    sources = {entry.use: source_of(entry.use, resolve(entry.use, sweep.config.root)).digest for entry in sweep.config.strategies}
    task = {
        "document": sweep.base.document,
        "root": str(sweep.base.root),
        "lake": str(sweep.config.lake),
        "parameters": sweep.settings.parameters,
        "trials": [[trial.number, list(trial.values)] for trial in trials],
        "sources": sources,
        "threads": threads,
    }
    return json.dumps(task).encode()


def worked(task: bytes, progress: Callable[[int], None] | None = None) -> bytes:
    """Run a task; its tables. Raises the errors of `run_block`, and StrategyError where a strategy's file is another one here."""
    given = json.loads(task)
    root = Path(given["root"])
    for use, digest in given["sources"].items():
        found = source_of(use, resolve(use, root)).digest
        if found != digest:
            action = "copy the same file to every machine"
            raise StrategyError("a strategy's file is not the one that the sweep began with", where=use, value=found[:12], action=action)
    space = space_of(given["parameters"], (), RESERVED)
    trials = [Trial(number, key_of(space, tuple(values)), tuple(values)) for number, values in given["trials"]]
    block = run_block(Base(given["document"], root, Path(given["lake"])), space, trials, given["threads"], progress)
    return _framed(trials_frame(space, block)) + _framed(equity_frame(block))


def unpacked(result: bytes) -> Tables:
    """The tables that a task gave."""
    (length,) = _LENGTH.unpack_from(result)
    first, rest = result[_LENGTH.size : _LENGTH.size + length], result[2 * _LENGTH.size + length :]
    return pl.read_ipc(io.BytesIO(first)), pl.read_ipc(io.BytesIO(rest))


def _framed(rows: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    rows.write_ipc(buffer)
    content = buffer.getvalue()
    return _LENGTH.pack(len(content)) + content

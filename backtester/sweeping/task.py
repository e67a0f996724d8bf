"""A block of trials as bytes, and what came of it as bytes: how work travels to other processes and machines.

Place in the flow: between `sweep` and the engines that run blocks elsewhere. Holds JSON and Arrow only, never code: a strategy is
named, and loaded where the block is run from a file that must have the same digest, by the same version of the program. Never sends
anything itself.
"""

from __future__ import annotations

import io
import json
import platform
import struct
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import polars as pl

from backtester import errors
from backtester.errors import BacktesterError, ResourceError, StrategyError
from backtester.outcome import environment
from backtester.sweeping.block import run_block
from backtester.sweeping.definition import Sweep
from backtester.sweeping.sources import sources
from backtester.sweeping.space import space_of
from backtester.sweeping.tables import RESERVED, Tables, equity_frame, trials_frame
from backtester.sweeping.variants import Base, Trial, key_of

_LENGTH = struct.Struct("<Q")


def packed(sweep: Sweep, trials: Sequence[Trial], threads: int) -> bytes:
    """A block as a task."""
    task = {
        "document": sweep.base.document,
        "root": str(sweep.base.root),
        "lake": str(sweep.config.lake),
        "parameters": sweep.settings.parameters,
        "trials": [[trial.number, list(trial.values)] for trial in trials],
        "sources": sources(sweep.config, sweep.space),
        "program": program(),
        "threads": threads,
    }
    return json.dumps(task).encode()


def worked(task: bytes, progress: Callable[[int], None] | None = None) -> bytes:
    """Run a task; its tables. Raises the errors of `run_block`, StrategyError where a strategy's file is another one here, and
    ResourceError where the program is.
    """
    given = json.loads(task)
    if given.get("program") != program():
        raise ResourceError("another version of the program is installed here", where=platform.node(), value=program()[:12],
                            allowed=str(given.get("program"))[:12], action="install the same version on every machine")  # fmt: skip
    base = Base(given["document"], Path(given["root"]), Path(given["lake"]))
    space = space_of(given["parameters"], (), RESERVED)
    for use, found in sources(base.config({}), space).items():
        if found != given["sources"][use]:
            action = "copy the same file to every machine"
            raise StrategyError("a strategy's file is not the one that the sweep began with", where=use, value=found[:12], action=action)
    trials = [Trial(number, key_of(space, tuple(values)), tuple(values)) for number, values in given["trials"]]
    block = run_block(base, space, trials, given["threads"], progress)
    return _framed(trials_frame(space, block)) + _framed(equity_frame(block))


@cache
def program() -> str:
    """The digest of the program's own code, which is read once a process."""
    return environment.sources()


def unpacked(result: bytes) -> Tables:
    """The tables that a task gave."""
    (length,) = _LENGTH.unpack_from(result)
    first, rest = result[_LENGTH.size : _LENGTH.size + length], result[2 * _LENGTH.size + length :]
    return pl.read_ipc(io.BytesIO(first)), pl.read_ipc(io.BytesIO(rest))


def said(error: BacktesterError) -> bytes:
    """An error's facts."""
    return json.dumps({"kind": type(error).__name__} | error.as_json()).encode()


def error_of(content: bytes) -> BacktesterError:
    """The error whose facts were sent, as if it had been met here."""
    facts = json.loads(content)
    kind = getattr(errors, facts["kind"], BacktesterError)
    found: BacktesterError = kind(
        facts["what"], where=facts["where"], value=facts["value"], allowed=facts["allowed"], action=facts["action"]
    )
    return found


def _framed(rows: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    rows.write_ipc(buffer)
    content = buffer.getvalue()
    return _LENGTH.pack(len(content)) + content

"""What a sweep would cost: trials, bars, time and memory, from a few of its trials over a few of its sessions.

Place in the flow: `bt plan` of a config with a section `sweep`. Nothing is written; figures of time are of this machine, now.
"""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass

from backtester.errors import ResourceError
from backtester.planning import expected_memory, setup
from backtester.reach import day_of
from backtester.sweeping.block import run_block, threads_of
from backtester.sweeping.definition import Sweep
from backtester.sweeping.variants import Base, Trial

TRIED, SESSIONS = 8, 10
"""Trials and sessions of the calibration."""
BYTES_A_TRIAL = 20_000
"""What a trial keeps until its block is done, beside its equity of 8 bytes a session: config, account, row. Measured: 17 kB each, from
the peaks of 200, 1,000 and 2,000 trials of one strategy over 23 sessions."""
EQUITY_BYTES = 8


@dataclass(frozen=True)
class Estimate:
    """trials; bars each of them walks (slots of all symbols); seconds and bytes that the sweep is expected to take."""

    trials: int
    bars: int
    bar_trials: int
    seconds: float
    memory_bytes: int


def estimate(sweep: Sweep) -> Estimate:
    """The cost of a sweep. Raises ResourceError where `sweep.max_seconds` or `resources.max_memory` would not do."""
    opened, trials = setup(sweep.config), sweep.trials()
    days, slots = len(opened.sessions), opened.needs.slots * len(opened.symbols)
    fixed, each = _calibrated(sweep, trials, min(days, SESSIONS))
    bars = days * slots
    memory = expected_memory(opened) + len(trials) * (BYTES_A_TRIAL + EQUITY_BYTES * days)
    memory = max(memory, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    readings = -(-len(trials) // sweep.settings.generation) if sweep.settings.search == "tpe" else 1
    seconds = fixed * days * readings + each * days * len(trials)
    found = Estimate(len(trials), bars, bars * len(trials), round(seconds, 2), memory)
    _check(sweep, found)
    return found


def _calibrated(sweep: Sweep, trials: list[Trial], days: int) -> tuple[float, float]:
    """Seconds a session that all trials share, and seconds a session and trial, from trials spread over the search."""
    labels = setup(sweep.config).sessions.label[:days]
    dates = {"start_date": str(day_of(labels[0])), "end_date": str(day_of(labels[-1]))}
    document = sweep.base.document | {"backtest_config": sweep.base.document["backtest_config"] | dates}
    base, step = Base(document, sweep.base.root, sweep.base.lake), max(1, len(trials) // TRIED)
    chosen, threads = trials[::step][:TRIED], threads_of(sweep.config.resources.threads)
    run_block(base, sweep.space, chosen[:1], threads)  # compiles, and fills caches
    one = _seconds(base, sweep, chosen[:1], threads)
    all_of_them = _seconds(base, sweep, chosen, threads)
    each = max(0.0, all_of_them - one) / max(1, len(chosen) - 1)
    return max(0.0, one - each) / days, each / days


def _seconds(base: Base, sweep: Sweep, trials: list[Trial], threads: int) -> float:
    begun = time.perf_counter()
    run_block(base, sweep.space, trials, threads)
    return time.perf_counter() - begun


def _check(sweep: Sweep, found: Estimate) -> None:
    most, memory = sweep.settings.max_seconds, sweep.config.resources.max_memory
    if most is not None and found.seconds > most:
        shown = f"{found.seconds:,.0f} s for {found.trials:,} trials"
        raise ResourceError("the sweep would take too long", where="/sweep/max_seconds", value=shown, allowed=f"{most:g} s",
                            action="sweep fewer trials or sessions, or allow more")  # fmt: skip
    if memory is not None and found.memory_bytes > memory:
        shown = f"{found.memory_bytes / 1e6:,.0f} MB"
        raise ResourceError("the sweep would need too much memory", where="/resources/max_memory", value=shown,
                            allowed=f"{memory / 1e6:,.0f} MB", action="use fewer symbols or a smaller prefetch_days")  # fmt: skip

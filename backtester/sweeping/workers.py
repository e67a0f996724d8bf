"""The engine of worker processes: blocks are handed out, tables come back, and a worker that dies loses nobody but itself.

Place in the flow: `--workers N`. Processes are started anew, never forked. A block whose worker died is cut in halves and handed out
again, so that a trial that kills its worker is soon alone; alone it is tried three times, and then a row that says so.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from backtester.errors import ResourceError
from backtester.sweeping.block import Block, Outcome
from backtester.sweeping.definition import Sweep
from backtester.sweeping.tables import Tables, equity_frame, trials_frame
from backtester.sweeping.task import error_of, packed, unpacked
from backtester.sweeping.variants import Trial
from backtester.sweeping.worker import PROGRESS, RESULT, TASK, read, write

FEW = 30
"""Trials that take about as long as reading and preparing what they trade, which each task does once."""
ATTEMPTS = 3
"""How often a trial alone is tried, where its worker dies."""
MOST_DEATHS_IN_A_ROW = 10
"""So many workers that ended before any block was done: something is wrong with all of them."""


@dataclass(frozen=True)
class Task:
    """Trials that one worker runs, and how often they were tried alone."""

    trials: Sequence[Trial]
    attempts: int = 0

    def after_death(self) -> tuple[tuple[Task, ...], Trial | None]:
        """What to hand out again after a worker's death, and the trial that is given up."""
        if len(self.trials) > 1:
            half = len(self.trials) // 2
            return (Task(self.trials[half:]), Task(self.trials[:half])), None
        if self.attempts + 1 < ATTEMPTS:
            return (Task(self.trials, self.attempts + 1),), None
        return (), self.trials[0]


class Workers:
    """An engine with so many processes of one thread each."""

    def __init__(self, count: int) -> None:
        self._count = count

    @contextmanager
    def __call__(self, sweep: Sweep, progress: Callable[[int], None]) -> Iterator[Callable[[Sequence[Sequence[Trial]]], Iterator[Tables]]]:
        """What runs blocks, and gives the tables of each, or of a part of one, as it ends; its processes stay for the next blocks."""
        with _Crew(sweep, self._count, progress) as crew:
            yield lambda blocks: crew.run(spread(blocks, self._count))


def spread(blocks: Sequence[Sequence[Trial]], count: int) -> deque[Task]:
    """Blocks cut so that every worker has some, and the last to end does not keep all waiting; but not so small that workers read the
    market more than they trade.
    """
    total = sum(map(len, blocks))
    most = max(1, -(-total // (4 * count)), min(-(-total // count), FEW))
    return deque(Task(block[first : first + most]) for block in blocks for first in range(0, len(block), most))


class _Crew:
    """The processes of one sweep; leaving the `with` block ends them."""

    def __init__(self, sweep: Sweep, count: int, progress: Callable[[int], None]) -> None:
        self._sweep, self._count, self._progress = sweep, count, progress
        self._busy: dict[int, tuple[subprocess.Popen[bytes], Task]] = {}
        self._idle: list[subprocess.Popen[bytes]] = []
        self._selector = selectors.DefaultSelector()
        self._deaths = 0

    def __enter__(self) -> _Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for process in [*self._idle, *(process for process, _ in self._busy.values())]:
            process.kill()
            process.communicate()
        self._selector.close()

    def run(self, waiting: deque[Task]) -> Iterator[Tables]:
        """All tasks, as they end."""
        while waiting or self._busy:
            while waiting and len(self._busy) < self._count:
                self._hand_out(waiting)
            for key, _ in self._selector.select():
                process, task = self._busy[key.fd]
                assert process.stdout is not None
                message = read(process.stdout)
                if message is None:
                    yield from self._died(process, task, waiting)
                elif message[0] == PROGRESS:
                    self._progress(int(message[1]))
                else:
                    self._rest(process)
                    if message[0] != RESULT:
                        raise error_of(message[1])
                    self._deaths = 0
                    yield unpacked(message[1])

    def _hand_out(self, waiting: deque[Task]) -> None:
        task = waiting.popleft()
        process = self._idle.pop() if self._idle else _started()
        assert process.stdin is not None
        assert process.stdout is not None
        self._busy[process.stdout.fileno()] = process, task
        self._selector.register(process.stdout, selectors.EVENT_READ)
        try:
            write(process.stdin, TASK, packed(self._sweep, task.trials, threads=1))
        except BrokenPipeError:
            return  # it is dead; the end of its line says so

    def _rest(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._selector.unregister(process.stdout)
        del self._busy[process.stdout.fileno()]
        self._idle.append(process)

    def _died(self, process: subprocess.Popen[bytes], task: Task, waiting: deque[Task]) -> Iterator[Tables]:
        """What becomes of a task whose worker is gone."""
        self._rest(process)
        self._idle.remove(process)
        process.communicate()
        self._deaths += 1
        again, given_up = task.after_death()
        ended = _how(process.returncode)
        if self._deaths >= MOST_DEATHS_IN_A_ROW + 2 * len(task.trials).bit_length() * ATTEMPTS:
            raise ResourceError("workers end before any trial is done", value=ended, action="try --workers 1, and see what stderr says")
        waiting.extendleft(again)
        if given_up is not None:
            self._deaths = 0
            yield lost(self._sweep, given_up, f"its worker {ended}, {ATTEMPTS} times")


def lost(sweep: Sweep, trial: Trial, error: str) -> Tables:
    """The tables of a trial that no process survived."""
    block = Block((Outcome(trial, None, np.zeros(0), error, 0.0),), {})
    return trials_frame(sweep.space, block), equity_frame(block)


def _started() -> subprocess.Popen[bytes]:
    """A new worker. Its libraries may use one thread each: there are as many workers as cores."""
    environment = os.environ | {"POLARS_MAX_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    words = [sys.executable, "-m", "backtester.sweeping.worker", str(os.getpid())]
    try:
        return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0)  # noqa: S603 - our own interpreter
    except OSError as error:
        raise ResourceError("a worker cannot be started", value=error.strerror) from error


def _how(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"

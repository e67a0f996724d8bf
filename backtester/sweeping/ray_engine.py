"""The engine of a Ray cluster: blocks as tasks on any number of machines, the same bits as in one process.

Place in the flow: `--engine ray --address ...`; needs the extra `ray`. Each machine reads the lake by the path of the config (a shared
file system, or a copy at the same path: its files are hashed as they are read) and loads strategies from files with the same digest.
What travels is JSON and Arrow, never code of a strategy. A task whose machine goes is handed out again; a trial that ends its worker
alone, time after time, is a row that says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from backtester.errors import BacktesterError, ConfigError, ResourceError
from backtester.sweeping.definition import Sweep
from backtester.sweeping.tables import Tables
from backtester.sweeping.task import error_of, packed, said, unpacked, worked
from backtester.sweeping.variants import Trial
from backtester.sweeping.worker import ERROR, RESULT
from backtester.sweeping.workers import Task, lost, spread

RETRIES = 3
"""How often Ray itself hands out a task again whose machine or process went; where it gives up the task is cut in halves."""


class Ray:
    """An engine on the cluster at `address`; None: one on this machine alone, with so many cores as there are, or `cores`."""

    def __init__(self, address: str | None = None, cores: int | None = None) -> None:
        self._address, self._cores = address, cores

    @contextmanager
    def __call__(self, sweep: Sweep, progress: Callable[[int], None]) -> Iterator[Callable[[Sequence[Sequence[Trial]]], Iterator[Tables]]]:
        """What runs blocks, and gives the tables of each, or of a part of one, as it ends. Raises the errors that a task met."""
        with _cluster(self._address, self._cores) as ray:
            yield lambda blocks: _tables(ray, sweep, blocks, progress)


def _tables(ray: Any, sweep: Sweep, blocks: Sequence[Sequence[Trial]], progress: Callable[[int], None]) -> Iterator[Tables]:
    run = ray.remote(num_cpus=1, max_retries=RETRIES)(_run)
    gone = (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.ObjectLostError)
    waiting = spread(blocks, _cores(ray))
    under_way: dict[Any, Task] = {}
    while waiting or under_way:
        cores = _cores(ray)  # machines come and go
        while waiting and len(under_way) < 2 * cores:
            task = waiting.popleft()
            under_way[run.remote(packed(sweep, task.trials, threads=1))] = task
        done, _ = ray.wait(list(under_way), num_returns=1)
        for reference in done:
            task = under_way.pop(reference)
            try:
                kind, content, bars = ray.get(reference)
            except gone as error:
                again, given_up = task.after_death()
                waiting.extendleft(again)
                if given_up is not None:
                    yield lost(sweep, given_up, f"its worker went: {type(error).__name__}")
                continue
            if kind != RESULT:
                raise error_of(content)
            progress(bars)
            yield unpacked(content)


def _cores(ray: Any) -> int:
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _run(task: bytes) -> tuple[bytes, bytes, int]:
    """One task on whatever machine it is: its tables or its error, and how many bars its trials walked."""
    walked = 0

    def progress(bars: int) -> None:
        nonlocal walked
        walked += bars

    try:
        return RESULT, worked(task, progress), walked
    except BacktesterError as error:
        return ERROR, said(error), walked


@contextmanager
def _cluster(address: str | None, cores: int | None) -> Iterator[Any]:
    """Ray, joined to the cluster; left alone afterwards where it was not ours."""
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise ConfigError("the engine ray needs Ray", where="--engine", action="pip install 'backtester[ray]'") from None
    ours = not ray.is_initialized()
    if ours:
        own: dict[str, Any] = {} if address else {"num_cpus": cores, "include_dashboard": False}
        try:
            ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **own)
        except (ConnectionError, RuntimeError, ValueError) as error:
            what = "no cluster answers" if address else "Ray cannot be started"
            raise ResourceError(
                what, where=address or "this machine", value=str(error)[:200], action="ray start --head starts one"
            ) from error
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()

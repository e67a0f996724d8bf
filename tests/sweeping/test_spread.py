"""How trials are shared out to workers."""

from __future__ import annotations

import pytest

from backtester.sweeping.variants import Trial
from backtester.sweeping.workers import spread


@pytest.mark.parametrize(
    ("blocks", "workers", "tasks"),
    [
        ([2000, 2000], 2, [500] * 8),  # four tasks a worker: the last to end keeps nobody waiting long
        ([10_000], 1000, [10] * 1000),  # one task a worker, where four would read the market more than they trade
        ([1000], 10, [30] * 33 + [10]),
        ([7], 2, [4, 3]),
        ([1], 8, [1]),
        ([], 3, []),
    ],
)
def test_every_worker_has_some_and_none_too_little(blocks: list[int], workers: int, tasks: list[int]) -> None:
    trials = [Trial(number, "", (number,)) for number in range(sum(blocks))]
    cut = [trials[sum(blocks[:place]) : sum(blocks[: place + 1])] for place in range(len(blocks))]
    found = spread(cut, workers)
    assert [len(task.trials) for task in found] == tasks
    assert [trial for task in found for trial in task.trials] == trials

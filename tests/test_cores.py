"""What a sweep on many cores would wait for, reckoned from what two cores took: sums done by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.cores import Costs, costs_of, lines, reckoned

COSTS = Costs(
    start=3.0, task=0.2, trial=0.005, coordinator_task=0.01, coordinator_trial=0.0001, end_trial=0.0001,
    travel=6000.0, held=5000.0, lake=2e7,
)  # fmt: skip


def test_ten_thousand_trials_on_a_thousand_cores_wait_for_the_lake() -> None:
    found = reckoned(COSTS, 1000, 10_000, lake_speed=1e9, link_speed=1.25e8)
    assert (found.size, found.longest) == (10, "lake")
    # 3 + 0.2 + 10 x 0.005; 1,000 x 0.01 + 10,000 x 0.0001; 1,000 x 20 MB at 1 GB/s; 60 MB at 125 MB/s; 10,000 x 0.0001
    seconds = (found.trading, found.coordinator, found.lake, found.link, found.end, found.wall)
    assert seconds == pytest.approx((3.25, 11.0, 20.0, 0.48, 1.0, 21.0))
    assert found.memory_mb == pytest.approx(50.0)


def test_a_million_trials_on_sixteen_cores_trade() -> None:
    found = reckoned(COSTS, 16, 1_000_000, lake_speed=1e9, link_speed=1.25e8)
    # tasks of 2,000, the most of a block: 500, of which a core has at most 32
    assert (found.size, found.trading, found.longest) == (2000, pytest.approx(3.0 + 32 * (0.2 + 10.0)), "trading")


def test_two_sizes_of_tasks_tell_tasks_and_trials_apart() -> None:
    def measured(size: int) -> dict[str, float]:
        return {
            "trials": 100 * size, "trials_a_block": size, "worker_seconds_a_trial": 0.005 + 0.2 / size,
            "coordinator_seconds_a_trial": 0.0001 + 0.01 / size, "worker_seconds_by_its_first_block": 3.2 + 0.005 * size,
            "bytes_out_a_trial": 100, "bytes_back_a_trial": 5900, "lake_bytes_a_task": 2e7,
            "coordinator_seconds_at_the_end": 0.01 * size, "coordinator_peak_mb": 100.0 + 0.5 * size,
        }  # fmt: skip

    found = costs_of(measured(1000), measured(10))
    assert vars(found) == pytest.approx(vars(COSTS))


@pytest.mark.parametrize("kind", ["ray", "ten_symbols"])
def test_the_pages_tables_are_what_the_measurements_give(kind: str) -> None:
    root = Path(__file__).resolve().parents[1]
    large, small = (json.loads((root / "tests" / "bench" / "measured" / f"{kind}_{size}.json").read_bytes()) for size in ("large", "small"))
    table = "\n".join(lines(costs_of(large, small), 1e9, 1.25e8))
    assert table in (root / "docs" / "clusters.md").read_text(encoding="utf-8")

"""How many random cases the properties look at: 300 of each kind in `make test`, as many as are asked for elsewhere, each once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COUNTS = """
import json
from tests.properties.markets import CASES, MANY, seeds
from tests.properties.test_engine_equals_simulator import SHARES
taken = {}
for make, first, stop in SHARES:
    taken.setdefault(make.__name__, []).extend(seeds(stop)[first:])
print(json.dumps({"seeds": {name: [len(each), len(set(each))] for name, each in taken.items()}, "drawn": CASES.max_examples}))
"""


@pytest.mark.parametrize(("asked", "many", "drawn"), [(None, 300, 100), ("5000", 5000, 5000), ("7", 7, 7)])
def test_as_many_cases_are_tried_as_are_asked_for(project: Path, asked: str | None, many: int, drawn: int) -> None:
    """D-01: seeds of random runs, and runs that hypothesis draws; BT_CASES is what `make nightly` sets to 5,000."""
    environment = {name: value for name, value in os.environ.items() if name != "BT_CASES"} | ({"BT_CASES": asked} if asked else {})
    found = subprocess.run([sys.executable, "-c", COUNTS], cwd=project, env=environment, capture_output=True, text=True, check=True)
    counts = json.loads(found.stdout)
    assert counts["drawn"] == drawn
    assert counts["seeds"] == {"scene_of": [many] * 2, "busy_of": [many] * 2, "edge_of": [many // 2] * 2, "unsure_of": [many // 2] * 2}


def test_the_nightly_run_asks_for_5000(project: Path) -> None:
    """As make itself says what it would do."""
    told = subprocess.run(["make", "--dry-run", "--always-make", "nightly"], cwd=project, capture_output=True, text=True, check=True).stdout
    assert "BT_CASES=5000 " in told
    assert "-m differential tests/differential" in told

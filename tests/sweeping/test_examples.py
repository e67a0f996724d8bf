"""Every config of configs/sweeps is swept over the simulated market."""

from __future__ import annotations

from pathlib import Path

import pytest

import backtester as bt

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "configs" / "sweeps").glob("*.json"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_swept_without_a_failure(example: Path, simulated: Path, tmp_path: Path) -> None:
    run = bt.sweep(example, lake=simulated, out=tmp_path / "out")
    assert run.trials.height >= 9
    assert run.trials["status"].unique().to_list() == ["done"]
    assert run.trials["trades"].sum() > 100

"""Two runs' folders compared: loaded, held against each other, and told apart where their forms are.

Place in the flow: `bt diff` and `regression` call it; outcome/compare.py compares. Never runs a strategy.
"""

from __future__ import annotations

import json
from pathlib import Path

from backtester.config import OUTSIDE_THE_RESULT
from backtester.errors import BacktesterError, DifferenceError, UsageError, did_you_mean
from backtester.outcome import junit
from backtester.outcome.compare import Comparison, compare
from backtester.outcome.compare_causes import flat
from backtester.outcome.compare_cells import Given
from backtester.outcome.compare_text import headline, stage_lines
from backtester.outcome.manifest import VERSION
from backtester.outcome.results import MANIFEST
from backtester.outcome.run import Run, load


def diff(folder_a: Path, folder_b: Path, given: Given) -> Comparison:
    """Compare the runs in two folders.

    Raises OutputError and DataError as `load` does, DifferenceError where the two were written in different forms, UsageError where a
    tolerance is given for a figure that neither has.
    """
    _same_form(folder_a, folder_b)
    a, b = load(folder_a), load(folder_b)
    _check_figures(given, a, b)
    return compare_runs(a, b, given)


def compare_runs(a: Run, b: Run, given: Given) -> Comparison:
    """Compare two loaded runs, with what the config says of keys that cannot influence a result."""
    return compare(a, b, given, OUTSIDE_THE_RESULT)


def _check_figures(given: Given, *runs: Run) -> None:
    """UsageError for a tolerance `metrics.NAME` of a figure that no run has: it would hold for nothing."""
    known = {name.rpartition("/")[2]: None for run in runs for name, _ in flat(run.metrics)}
    for word in given:
        table, _, figure = word.partition(".")
        if table == "metrics" and figure and figure not in known:
            raise UsageError("no such figure", where="--tolerance", value=figure, action=did_you_mean(figure, known))


def _same_form(*folders: Path) -> None:
    """DifferenceError where the folders hold manifests of different versions; what cannot be read is left to `load`."""
    forms = [_form(folder) for folder in folders]
    if None not in forms and forms[0] != forms[1]:
        said = [f"{folder} is of version {form}" for folder, form in zip(folders, forms, strict=True)]
        raise DifferenceError(
            "the runs were written in different forms, by different releases", value=" and ".join(said),
            allowed=f"two runs of version {VERSION}, which this bt writes and reads", action="run the other config again with this bt",
        )  # fmt: skip


def _form(folder: Path) -> object:
    try:
        return json.loads((folder.expanduser() / MANIFEST).read_bytes()).get("identity", {}).get("manifest_version")
    except (OSError, ValueError, AttributeError, BacktesterError):
        return None


def report(path: Path, found: Comparison) -> None:
    """Write a comparison as JUnit's XML: one case a stage."""
    text = {stage.name: "" if stage.same else "\n".join([headline(found), *stage_lines(stage)]) for stage in found.stages}
    junit.write(path, f"bt diff {found.a.place} {found.b.place}", [junit.Case(name, failure=said) for name, said in text.items()])

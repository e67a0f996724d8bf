"""docs/overfitting.md names every figure of these functions, and no other, and says when there is none and where it is from."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import pytest

from backtester import folds
from backtester.outcome import bootstrap, cscv, intervals, overfitting, stability, superiority

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "overfitting.md").read_text(encoding="utf-8")
MODULES = [bootstrap, cscv, folds, intervals, overfitting, stability, superiority]


def section(heading: str) -> str:
    found = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def documented(heading: str) -> list[str]:
    """The names in the first column of the table under a heading."""
    return re.findall(r"^\| `(\w+)` \|", section(heading), re.MULTILINE)


def functions(module: ModuleType) -> list[str]:
    """The module's own public functions."""
    own = inspect.getmembers(module, lambda value: inspect.isfunction(value) and value.__module__ == module.__name__)
    return [name for name, _ in own if not name.startswith("_")]


@pytest.mark.parametrize(("heading", "module"), [("Sharpe ratios as estimates", overfitting), ("Draws", bootstrap)])
def test_every_function_is_documented(heading: str, module: ModuleType) -> None:
    assert sorted(documented(heading)) == functions(module)


@pytest.mark.parametrize(
    ("heading", "value"),
    [
        ("Probability of backtest overfitting", cscv.Overfitting),
        ("Superiority", superiority.Superiority),
        ("Stability", stability.Neighbourhood),
    ],
)
def test_every_field_is_documented_in_its_order(heading: str, value: type) -> None:
    assert documented(heading) == [field.name for field in fields(value)]


def test_every_interval_is_documented() -> None:
    assert documented("Intervals") == list(intervals.NAMES)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_function_is_named(module: ModuleType) -> None:
    assert [name for name in functions(module) if not re.search(rf"[`.]{name}[`(]", PAGE)] == []


@pytest.mark.parametrize("name", ["walk_forward", "combinatorial"])
def test_every_size_of_folds_is_named(name: str) -> None:
    assert f"`{name}({', '.join(inspect.signature(getattr(folds, name)).parameters)})`" in PAGE


def test_every_row_says_when_there_is_none() -> None:
    heads = ["| name | formula | unit | null when |", "| name | formula | unit | null when | source |"]
    tables = [line for line in PAGE.splitlines() if line.startswith("| name")]
    assert len(tables) == 6
    assert set(tables) <= set(heads)
    rows = re.findall(
        r"^\| `\w+` \|(.*)\|$", "\n".join(section(heading) for heading in re.findall(r"^## (.*)$", PAGE, re.MULTILINE)[1:7]), re.M
    )
    cells = [[cell.strip() for cell in row.split(" | ")] for row in rows]
    assert len(cells) == 7 + 9 + 7 + 2 + 3 + 5
    assert [cell for cell in cells if not all(cell[:3])] == []


def test_every_paper_is_named_in_the_code_and_on_the_page() -> None:
    listed = re.findall(r'^\* .* \((\d{4})\), "([^"]+)"', section("Papers"), re.MULTILINE)
    assert len(listed) == 12
    text, code = PAGE[: PAGE.index("## Papers")], " ".join(inspect.getsource(module) for module in MODULES)
    for year, _ in listed:
        assert year in text
        assert f"({year})" in code

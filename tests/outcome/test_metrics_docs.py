"""docs/metrics.md names every figure of metrics.json and every column of the table rolling, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtester.outcome import metrics as module
from backtester.outcome.metrics import Score
from backtester.outcome.show_figures import SECTIONS
from backtester.schema import ROLLING
from tests.outcome.rows import fill, sessions, slots, trade

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
GROUPS = {"by_symbol", "by_strategy", "by_direction", "by_weekday", "by_hour"}


def documented(heading: str) -> list[str]:
    """The names in the first column of the tables under a heading."""
    section = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section is not None
    firsts = re.findall(r"^\| (`.*?`) \|", section[1], re.MULTILINE)
    return [name for first in firsts for name in re.findall(r"`(\w+)`", first)]


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    score = Score(1000.0, 252.0)
    score.add({"sessions": sessions(1010.0), "equity": slots(1010.0), "fills": fill(1, "buy", 1.0), "trades": trade(10.0)})
    return score.metrics(np.array([0.01]))


def test_the_run_and_its_trades_are_documented(found: dict[str, Any]) -> None:
    plain = {name for name in found if name not in GROUPS | {"benchmark"}}
    assert sorted({*documented("The run"), *documented("Trades, and groups of them")}) == sorted(plain)
    assert len(documented("The run")) == len(set(documented("The run")))


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_every_group_has_the_documented_figures(found: dict[str, Any], group: str) -> None:
    assert f"`{group}`" in PAGE
    for figures in found[group].values():
        assert list(figures) == documented("Trades, and groups of them")


def test_the_benchmark_is_documented(found: dict[str, Any]) -> None:
    assert documented("Benchmark") == list(found["benchmark"])


def test_the_rolling_table_is_documented() -> None:
    assert sorted(documented("Rolling")) == sorted(set(ROLLING.names) - {"session"})


def test_the_module_names_every_figure(found: dict[str, Any]) -> None:
    words = set(re.findall(r"\w+", module.__doc__ or ""))
    assert {name for name in found if name not in words} == set()


def test_what_other_libraries_mean_is_said_of_figures_that_exist(found: dict[str, Any]) -> None:
    assert set(documented("What other libraries mean by the same name")) <= {*found, *(found["benchmark"] or {})}


def test_every_row_says_when_there_is_none() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `") and line.count(" | ") == 3]
    assert len(rows) > 70
    assert [row for row in rows if not row.rstrip("| ").split(" | ")[-1]] == []


def test_each_figure_is_shown_in_one_section(found: dict[str, Any]) -> None:
    shown = [name for names in SECTIONS.values() for name in names]
    assert sorted(shown) == sorted(name for name in found if name not in GROUPS | {"benchmark"})

"""Values and texts as people read them, the same wherever they are printed."""

from __future__ import annotations

import io
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from backtester import spelling
from backtester.cli.output import print_table
from backtester.outcome import answer_grid, compare_text
from backtester.outcome.show_grid import grid, row

ODD = "a\nb\x1b[31m\u202e"
SEEN = "a\\nb\\x1b[31m\\u202e"


def test_what_would_steer_a_terminal_is_written_out_and_nothing_else() -> None:
    assert spelling.clean(ODD) == SEEN.replace("\\n", "\n")
    assert spelling.line(ODD) == SEEN
    assert spelling.line("naïve ☃ 漢字 [b]") == "naïve ☃ 漢字 [b]"
    assert spelling.line("\udc80") == "\\udc80"


def test_a_text_in_a_cell_is_one_line_in_every_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name", "count"], [[ODD, 1], ["plain", 2]])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["name", "count"], [SEEN, "1"], ["plain", "2"]]
    made = grid("", "name", "count")
    row(made, ODD, "1")
    console = Console(file=io.StringIO(), width=60)
    console.print(made)
    assert SEEN in console.file.getvalue()  # type: ignore[attr-defined]
    assert answer_grid.cell(ODD, ZoneInfo("UTC")) == compare_text.cell(ODD) == SEEN


def test_null_and_truths_are_spelled_alike() -> None:
    for value, word in ((None, "-"), (True, "yes"), (False, "no")):
        assert spelling.cell(value) == answer_grid.cell(value, ZoneInfo("UTC")) == compare_text.cell(value) == word


def test_a_cell_of_many_odd_characters_is_no_wider_than_a_cell_can_be() -> None:
    assert len(answer_grid.cell("\x1b" * 1000, ZoneInfo("UTC"))) == answer_grid.WIDEST

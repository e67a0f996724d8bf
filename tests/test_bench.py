"""The bench prints what it has measured at once, and its parts can be asked for by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.bench import __main__ as bench
from tests.bench.measure import Measured, Sample

SAMPLE = Sample(2.0, 3.0, 100.0, '{"fills": 1234}')


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Nothing is run: the commands that would have been, in their order."""
    commands: list[str] = []

    def once(command: Any, *_: Any, **__: Any) -> Sample:
        commands.append(" ".join(map(str, command)))
        return SAMPLE

    monkeypatch.setattr(bench, "PLACE", tmp_path)
    monkeypatch.setattr(bench, "config", lambda name, *_, **__: tmp_path / f"{name}.json")
    monkeypatch.setattr(bench.Market, "export", lambda *_: tmp_path)
    monkeypatch.setattr(bench.Peer, "command", lambda self, *_: [self.name])
    monkeypatch.setattr(bench, "once", once)
    monkeypatch.setattr(bench, "measure", lambda command, runs, **_: Measured(tuple(once(command) for _ in range(runs))))
    return commands


def test_a_row_is_there_before_the_next_is_measured() -> None:
    def never() -> Any:
        raise RuntimeError("measured too early")

    lines = bench.table("A table", ("first", lambda: (Measured((SAMPLE,)), 1234)), ("second", never))
    head = [next(lines) for _ in range(5)]
    assert head[0] == "### A table"
    assert head[-1] == "| first | 2.00 (2.00 to 2.00) | 1.00 | 3.00 | 100 | 1,234 | 1 |"
    with pytest.raises(RuntimeError, match="measured too early"):
        next(lines)


@pytest.mark.parametrize(
    ("word", "titles"),
    [
        ("sweep_one", ["### 1 symbol x"]),
        ("sweep_banded", ["### 10 symbols x"]),
        ("sweep", ["### 1 symbol x", "### 10 symbols x", "### 10 symbols x"]),
    ],
)
def test_parts_of_the_sweeps_have_names(measured: list[str], capsys: pytest.CaptureFixture[str], word: str, titles: list[str]) -> None:
    bench.main(["--case", word, "--runs", "1"])
    printed = capsys.readouterr().out.splitlines()
    assert [line[: len(title)] for line, title in zip([x for x in printed if x.startswith("#")], titles, strict=True)] == titles
    assert printed.count("") == 1 + 2 * len(titles)


def test_what_takes_very_many_minutes_is_measured_last_and_only_where_it_is_asked_for(
    measured: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    bench.main(["--case", "sweep_ten", "--runs", "2"])
    assert not any(command.startswith("vectorbt") for command in measured)
    assert len(measured) == 6
    measured.clear()
    bench.main(["--case", "sweep_ten", "--runs", "2", "--slow"])
    assert [command.startswith("vectorbt") for command in measured] == [False] * 6 + [True] * 2  # the first of a fast one is not counted
    said = capsys.readouterr()
    assert "measuring vectorbt" in said.err
    assert "measuring" not in said.out

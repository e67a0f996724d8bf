"""Progress: words on stderr where a run takes long, nothing where it is short or nobody wants to see it."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass

import pytest

from backtester.cli import progress


@dataclass(frozen=True)
class Progress:
    """As the pipeline tells it."""

    done: int
    total: int
    bars: int
    before: int = 0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the clock shows; a test moves it."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_quiet_asks_for_nothing() -> None:
    with progress.shown(quiet=True) as show:
        assert show is None


def test_cli_09_elsewhere_than_on_a_terminal_a_plain_line_now_and_then(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress.shown(quiet=False) as show:
        assert show is not None
        for seconds, done in ((1.0, 1), (4.0, 2), (5.0, 4), (6.0, 5), (10.0, 8), (16.0, 16)):
            clock[0] = 100.0 + seconds
            show(Progress(done, 16, done * 1000))  # type: ignore[arg-type]
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["4 of 16 sessions, 800 bars/s, 15 s left", "8 of 16 sessions, 800 bars/s, 10 s left"]


def test_a_run_of_less_than_a_second_leaves_a_terminal_alone(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress.shown(quiet=False) as show:
        assert show is not None
        clock[0] += 0.9
        show(Progress(1, 2, 1000))  # type: ignore[arg-type]
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_a_longer_run_draws_a_bar_on_a_terminal(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with progress.shown(quiet=False) as show:
        assert show is not None
        clock[0] += 2.0
        show(Progress(1, 2, 1000))  # type: ignore[arg-type]
    assert "1 of 2 sessions, 500 bars/s, 2 s left" in sys.stderr.getvalue()  # type: ignore[attr-defined]

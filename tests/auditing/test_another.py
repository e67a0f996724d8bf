"""The other process of an audit leaves nothing behind, and says what became of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backtester import config
from backtester.auditing import another
from backtester.auditing.another import Another
from backtester.errors import StrategyError
from tests import configs

SLEEPS = """
import os, time
from pathlib import Path
from backtester import Signals, Strategy

class Sleeps(Strategy):
    def signals(self, bars):
        Path(__file__).with_name("asleep").write_text(str(os.getpid()))
        time.sleep(60)
        return Signals()
"""
MADE = (
    "import sys; from backtester.auditing.another import Another; from backtester.config import load; Another(load(sys.argv[1])).answer()"
)


def until(done: Callable[[], object]) -> bool:
    end = time.monotonic() + 15.0
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(0.05)
    return False


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture
def sleeping(simulated: Path, tmp_path: Path) -> Path:
    (tmp_path / "sleeps.py").write_text(SLEEPS, encoding="utf-8")
    path = tmp_path / "config.json"
    path.write_text(json.dumps(configs.config(simulated, {
        "backtest_config": {"start_date": "2024-11-25", "end_date": "2024-11-26"}, "session_data_config.symbols": ["AAA"],
        "strategies": configs.strategy("sleeps.py:Sleeps"),
    })), encoding="utf-8")  # fmt: skip
    return path


@pytest.fixture
def asking(sleeping: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process that waits for another's answer, and the other's id, which sleeps."""
    process = subprocess.Popen([sys.executable, "-c", MADE, str(sleeping)], stderr=subprocess.DEVNULL)
    try:
        asleep = sleeping.with_name("asleep")
        assert until(lambda: asleep.exists() and asleep.read_text())
        yield process, int(asleep.read_text())
    finally:
        process.kill()
        process.wait()


def test_it_ends_with_the_process_that_asked_it(asking: tuple[subprocess.Popen[bytes], int]) -> None:
    process, other = asking
    process.kill()
    assert until(lambda: not lives(other))


def test_ctrl_c_is_for_the_process_that_asked_it(asking: tuple[subprocess.Popen[bytes], int]) -> None:
    """Ctrl-C reaches the whole group; one that decides is enough."""
    _, other = asking
    os.kill(other, signal.SIGINT)
    time.sleep(2.0)
    assert lives(other)


def test_one_that_ends_before_it_is_asked_is_no_error_of_the_program(simulated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(another, "START", "raise SystemExit(3)")
    long = {"metadata": {"words": "x" * 1_000_000}}  # more than a pipe holds
    with Another(config.load(configs.config(simulated, long))) as asked, pytest.raises(StrategyError, match="exit status 3"):
        asked.answer()

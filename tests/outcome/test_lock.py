"""The lock of a run's place: one holder, named to the others; a dead one does not keep it."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backtester.errors import OutputError, ResourceError
from backtester.outcome import lock as module
from backtester.outcome.lock import Lock, take


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".done.lock"


@pytest.fixture
def held(path: Path) -> Iterator[Lock]:
    lock = take(path, path.with_name("done"))
    yield lock
    lock.release()


def left_by(path: Path, *, age: float = 0.0, **facts: Any) -> None:
    """A lock file that another run has left behind."""
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": "2026-01-05T09:00:00+00:00", "birth": "", "token": "other"}
    path.write_text(json.dumps(holder | facts))
    moment = time.time() - age
    os.utime(path, (moment, moment))


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_a_second_run_is_told_who_holds_the_place(held: Lock, path: Path) -> None:
    """CLI-05."""
    words = f"locked by pid {os.getpid()}, host {socket.gethostname()}, since {held.holder.since}"
    with pytest.raises(OutputError, match=re.escape(words)) as caught:
        take(path, path.with_name("done"))
    assert caught.value.exit_code == 8


def test_a_released_place_is_free(path: Path) -> None:
    take(path, path).release()
    assert not path.exists()
    take(path, path).release()


def test_a_second_release_does_nothing_to_the_next_holder(path: Path) -> None:
    first = take(path, path)
    first.release()
    second = take(path, path)
    first.release()
    second.confirm()
    second.release()


def test_the_lock_of_a_dead_process_is_taken_over(path: Path) -> None:
    left_by(path, pid=dead_pid())
    lock = take(path, path)
    lock.confirm()
    assert json.loads(path.read_text())["pid"] == os.getpid()
    lock.release()
    assert not path.exists()


def test_a_process_that_got_the_number_of_a_dead_one_does_not_keep_its_lock(path: Path) -> None:
    left_by(path, birth="1")
    take(path, path).release()


def test_a_killed_process_that_nobody_has_collected_is_dead(path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        left_by(path, pid=child.pid, birth=module._birth(child.pid))
        with pytest.raises(OutputError, match="locked"):
            take(path, path)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        take(path, path).release()
    finally:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("facts", [{}, {"host": "elsewhere"}])
def test_a_lock_with_a_fresh_heartbeat_is_respected(path: Path, facts: dict[str, str]) -> None:
    """F-14: another host's process cannot be asked, its heartbeat can."""
    left_by(path, **facts)
    with pytest.raises(OutputError, match="locked by pid"):
        take(path, path)


@pytest.mark.parametrize("facts", [{}, {"host": "elsewhere"}])
def test_a_lock_whose_heartbeat_stopped_is_taken_over(path: Path, facts: dict[str, str]) -> None:
    """F-14."""
    left_by(path, age=module.STALE_SECONDS + 5, **facts)
    take(path, path).release()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}'])
def test_a_lock_without_a_name_is_respected_while_it_is_young(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(OutputError, match="just starting"):
        take(path, path)
    os.utime(path, (0, 0))
    take(path, path).release()


def test_a_heartbeat_is_renewed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.01)
    lock = take(path, path)
    os.utime(path, (0, 0))
    waited = threading.Event()
    for _ in range(500):
        if path.stat().st_mtime > 0:
            break
        waited.wait(0.01)
    lock.release()
    assert not path.exists()
    assert waited.is_set() is False


def test_a_lost_lock_is_found_out(held: Lock, path: Path) -> None:
    left_by(path, pid=1, host="elsewhere")
    with pytest.raises(OutputError, match=r"lost.*pid 1, host elsewhere"):
        held.confirm()
    path.unlink()
    with pytest.raises(OutputError, match="no lock"):
        held.confirm()


def test_a_lost_lock_is_not_taken_from_its_new_holder(path: Path) -> None:
    lock = take(path, path)
    left_by(path, pid=1, host="elsewhere")
    lock.release()
    assert json.loads(path.read_text())["host"] == "elsewhere"


def test_without_flock_a_dead_lock_is_taken_over_all_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F-14: some shares know no flock."""

    def no_flock(handle: int, how: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(module.fcntl, "flock", no_flock)
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.01)
    left_by(path, pid=dead_pid())
    take(path, path).release()
    assert not path.exists()


def test_of_many_that_find_a_dead_lock_one_wins(path: Path) -> None:
    """F-12."""
    left_by(path, age=module.STALE_SECONDS + 5, host="elsewhere")
    gate, won, lost = threading.Barrier(8), [], []

    def race() -> None:
        gate.wait()
        try:
            won.append(take(path, path))
        except OutputError as error:
            lost.append(error)

    runners = [threading.Thread(target=race) for _ in range(8)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert (len(won), len(lost)) == (1, 7)
    won[0].confirm()
    won[0].release()


def test_a_place_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="could not be written"):
        take(tmp_path / "missing" / ".done.lock", tmp_path)


@pytest.mark.parametrize("step", ["_sign", "_now_of_folder"])
def test_a_takeover_that_fails_keeps_nobody_out(path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """F-06: the disk is full while a dead run's lock is taken over; the same process tries again when it is not."""
    left_by(path, pid=dead_pid())

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, step, full)
        with pytest.raises(ResourceError):
            take(path, path)
    take(path, path).release()

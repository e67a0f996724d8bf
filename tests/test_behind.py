"""Work that follows one step behind: in order, one piece at a time, and which of two errors is said."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from backtester.behind import Behind


def _fails(words: str) -> None:
    raise ValueError(words)


def _one_step_ahead(work: Callable[[], object], own: BaseException) -> None:
    """Hand on some work, and fail while it is done."""
    with Behind() as behind:
        behind.do(work)
        raise own


def test_pieces_are_done_in_order_and_one_at_a_time() -> None:
    seen: list[tuple[int, str]] = []
    with Behind() as behind:
        for number in range(5):
            behind.do(lambda number=number: seen.append((number, threading.current_thread().name)))  # type: ignore[misc]
    assert [number for number, _ in seen] == [0, 1, 2, 3, 4]
    assert len({name for _, name in seen}) == 1
    assert seen[0][1] != threading.current_thread().name


def test_an_error_comes_at_the_next_piece_and_only_once() -> None:
    done: list[int] = []
    with Behind() as behind:
        behind.do(lambda: _fails("the first"))
        with pytest.raises(ValueError, match="the first"):
            behind.do(lambda: done.append(2))
    assert done == []


def test_an_error_of_the_last_piece_comes_at_the_end() -> None:
    with pytest.raises(ValueError, match="the last"), Behind() as behind:
        behind.do(lambda: _fails("the last"))


def test_the_error_of_earlier_work_is_said_before_that_of_who_was_further_on() -> None:
    with pytest.raises(ValueError, match="part 1"):
        _one_step_ahead(lambda: _fails("part 1"), KeyError("part 2"))


def test_a_user_who_stops_hears_of_no_error() -> None:
    with pytest.raises(KeyboardInterrupt):
        _one_step_ahead(lambda: _fails("too late"), KeyboardInterrupt())


def test_work_is_ended_before_the_block_is_left() -> None:
    ended = threading.Event()
    with pytest.raises(KeyboardInterrupt):
        _one_step_ahead(lambda: (threading.Event().wait(0.1), ended.set()), KeyboardInterrupt())
    assert ended.is_set()

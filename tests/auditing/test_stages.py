"""The cut is one of the data: a stage of the program itself that knew the future would be found, not only a strategy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtester.auditing.verdict import Verdict
from backtester.market import grid, history, prepare
from backtester.market.grid import Clock
from backtester.proving import cutting
from backtester.signals import bars
from backtester.splits import Splits
from tests.auditing.test_audit import SOUND, audited, strategies
from tests.test_adjusted_history import lake


def leaking(verdict: Verdict, check: str = "prefix cut") -> dict[str, str]:
    """Subject -> what it usually says where it first differs."""
    return {row.subject: row.first.usual for row in verdict.rows if row.check == check and row.leaks and row.first is not None}


def short(lake: Path, **more: Any) -> Verdict:
    days = {"backtest_config.start_date": "2024-11-27", "backtest_config.end_date": "2024-11-29"}
    return audited(lake, {"strategies": strategies("Sound"), **SOUND, **days, **more}, cuts=6, changes=3)


def test_the_days_used_here_are_clean(simulated: Path) -> None:
    assert short(simulated).clean


def test_a_quality_that_knows_the_whole_session_is_found(simulated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def whole(slot: np.ndarray, start: np.ndarray, count: np.ndarray) -> np.ndarray:
        return np.repeat(100.0 * count.T.ravel() / 390, count.T.ravel())

    monkeypatch.setattr(grid, "as_of_quality", whole)
    found = leaking(short(simulated))
    assert found["bars 1m"].startswith("bar quality")
    assert "strategy sound" in found  # its confidence is the quality


def test_a_history_with_the_session_itself_is_found(simulated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = history.window
    monkeypatch.setattr(
        history, "window", lambda days, current, *rest: None if (found := honest(days, current, *rest)) is None else found + 1
    )
    assert {"historical range", "historical usual_volume"} <= set(leaking(short(simulated)))


def test_a_coarse_bar_seen_from_its_start_on_is_found(simulated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = bars._latest
    quarter = 15 * 60_000_000
    monkeypatch.setattr(bars, "_latest", lambda coarse, fine: honest(np.where(coarse > 0, coarse - quarter, coarse), fine))
    found = leaking(short(simulated))
    assert set(found) == {"strategy sound"}


def test_a_derived_bar_made_of_the_next_minute_too_is_found(simulated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket that is known one minute before its last minute is over."""
    honest = prepare.resample.derive

    def early(*words: Any) -> Any:
        tape, dropped = honest(*words)
        object.__setattr__(tape, "base_slot", np.maximum(tape.base_slot - 1, 0))
        return tape, dropped

    monkeypatch.setattr(prepare.resample, "derive", early)
    assert {"bars 5m", "bars 15m"} <= set(leaking(short(simulated)))


def test_a_split_known_a_session_early_is_found(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = lake(simulated, tmp_path / "lake", [("AAA", "2024-11-29", "split", 2.0)])
    assert short(split).clean
    honest = Splits.acting
    monkeypatch.setattr(Splits, "acting", lambda self, labels: [(max(at - 1, 0), *rest) for at, *rest in honest(self, labels)])
    assert "historical usual_volume" in leaking(short(split), "future missing")


def test_a_cut_that_takes_nothing_away_would_find_nothing(simulated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proofs above stand on the cut, not on something else that differs."""

    def everything(chunk: Any, clock: Clock, slot: np.ndarray, base: str) -> np.ndarray:
        return np.ones(chunk.table.num_rows, np.bool_)

    monkeypatch.setattr(cutting, "_is_known", everything)
    days = {"backtest_config.start_date": "2024-11-27", "backtest_config.end_date": "2024-11-29"}
    assert audited(simulated, {"strategies": strategies("ShiftMinusOne"), **days}, cuts=6, changes=3).clean

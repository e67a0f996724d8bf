"""The accounting identity: it holds, and it notices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backtester.errors import InternalError
from backtester.trading import accounting, compiled, execution, inputs
from backtester.trading.execution import AccountSettings, Carry, ExecutionSettings, finish, trade
from backtester.trading.risk import RiskSettings
from tests.trading.tiny import buy, events, market, play, sell

MARKET = market({"A": [[100.0, 101.0, None, 103.0], [104.0, 105.0]], "B": [[50.0] * 4, [None, 51.0]]})
WISHES = [buy(0), buy(0, "B"), sell(3), buy(4)]
PARTS = ("fills", "moments")
NAMES = ("market", "before", "after", *PARTS, "borrow_bps", "lots")


def checked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments with which a run of the market was checked."""
    seen: dict[str, Any] = {}
    monkeypatch.setattr(execution.accounting, "check_chunk", lambda *given: seen.update(zip(NAMES, given, strict=True)))
    settings = ExecutionSettings.model_validate({"commission": {"preset": "ibkr_fixed"}})
    trade(MARKET, events(MARKET, WISHES), Carry.start(10**11, 1, 2), settings, RiskSettings(), AccountSettings(cash=1e5))
    monkeypatch.undo()
    return {name: value.copy() if name in PARTS else value for name, value in seen.items()}


def test_a_sound_account_adds_up(monkeypatch: pytest.MonkeyPatch):
    """I-01, I-02, I-05."""
    accounting.check_chunk(**checked(monkeypatch))


@pytest.mark.parametrize(
    ("part", "field", "row", "what"),
    [
        ("moments", "cash", 1, "cash does not add up"),
        ("moments", "marks", -1, "marks does not add up"),
        ("moments", "gross", -1, "gross does not add up"),
        ("fills", "value", 0, "cash does not add up"),
        ("fills", "fee", 0, "cash does not add up"),
        ("fills", "quantity", 0, "positions do not add up"),
        ("fills", "side", 1, "positions do not add up"),
    ],
)
def test_a_millionth_too_much_anywhere_is_noticed(monkeypatch: pytest.MonkeyPatch, part: str, field: str, row: int, what: str):
    facts = checked(monkeypatch)
    facts[part][field][row] += 1
    with pytest.raises(InternalError, match=what):
        accounting.check_chunk(**facts)


def test_a_fee_below_zero_is_noticed(monkeypatch: pytest.MonkeyPatch):
    """I-04."""
    facts = checked(monkeypatch)
    facts["fills"]["fee"][0] = -1
    with pytest.raises(InternalError, match="a fee below zero"):
        accounting.check_chunk(**facts)


def test_profit_that_does_not_make_the_equity_is_noticed(monkeypatch: pytest.MonkeyPatch):
    """I-05."""
    facts = checked(monkeypatch)
    with pytest.raises(InternalError, match="equity does not add up"):
        accounting.check_profit(replace(facts["after"], realized=facts["after"].realized + 1))
    with pytest.raises(InternalError, match="equity does not add up"):
        finish(replace(facts["after"], cash=facts["after"].cash + 1))


def test_a_symbol_without_bars_in_a_chunk_keeps_its_carried_mark():
    quiet = market({"A": [[100.0, 100.0], [None, None]], "B": [[1.0, 1.0], [1.0, 1.0]]})
    run = play(quiet, [buy(0)], cuts=[1])
    assert run.column("equity", "gross") == [0.0, 10_000.0, 10_000.0, 10_000.0]


def test_the_kernel_that_runs_is_the_one_of_these_sources():
    settings = ExecutionSettings()
    given = inputs.given(settings, RiskSettings(), AccountSettings(cash=1.0), "AB")
    book = inputs.book(events(MARKET, []), Carry.start(1, 1, 2), given, 6, 2)
    compiled.kernel().entry_point(inputs.tape(MARKET, 0), book, inputs.signals(events(MARKET, []), 2), 0)
    assert book.account[0]["stamp"] == compiled._stamp(compiled.SOURCES)
    assert book.account[0]["cash"] == 1
    assert np.array_equal(book.moments["slot"][: book.account[0]["equity"]], np.arange(6))

"""Limits as money, and the words of a verdict."""

from __future__ import annotations

from backtester import schema
from backtester.trading import risk


def test_every_reason_has_the_code_of_its_place():
    assert [getattr(risk, reason.upper()) for reason in risk.REASONS] == list(range(len(risk.REASONS)))


def test_the_reasons_of_decisions_are_those_of_the_table():
    assert set(risk.REASONS) == {*schema.REASONS, "oco", "flat_at_close", "replaced"}
    assert set(schema.REASONS) == set(risk.REASONS[: risk.PARTICIPATION + 1])


def test_a_limit_is_money_and_none_is_beyond_all_money():
    assert risk.limit_micro(10_000.5) == 10_000_500_000
    assert risk.limit_micro(None) == risk.limit_micro(1e300) == risk.NO_LIMIT


def test_a_count_without_limit_is_beyond_all_counts():
    assert (risk.limit_count(5), risk.limit_count(None)) == (5, risk.NO_LIMIT)

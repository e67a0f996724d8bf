"""Frames: the tables of schema.py, empty or not."""

from __future__ import annotations

import pytest

from backtester import schema
from backtester.table import fits
from tests.trading.tiny import buy, market, play, sell

TABLES = {table.name: table for table in (schema.DECISIONS, schema.ORDERS, schema.FILLS, schema.TRADES, schema.EQUITY)}


@pytest.mark.parametrize("name", list(TABLES))
def test_frames_have_the_columns_and_dtypes_of_the_schema(name: str):
    bars = [100.0, 100.0, (100.0, 130.0, 60.0, 100.0), 100.0, None]
    full, empty = play(market({"A": [bars]}), [buy(0), buy(2), sell(3)], stop_loss=0.2, take_profit=0.2), play(market({"A": [[None]]}), [])
    assert fits(TABLES[name], full.frames[name].schema)
    assert fits(TABLES[name], empty.frames[name].schema)
    assert (full.frames[name].height > 0, empty.frames[name].height) == (True, 0)


def test_ids_and_instants_that_are_not_there_are_null():
    run = play(market({"A": [[100.0, 100.0]]}), [sell(0), buy(0)])
    assert run.column("decisions", "order_id") == [None, 1]
    assert run.column("trades", "exit_ts") == [None]
    assert run.column("orders", "limit") == run.column("orders", "stop") == [None]


def test_both_flags_of_a_fill_are_joined_by_a_comma():
    run = play(market({"A": [[100.0, 100.0, None]]}), [buy(0)], price="quote", flat_at_close=True)
    assert run.column("fills", "flags") == ["synthetic_quote", "stale_close,synthetic_quote"]

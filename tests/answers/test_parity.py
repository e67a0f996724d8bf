"""Results of other engines on the same data, to the last cent: one config a case, its source and figures in `metadata`."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import backtester as bt

HERE = Path(__file__).parent


def read(case: str) -> dict[str, Any]:
    """The config of a case as written."""
    document: dict[str, Any] = json.loads((HERE / f"{case}.json").read_text())
    return document


def figures_of(case: str) -> dict[str, Any]:
    """What the other engine gave."""
    figures: dict[str, Any] = read(case)["metadata"]["figures"]
    return figures


def run_of(case: str, request: pytest.FixtureRequest, folder: Path) -> bt.Run:
    """The case's run over the lake that its metadata names (a fixture of tests/lakes.py)."""
    return bt.run(HERE / f"{case}.json", lake=request.getfixturevalue(read(case)["metadata"]["lake"]), out=folder / "run")


@pytest.mark.parametrize(
    "case",
    [
        "lean_basic_template", "lean_scheduled_universe", "lean_basic_template_daily", "lean_stop_loss_on_order_event",
        "lean_split_long", "lean_split_short", "lean_trailing_stop_order",
    ],
)  # fmt: skip
def test_a_run_ends_as_in_the_other_engine(case: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    run, figures = run_of(case, request, tmp_path), figures_of(case)
    fills = run.table("fills")
    assert fills.height == figures["fills"]
    assert set(fills["quantity"]) == {float(figures["shares"])}
    assert fills["fee"].sum() == pytest.approx(figures["fees"], abs=0.0051)  # the other engine prints cents
    assert round(run.metrics["final_equity"], 2) == figures["final_equity"]


def test_a_run_that_fills_on_the_bar_it_has_seen_says_so(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    run = run_of("lean_basic_template", request, tmp_path)
    assert run.manifest["policies"]["optimistic"] is True


def test_a_daily_signal_fills_on_the_next_day(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    fills = run_of("lean_basic_template_daily", request, tmp_path).table("fills")
    assert fills["session"].to_list() == [dt.date(2013, 10, 9)]


def test_a_stop_that_is_already_through_fills_at_the_next_open(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    fills = run_of("lean_stop_loss_on_order_event", request, tmp_path).table("fills")
    assert fills.select("side", "type").rows() == [("sell", "market"), ("buy", "stop")]
    assert fills["ts"].dt.convert_time_zone("America/New_York").dt.strftime("%H:%M").to_list() == ["09:30", "09:31"]


def test_a_trailing_entry_and_a_trailing_stop_fill_at_the_closes_of_quotes(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Ask close of 2013-10-10 09:30, bid close of 11:08 that day."""
    fills = run_of("lean_trailing_stop_order", request, tmp_path).table("fills")
    assert fills.select("side", "type").rows() == [("buy", "trailing"), ("sell", "trailing")]
    assert fills["price"].round(5).to_list() == [144.65203, 144.90426]
    local = fills["ts"].dt.convert_time_zone("America/New_York").dt.strftime("%m-%d %H:%M")
    assert local.to_list() == ["10-10 09:30", "10-10 11:08"]


@pytest.mark.parametrize("case", ["lean_split_long", "lean_split_short"])
def test_a_position_goes_through_a_split_with_seven_shares_for_one(case: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    run = run_of(case, request, tmp_path)
    assert run.table("trades")["quantity"].to_list() == [7.0 * figures_of(case)["shares"]]


def test_market_orders_fill_at_the_next_bars_open(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """PyAlgoTrade: nine orders, bought and sold in turn."""
    run, prices = run_of("pyalgotrade_market_orders", request, tmp_path), figures_of("pyalgotrade_market_orders")["prices"]
    fills = run.table("fills")
    assert fills["price"].to_list() == [prices[at] for at in sorted(prices)]
    assert fills["ts"].to_list() == [dt.datetime.fromisoformat(f"2011-01-03T{at}:00+00:00") for at in sorted(prices)]
    assert fills["side"].to_list() == ["buy", "sell"] * 4 + ["buy"]
    assert run.table("trades").filter(pl.col("is_open")).height == 1


def test_every_config_here_is_run_and_says_where_its_figures_come_from() -> None:
    text = "".join(file.read_text() for folder in (HERE, HERE.parent / "differential") for file in folder.glob("test_*.py"))
    for file in sorted(HERE.glob("*.json")):
        assert f'"{file.stem}"' in text, file.name
        assert read(file.stem)["metadata"].keys() == {"source", "lake", "figures"}, file.name

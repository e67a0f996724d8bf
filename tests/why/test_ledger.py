"""The ledger of reasons: counts and the profit of refused entries, by hand, and beside runs that took them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import backtester as bt
from backtester.why.ledger import reasons
from tests.configs import config
from tests.test_pipeline import EVERYTHING
from tests.why.hand import DAY, run

BUY, SELL = "enter_long", "exit_long"
NEXT = "2024-11-06"


def totals(made: bt.Run) -> dict[str, tuple[int, int, int, float | None]]:
    return {row["reason"]: (row["decisions"], row["refused"], row["priced"], row["pnl"]) for row in reasons(made)["totals"]}


def test_a_refused_entry_is_priced_by_the_runs_rule_and_costs(tmp_path: Path) -> None:
    """20 shares seen at 100, for an account of 1000. Bought at 101 + 10 bps = 101.101, sold at 110 - 10 bps = 109.89, 0.2 each way:
    20 x (109.89 - 101.101) - 0.4 = 175.38.
    """
    made = run(
        tmp_path, {DAY: {"A": {6: 101.0, 61: 110.0}}}, [(DAY, "A", 5, BUY, {"size": 20}), (DAY, "A", 60, SELL, {})],
        account__cash=1000, execution__commission={"per_share": 0.01}, execution__slippage={"bps": 10},
    )  # fmt: skip
    found = reasons(made)
    assert found["totals"] == [
        {"reason": "insufficient_cash", "approved": False, "decisions": 1, "refused": 1, "priced": 1, "pnl": pytest.approx(175.38)},
        {"reason": "no_position", "approved": False, "decisions": 1, "refused": 0, "priced": 0, "pnl": None},
    ]
    # The bar of 09:35 ended in the hour of nine, that of 10:30 in that of ten.
    assert [(row["hour"], row["decisions"], row["pnl"]) for row in found["by_hour"]] == [(9, 1, pytest.approx(175.38)), (10, 1, None)]
    assert [(row["symbol"], row["decisions"]) for row in found["by_symbol"]] == [("A", 2)]


def test_one_that_is_never_sold_is_worth_its_last_close(tmp_path: Path) -> None:
    """Bought at 100, the run's last close is 103: 20 x 3."""
    made = run(tmp_path, {DAY: {"A": {}}, NEXT: {"A": {389: 103.0}}}, [(DAY, "A", 5, BUY, {"size": 20})], account__cash=1000)
    assert totals(made) == {"insufficient_cash": (1, 1, 1, pytest.approx(60.0))}


def test_flat_at_close_ends_it_with_its_session(tmp_path: Path) -> None:
    """The session's last minute closes at 98: 20 x -2."""
    made = run(
        tmp_path, {DAY: {"A": {389: 98.0}}, NEXT: {"A": {389: 103.0}}}, [(DAY, "A", 5, BUY, {"size": 20})],
        account__cash=1000, execution__flat_at_close=True,
    )  # fmt: skip
    assert totals(made) == {"insufficient_cash": (1, 1, 1, pytest.approx(-40.0))}


def test_a_short_earns_where_the_price_falls(tmp_path: Path) -> None:
    """10 shares sold at 100, bought back at 90."""
    wishes = [(DAY, "A", 5, "enter_short", {}), (DAY, "A", 60, "exit_short", {})]
    made = run(tmp_path, {DAY: {"A": {61: 90.0}}}, wishes)
    assert totals(made)["short_not_allowed"] == (1, 1, 1, pytest.approx(100.0))


def test_one_that_wants_no_lot_or_rests_is_counted_and_not_priced(tmp_path: Path) -> None:
    wishes = [
        (DAY, "A", 5, BUY, {"size": 0.5}),
        (DAY, "A", 9, BUY, {"limit": 99.0, "confidence": 0.1}),
        (DAY, "A", 20, BUY, {"confidence": 0.1}),
    ]
    made = run(tmp_path, {DAY: {"A": {}}}, wishes)
    # The third wants 10 shares and earns nothing at 100.
    assert totals(made) == {"below_lot": (1, 1, 0, None), "low_confidence": (2, 2, 1, pytest.approx(0.0))}


SIZINGS = {
    # 1,000 less 5 bps: 9 shares. 9 x 10 - 0.45 - 0.495.
    "equity_fraction": ({"type": "equity_fraction", "value": 0.01}, {}, 89.055),
    # 100 may be lost, 5 on each share: 20 shares. 20 x 10 - 1 - 1.1.
    "risk_fraction": ({"type": "risk_fraction", "value": 0.001}, {"stop_loss": 0.05}, 197.9),
    # The signal's own stop at 98, nearer: 50 shares. 50 x 10 - 2.5 - 2.75.
    "risk_fraction, own stop": ({"type": "risk_fraction", "value": 0.001}, {"stop_price": 98.0, "trailing_stop": 0.05}, 494.75),
    # 40 shares at most by max_per_trade 4000. 40 x 10 - 2 - 2.2.
    "max_per_trade": ({"type": "notional", "value": 9000}, {}, 395.8),
    "no stop": ({"type": "risk_fraction", "value": 0.001}, {}, None),
}


@pytest.mark.parametrize("name", SIZINGS)
def test_one_without_a_quantity_gets_the_size_of_the_config(name: str, tmp_path: Path) -> None:
    """Bought at 100, sold at 110, 5 bps each way; an account of 100,000."""
    sizing, numbers, pnl = SIZINGS[name]
    wishes = [(DAY, "A", 5, BUY, {"confidence": 0.1, **numbers}), (DAY, "A", 60, SELL, {})]
    more = {"trading_config__max_per_trade": 4000} if name == "max_per_trade" else {}
    made = run(tmp_path, {DAY: {"A": {61: 110.0}}}, wishes, execution__sizing=sizing, execution__commission={"bps": 5}, **more)
    assert totals(made)["low_confidence"] == (1, 1, 0 if pnl is None else 1, pnl if pnl is None else pytest.approx(pnl))


def test_a_weight_is_worth_its_shares_and_ends_with_the_next_one_that_is_none(tmp_path: Path) -> None:
    """Half of 100,000 at 100 are 500 shares, 0.7 of it 700; each alone earns 10 a share when the weight is 0. 4 minutes are missing: less
    than 95 % by then.
    """
    wishes = [(DAY, "A", slot, "target", {"weight": weight}) for slot, weight in ((5, 0.5), (30, 0.7), (60, 0.0))]
    made = run(tmp_path, {DAY: {"A": dict.fromkeys(range(4)) | {61: 110.0}}}, wishes)
    assert totals(made) == {"low_quality": (2, 2, 2, pytest.approx(12_000.0)), "within_threshold": (1, 0, 0, None)}


def test_an_approved_entry_that_never_filled_counts_too(tmp_path: Path) -> None:
    """Its minutes are missing to the close, and with `day` it expires: nothing could have filled it either."""
    made = run(
        tmp_path, {DAY: {"A": dict.fromkeys(range(380, 390))}, NEXT: {"A": {}}}, [(DAY, "A", 379, BUY, {})], execution__time_in_force="day"
    )
    assert totals(made) == {"expired": (1, 1, 0, None)}


def test_over_a_split_it_has_the_new_shares_and_the_dividend(tmp_path: Path) -> None:
    """20 shares at 100 become 40 at 55, with 1.50 on each of the 40 a day later: 40 x 55 - 2000 + 60 = 260."""
    import datetime as dt

    from backtester.market.action_changes import ROWS, add_actions
    from tests.why.hand import lake, stamp

    days = {
        DAY: {"A": {}},
        NEXT: {"A": dict.fromkeys(range(390), 50.0)},
        "2024-11-07": {"A": {**dict.fromkeys(range(390), 50.0), 61: 55.0}},
    }
    lake(tmp_path / "lake", days)
    acts = [("A", dt.date(2024, 11, 6), "split", 2.0, "test", ""), ("A", dt.date(2024, 11, 7), "dividend", 1.5, "test", "")]
    add_actions(tmp_path / "lake", pl.DataFrame(acts, schema=ROWS, orient="row"), "XNYS")
    assert stamp(DAY, 0) == "2024-11-05T14:30:00Z"
    made = run(tmp_path, days, [(DAY, "A", 5, BUY, {"size": 20}), ("2024-11-07", "A", 60, SELL, {})], account__cash=1000)
    assert totals(made)["insufficient_cash"] == (1, 1, 1, pytest.approx(260.0))


RULES: list[dict[str, Any]] = [
    {},
    {"execution.fill": "next_close"},
    {"execution.fill": "same_close"},
    {"execution.fill": "next_vwap"},
    {"execution.flat_at_close": True},
    {"execution.flat_at_close": True, "execution.fill": "next_close", "execution.time_in_force": "day"},
    {"execution.slippage": {"bps": 3, "ticks": 1, "impact_bps": 20}},
]


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_where_all_is_refused_it_earns_what_the_run_that_took_it_earned(rules: dict[str, Any], simulated: Path, tmp_path: Path) -> None:
    """The engine is the judge: entries and exits take turns, so each entry of the free run is refused in the other and held as long."""
    plain = {
        "backtest_config.start_date": "2024-11-25",
        "backtest_config.end_date": "2024-12-06",
        "session_data_config.symbols": ["AAA", "BBB", "CCC"],
        "session_data_config.streams": ["1m"],
        "strategies": [{"name": "cross", "use": "sma_crossover", "params": {"interval": "5m", "fast": 4, "slow": 11}}],
        "trading_config": {"min_quality": 0},
        "execution.sizing": {"type": "notional", "value": 5000},
        "execution.commission": {"preset": "ibkr_fixed"},
        "execution.slippage": {"bps": 1},
        **rules,
    }
    free = bt.run(config(simulated, plain), out=tmp_path / "free")
    none = bt.run(config(simulated, {**plain, "trading_config": {"min_quality": 0, "max_buying_power": 1}}), out=tmp_path / "none")
    taken = free.table("trades")
    late = free.table("decisions").filter(pl.col("action") == "enter_long", pl.col("order_id").is_null())
    assert set(late["reason"]) <= {"session_closed"}
    (refused,) = [row for row in reasons(none)["totals"] if row["reason"] == "max_buying_power"]
    assert refused["refused"] == refused["priced"] == taken.height > 50
    assert refused["pnl"] == pytest.approx(float(np.sum(taken["pnl"].to_numpy())), abs=1e-5)


def test_kept_columns_give_the_same_ledger_as_computed_ones(simulated: Path, tmp_path: Path) -> None:
    """Computed in parts of three sessions; the counts are those of the table."""
    cut = bt.run(config(simulated, {**EVERYTHING, "backtest_config.prefetch_days": 3}), out=tmp_path / "cut")
    kept = bt.run(config(simulated, {**EVERYTHING, "keep": ["signals", "bars"]}), out=tmp_path / "kept")
    found = [reasons(made) for made in (cut, kept)]
    assert found[0]["warnings"] == []
    assert found[0]["rows"] == found[1]["rows"]
    got: dict[str, int] = {}
    for row in found[0]["rows"]:
        got[row["reason"]] = got.get(row["reason"], 0) + row["decisions"]
    assert got == dict(kept.table("decisions").group_by("reason").len().iter_rows())

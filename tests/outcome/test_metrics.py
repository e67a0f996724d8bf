"""Key figures of whole runs: by hand, whatever the pieces, and the same from trades as from equity."""

from __future__ import annotations

import datetime as dt
import json
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from backtester.errors import InternalError
from backtester.outcome.against import NAMES
from backtester.outcome.metrics import Score
from backtester.schema import FILLS, TRADES, empty
from tests.outcome.rows import doubt, fill, measured, sessions, slots, trade

PROMISED = (  # section 16 of the specification
    "final_equity net_profit total_return annual_return volatility sharpe sortino calmar max_drawdown max_drawdown_sessions exposure "
    "turnover trades win_rate profit_factor expectancy best_trade worst_trade avg_hold_minutes fees slippage ambiguous_fills "
    "ambiguity_low ambiguity_high by_symbol by_strategy benchmark"
)


def test_every_promised_figure_is_there_and_is_plain_json() -> None:
    found = measured(sessions=sessions(1010.0))
    assert set(PROMISED.split()) <= set(found)
    json.dumps(found, allow_nan=False)


def test_a_run_without_trades_has_constant_equity_and_null_figures() -> None:
    """I-33, DAT-40."""
    tables = {"sessions": sessions(*[1000.0] * 30), "equity": slots(1000.0), "fills": empty(FILLS), "trades": empty(TRADES)}
    found = measured(**tables)
    zero = ("net_profit", "total_return", "annual_return", "volatility", "max_drawdown", "max_drawdown_sessions", "exposure", "turnover")
    null = ("sharpe", "sortino", "calmar", "win_rate", "profit_factor", "expectancy", "best_trade", "worst_trade", "avg_hold_minutes")
    assert [found[name] for name in zero] == [0] * len(zero)
    assert [found[name] for name in null] == [None] * len(null)
    assert (found["trades"], found["fees"], found["by_symbol"]) == (0, 0.0, {})


def test_a_run_of_one_session_has_no_figures_a_year() -> None:
    found = measured(sessions=sessions(1010.0))
    assert found["total_return"] == pytest.approx(0.01)
    assert [found[name] for name in ("annual_return", "volatility", "sharpe", "sortino", "calmar")] == [None] * 5


def test_a_run_without_sessions_has_its_cash_and_nulls() -> None:
    found = measured()
    assert (found["final_equity"], found["net_profit"], found["total_return"], found["exposure"]) == (1000.0, 0.0, None, None)


def test_growth_by_hand() -> None:
    found = measured(sessions=sessions(1100.0, 990.0, 1210.0))
    assert found["final_equity"] == 1210.0
    assert found["net_profit"] == 210.0
    assert found["total_return"] == pytest.approx(0.21)
    assert found["annual_return"] == pytest.approx(1.21**84 - 1)
    assert (found["max_drawdown"], found["max_drawdown_sessions"]) == (pytest.approx(0.1), 1)


def test_a_run_that_lost_more_than_it_had_has_a_total_but_no_rate() -> None:
    found = measured(sessions=sessions(*[500.0] * 29, -100.0))
    assert found["total_return"] == pytest.approx(-1.1)
    assert found["annual_return"] is None
    assert found["max_drawdown"] == pytest.approx(1.1)


def test_the_drawdown_within_sessions_sees_every_slot() -> None:
    assert measured(equity=slots(1000.0, 1200.0, 900.0, 1300.0))["max_drawdown_intraday"] == pytest.approx(0.25)


def test_exposure_is_the_share_of_slots_with_a_position() -> None:
    assert measured(equity=slots(1.0, 1.0, 1.0, 1.0, gross=(0.0, 5.0, 5.0, 0.0)))["exposure"] == 0.5


def test_long_and_short_positions_are_in_the_market_apart() -> None:
    rows = slots(*[1.0] * 5, gross=(0.0, 5.0, 5.0, 5.0, 5.0), net=(0.0, 5.0, -5.0, 0.0, 1.0))
    found = measured(equity=rows)
    assert (found["exposure"], found["exposure_long"], found["exposure_short"]) == (0.8, 0.6, 0.6)


def test_sessions_by_hand() -> None:
    found = measured(sessions=sessions(1100.0, 990.0, 940.5, 940.5, 930.0, 1023.0))
    assert (found["best_session"], found["worst_session"]) == (pytest.approx(0.1), pytest.approx(-0.1))
    assert (found["sessions_up"], found["max_losing_sessions"]) == (pytest.approx(2 / 6), 2)
    assert (found["recovery_sessions"], found["ulcer_index"] > 0.1) == (None, True)


def test_below_twenty_sessions_estimates_are_null_and_counts_are_not() -> None:
    market, names = np.full(19, 0.001), ("value_at_risk", "expected_shortfall", "tail_ratio", "skew", "kurtosis", "omega", "sharpe")
    score = Score(1000.0, 252.0)
    score.add({"sessions": sessions(*(1000.0 + 7.0 * (np.arange(19) % 3)))})
    found = score.metrics(market)
    assert [found[name] for name in names] == [None] * len(names)
    assert [found["benchmark"][name] for name in NAMES] == [None] * len(NAMES)
    assert None not in [found[name] for name in ("best_session", "worst_session", "sessions_up", "max_losing_sessions", "ulcer_index")]


def test_after_equity_was_gone_sessions_have_no_figures() -> None:
    found = measured(sessions=sessions(500.0, 0.0, 10.0))
    for name in ("best_session", "worst_session", "sessions_up", "max_losing_sessions", "volatility", "skew"):
        assert found[name] is None


def test_what_costs_take_is_measured_against_the_gains() -> None:
    fills = pl.concat([fill(1, "buy", 50.0, fee=1.0, slippage=0.5), fill(2, "sell", 60.0, fee=3.0, slippage=1.5)])
    trades = pl.concat([trade(40.0, borrow=0.25), trade(-10.0, dividends=-0.75), trade(0.0, dividends=2.0)])
    found = measured(sessions=sessions(1030.0), fills=fills, trades=trades)
    assert (found["fee_ratio"], found["slippage_ratio"], found["borrow"]) == (0.1, 0.05, 0.25)
    assert found["profit_before_costs"] == 30.0 + 4.0 + 2.0 + 0.25
    assert found["dividends"] == 1.25


def test_turnover_counts_buys_and_sells_against_mean_equity() -> None:
    fills = pl.concat([fill(1, "buy", 50.0), fill(2, "sell", 60.0)])
    assert measured(sessions=sessions(1000.0, 1200.0), fills=fills)["turnover"] == pytest.approx(1100 / 1100)


def test_fees_and_slippage_are_sums_over_fills_to_the_last_micro() -> None:
    fills = pl.concat([fill(1, "buy", 50.0, fee=0.1, slippage=0.000001), fill(2, "sell", 60.0, fee=0.2, slippage=0.000002)])
    found = measured(fills=fills)
    assert (found["fees"], found["slippage"]) == (0.3, 0.000003)


def test_trades_by_hand() -> None:
    trades = pl.concat([trade(30.0, minutes=10), trade(-10.0, minutes=20), trade(0.0, minutes=0), trade(7.0, is_open=True, mae=-0.5)])
    found = measured(trades=trades)
    assert (found["trades"], found["open_trades"]) == (3, 1)
    assert found["win_rate"] == pytest.approx(1 / 3)
    assert found["profit_factor"] == 3.0
    assert found["expectancy"] == pytest.approx(20 / 3)
    assert (found["best_trade"], found["worst_trade"], found["avg_hold_minutes"]) == (30.0, -10.0, 10.0)
    assert (found["avg_mae"], found["avg_mfe"]) == (pytest.approx(-0.02), pytest.approx(0.04))


def test_without_a_losing_trade_there_is_no_profit_factor() -> None:
    assert measured(trades=trade(5.0))["profit_factor"] is None


def test_symbols_and_strategies_are_told_apart_and_sorted() -> None:
    trades = pl.concat(
        [trade(3.0, symbol="TRUE", strategy="b"), trade(-1.0, symbol="0700", strategy="a"), trade(2.0, symbol="TRUE", strategy="a")]
    )
    found = measured(trades=trades)
    assert list(found["by_symbol"]) == ["0700", "TRUE"]
    assert (found["by_symbol"]["TRUE"]["net_profit"], found["by_symbol"]["TRUE"]["trades"]) == (5.0, 2)
    assert {name: figures["net_profit"] for name, figures in found["by_strategy"].items()} == {"a": 1.0, "b": 3.0}


@pytest.mark.parametrize(
    ("doubts", "bounds"),
    [
        ([(-50.0, 100.0, "target")], (-50.0, 100.0)),  # filled at the stop, 150 better at the target
        ([(-50.0, -200.0, "stop")], (-200.0, -50.0)),  # filled at the target, 150 worse at the stop
        ([(-50.0, 100.0, "target"), (30.0, 10.0, "trailing")], (-70.0, 100.0)),  # both ways at once
        ([(-50.0, 20.0, "held")], (-50.0, None)),  # what a position that goes on would have earned is not known
        ([(-50.0, -90.0, "held"), (30.0, 10.0, "stop")], (-70.0, None)),
    ],
)
def test_ambiguity_is_bounded_by_the_two_prices_of_each_fill(doubts: list[Any], bounds: tuple[float, float | None]) -> None:
    """Of a run that lost 50."""
    found = measured(sessions=sessions(950.0), ambiguity=pl.concat([doubt(*one) for one in doubts]))
    assert found["ambiguous_fills"] == len(doubts)
    assert (found["ambiguity_low"], found["ambiguity_high"]) == bounds


def test_without_ambiguous_fills_both_bounds_are_the_profit() -> None:
    found = measured(sessions=sessions(1010.0), fills=fill(1, "buy", 10.0))
    assert (found["ambiguous_fills"], found["ambiguity_low"], found["ambiguity_high"]) == (0, 10.0, 10.0)


def test_the_benchmark_is_measured_over_the_same_sessions() -> None:
    market = np.random.default_rng(5).normal(0.0, 0.01, 30)
    score = Score(1000.0, 252.0)
    score.add({"sessions": sessions(*(1000.0 * np.cumprod(1.0 + 0.5 * market)))})
    found = score.metrics(market)["benchmark"]
    assert found["total_return"] == pytest.approx(math.prod(1.0 + market) - 1.0)
    assert (found["beta"], found["alpha"]) == (pytest.approx(0.5), pytest.approx(0.0, abs=1e-9))
    assert set(found) == {"total_return", "annual_return", "volatility", "sharpe", "max_drawdown", *NAMES}


@pytest.mark.parametrize("market", [None, np.array([]), np.array([np.nan])])
def test_without_a_benchmark_it_is_null(market: np.ndarray | None) -> None:
    assert Score(1000.0, 252.0).metrics(market)["benchmark"] is None


MICROS = some.integers(-50_000_000, 80_000_000)


@settings(max_examples=30)
@given(some.lists(some.tuples(MICROS, some.booleans(), some.sampled_from("ABC")), max_size=12), some.integers(1, 5))
def test_pieces_do_not_matter_and_trades_agree_with_equity(wins: list[tuple[int, bool, str]], step: int) -> None:
    """I-40, I-15: a session a trade; the profit of trades is the profit of equity, in total and over the groups."""
    worth = 1000.0 + np.cumsum([pnl for pnl, _, _ in wins]) / 1e6 if wins else np.array([1000.0])
    trades = [trade(pnl / 1e6, is_open=is_open, symbol=symbol) for pnl, is_open, symbol in wins] or [empty(TRADES)]
    tables = {"sessions": sessions(*worth), "equity": slots(*worth), "trades": pl.concat(trades)}
    whole, pieces = Score(1000.0, 252.0), Score(1000.0, 252.0)
    whole.add(tables)
    for name, rows in tables.items():
        for start in range(0, rows.height, step):
            pieces.add({name: rows.slice(start, step)})
    found = whole.metrics()
    assert pieces.metrics() == found
    for group in ("by_symbol", "by_strategy"):
        assert math.isclose(math.fsum(part["net_profit"] for part in found[group].values()), found["net_profit"], abs_tol=1e-9)
    assert found["trades"] + found["open_trades"] == len(wins)


def test_accounts_that_agree_pass_the_check() -> None:
    """I-04, I-05."""
    score = Score(1000.0, 252.0)
    score.check()
    score.add({"sessions": sessions(1020.0), "trades": trade(20.0, is_open=True), "fills": fill(1, "buy", 10.0, fee=0.5)})
    score.check()


def test_borrow_is_no_fee_of_a_fill() -> None:
    """I-04: it is in the trade's fees, and not in those of the fills."""
    score = Score(1000.0, 252.0)
    score.add({"sessions": sessions(1020.0), "trades": trade(20.0, fees=0.75, borrow=0.25), "fills": fill(1, "buy", 10.0, fee=0.5)})
    score.check()


@pytest.mark.parametrize(("equity", "fee", "what"), [(1020.000001, 0.5, "profit"), (1020.0, 0.500001, "fees")])
def test_accounts_that_disagree_by_a_micro_are_an_internal_error(equity: float, fee: float, what: str) -> None:
    """I-04, I-05: the profit of equity is that of trades, the fees of fills are those of trades."""
    score = Score(1000.0, 252.0)
    score.add({"sessions": sessions(equity), "trades": trade(20.0), "fills": fill(1, "buy", 10.0, fee=fee)})
    with pytest.raises(InternalError, match=what):
        score.check()


def test_figures_do_not_depend_on_how_money_is_added_up() -> None:
    fees = [0.1] * 10
    fills = pl.concat([fill(number, "buy", 1.0, fee=fee) for number, fee in enumerate(fees)])
    assert measured(fills=fills)["fees"] == 1.0
    assert sum(fees) != 1.0


def test_a_trade_over_a_night_is_held_over_the_night() -> None:
    assert measured(trades=trade(1.0, minutes=1440))["avg_hold_minutes"] == dt.timedelta(days=1) / dt.timedelta(minutes=1)

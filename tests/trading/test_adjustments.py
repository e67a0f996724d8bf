"""Splits and dividends at a session's start, by hand arithmetic."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest

from backtester.errors import DataError
from backtester.schema import CORPORATE_ACTIONS, frame
from backtester.trading.adjustments import joined, trade_through
from backtester.trading.execution import AccountSettings, Carry, ExecutionSettings, finish
from backtester.trading.ledger import tables
from backtester.trading.risk import RiskSettings
from tests.trading.tiny import Played, Wish, between, buy, chunks, cover, events, market, sell, short

SECOND = "2025-07-03"
"""The second session of every market here; the first is 2025-07-02."""


def actions(*rows: tuple[str, str, str, float]) -> pl.DataFrame:
    """(symbol, ex_date, kind, value) as a table."""
    columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
    days = pl.Series([dt.date.fromisoformat(day) for day in columns[1]], dtype=pl.Date)
    return frame(CORPORATE_ACTIONS, {"symbol": list(columns[0]), "ex_date": days, "kind": list(columns[2]), "value": list(columns[3]),
                                     "source": ["test"] * len(rows)})  # fmt: skip


def run(
    bars: dict[str, Any], wishes: Sequence[Wish], acts: pl.DataFrame, cuts: Sequence[int] = (), allow_short: bool = False, **execution: Any
) -> Played:
    """A run of 100 shares a trade from 100,000 in cash, with actions."""
    whole, settings = market(bars), ExecutionSettings.model_validate(execution)
    account = AccountSettings(cash=100_000.0, allow_short=allow_short)
    carry, parts, signals = Carry.start(100_000_000_000, 1, len(whole.symbols)), [], events(whole, wishes)
    for first, some in chunks(whole, cuts):
        own = between(signals, first, first + len(some.ts))
        outcomes, carry = trade_through(some, own, carry, settings, RiskSettings(), account, acts)
        parts.append(joined([tables(outcome) for outcome in outcomes]))
    parts.append(tables(finish(carry)))
    return Played(joined(parts), carry)


def equity(made: Played) -> list[float]:
    return made.column("equity", "equity")


def test_a_split_multiplies_shares_and_leaves_the_account_as_it_is() -> None:
    """100 shares at 10, then 2:1: 200 at 5; sold at 6: 200 x 6 - 1000."""
    made = run({"A": [[10.0, 10.0, 10.0], [5.0, 5.0, 6.0]]}, [buy(0), sell(4)], actions(("A", SECOND, "split", 2.0)))
    assert equity(made) == [100_000.0] * 5 + [100_200.0]
    (trade,) = made.rows("trades")
    assert (trade["quantity"], trade["entry_price"], trade["exit_price"], trade["pnl"], trade["dividends"]) == (200.0, 5.0, 6.0, 200.0, 0.0)
    assert trade["return"] == 0.2
    assert (trade["mae"], trade["mfe"]) == pytest.approx((0.0, 0.2))


def test_a_fraction_of_a_lot_is_paid_in_cash() -> None:
    """101 shares at 9, 3:2: 151 at 6 and half a share, 3.00 in cash."""
    made = run({"A": [[9.0, 9.0, 9.0], [6.0, 6.0, 6.0]]}, [buy(0, size=101.0), sell(4)], actions(("A", SECOND, "split", 1.5)))
    (trade,) = made.rows("trades")
    assert (trade["quantity"], trade["dividends"], trade["pnl"]) == (151.0, 3.0, 0.0)
    assert equity(made) == [100_000.0] * 6


def test_what_is_no_whole_lot_of_the_symbol_itself_is_paid_in_cash() -> None:
    """50 shares at 9, 3:2: 75 are 7 lots of 10, and 5 shares at 6 in cash."""
    bars = {"A": [[9.0, 9.0, 9.0], [6.0, 6.0, 6.0]]}
    made = run(bars, [buy(0, size=50.0), sell(4)], actions(("A", SECOND, "split", 1.5)), instruments={"A": {"lot": 10.0}})
    (trade,) = made.rows("trades")
    assert (trade["quantity"], trade["dividends"], trade["pnl"]) == (70.0, 30.0, 0.0)


def test_a_short_pays_for_its_fraction() -> None:
    made = run(
        {"A": [[9.0, 9.0, 9.0], [6.0, 6.0, 6.0]]}, [short(0, size=101.0), cover(4)], actions(("A", SECOND, "split", 1.5)), allow_short=True
    )
    (trade,) = made.rows("trades")
    assert (trade["quantity"], trade["dividends"], trade["pnl"]) == (151.0, -3.0, 0.0)
    assert equity(made) == [100_000.0] * 6


def test_a_position_that_is_less_than_a_lot_after_a_reverse_split_keeps_its_fraction() -> None:
    made = run({"A": [[10.0, 10.0, 10.0], [100.0, 100.0, 110.0]]}, [buy(0, size=5.0), sell(4)], actions(("A", SECOND, "split", 0.1)))
    (trade,) = made.rows("trades")
    assert (trade["quantity"], trade["entry_price"], trade["pnl"]) == (0.5, 100.0, 5.0)


def test_stops_and_targets_follow_a_split() -> None:
    """A stop 10 % below 10 is one at 4.5 after 2:1; the bar that falls to 4 fills it there."""
    bars = {"A": [[10.0, 10.0, 10.0], [5.0, (5.0, 5.0, 4.0, 4.0)]]}
    made = run(bars, [buy(0)], actions(("A", SECOND, "split", 2.0)), stop_loss=0.1, take_profit=0.5)
    assert made.fills()[-1][1:] == ("sell", "stop", 200.0, 4.5)
    levels = {row["type"]: (row["stop"], row["limit"], row["quantity"]) for row in made.rows("orders")}
    assert levels["stop"] == (4.5, None, 200.0)
    assert levels["target"] == (None, 7.5, 200.0)


def test_an_entry_that_waits_over_a_split_buys_as_much_for_the_same_money() -> None:
    """Ordered at the last close before it: 100 at 10, filled as 200 at 5."""
    made = run({"A": [[10.0, 10.0, 10.0], [5.0, 5.0]]}, [buy(2)], actions(("A", SECOND, "split", 2.0)))
    assert made.fills() == [(1440, "buy", "market", 200.0, 5.0)]


def test_a_dividend_is_paid_to_longs_and_charged_to_shorts() -> None:
    """1.50 a share on 100 shares; the price falls by as much."""
    bars = {"A": [[10.0, 10.0, 10.0], [8.5, 8.5, 8.5]]}
    acts = actions(("A", SECOND, "dividend", 1.5))
    long = run(bars, [buy(0), sell(4)], acts)
    assert long.rows("trades")[0]["dividends"] == 150.0
    assert long.rows("trades")[0]["pnl"] == 0.0
    sold = run(bars, [short(0), cover(4)], acts, allow_short=True)
    assert (sold.rows("trades")[0]["dividends"], sold.rows("trades")[0]["pnl"]) == (-150.0, 0.0)
    assert equity(long) == equity(sold) == [100_000.0] * 6


def test_a_dividend_beyond_what_an_account_can_hold_stops_the_run() -> None:
    with pytest.raises(DataError, match=r"symbol A\): got a dividend of 1e\+12; allowed: at most 3e\+12"):
        run({"A": [[10.0, 10.0], [10.0, 10.0]]}, [buy(0)], actions(("A", SECOND, "dividend", 1e12)))


def test_on_one_day_the_split_comes_before_the_dividend() -> None:
    """So the dividend is on each new share: 200 x 0.50."""
    made = run({"A": [[10.0, 10.0, 10.0], [4.5, 4.5, 4.5]]}, [buy(0)], actions(("A", SECOND, "dividend", 0.5), ("A", SECOND, "split", 2.0)))
    (trade,) = made.rows("trades")
    assert (trade["is_open"], trade["quantity"], trade["dividends"], trade["pnl"]) == (True, 200.0, 100.0, 0.0)


@pytest.mark.parametrize("day", ["2025-07-02", "2025-06-30", "2025-07-05"])
def test_what_lies_before_the_first_session_s_end_or_after_the_last_session_does_nothing(day: str) -> None:
    made = run({"A": [[10.0, 10.0, 10.0], [10.0, 10.0, 10.0]]}, [buy(0)], actions(("A", day, "split", 2.0)))
    assert made.rows("trades")[0]["quantity"] == 100.0


def test_an_action_between_two_sessions_acts_on_the_next_one() -> None:
    """The sessions are 07-02, 07-03, 07-04; what is dated 07-03 acts on 07-03, others of the symbol's stay as they are."""
    bars = {"A": [[10.0, 10.0], [10.0, 10.0], [5.0, 5.0]], "B": [[10.0, 10.0], [10.0, 10.0], [10.0, 10.0]]}
    made = run(bars, [buy(0, "A"), buy(0, "B")], actions(("A", "2025-07-04", "split", 2.0)))
    assert {row["symbol"]: row["quantity"] for row in made.rows("trades")} == {"A": 200.0, "B": 100.0}
    assert equity(made) == [100_000.0] * 6


def test_the_same_sessions_in_one_chunk_or_in_many_give_the_same_rows() -> None:
    bars = {"A": [[10.0, 11.0, 12.0], [6.0, 6.5, 5.5], [5.0, 5.5, 6.0], [6.5, 6.0, 6.0]]}
    acts = actions(("A", SECOND, "split", 2.0), ("A", "2025-07-04", "dividend", 0.25), ("A", "2025-07-05", "split", 0.5))
    wishes = [buy(0, stop_loss=0.5), sell(7), buy(8)]
    whole = run(bars, wishes, acts, stop_loss=0.3)
    for cuts in ((1,), (2,), (1, 2, 3)):
        parts = run(bars, wishes, acts, cuts, stop_loss=0.3)
        for name, rows in whole.frames.items():
            assert rows.equals(parts.frames[name]), name

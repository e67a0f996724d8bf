"""Key figures of a run: what metrics.json holds.

Place in the flow: the pipeline makes one `Score`, adds each chunk's tables as it writes them, and asks for `metrics` and `rolling` at
the end. Never looks at bars. Memory grows with sessions (16 bytes each) and trades (60 bytes each) only; while the figures are worked
out, a trade takes another 70 bytes.

    final_equity, net_profit        currency; at the last session's end, and what it is more than the start's cash
    total_return, annual_return     fractions; the latter compounded by sessions a year
    volatility, sharpe, sortino, omega, calmar     see ratios.py
    max_drawdown, max_drawdown_sessions            of equity at the ends of sessions; see ratios.drawdown
    max_drawdown_intraday           the same depth over every row of the equity table
    recovery_sessions, ulcer_index  see ratios.recovery and ratios.ulcer_index
    best_session, worst_session     largest and smallest return of a session
    sessions_up, max_losing_sessions               share of sessions with a return above 0; most in a row with one below
    value_at_risk, expected_shortfall, tail_ratio, skew, kurtosis     see distribution.py
    exposure                        share of the equity table's rows with a position (gross is not 0)
    exposure_long, exposure_short   share of its rows with a long, with a short position
    turnover                        sum of all fill values, buys and sells / mean equity at the ends of sessions
    trades, open_trades, win_rate, profit_factor, expectancy, best_trade, worst_trade, avg_trade_bps, sqn, avg_hold_minutes, avg_mae,
    avg_mfe                         see trade_statistics.statistics
    gross_profit, gross_loss, avg_win, avg_loss, payoff_ratio, max_losing_trades     see trade_statistics.overall
    fees, slippage                  currency, sums over fills
    borrow                          currency, what holding shorts overnight has cost, over all trades
    dividends                       currency, what positions have received, less what shorts have paid, over all trades
    profit_before_costs             currency; net_profit + fees + slippage + borrow
    fee_ratio, slippage_ratio       fees / gross_profit, slippage / gross_profit
    ambiguous_fills                 fills of bars that do not say which of two events came first
    ambiguity_low, ambiguity_high   bounds of net_profit: each such fill at the worse and at the better of its two prices
    by_symbol, by_strategy, by_direction, by_weekday, by_hour
                                    name -> the figures of trade_statistics.statistics; weekday and hour are the entry's, on the clocks
                                    of the exchange
    benchmark                       buy and hold: total_return, annual_return, volatility, sharpe, max_drawdown, and against.NAMES

A figure that has no meaning is null: no trade, one session, a ratio over fewer than ratios.MIN_SESSIONS sessions. docs/metrics.md has
every formula, unit and null, and what other libraries mean by the same name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtester.columns import Floats
from backtester.errors import InternalError
from backtester.outcome import distribution, ratios
from backtester.outcome.against import against
from backtester.outcome.growth import growth, turnover
from backtester.outcome.money import exact_sum, micro, money
from backtester.outcome.per_group import Trips
from backtester.outcome.rolling import rolling
from backtester.schema import HELD


class Score:
    """Collects a run's tables, piece by piece, into its key figures; `zone` is the time zone of the exchange."""

    def __init__(self, cash: float, per_year: float, zone: str = "UTC") -> None:
        self._cash, self._per_year = cash, per_year
        self._labels: list[NDArray[np.datetime64]] = []
        self._equity: list[Floats] = []
        self._trips = Trips(zone)
        self._value = self._fees = self._slippage = 0
        self._rows = self._invested = self._long = self._short = self._ambiguous = 0
        self._peak, self._deepest = cash, 0.0
        self._worse = 0
        self._better: int | None = 0

    def add(self, tables: Mapping[str, pl.DataFrame]) -> None:
        """Append rows of sessions, equity, fills, ambiguity and trades, as schema.py has them; missing tables have no rows."""
        if "sessions" in tables:
            self._labels.append(tables["sessions"]["session"].to_numpy())
            self._equity.append(tables["sessions"]["equity"].to_numpy())
        if "equity" in tables:
            self._add_equity(tables["equity"])
        if "fills" in tables:
            self._add_fills(tables["fills"])
        if "ambiguity" in tables:
            self._add_ambiguity(tables["ambiguity"])
        if "trades" in tables:
            self._trips.add(tables["trades"])

    def metrics(self, benchmark: Floats | None = None) -> dict[str, Any]:
        """All key figures as plain values; `benchmark` holds the returns a session of buy and hold, shape (sessions,)."""
        equity = self._closing()
        final = float(equity[-1]) if len(equity) else self._cash
        profit = round(final * 1e6) - round(self._cash * 1e6)
        trips, groups = self._trips.figures()
        del trips["net_profit"], trips["fees"]
        returns = ratios.returns(equity, self._cash)
        return {
            "final_equity": final,
            "net_profit": money(profit),
            **growth(returns, final / self._cash - 1.0, equity, self._cash, self._per_year),
            "max_drawdown_intraday": self._deepest if self._rows else None,
            **_spread(returns),
            **self._exposure(),
            "turnover": turnover(self._value, equity),
            **trips,
            **self._costs(profit, trips["gross_profit"]),
            "ambiguous_fills": self._ambiguous,
            "ambiguity_low": money(profit + self._worse),
            "ambiguity_high": None if self._better is None else money(profit + self._better),
            **{f"by_{group}": figures for group, figures in groups.items()},
            "benchmark": _benchmark(benchmark, returns, self._per_year),
        }

    def rolling(self) -> pl.DataFrame:
        """The table `rolling` over the sessions so far."""
        labels = np.concatenate([np.empty(0, "datetime64[D]"), *self._labels])
        return rolling(labels, self._closing(), self._cash, self._per_year)

    def check(self) -> None:
        """Raise InternalError where trades, the open ones at their marks, do not add up to the profit of equity, or fees to fees.

        To the last 1e-6 of the currency, or to what a float of that size can tell apart.
        """
        final = float(self._equity[-1][-1]) if self._equity and len(self._equity[-1]) else self._cash
        trades, fees = self._trips.totals()
        pairs = {"profit": (round(final * 1e6) - round(self._cash * 1e6), trades), "fees": (self._fees, fees)}
        for what, (whole, parts) in pairs.items():
            if abs(whole - parts) > 2e6 * float(np.spacing(max(final, self._cash))):
                value = f"{money(whole)} against {money(parts)} of the trades"
                raise InternalError(f"the account's {what} and its trades disagree", value=value)

    def _closing(self) -> Floats:
        """Equity at the ends of all sessions."""
        return np.concatenate([np.empty(0), *self._equity])

    def _exposure(self) -> dict[str, float | None]:
        """Shares of the equity table's rows."""
        counts = {"exposure": self._invested, "exposure_long": self._long, "exposure_short": self._short}
        return {name: count / self._rows if self._rows else None for name, count in counts.items()}

    def _costs(self, profit: int, gross: float) -> dict[str, float | None]:
        """Fees and slippage, beside the profit before them, and beside the gains of the trades that gained."""
        fees, slippage = money(self._fees), money(self._slippage)
        return {
            "fees": fees,
            "slippage": slippage,
            "borrow": money(self._trips.borrow),
            "dividends": money(self._trips.dividends),
            "profit_before_costs": money(profit + self._fees + self._slippage + self._trips.borrow),
            "fee_ratio": fees / gross if gross else None,
            "slippage_ratio": slippage / gross if gross else None,
        }

    def _add_equity(self, rows: pl.DataFrame) -> None:
        """Count invested slots and follow the drawdown from slot to slot."""
        if rows.is_empty():
            return
        equity = rows["equity"].to_numpy()
        peak = np.maximum(np.maximum.accumulate(equity), self._peak)
        self._deepest = max(self._deepest, float(np.max(1.0 - equity / peak)))
        self._peak = float(peak[-1])
        self._rows += rows.height
        gross, net = rows["gross"].to_numpy(), rows["net"].to_numpy()
        self._invested += int(np.count_nonzero(gross))
        self._long += int(np.count_nonzero(gross > -net))  # gross + net is twice what is long, gross - net twice what is short
        self._short += int(np.count_nonzero(gross > net))

    def _add_fills(self, fills: pl.DataFrame) -> None:
        self._value += exact_sum(micro(fills["value"]))
        self._fees += exact_sum(micro(fills["fee"]))
        self._slippage += exact_sum(micro(fills["slippage"]))

    def _add_ambiguity(self, rows: pl.DataFrame) -> None:
        """What ambiguous fills could have brought less, and more, in 1e-6 units; a position that goes on has no known better end."""
        self._ambiguous += rows.height
        held = rows["other_type"].cast(pl.String) == HELD
        known = rows.filter(~held)
        self._worse += exact_sum(micro(known["pnl_low"])) - exact_sum(micro(known["pnl"]))
        if held.any():
            self._better = None
        elif self._better is not None:
            self._better += exact_sum(micro(rows["pnl_high"])) - exact_sum(micro(rows["pnl"]))


def _spread(returns: Floats | None) -> dict[str, Any]:
    """Figures of the distribution of returns a session; all None where there is no return."""
    values = np.empty(0) if returns is None else returns
    return {
        "best_session": float(values.max()) if len(values) else None,
        "worst_session": float(values.min()) if len(values) else None,
        "sessions_up": distribution.share(values > 0),
        "max_losing_sessions": distribution.losing_streak(values) if len(values) else None,
        "value_at_risk": distribution.value_at_risk(values),
        "expected_shortfall": distribution.expected_shortfall(values),
        "tail_ratio": distribution.tail_ratio(values),
        "skew": distribution.skew(values),
        "kurtosis": distribution.kurtosis(values),
    }


def _benchmark(market: Floats | None, returns: Floats | None, per_year: float) -> dict[str, Any] | None:
    """Figures of buy and hold over the same sessions, and the run against it; None where no benchmark was given."""
    if market is None or not len(market) or not np.isfinite(market).all():
        return None
    worth = np.asarray(np.cumprod(1.0 + market), np.float64)
    total = float(worth[-1]) - 1.0
    return {
        "total_return": total,
        "annual_return": ratios.annual_return(total, len(market), per_year),
        "volatility": ratios.volatility(market, per_year),
        "sharpe": ratios.sharpe(market, per_year),
        "max_drawdown": ratios.drawdown(worth, 1.0)[0],
        **against(returns, market, per_year),
    }

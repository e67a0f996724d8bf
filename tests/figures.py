"""Every figure of metrics.json worked out again from a run's own tables, in plain Python, statistics and pandas.

Slow and obvious, with formulas of its own. Never calls the code that it judges.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pandas

Rows = list[dict[str, Any]]
FEW = 20


def of_the_run(tables: dict[str, Rows], cash: float, year: float, zone: str, fee: Callable[[float, float], float]) -> dict[str, Any]:
    """The figures of the run and its groups, without the benchmark."""
    fills, trades, equity = tables["fills"], tables["trades"], tables["equity"]
    closing = [row["equity"] for row in tables["sessions"]]
    fees, slippage = (math.fsum(row[name] for row in fills) for name in ("fee", "slippage"))
    profit, borrow = closing[-1] - cash, math.fsum(row["borrow"] for row in trades)
    own = of_trades(trades) | of_all_trades(trades)
    del own["net_profit"], own["fees"]
    low, high = ambiguity(fills, fee)
    gross = own["gross_profit"]
    return {
        **growth([cash, *closing], year),
        **sessions([later / before - 1.0 for before, later in pairwise([cash, *closing])]),
        **own,
        "final_equity": closing[-1],
        "net_profit": profit,
        "max_drawdown_intraday": max(depths([cash, *(row["equity"] for row in equity)])),
        "exposure": share(row["gross"] > 0 for row in equity),
        "exposure_long": share(row["gross"] + row["net"] > 1e-7 for row in equity),
        "exposure_short": share(row["gross"] - row["net"] > 1e-7 for row in equity),
        "turnover": math.fsum(row["value"] for row in fills) / statistics.fmean(closing),
        "fees": fees,
        "slippage": slippage,
        "borrow": borrow,
        "dividends": math.fsum(row["dividends"] for row in trades),
        "profit_before_costs": profit + fees + slippage + borrow,
        "fee_ratio": fees / gross if gross else None,
        "slippage_ratio": slippage / gross if gross else None,
        "ambiguous_fills": sum(row["ambiguous"] for row in fills),
        "ambiguity_low": profit + low,
        "ambiguity_high": None if high is None else profit + high,
        "by_symbol": groups(trades, lambda row: row["symbol"]),
        "by_strategy": groups(trades, lambda row: row["strategy"]),
        "by_direction": groups(trades, lambda row: row["direction"]),
        "by_weekday": groups(trades, lambda row: row["entry_ts"].astimezone(ZoneInfo(zone)).strftime("%A").lower()),
        "by_hour": groups(trades, lambda row: row["entry_ts"].astimezone(ZoneInfo(zone)).strftime("%H")),
    }


def against(closing: list[float], market: list[float], year: float) -> dict[str, Any]:
    """The figures of the benchmark, whose worth at the ends of sessions is `market`; both lists begin with the start."""
    own, its = (pandas.Series([later / before - 1.0 for before, later in pairwise(worth)]) for worth in (closing, market))
    active = own - its
    beta = own.cov(its) / its.var()
    alone = growth(market, year)
    return {name: alone[name] for name in ("total_return", "annual_return", "volatility", "sharpe", "max_drawdown")} | {
        "alpha": (1.0 + (own - beta * its).mean()) ** year - 1.0,
        "beta": beta,
        "correlation": own.corr(its),
        "tracking_error": active.std() * math.sqrt(year),
        "information_ratio": active.mean() / active.std() * math.sqrt(year),
        "up_capture": yearly(own[its > 0], year) / yearly(its[its > 0], year),
        "down_capture": yearly(own[its < 0], year) / yearly(its[its < 0], year),
    }


def yearly(returns: pandas.Series, year: float) -> float:
    """Growth a year."""
    return float((1.0 + returns).prod() ** (year / len(returns)) - 1.0)


def depths(worth: list[float]) -> list[float]:
    """The drawdown at each point."""
    found, peak = [], worth[0]
    for now in worth:
        peak = max(peak, now)
        found.append(1.0 - now / peak)
    return found


def growth(worth: list[float], year: float) -> dict[str, Any]:
    """Figures of equity at the ends of sessions, the start first."""
    returns = [later / before - 1.0 for before, later in pairwise(worth)]
    total, under, root = worth[-1] / worth[0] - 1.0, depths(worth)[1:], math.sqrt(year)
    annual, deepest = (1.0 + total) ** (year / len(returns)) - 1.0, max(under)
    mean, spread = statistics.fmean(returns), statistics.stdev(returns)
    trough = under.index(deepest)
    back = [place for place in range(trough, len(under)) if under[place] == 0]
    enough = len(returns) >= FEW
    gains, losses = sum(max(r, 0.0) for r in returns), sum(max(-r, 0.0) for r in returns)
    return {
        "total_return": total,
        "annual_return": annual,
        "volatility": spread * root,
        "sharpe": mean / spread * root if enough else None,
        "sortino": mean * root / math.sqrt(sum(min(r, 0.0) ** 2 for r in returns) / len(returns)) if enough else None,
        "omega": gains / losses if enough else None,
        "calmar": annual / deepest if deepest else None,
        "max_drawdown": deepest,
        "max_drawdown_sessions": streak(depth > 0 for depth in under),
        "recovery_sessions": back[0] - trough if back and deepest else None,
        "ulcer_index": math.sqrt(sum(depth**2 for depth in under) / len(under)),
    }


def sessions(returns: list[float]) -> dict[str, Any]:
    """Figures of the returns a session."""
    series, enough = pandas.Series(returns), len(returns) >= FEW
    worst = sorted(returns)[: math.floor(0.05 * (len(returns) - 1)) + 1]
    return {
        "best_session": max(returns),
        "worst_session": min(returns),
        "sessions_up": share(r > 0 for r in returns),
        "max_losing_sessions": streak(r < 0 for r in returns),
        "value_at_risk": series.quantile(0.05) if enough else None,
        "expected_shortfall": sum(worst) / len(worst) if enough else None,
        "tail_ratio": abs(series.quantile(0.95) / series.quantile(0.05)) if enough else None,
        "skew": series.skew() if enough else None,
        "kurtosis": series.kurt() if enough else None,
    }


def of_trades(trades: Rows) -> dict[str, Any]:
    """Figures of some trades."""
    closed = [row for row in trades if not row["is_open"]]
    pnl = [row["pnl"] for row in closed]
    losses = -math.fsum(value for value in pnl if value < 0)
    varies = len(pnl) >= FEW and statistics.stdev(pnl) > 0
    held = [(row["exit_ts"] - row["entry_ts"]).total_seconds() / 60 for row in closed]
    return {
        "net_profit": math.fsum(row["pnl"] for row in trades),
        "trades": len(closed),
        "open_trades": len(trades) - len(closed),
        "win_rate": share(value > 0 for value in pnl) if pnl else None,
        "profit_factor": math.fsum(value for value in pnl if value > 0) / losses if losses else None,
        "expectancy": mean(pnl),
        "best_trade": max(pnl, default=None),
        "worst_trade": min(pnl, default=None),
        "avg_trade_bps": mean([10_000 * row["return"] for row in closed]),
        "sqn": math.sqrt(len(pnl)) * statistics.fmean(pnl) / statistics.stdev(pnl) if varies else None,
        "avg_hold_minutes": mean(held),
        "avg_mae": mean([row["mae"] for row in closed]),
        "avg_mfe": mean([row["mfe"] for row in closed]),
        "fees": math.fsum(row["fees"] for row in trades),
    }


def of_all_trades(trades: Rows) -> dict[str, Any]:
    """Figures that only all trades together have."""
    pnl = [row["pnl"] for row in trades if not row["is_open"]]
    wins, losses = [value for value in pnl if value > 0], [value for value in pnl if value < 0]
    return {
        "gross_profit": math.fsum(wins),
        "gross_loss": math.fsum(losses),
        "avg_win": mean(wins),
        "avg_loss": mean(losses),
        "payoff_ratio": statistics.fmean(wins) / -statistics.fmean(losses) if wins and losses else None,
        "max_losing_trades": streak(value < 0 for value in pnl),
    }


def groups(trades: Rows, key: Callable[[dict[str, Any]], str]) -> dict[str, Any]:
    """The figures of each group."""
    return {name: of_trades([row for row in trades if key(row) == name]) for name in {key(row) for row in trades}}


def ambiguity(fills: Rows, fee: Callable[[float, float], float]) -> tuple[float, float | None]:
    """What ambiguous fills could have brought less and more at their other price; None where a position might have gone on."""
    low = high = 0.0
    open_end = False
    for row in (row for row in fills if row["ambiguous"]):
        value = row["other"] * row["quantity"] - row["value"]
        change = (value if row["side"] == "sell" else -value) - (fee(row["other"], row["quantity"]) - row["fee"])
        held = row["other_type"] == "held"
        low, high, open_end = low + (0.0 if held else min(change, 0.0)), high + max(change, 0.0), open_end or held
    return low, None if open_end else high


def mean(values: list[float]) -> float | None:
    """The mean; None of none."""
    return statistics.fmean(values) if values else None


def share(flags: Iterable[bool]) -> float:
    """The share of True."""
    found = list(flags)
    return sum(found) / len(found)


def streak(flags: Iterable[bool]) -> int:
    """The most True in a row."""
    longest = run = 0
    for flag in flags:
        run = run + 1 if flag else 0
        longest = max(longest, run)
    return longest

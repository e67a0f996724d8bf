"""Formulas over round trips, for any number of groups at once.

Place in the flow: per_group.py hands over the columns of all trades, and for each way of grouping them the code of every trade's
group. Pure functions of arrays of shape (trades,). Never knows what a group is.

Money is summed as whole numbers of 1e-6 currency units, exactly; other sums go through the trades in the order of the table, on one
thread: the same bits on every machine. A group costs as much as any other, thousands of them no more than one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtester.columns import Floats, Ints
from backtester.outcome.money import exact_sum, money
from backtester.outcome.ratios import TINY, longest

MIN_TRADES = 20
"""Of fewer trades there is no sqn, as of fewer sessions than ratios.MIN_SESSIONS there are no ratios."""
Columns = Mapping[str, NDArray[Any]]
Codes = NDArray[np.intp]
Limbs = list[tuple[int, Floats]]

_MINUTE = 60_000_000


class Sums:
    """Columns of closed and of open trades, ready to be added up by group.

    columns: pnl, fees (1e-6 currency) and hold (us) int64; mae, mfe and return float64, return NaN where it has no meaning.
    """

    def __init__(self, closed: Columns, still: Columns) -> None:
        self.pnl = closed["pnl"]
        self.floats: dict[str, Floats] = {name: closed[name] for name in ("mae", "mfe", "return")}
        self.limbs = {"total": _limbs(self.pnl), "gains": _limbs(np.maximum(self.pnl, 0))}
        self.limbs |= {name: _limbs(closed[name]) for name in ("fees", "hold")}
        self.wins = (self.pnl > 0).astype(np.float64)
        self.marks, self.costs = _limbs(still["pnl"]), _limbs(still["fees"])

    def by(self, codes: Codes, still: Codes, groups: int) -> dict[str, list[Any]]:
        """Every column's sum in each group; whole numbers as whole numbers."""
        found: dict[str, list[Any]] = {name: np.bincount(codes, values, groups).tolist() for name, values in self.floats.items()}
        found |= {name: _added(limbs, codes, groups) for name, limbs in self.limbs.items()}
        found |= {"marks": _added(self.marks, still, groups), "costs": _added(self.costs, still, groups)}
        found |= {"trades": np.bincount(codes, None, groups).tolist(), "open": np.bincount(still, None, groups).tolist()}
        return found | {"wins": _added([(0, self.wins)], codes, groups)}


def statistics(sums: Sums, codes: NDArray[np.integer[Any]], still: NDArray[np.integer[Any]], groups: int) -> list[dict[str, Any]]:
    """Figures of the trades of each group; None where a figure has no meaning.

    codes and still are the groups, 0 to groups - 1, of the closed and of the open trades, each of shape (trades,).

    All but net_profit, open_trades and fees are of closed trades.

    net_profit         pnl of all trades, the open ones at their last mark; after fees, in currency
    win_rate           share of trades with pnl above 0
    profit_factor      gains / losses, None where nothing was lost
    expectancy         mean pnl a trade, in currency; best_trade and worst_trade are the largest and smallest pnl
    avg_trade_bps      mean return a trade (pnl / entry value), in 1e-4; None where a trade has none
    sqn                sqrt(trades) x expectancy / standard deviation (ddof 1) of pnl; None below MIN_TRADES or where pnl does not vary
    avg_hold_minutes   mean time from the entry's bar to the exit's, nights and weekends included
    avg_mae, avg_mfe   mean of the worst and best price seen while in the position, as fractions of the entry price
    """
    own, its = codes.astype(np.intp, copy=False), still.astype(np.intp, copy=False)
    best, worst = np.full(groups, np.iinfo(np.int64).min), np.full(groups, np.iinfo(np.int64).max)
    np.maximum.at(best, own, sums.pnl)
    np.minimum.at(worst, own, sums.pnl)
    columns = sums.by(own, its, groups) | {"best": best.tolist(), "worst": worst.tolist()}
    columns["spread"] = _deviations(sums, own, columns, groups)
    return [_figures(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def overall(pnl: Ints) -> dict[str, Any]:
    """Figures that only all closed trades together have, from their pnl in the order of closing.

    gross_profit, gross_loss    sum of pnl of the trades above and below 0, the latter as a negative number, in currency
    avg_win, avg_loss           mean pnl of those trades; payoff_ratio is avg_win / -avg_loss
    max_losing_trades           the most trades in a row with pnl below 0
    """
    won, lost = pnl > 0, pnl < 0
    profit, loss = exact_sum(pnl[won]), exact_sum(pnl[lost])
    win = money(profit) / int(won.sum()) if won.any() else None
    loss_each = money(loss) / int(lost.sum()) if lost.any() else None
    return {
        "gross_profit": money(profit),
        "gross_loss": money(loss),
        "avg_win": win,
        "avg_loss": loss_each,
        "payoff_ratio": None if win is None or loss_each is None else win / -loss_each,
        "max_losing_trades": longest(lost),
    }


def _figures(of: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of one group, from its sums."""
    count, total, losses = of["trades"], of["total"], of["gains"] - of["total"]
    varies = count >= MIN_TRADES and of["spread"] > TINY * abs(total / count)
    return {
        "net_profit": money(total + of["marks"]),
        "trades": count,
        "open_trades": of["open"],
        "win_rate": of["wins"] / count if count else None,
        "profit_factor": of["gains"] / losses if losses else None,
        "expectancy": money(total) / count if count else None,
        "best_trade": money(of["best"]) if count else None,
        "worst_trade": money(of["worst"]) if count else None,
        "avg_trade_bps": of["return"] / count * 1e4 if count and not math.isnan(of["return"]) else None,
        "sqn": math.sqrt(count) * (total / count) / of["spread"] if varies else None,
        "avg_hold_minutes": of["hold"] / _MINUTE / count if count else None,
        "avg_mae": of["mae"] / count if count else None,
        "avg_mfe": of["mfe"] / count if count else None,
        "fees": money(of["fees"] + of["costs"]),
    }


def _deviations(sums: Sums, codes: Codes, added: Mapping[str, list[Any]], groups: int) -> list[float]:
    """The standard deviation (ddof 1) of pnl in each group, in 1e-6 currency; 0 below two trades."""
    counts = np.array(added["trades"])
    means = np.array(added["total"], np.float64) / np.maximum(counts, 1)
    apart: Floats = means[codes]
    apart -= sums.pnl
    apart *= apart
    spread = np.sqrt(np.bincount(codes, apart, groups) / np.maximum(counts - 1, 1))
    return [float(value) for value in np.where(counts > 1, spread, 0.0)]


def _added(limbs: Limbs, codes: Codes, groups: int) -> list[int]:
    """The exact sum in each group."""
    parts = [[int(part) << shift for part in np.bincount(codes, limb, groups).tolist()] for shift, limb in limbs]
    return parts[0] if len(parts) == 1 else [sum(group) for group in zip(*parts, strict=True)]


def _limbs(values: Ints) -> Limbs:
    """Whole numbers as floats so small that no sum of them rounds: values = sum of limb x 2**shift.

    Money of everyday size is one limb. A float holds 53 bits; a sum of n needs as many more as n has.
    """
    bits = 52 - len(values).bit_length()
    found: Limbs = []
    shift = 0
    while len(values) and (values.max() >= 1 << bits or values.min() < -(1 << bits)):
        found.append((shift, (values & ((1 << bits) - 1)).astype(np.float64)))
        values, shift = values >> bits, shift + bits
    return [*found, (shift, values.astype(np.float64))]

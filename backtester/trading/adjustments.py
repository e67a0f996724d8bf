"""Adjustments: splits and dividends change positions and orders at the start of a session.

Place in the flow: `pipeline` trades a part of a run through here where actions fall into it; the part is cut at the sessions on
which one acts, and the account is adjusted between the pieces. The rules are those of docs/execution.md. Never trades itself,
never changes a bar.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtester.columns import Floats
from backtester.errors import DataError
from backtester.schema import ACTION_KINDS
from backtester.trading import records as r
from backtester.trading.costs import MAX_MICRO
from backtester.trading.execution import AccountSettings, Carry, Events, ExecutionSettings, Market, trade
from backtester.trading.finer import Reading
from backtester.trading.inputs import PRICES, rungs
from backtester.trading.records import Records
from backtester.trading.risk import RiskSettings
from backtester.trading.rows import Outcome

SPLIT, DIVIDEND = ACTION_KINDS
PAIR_PRICES = ("price", "low", "high", "stop_level", "target_level", "trailing_amount", "last")
ORDER_PRICES = ("limit", "stop", "seen", "stop_price", "target_price", "trailing_amount", "trail_amount")
"""Prices of a position and of an order, which a split divides."""
SLACK, TINY = 1e-9, 1e-15
"""What counts as a whole lot too, as for sizes; less than this part of a lot is no fraction. How far a sum may be off by rounding."""


@dataclass(frozen=True)
class Act:
    """One action on one session of a chunk: places of session and symbol, what it is, new shares for one or cash a share."""

    session: int
    symbol: int
    kind: str
    value: float


def acts_of(actions: pl.DataFrame, market: Market, carry: Carry) -> list[Act]:
    """The actions (rows of the table `actions`) that act in a chunk, in the order in which they do.

    An action acts on the first session of the run on or after its ex-date; none acts on the run's first session.
    """
    places = {symbol: place for place, symbol in enumerate(market.symbols)}
    labels = market.labels.astype("datetime64[D]")
    known = actions.filter(pl.col("symbol").is_in(list(places))).sort("ex_date", pl.col("kind") != SPLIT, "symbol")
    days = known["ex_date"].to_numpy().astype("datetime64[D]")
    found = []
    for day, at, row in zip(days, np.searchsorted(labels, days).tolist(), known.iter_rows(named=True), strict=True):
        acted = carry.day == r.NONE or day.astype(np.int64) <= carry.day if at == 0 else False
        if at < len(labels) and not acted:
            found.append(Act(at, places[row["symbol"]], row["kind"], row["value"]))
    return sorted(found, key=lambda act: act.session)


def trade_through(
    market: Market,
    events: Events,
    carry: Carry,
    execution: ExecutionSettings,
    risk: RiskSettings,
    account: AccountSettings,
    actions: pl.DataFrame,
    reading: Reading | None = None,
) -> tuple[list[Outcome], Carry]:
    """Trade a chunk of whole sessions, adjusted where actions act: what came of each piece, in order, and what follows it.

    `reading` finds finer bars, if there are any.
    """
    acts = acts_of(actions, market, carry) if len(actions) else []
    cuts = sorted({0, *(act.session for act in acts), len(market.labels)})
    outcomes = []
    for first, stop in pairwise(cuts):
        for act in acts:
            if act.session == first:
                carry = adjusted(carry, act, execution)
        piece, signals = market, events
        if (first, stop) != (0, len(market.labels)):
            piece, begin, end = piece_of(market, first, stop)
            signals = events.between(begin, end)
        outcome, carry = trade(piece, signals, carry, execution, risk, account, reading)
        outcomes.append(outcome)
    return outcomes, carry


def adjusted(carry: Carry, act: Act, execution: ExecutionSettings) -> Carry:
    """The account after one action on one symbol; DataError where it pays more than an account can hold."""
    pairs, orders = carry.pairs.copy(), carry.orders.copy()
    held = np.flatnonzero((pairs["symbol"] == act.symbol) & (pairs["quantity"] != 0.0))
    if act.kind == SPLIT:
        lot = execution.lot_of(carry.symbols[act.symbol])
        amounts = _split(pairs, orders, np.flatnonzero(pairs["symbol"] == act.symbol), held, act.value, lot)
        for number in held.tolist():
            _split_rungs(pairs[number], orders, execution, lot)
    else:
        amounts = np.rint(pairs["quantity"][held] * act.value * 1e6)
    if (amounts > MAX_MICRO).any():
        where, allowed = f"symbol {carry.symbols[act.symbol]}", f"at most {MAX_MICRO / 1e6:.0e} in account currency"
        value, action = f"a {act.kind} of {act.value:g}", "look for a wrong value: bt data actions list"
        raise DataError("a corporate action pays more than an account can hold", where=where, value=value, allowed=allowed, action=action)
    paid = amounts.astype(np.int64)
    income = pairs["direction"][held] * paid
    pairs["income"][held] += income
    signed = pairs["direction"] * pairs["mark"]
    marks = int(signed[pairs["quantity"] != 0.0].sum())
    for records in (pairs, orders):
        records.setflags(write=False)
    gained = np.zeros(len(carry.purses), np.int64)
    if len(gained):
        np.add.at(gained, held // carry.width, income)
    purses = tuple((np.array(carry.purses, np.int64) + gained).tolist())
    return replace(carry, pairs=pairs, orders=orders, cash=carry.cash + int(income.sum()), purses=purses, marks=marks)


def _split(pairs: Records, orders: Records, own: NDArray[np.int64], held: NDArray[np.int64], ratio: float, lot: float) -> Floats:
    """Positions and orders of a symbol at `ratio` new shares for one old; what each position gets for its fraction of a lot, in 1e-6."""
    for name in PAIR_PRICES:
        pairs[name][own] /= ratio
    exact = pairs["quantity"][held] * ratio
    whole = np.floor(exact / lot + SLACK) * lot
    whole = np.where(whole > 0.0, whole, exact)
    rest = np.where(exact - whole > SLACK * lot, exact - whole, 0.0)
    pairs["quantity"][held] = whole
    pairs["entered"][held] *= ratio
    last = pairs["last"][held]
    pairs["mark"][held] = np.rint(last * whole * 1e6).astype(np.int64)
    _split_orders(pairs, orders, own, ratio, lot)
    paid: Floats = np.rint(last * rest * 1e6)
    return paid


def _split_orders(pairs: Records, orders: Records, own: NDArray[np.int64], ratio: float, lot: float) -> None:
    """What waits of a symbol: what has filled and what is left of an order are at least a lot each; guards and leaving exits are for all
    that the position holds.
    """
    waits = np.flatnonzero(np.isin(orders["pair"], own))
    for name in ORDER_PRICES:
        orders[name][waits] /= ratio
    filled = orders["filled"][waits]
    left = _lots(_total(orders["quantity"][waits], -filled, lot) * ratio, lot)
    filled = _lots(filled * ratio, lot)
    orders["filled"][waits], orders["quantity"][waits] = filled * lot, (filled + left) * lot
    entry = orders["role"][waits] == r.ENTRY
    orders["lots"][waits[entry]] = left[entry]
    whole = (orders["role"][waits] == r.GUARD) | (orders["leaves"][waits] != 0)
    guards = waits[whole]
    orders["quantity"][guards] = _total(orders["filled"][guards], pairs["quantity"][orders["pair"][guards]], lot)


def _split_rungs(pair: Any, orders: Records, execution: ExecutionSettings, lot: float) -> None:
    """Each rung is for its part of what was entered, at most what is held."""
    parts, left = rungs(execution), int(pair["rungs"])
    for row, rung in zip(range(int(pair["target"]), int(pair["target"]) + left), parts[len(parts) - left :], strict=True):
        if not rung["rest"]:
            own = max(1.0, math.floor(rung["fraction"] * pair["entered"] / lot + SLACK)) * lot
            filled = orders["filled"][row]
            left = min(max(float(_total(own, -filled, lot)), lot), pair["quantity"])
            orders["quantity"][row] = float(_total(filled, left, lot))


def _lots(quantity: Floats, lot: float) -> Floats:
    """Whole lots, at least one where there is anything."""
    lots: Floats = np.where(quantity > SLACK * lot, np.maximum(np.floor(quantity / lot + SLACK), 1.0), 0.0)
    return lots


def _total(one: Floats, other: Floats, lot: float) -> Floats:
    """Sums of quantities: whole numbers of lots where they are but for a rounding."""
    whole = np.rint((one + other) / lot) * lot
    return np.where(np.abs(whole - (one + other)) <= SLACK * lot + TINY * (one + np.abs(other)), whole, one + other)


def piece_of(market: Market, first: int, stop: int) -> tuple[Market, int, int]:
    """The sessions first <= session < stop of a chunk, and their slots in it: from, and up to."""
    begin, end = np.searchsorted(market.session, [first, stop]).tolist()
    rows = slice(begin, end)
    given = {name: getattr(market, name) for name in PRICES}
    grids: dict[str, Any] = {name: None if values is None else values[:, rows] for name, values in given.items()}
    piece = replace(
        market, ts=market.ts[rows], end=market.end[rows], session=market.session[rows] - np.int32(first), labels=market.labels[first:stop],
        session_open=market.session_open[first:stop], session_close=market.session_close[first:stop], **grids,
    )  # fmt: skip
    return piece, begin, end


def joined(frames: Sequence[dict[str, pl.DataFrame]]) -> dict[str, pl.DataFrame]:
    """The tables of several pieces on end."""
    return frames[0] if len(frames) == 1 else {name: pl.concat([frame[name] for frame in frames]) for name in frames[0]}

"""Settings, market, signals and the account carried so far, as the kernel's records.

Place in the flow: execution.py packs a chunk here before it calls the kernel. Never checks and never trades.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from backtester.columns import OHLCV, Floats
from backtester.trading import records
from backtester.trading.costs import MAX_MICRO, micro
from backtester.trading.records import Book, Records, Tape
from backtester.trading.risk import RiskSettings, limit_count, limit_micro

if TYPE_CHECKING:
    from backtester.trading.execution import AccountSettings, Carry, Events, ExecutionSettings, Market

FILLS = ("next_open", "next_close", "same_close")
SIZINGS = ("shares", "notional", "equity_fraction")
POLICIES = ("pessimistic", "optimistic", "open_to_nearest")
QUOTES = ("bid_open", "bid_close", "ask_open", "ask_close")
PRICES = (*OHLCV, *QUOTES)
GIVEN = ("size", "stop_loss", "take_profit", "stop_price", "target_price", "limit", "entry_stop")
VERDICT = {"reason": "reason", "approved": "approved", "order": "order_id", "flags": "flags", "quantity": "quantity"}
"""Words of the settings in the order of their codes; the market's grids; numbers that a signal may give; a verdict's fields and the
columns of decisions."""


def tape(market: Market, before: int) -> Tape:
    """The market as the kernel wants it: float64, contiguous in time."""
    slots = np.empty(len(market.ts), records.SLOT)
    slots["number"] = before + np.arange(len(market.ts))
    slots["ts"], slots["end"] = market.ts, market.end
    slots["day"] = market.labels.astype("datetime64[D]").view(np.int64)[market.session]
    slots["session_close"] = market.session_close[market.session]
    absent = np.zeros((0, 0))
    given = {name: getattr(market, name) for name in PRICES}
    prices = {name: absent if values is None else np.ascontiguousarray(values, np.float64) for name, values in given.items()}
    return Tape(**prices, slots=slots)


def signals(events: Events, symbols: int) -> Records:
    """The signals as records."""
    signals = np.empty(len(events), records.SIGNAL)
    signals["slot"], signals["action"] = events.t, events.action
    signals["pair"] = events.strategy.astype(np.int64) * symbols + events.symbol
    for name in ("price", "quality", *GIVEN):
        signals[name] = getattr(events, name)
    signals["confidence"] = confidence(events)
    return signals


def confidence(events: Events) -> Floats:
    """Confidence, 1 where none is given."""
    return np.where(np.isnan(events.confidence), 1.0, events.confidence)


def rules(execution: ExecutionSettings, risk: RiskSettings, account: AccountSettings) -> Records:
    """The settings as numbers."""
    rules = np.zeros(1, records.RULES)
    fees, sizing = execution.commission.figures, execution.sizing
    for name, value in (
        ("fill", FILLS.index(execution.fill)),
        ("quote", execution.price == "quote"),
        ("sizing", SIZINGS.index(sizing.type)),
        ("day", execution.time_in_force == "day"),
        ("flat", execution.flat_at_close),
        ("touch", execution.limit_fill == "touch"),
        ("intrabar", POLICIES.index(execution.intrabar)),
        ("allow_short", account.allow_short),
        ("no_entry_us", round(execution.no_entry_minutes * 60e6)),
        ("max_buying_power", limit_micro(risk.max_buying_power)),
        ("max_per_trade", limit_micro(risk.max_per_trade)),
        ("max_per_symbol", limit_micro(risk.max_per_symbol)),
        ("max_open_positions", limit_count(risk.max_open_positions)),
        ("notional", min(micro(sizing.value), MAX_MICRO)),
        ("leverage", account.leverage),
        ("slippage_bps", execution.slippage.bps),
        ("borrow_bps", execution.borrow_bps),
        ("per_share", fees.per_share),
        ("fee_bps", fees.bps),
        ("minimum", fees.minimum),
        ("cap_bps", fees.cap_bps),
        ("lot", execution.lot),
        ("size", sizing.value),
        ("stop_loss", math.nan if execution.stop_loss is None else execution.stop_loss),
        ("take_profit", math.nan if execution.take_profit is None else execution.take_profit),
        ("min_quality", risk.min_quality),
        ("min_confidence", risk.min_confidence),
    ):
        rules[name] = value
    return rules


def book(events: Events, carry: Carry, rules: Records, slots: int) -> Book:
    """The account as carried, with room for all that the chunk can bring.

    Each entry can bring two more orders (stop, target) and one at the close, and two fills; each position one fill.
    """
    pairs, live, held = carry.pairs.copy(), len(carry.orders), len(carry.decisions["ts"])
    held_now = pairs["quantity"] != 0.0
    waits = pairs["entry"] != records.NONE
    active = np.flatnonzero(held_now | waits)
    pairs["listed"] = 0
    pairs["listed"][active] = 1
    positions, entries = int(held_now.sum()), int(waits.sum())
    entering = entries + int(((events.action == records.ENTER_LONG) | (events.action == records.ENTER_SHORT)).sum())
    guarded = held_now & ((pairs["stop"] != records.NONE) | (pairs["target"] != records.NONE))
    account = np.zeros(1, records.ACCOUNT)
    for name, value in (
        ("cash", carry.cash),
        ("marks", carry.marks),
        ("gross", pairs["mark"][held_now].sum()),
        ("positions", positions),
        ("shorts", (held_now & (pairs["direction"] == records.SHORT)).sum()),
        ("guarded", guarded.sum()),
        ("entries", entries),
        ("exits", (pairs["exit"] != records.NONE).sum()),
        ("resting", carry.orders["rests"].sum()),
        ("next_order", carry.next_order),
        ("next_trade", carry.next_trade),
        ("orders", live),
        ("active", len(active)),
        ("day", carry.day),
    ):
        account[name] = value
    orders = np.empty(live + len(events) + 3 * entering + positions, records.ORDER)
    orders[:live] = carry.orders
    verdicts = np.empty(held + len(events), records.VERDICT)
    for name, column in VERDICT.items():
        verdicts[name][:held] = carry.decisions[column]
    return Book(
        rules,
        account,
        np.concatenate((active, np.zeros(len(pairs) - len(active), np.int64))),
        pairs,
        orders,
        np.empty(2 * entering + positions, records.FILL),
        np.empty(entering + positions, records.TRADE),
        verdicts,
        np.empty(slots, records.MOMENT),
    )

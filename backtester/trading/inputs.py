"""Settings, market, signals and the account carried so far, as the kernel's records.

Place in the flow: execution.py packs a chunk here before it calls the kernel. Never checks and never trades.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtester.columns import OHLCV, Floats, Ints
from backtester.trading import records
from backtester.trading.costs import MAX_MICRO, micro
from backtester.trading.records import BLOCK, Book, Records, Tape
from backtester.trading.risk import RiskSettings, limit_count, limit_micro
from backtester.trading.settings import WHOLE

if TYPE_CHECKING:
    from backtester.trading.chunk import Carry, Events, Market
    from backtester.trading.execution import AccountSettings, ExecutionSettings

FILLS = ("next_open", "next_close", "same_close", "next_vwap")
SIZINGS = ("shares", "notional", "equity_fraction", "risk_fraction")
POLICIES = ("pessimistic", "optimistic", "open_to_nearest", "drill_down")
QUOTES = ("bid_open", "bid_high", "bid_low", "bid_close", "ask_open", "ask_high", "ask_low", "ask_close")
PRICES = (*OHLCV, *QUOTES, "vwap")
GIVEN = (
    "size",
    "stop_loss",
    "take_profit",
    "stop_price",
    "target_price",
    "limit",
    "entry_stop",
    "entry_trail",
    "entry_trail_amount",
    "trailing_stop",
    "trailing_amount",
    "exit_fraction",
    "target",
)
CALLS = ("on_open", "on_close")
UNREAD = ("size", "limit", "entry_stop", "entry_trail", "entry_trail_amount", "exit_fraction")
FOURFOLD = tuple(4**step for step in range(12))
VERDICT = {"action": "action", "reason": "reason", "approved": "approved", "order": "order_id", "flags": "flags", "quantity": "quantity"}
"""Words of the settings in the order of their codes; the market's grids; numbers that a signal may give; the part of a session that it
may ask for; what of it a weight does not use; a verdict's fields and the columns of decisions; how many times the usual
room for fills is tried."""


def tape(market: Market, before: int) -> Tape:
    """The market as the kernel wants it: float64, contiguous in time."""
    slots = np.empty(len(market.ts), records.SLOT)
    slots["number"] = before + np.arange(len(market.ts))
    slots["ts"], slots["end"] = market.ts, market.end
    slots["day"] = market.labels.astype("datetime64[D]").view(np.int64)[market.session]
    slots["month"] = _months(slots["day"])
    slots["session_close"] = market.session_close[market.session]
    slots["stop"] = np.searchsorted(market.session, market.session, side="right")
    slots["bars"] = np.cumsum(~np.isnan(market.close).all(axis=0))
    absent = np.zeros((0, 0))
    given = {name: getattr(market, name) for name in PRICES}
    prices = {name: absent if values is None else np.ascontiguousarray(values, np.float64) for name, values in given.items()}
    return Tape(**prices, slots=slots, finer=np.empty(0, records.FINER), spans=np.empty(0, records.SPAN))


def signals(events: Events, symbols: int) -> Records:
    """The signals as records; the k-th half of a weight among the exits and the k-th among the entries are halves of the same."""
    pair = events.strategy.astype(np.int64) * symbols + events.symbol
    columns = {"slot": events.t, "pair": pair, "action": events.action, "confidence": confidence(events)}
    columns |= {name: getattr(events, name) for name in ("price", "quality", *GIVEN, *CALLS)}
    signals = _filled(records.SIGNAL, columns)
    first, second = (np.flatnonzero(events.action == action) for action in (records.TO_WEIGHT, records.BY_WEIGHT))
    if len(first):
        signals["back"][second] = second - first
        for name in UNREAD:
            signals[name][first], signals[name][second] = math.nan, math.nan
        for name in CALLS:
            signals[name][first], signals[name][second] = 0, 0
    return signals


def _filled(kind: np.dtype[np.void], columns: Mapping[str, NDArray[Any]]) -> Records:
    """Records of 8-byte fields with these columns, 0 in all others, block by block, so that each record goes to memory once."""
    alike = {id(values): bool(len(values)) and _all_none(values) for values in columns.values()}
    rows, template = len(next(iter(columns.values()))), np.zeros(1, kind)
    made = np.empty(rows, kind)
    words, filled = made.view(np.int64).reshape(rows, kind.itemsize // 8), []
    for name, values in columns.items():
        if alike[id(values)]:
            template[name] = values[0]
        else:
            filled.append((made[name], values))
    for first in range(0, rows, BLOCK):
        block = slice(first, first + BLOCK)
        words[block] = template.view(np.int64)
        for field, values in filled:
            field[block] = values[block]
    return made


def _all_none(values: NDArray[Any]) -> bool:
    """Whether a column of signals is all NaN or all False: nobody has given it."""
    return bool(np.isnan(values).all()) if values.dtype.kind == "f" else values.dtype.kind == "b" and not values.any()


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
        ("no_entry_us", _microseconds(execution.no_entry_minutes)),
        ("max_buying_power", limit_micro(risk.max_buying_power)),
        ("max_per_trade", limit_micro(risk.max_per_trade)),
        ("max_per_symbol", limit_micro(risk.max_per_symbol)),
        ("max_open_positions", limit_count(risk.max_open_positions)),
        ("max_entries", risk.max_entries),
        ("notional", min(micro(sizing.value), MAX_MICRO)),
        ("watch", execution.stop_watch == "quote"),
        ("at_level", execution.stop_fill == "level"),
        ("timed", execution.max_hold_bars is not None or execution.max_hold_minutes is not None),
        ("max_hold_bars", limit_count(execution.max_hold_bars)),
        ("max_hold_us", _microseconds(math.inf if execution.max_hold_minutes is None else execution.max_hold_minutes)),
        ("cooldown_us", _microseconds(risk.cooldown_minutes)),
        ("anew", sizing.at == "fill"),
        ("called", account.margin_call == "liquidate"),
        ("tiered", len(fees.tiers) > 0),
        ("participates", execution.max_participation is not None),
        ("max_participation", _or_nan(execution.max_participation)),
        ("leverage", account.leverage),
        ("slippage_bps", execution.slippage.bps),
        ("impact_bps", execution.slippage.impact_bps),
        ("spread", execution.slippage.spread),
        ("borrow_bps", execution.borrow_bps),
        ("minimum", fees.minimum),
        ("cap_bps", fees.cap_bps),
        ("size", sizing.value),
        ("stop_loss", _or_nan(execution.stop_loss)),
        ("take_profit", _or_nan(execution.take_profit)),
        ("trailing_stop", _or_nan(execution.trailing_stop)),
        ("trailing_amount", _or_nan(execution.trailing_amount)),
        ("rebalance_threshold", execution.rebalance_threshold),
        ("maintenance", account.maintenance),
        ("min_quality", risk.min_quality),
        ("min_confidence", risk.min_confidence),
    ):
        rules[name] = value
    return rules


def instruments(execution: ExecutionSettings, symbols: Sequence[str]) -> Records:
    """Lot and ticks of each symbol."""
    found = np.zeros(len(symbols), records.INSTRUMENT)
    found["lot"] = [execution.lot_of(symbol) for symbol in symbols]
    found["ticks"] = [execution.slippage.ticks * execution.tick_of(symbol) for symbol in symbols]
    return found


def tiers(execution: ExecutionSettings) -> Records:
    """The commission's own rates, then those of its tiers."""
    fees = execution.commission.figures
    found = np.zeros(1 + len(fees.tiers), records.TIER)
    for row, rates in zip(found, ((-math.inf, fees.per_share, fees.bps), *fees.tiers), strict=True):
        row["above"], row["per_share"], row["fee_bps"] = rates
    return found


def _months(days: Ints) -> Ints:
    """The months, since 1970, of days since 1970."""
    return days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _microseconds(minutes: float) -> int:
    """Minutes as whole us; as many as can be added to any instant where they are more."""
    return round(min(minutes * 60e6, 2.0**61))


def rungs(execution: ExecutionSettings) -> Records:
    """The targets of a position that is sold in parts."""
    found = np.zeros(len(execution.scale_out), records.RUNG)
    for row, rung in zip(found, execution.scale_out, strict=True):
        row["take_profit"], row["fraction"] = rung.take_profit, rung.fraction
    found["rest"][-1:] = sum(rung.fraction for rung in execution.scale_out) >= 1.0 - WHOLE
    return found


class Given(NamedTuple):
    """What stays the same in all chunks of a run, as records."""

    rules: Records
    instruments: Records
    tiers: Records
    rungs: Records


def given(execution: ExecutionSettings, risk: RiskSettings, account: AccountSettings, symbols: Sequence[str]) -> Given:
    """The settings of a run as records."""
    return Given(rules(execution, risk, account), instruments(execution, symbols), tiers(execution), rungs(execution))


def purses(carry: Carry) -> Records:
    """The purses as carried; none where all strategies share the cash."""
    found, pairs = np.zeros(len(carry.purses), records.PURSE), carry.pairs
    found["cash"] = carry.purses
    if len(found):
        marks = np.where(pairs["quantity"] != 0.0, pairs["mark"], 0).reshape(len(found), -1)
        found["gross"] = marks.sum(axis=1)
        found["marks"] = (marks * pairs["direction"].reshape(marks.shape)).sum(axis=1)
    return found


def book(events: Events, carry: Carry, given: Given, slots: int, sessions: int, spans: int = 0, more: int = 1) -> Book:
    """The account as carried, with room for all that the chunk can bring.

    Each entry can bring a stop, a target or each of the rungs, and an order at the close. With a time stop or margin calls each can bring
    one exit more, and as a day order one more each session. An order fills once at most, or more often where it waits for its share of
    bars. spans: bars of which there are finer ones; more: how many times the room for fills.
    """
    rules, tiers = given.rules, given.tiers
    pairs, live, held = carry.pairs.copy(), len(carry.orders), len(carry.decisions["ts"])
    held_now = pairs["quantity"] != 0.0
    waits = pairs["entry"] != records.NONE
    pairs["listed"], pairs["queued"] = held_now | waits, waits | (pairs["exit"] != records.NONE)
    active, waiting = np.flatnonzero(pairs["listed"]), np.flatnonzero(pairs["queued"])
    positions, entries = int(held_now.sum()), int(waits.sum())
    entering = entries + int(np.isin(events.action, (records.ENTER_LONG, records.ENTER_SHORT, records.BY_WEIGHT)).sum())
    guarded = held_now & ((pairs["stop"] != records.NONE) | (pairs["target"] != records.NONE))
    account = np.zeros(1, records.ACCOUNT)
    for name, value in (
        ("cash", carry.cash),
        ("marks", carry.marks),
        ("gross", pairs["mark"][held_now].sum()),
        ("positions", positions),
        ("shorts", (held_now & (pairs["direction"] == records.SHORT)).sum()),
        ("guarded", guarded.sum()),
        ("trailing", (held_now & ~(np.isnan(pairs["trailing_stop"]) & np.isnan(pairs["trailing_amount"]))).sum()),
        ("entries", entries),
        ("joining", carry.orders["joins"].sum()),
        ("exits", (pairs["exit"] != records.NONE).sum()),
        ("leaving", carry.orders["leaves"].sum()),
        ("resting", carry.orders["rests"].sum()),
        ("chasing", carry.orders["rests"][carry.orders["type"] == records.TRAILING].sum()),
        ("on_open", (carry.orders["type"] == records.MARKET_ON_OPEN).sum()),
        ("on_close", (carry.orders["type"] == records.MARKET_ON_CLOSE).sum()),
        ("resting_exits", carry.orders["rests"][carry.orders["role"] == records.EXIT].sum()),
        ("next_order", carry.next_order),
        ("next_trade", carry.next_trade),
        ("orders", live),
        ("active", len(active)),
        ("queued", len(waiting)),
        ("day", carry.day),
        ("month", _months(np.array([carry.day]))[0]),
        ("moved", carry.moved),
        ("tier", np.flatnonzero(tiers["above"] < carry.moved)[-1]),
    ):
        account[name] = value
    late = (entering + positions) * int(rules["timed"][0] or rules["called"][0])
    late += min(late, len(pairs)) * sessions * int(rules["day"][0])
    orders = np.empty(live + len(events) + (2 + max(1, len(given.rungs))) * entering + positions + late, records.ORDER)
    orders[:live] = carry.orders
    verdicts = np.empty(held + len(events), records.VERDICT)
    for name, column in VERDICT.items():
        verdicts[name][:held] = carry.decisions[column]
    verdicts["written"][:held] = 1
    return Book(
        *given,
        account,
        purses(carry),
        np.concatenate((active, np.zeros(len(pairs) - len(active), np.int64))),
        np.concatenate((waiting, np.zeros(len(pairs) - len(waiting), np.int64))),
        pairs,
        orders,
        np.empty(len(orders) * more + 1, records.FILL),
        np.empty(len(orders) * more + 1, records.TRADE),
        verdicts,
        np.empty(slots, records.MOMENT),
        np.zeros(1, records.SUMS),
        np.empty(len(orders) if rules["intrabar"][0] == records.DRILL_DOWN else 0, np.int64),
        np.zeros(spans, np.int64),
        _shares(carry.width),
    )


def _shares(symbols: int) -> Records:
    """No bar's share has been asked for."""
    shares = np.zeros(symbols, records.SHARE)
    shares["slot"] = records.NONE
    return shares

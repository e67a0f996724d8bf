"""A small run described in plain values: slots with bars, signals, rules; and what came of it.

The one description that the slow simulator, the generators of random markets and the engine's differential test share.
Never decides anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Bar:
    """A real bar of one symbol; with volume 0 nothing fills on it."""

    open: float
    high: float
    low: float
    close: float
    volume: float = 1.0
    vwap: float | None = None


@dataclass(frozen=True)
class Quote:
    """The bid and ask of one symbol at a slot's open and close, and between them."""

    bid_open: float
    bid_close: float
    ask_open: float
    ask_close: float
    bid_high: float = math.nan
    bid_low: float = math.nan
    ask_high: float = math.nan
    ask_low: float = math.nan


@dataclass(frozen=True)
class Slot:
    """One base slot of the run: `bars` and `quotes` of the symbols that have one, `fine` the finer bars of a bar, in time order."""

    start: int
    end: int
    session: int
    session_close: int
    bars: dict[str, Bar] = field(default_factory=dict)
    quotes: dict[str, Quote] = field(default_factory=dict)
    fine: dict[str, tuple[Bar, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Signal:
    """A wish available at the end of slot `t`; None: not given (price: no bar to stand on)."""

    t: int
    strategy: str
    symbol: str
    action: str
    price: float | None
    quality: float = 100.0
    confidence: float = 1.0
    size: float | None = None
    stop_loss: float | None = None
    take_profit: float | None = None
    stop_price: float | None = None
    target_price: float | None = None
    limit: float | None = None
    entry_stop: float | None = None
    entry_trail: float | None = None
    entry_trail_amount: float | None = None
    trailing_stop: float | None = None
    trailing_amount: float | None = None
    exit_fraction: float | None = None
    on_open: bool = False
    on_close: bool = False
    target: float | None = None
    tag: str = ""


@dataclass(frozen=True)
class Rules:
    """All settings of a run; limits in currency, None: no limit."""

    cash: float = 100_000.0
    fill: str = "next_open"
    price: str = "trade"
    sizing: str = "shares"
    value: float = 100.0
    lot: float = 1.0
    per_share: float = 0.0
    fee_bps: float = 0.0
    minimum: float = 0.0
    cap_bps: float | None = None
    slippage_bps: float = 0.0
    slippage_ticks: float = 0.0
    slippage_spread: float = 0.0
    tick: float = 0.01
    time_in_force: str = "gtc"
    flat_at_close: bool = False
    no_entry_minutes: float = 0.0
    stop_loss: float | None = None
    take_profit: float | None = None
    max_buying_power: float | None = None
    max_per_trade: float | None = None
    max_per_symbol: float | None = None
    max_open_positions: int | None = None
    min_quality: float = 95.0
    min_confidence: float = 0.5
    allow_short: bool = False
    leverage: float = 1.0
    borrow_bps: float = 0.0
    intrabar: str = "pessimistic"
    limit_fill: str = "through"
    stop_watch: str = "trade"
    stop_fill: str = "level"
    trailing_stop: float | None = None
    trailing_amount: float | None = None
    max_hold_bars: int | None = None
    max_hold_minutes: float | None = None
    cooldown_minutes: float = 0.0
    max_entries: int = 1
    scale_out: tuple[tuple[float, float], ...] = ()  # take_profit, fraction
    rebalance_threshold: float = 0.0
    max_participation: float | None = None
    capital: dict[str, float] | None = None
    margin_call: str = "reject"
    maintenance: float = 0.25
    impact_bps: float = 0.0
    tiers: tuple[tuple[float, float, float], ...] = ()  # above, per_share, bps
    size_at: str = "decision"
    instruments: dict[str, tuple[float | None, float | None]] | None = None  # lot, tick


@dataclass(frozen=True)
class Action:
    """A corporate action on its ex-date `day` (days since 1970): a `split` into `value` new shares for one, or a `dividend` a share."""

    symbol: str
    day: int
    kind: str
    value: float


@dataclass(frozen=True)
class Scene:
    """A whole run: symbols by name, strategies in the config's order, every slot of every session."""

    symbols: tuple[str, ...]
    strategies: tuple[str, ...]
    slots: tuple[Slot, ...]
    signals: tuple[Signal, ...]
    rules: Rules
    actions: tuple[Action, ...] = ()


@dataclass
class Order:
    """One order of role entry or exit; `limit` and `stop` are its levels, `value` and `fee` what an entry expects to cost.

    A leaving exit is one of the whole position, a joining entry one that adds to a position.
    """

    order_id: int
    strategy: str
    symbol: str
    role: str
    side: str
    type: str
    quantity: float
    ts: int
    seen: float | None = None
    limit: float | None = None
    stop: float | None = None
    triggered: bool = False
    filled: float = 0.0
    at_market: bool = False  # a stop that has become a market order
    leaving: bool = False
    joining: bool = False
    rung: float | None = None  # a target's part of what was entered
    takes_rest: bool = False  # the last rung, where the rungs sell everything
    value: int = 0
    fee: int = 0
    signal: Signal | None = None
    decision: dict[str, Any] | None = None
    status: str = "open"
    reason: str = ""  # empty: none
    resolved: int | None = None


@dataclass
class Result:
    """Everything that happened; money in 1e-6 currency, times as slot indices."""

    decisions: list[dict[str, Any]] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    fills: list[dict[str, Any]] = field(default_factory=list)
    trades: list[dict[str, Any]] = field(default_factory=list)
    equity: list[dict[str, Any]] = field(default_factory=list)
    cash: int = 0

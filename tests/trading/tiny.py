"""Literal markets of a few bars, and what the engine makes of them as rows.

A bar is a price (open = high = low = close, volume 1), (open, high, low, close), (open, high, low, close, volume), one with
a mean price at its end, or None where
there is none. Slots are minutes from 13:30 UTC; the first session is 2025-07-02, one session a day.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from backtester.trading.execution import AccountSettings, Carry, Events, ExecutionSettings, Market, finish, trade
from backtester.trading.finer import Reading
from backtester.trading.ledger import tables
from backtester.trading.risk import RiskSettings

MINUTE = 60_000_000
START = 1_751_463_000_000_000
DAY = 86_400_000_000
ACTIONS = ("enter_long", "exit_long", "enter_short", "exit_short", "target")
QUOTE = ("bid_open", "bid_close", "ask_open", "ask_close")
WHOLE = ("bid_open", "bid_high", "bid_low", "bid_close", "ask_open", "ask_high", "ask_low", "ask_close")
Bar = float | tuple[float, ...] | None
NUMBERS = ("price", "quality", "confidence", "size", "stop_loss", "take_profit", "stop_price", "target_price", "limit", "entry_stop",
           "entry_trail", "entry_trail_amount", "trailing_stop", "trailing_amount", "exit_fraction", "target")  # fmt: skip


def at(slot: int, session: int = 0) -> int:
    """The open of a session's slot, us UTC."""
    return START + session * DAY + slot * MINUTE


def prices(bar: Bar) -> tuple[float, ...]:
    """Open, high, low, close, volume of a bar."""
    if bar is None:
        return (math.nan,) * 5
    return (bar, bar, bar, bar, 1.0) if isinstance(bar, float | int) else (*bar, 1.0)[:5]


def mean(bar: Bar) -> float:
    """The mean price of a bar, NaN where it has none."""
    return bar[5] if isinstance(bar, tuple) and len(bar) > 5 else math.nan


def market(
    bars: dict[str, Sequence[Sequence[Bar]]],
    strategies: Sequence[str] = ("s",),
    quotes: dict[str, Sequence[Sequence[tuple[float, ...] | None]]] | None = None,
) -> Market:
    """A market of the symbols' sessions: bars[symbol][session][slot]; a quote is (bid open, bid close, ask open, ask close), or WHOLE."""
    lengths = [len(session) for session in next(iter(bars.values()))]
    slots = [(at(k, session), session) for session, length in enumerate(lengths) for k in range(length)]
    grid = np.array([[prices(bar) for session in bars[symbol] for bar in session] for symbol in sorted(bars)])
    means = np.array([[mean(bar) for session in bars[symbol] for bar in session] for symbol in sorted(bars)])
    quoted: dict[str, Any] = {}
    if quotes is not None:
        names = (
            WHOLE if any(len(quote or ()) == len(WHOLE) for session in quotes.values() for slots in session for quote in slots) else QUOTE
        )
        none = (math.nan,) * len(names)
        wide = np.array([[quote or none for session in quotes[symbol] for quote in session] for symbol in sorted(bars)])
        quoted = {name: wide[:, :, k] for k, name in enumerate(names)}
    opens = np.array([at(0, session) for session in range(len(lengths))])
    return Market(
        symbols=tuple(sorted(bars)),
        strategies=tuple(strategies),
        ts=np.array([ts for ts, _ in slots], np.int64),
        end=np.array([ts + MINUTE for ts, _ in slots], np.int64),
        session=np.array([session for _, session in slots], np.int32),
        labels=np.datetime64("2025-07-02") + np.arange(len(lengths)),
        session_open=opens,
        session_close=opens + np.array(lengths) * MINUTE,
        **{name: grid[:, :, k] for k, name in enumerate(("open", "high", "low", "close", "volume"))},
        vwap=None if np.isnan(means).all() else means,
        **quoted,
    )


@dataclass(frozen=True)
class Wish:
    """A signal at the end of the run's slot `t`; the price seen is the symbol's last close, or `price`."""

    t: int
    action: str
    symbol: str = "A"
    strategy: str = "s"
    tag: str = ""
    given: dict[str, float] = field(default_factory=dict)


def buy(t: int, symbol: str = "A", strategy: str = "s", tag: str = "", **given: float) -> Wish:
    """A wish to enter long."""
    return Wish(t, "enter_long", symbol, strategy, tag, given)


def sell(t: int, symbol: str = "A", strategy: str = "s", **given: float) -> Wish:
    """A wish to exit a long position."""
    return Wish(t, "exit_long", symbol, strategy, "", given)


def short(t: int, symbol: str = "A", strategy: str = "s", **given: float) -> Wish:
    """A wish to enter short."""
    return Wish(t, "enter_short", symbol, strategy, "", given)


def cover(t: int, symbol: str = "A", strategy: str = "s", **given: float) -> Wish:
    """A wish to exit a short position."""
    return Wish(t, "exit_short", symbol, strategy, "", given)


def weigh(t: int, weight: float, symbol: str = "A", strategy: str = "s", **given: float) -> Wish:
    """A wish for a weight in the equity."""
    return Wish(t, "target", symbol, strategy, "", {"target": weight} | given)


def events(market: Market, wishes: Sequence[Wish]) -> Events:
    """The wishes as the engine's signals, in the order given."""
    tags = tuple(sorted({wish.tag for wish in wishes} - {""}))

    def seen(wish: Wish) -> float:
        closes = market.close[market.symbols.index(wish.symbol), : wish.t + 1]
        real = closes[~np.isnan(closes)]
        return float(real[-1]) if len(real) else math.nan

    rows = [{"price": seen(wish), "quality": 100.0} | wish.given for wish in wishes]
    return Events(
        t=np.array([wish.t for wish in wishes], np.int64),
        strategy=np.array([market.strategies.index(wish.strategy) for wish in wishes], np.int32),
        symbol=np.array([market.symbols.index(wish.symbol) for wish in wishes], np.int32),
        action=np.array([ACTIONS.index(wish.action) for wish in wishes], np.int8),
        **{name: np.array([row.get(name, math.nan) for row in rows], np.float64) for name in NUMBERS},
        **{name: np.array([row.get(name, False) for row in rows], np.bool_) for name in ("on_open", "on_close")},
        tag=np.array([tags.index(wish.tag) if wish.tag else -1 for wish in wishes], np.int32),
        tags=tags,
    )


def between(signals: Events, first: int, last: int) -> Events:
    """The signals of the run's slots first <= t < last, counted from `first`."""
    here = (signals.t >= first) & (signals.t < last)
    columns = {field.name: getattr(signals, field.name)[here] for field in fields(signals) if field.name != "tags"}
    return Events(**columns | {"t": columns["t"] - first}, tags=signals.tags)


def part(market: Market, first: int, last: int) -> Market:
    """The sessions first <= session < last of a market."""
    rows = slice(*np.searchsorted(market.session, [first, last]).tolist())
    grids = ("open", "high", "low", "close", "volume", *WHOLE, "vwap")
    return Market(
        market.symbols,
        market.strategies,
        market.ts[rows],
        market.end[rows],
        market.session[rows] - np.int32(first),
        market.labels[first:last],
        market.session_open[first:last],
        market.session_close[first:last],
        **{name: None if getattr(market, name) is None else getattr(market, name)[:, rows] for name in grids},
    )


@dataclass(frozen=True)
class Played:
    """The run's tables: as frames, and as lists of rows."""

    frames: dict[str, pl.DataFrame]
    carry: Carry

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table; instants as us UTC."""
        return self.frames[table].with_columns(pl.col(pl.Datetime).cast(pl.Int64)).to_dicts()

    def column(self, table: str, name: str) -> list[Any]:
        """One column of a table."""
        return [row[name] for row in self.rows(table)]

    def fills(self) -> list[tuple[Any, ...]]:
        """(minute of the first session's clock, side, type, quantity, price) of every fill."""
        return [((row["ts"] - START) // MINUTE, row["side"], row["type"], row["quantity"], row["price"]) for row in self.rows("fills")]

    def orders(self) -> list[tuple[str, str, str | None]]:
        """(type, status, reason) of every order, by number."""
        return [(row["type"], row["status"], row["reason"]) for row in sorted(self.rows("orders"), key=lambda row: row["order_id"])]

    def reasons(self) -> list[str]:
        """Reasons of all decisions."""
        return self.column("decisions", "reason")


def chunks(whole: Market, cuts: Sequence[int]) -> Iterator[tuple[int, Market]]:
    """The market cut before the sessions `cuts`, each part with the run's slot at which it begins."""
    for first, last in pairwise([0, *cuts, len(whole.labels)]):
        yield int(np.searchsorted(whole.session, first)), part(whole, first, last)


def play(
    whole: Market,
    wishes: Sequence[Wish],
    cash: float = 100_000.0,
    cuts: Sequence[int] = (),
    risk: dict[str, Any] | None = None,
    account: dict[str, Any] | None = None,
    reading: Reading | None = None,
    **execution: Any,
) -> Played:
    """A run over the market with JSON-like settings; by default 100 shares at the next open, no costs, no limits."""
    settings, limits = ExecutionSettings.model_validate(execution), RiskSettings.model_validate(risk or {})
    holder = AccountSettings.model_validate({"cash": cash} | (account or {}))
    carry, parts = Carry.start(round(cash * 1e6), len(whole.strategies), len(whole.symbols), holder.purses(whole.strategies)), []
    signals = events(whole, wishes)
    for first, some in chunks(whole, cuts):
        outcome, carry = trade(some, between(signals, first, first + len(some.ts)), carry, settings, limits, holder, reading)
        parts.append(tables(outcome))
    parts.append(tables(finish(carry)))
    return Played({name: pl.concat([frames[name] for frames in parts]) for name in parts[0]}, carry)

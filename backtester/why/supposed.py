"""Supposed: what refused entries would have earned, had each been taken alone.

Place in the flow: under the ledger of reasons. Columns of numbers in, columns out: sizes, the bars that fill, costs, profit. It follows
the run's fill rule and costs in the plain form that docs/why.md states; no limit of the account, no stop and no target acts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from backtester.columns import Bools, Floats, Ints
from backtester.trading.settings import ExecutionSettings

NOTHING = -1


@dataclass(frozen=True)
class Tape:
    """The fillable bars of one symbol in time order; shape (bars,). day: of the session, days since 1970."""

    ts: Ints
    end: Ints
    day: Ints
    open: Floats
    close: Floats
    mean: Floats
    volume: Floats

    @classmethod
    def of(cls, bars: pl.DataFrame) -> Tape:
        """From rows of the table `bars` of one symbol and the base interval."""
        real = bars.filter(pl.col("volume") > 0).sort("ts")
        price = {name: real[name].to_numpy() for name in ("open", "high", "low", "close", "volume")}
        mean = (price["high"] + price["low"] + price["close"]) / 3.0
        stamps = {name: real[name].to_physical().to_numpy() for name in ("ts", "end")}
        day = real["session"].to_physical().to_numpy().astype(np.int64)
        return cls(stamps["ts"], stamps["end"], day, price["open"], price["close"], mean, price["volume"])


@dataclass(frozen=True)
class Supposed:
    """Refused entries of one strategy and symbol; shape (entries,). group: where each is counted.

    at: when it was decided; day: of its session; direction 1 or -1; size in shares, NaN where it had none. entry: the price that it
    filled at, NaN where it waits; since: from when an exit counts; entry_day; fee; leave: when the exit was asked for, NOTHING where
    it was not.
    """

    group: Ints
    at: Ints
    day: Ints
    direction: Ints
    size: Floats
    entry: Floats
    since: Ints
    entry_day: Ints
    fee: Floats
    leave: Ints

    @classmethod
    def fresh(cls, group: Ints, at: Ints, day: Ints, direction: Ints, size: Floats) -> Supposed:
        """Entries that nothing has happened to yet."""
        rows = len(group)
        none, blank = np.full(rows, NOTHING), np.full(rows, np.nan)
        return cls(group, at, day, direction, size, blank, none, none, np.zeros(rows), none)

    def __len__(self) -> int:
        return len(self.group)

    def those(self, chosen: Bools) -> Supposed:
        """Some of them."""
        return Supposed(**{name: values[chosen] for name, values in vars(self).items()})

    def and_(self, other: Supposed) -> Supposed:
        """These and others."""
        return Supposed(**{name: np.concatenate([values, getattr(other, name)]) for name, values in vars(self).items()})


def fill_entries(waiting: Supposed, tape: Tape, rules: ExecutionSettings, symbol: str) -> tuple[Supposed, Bools]:
    """The entries with those filled that find a bar; and which can find none any more: they had to fill in their own session."""
    bar, found = _bar(waiting.at, tape, rules)
    last = len(tape.ts) > 0 and (rules.flat_at_close or rules.time_in_force == "day")
    gone = np.zeros(len(waiting), np.bool_)
    if last:
        gone = np.where(found, tape.day[np.minimum(bar, len(tape.ts) - 1)] != waiting.day, tape.day[-1] > waiting.day)
    new = np.isnan(waiting.entry) & found & ~gone
    at = np.minimum(bar, max(len(tape.ts) - 1, 0))[new]
    price = slipped(_price(tape, at, rules), waiting.direction[new] > 0, waiting.size[new], tape.volume[at], rules, symbol)
    filled = {name: getattr(waiting, name).copy() for name in ("entry", "since", "entry_day", "fee")}
    filled["entry"][new], filled["entry_day"][new] = price, tape.day[at]
    filled["since"][new] = tape.end[at] if rules.fill == "same_close" else tape.ts[at]
    filled["fee"][new] = fees(price, waiting.size[new], rules)
    return replace(waiting, **filled), gone & np.isnan(waiting.entry)


def fill_exits(
    held: Supposed, exits: Ints, tape: Tape, rules: ExecutionSettings, symbol: str
) -> tuple[Supposed, Bools, Floats, Floats, Ints]:
    """Those held, with the exits that were asked for; which are closed, at what price, at what fee, on what day.

    exits: when the strategy asked for one, in time order; shape (exits,).
    """
    place = np.searchsorted(exits, held.since, side="right")
    asked = np.append(exits, NOTHING)[place] if len(exits) else np.full(len(held), NOTHING)
    leave = np.where(held.leave == NOTHING, asked, held.leave)
    bar, found = _bar(leave, tape, rules)
    found &= leave != NOTHING
    bars = max(len(tape.ts) - 1, 0)
    if rules.flat_at_close and len(tape.ts):
        last = np.searchsorted(tape.day, held.entry_day, side="right") - 1
        flat = ~found | (bar > last)
        bar, found = np.where(flat, last, bar), np.ones(len(held), np.bool_)
    else:
        flat = np.zeros(len(held), np.bool_)
    at = np.minimum(bar, bars)
    price, day = np.full(len(held), np.nan), np.full(len(held), NOTHING)
    if len(tape.ts):
        seen = np.where(flat, tape.close[at], _price(tape, at, rules))
        price = slipped(seen, held.direction < 0, held.size, tape.volume[at], rules, symbol)
        day = tape.day[at]
    return replace(held, leave=leave), found, price, fees(price, held.size, rules), day


def slipped(price: Floats, buys: Bools, size: Floats, volume: Floats, rules: ExecutionSettings, symbol: str) -> Floats:
    """Prices after slippage: basis points, ticks and impact; spreads are not known here."""
    slippage = rules.slippage
    against = np.where(buys, 1.0, -1.0)
    impact = price * (slippage.impact_bps / 10000) * np.sqrt(size / volume)
    moved: Floats = price * (1.0 + against * slippage.bps / 10000) + against * (slippage.ticks * rules.tick_of(symbol) + impact)
    return moved


def fees(price: Floats, size: Floats, rules: ExecutionSettings) -> Floats:
    """The commission of each fill, at the rates of the first tier."""
    figures, value = rules.commission.figures, price * size
    fee = np.minimum(np.maximum(figures.per_share * size + value * figures.bps / 10000, figures.minimum), value * figures.cap_bps / 10000)
    rounded: Floats = np.rint(fee * 1e6) / 1e6
    return rounded


def sizes(wanted: pl.DataFrame, rules: ExecutionSettings, most: float | None, symbol: str) -> Floats:
    """Shares of each entry: the quantity that was refused, else its own size, else the config's sizing; NaN where that is not one lot.

    wanted has quantity, price, size, equity, distance (to the stop, NaN where there is none) and weight (NaN: none).
    """
    lot = rules.lot_of(symbol)
    of: dict[str, Any] = {name: wanted[name].to_numpy() for name in ("quantity", "price", "size", "equity", "distance", "weight")}
    sizing, each = rules.sizing, of["price"] * lot
    with np.errstate(divide="ignore", invalid="ignore"):
        lots = {
            "shares": np.full(len(wanted), sizing.value / lot),
            "notional": sizing.value / each,
            "equity_fraction": _affordable(sizing.value * of["equity"], of["price"], lot, rules),
            "risk_fraction": sizing.value * of["equity"] / (of["distance"] * lot),
        }[sizing.type]
        lots = np.where(np.isnan(of["size"]), lots, of["size"] / lot)
        weighed = _affordable(np.abs(of["weight"]) * of["equity"], of["price"], lot, rules)
        lots = np.floor(np.where(np.isnan(of["weight"]), lots, weighed) + 1e-9)
        lots = lots if most is None else np.minimum(lots, np.floor(most / each + 1e-9))
    whole = np.where(of["quantity"] > 0, of["quantity"], lots * lot)
    return np.where((whole >= lot * (1 - 1e-9)) & np.isfinite(whole) & np.isfinite(of["price"]), whole, np.nan)


def _affordable(limit: Floats, price: Floats, lot: float, rules: ExecutionSettings) -> Floats:
    """The most lots whose value and fee do not exceed a limit."""
    lots: Floats = np.floor(limit / (price * lot) + 1e-9)
    for _ in range(4):
        over = price * lots * lot + fees(price, lots * lot, rules) - limit
        lots = np.where(over > 1e-9, lots - np.ceil(over / (price * lot)), lots)
    return np.maximum(lots, 0.0)


def _bar(at: Ints, tape: Tape, rules: ExecutionSettings) -> tuple[Ints, Bools]:
    """The bar that fills what was decided at some time, and whether there is one: that of the signal itself with `same_close`."""
    bar = np.searchsorted(tape.ts, at, side="left")
    if rules.fill == "same_close" and len(tape.ts):
        own = np.searchsorted(tape.end, at, side="left")
        bar = np.where(tape.end[np.minimum(own, len(tape.ts) - 1)] == at, own, bar)
    return bar, bar < len(tape.ts)


def _price(tape: Tape, at: Ints, rules: ExecutionSettings) -> Floats:
    """The price of a bar that the fill rule asks for."""
    named = {"next_open": tape.open, "next_vwap": tape.mean}.get(rules.fill, tape.close)
    price: Floats = named[at] if len(named) else np.full(len(at), np.nan)
    return price

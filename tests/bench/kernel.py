"""What the compiled kernel of a run takes of one thread for each bar: `python -m tests.bench --case kernel`.

Signals are drawn, so that there are as many as a row of the table says: of each symbol in turn an entry and its exit, long, or long and
short in turn. Everything that the kernel reads is made before; what is timed is its call alone. Never checks what came out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from backtester.columns import OHLCV
from backtester.trading import compiled, inputs, records
from backtester.trading.costs import CommissionSettings, SlippageSettings, micro
from backtester.trading.execution import AccountSettings, Carry, Events, ExecutionSettings, Market, SizingSettings
from backtester.trading.risk import RiskSettings

MINUTE_US, SEED, CASH = 60_000_000, 20240102, 100_000_000.0
SIZING = SizingSettings(type="shares", value=100)
PLAIN = ExecutionSettings(sizing=SIZING)
GUARDED = ExecutionSettings(
    sizing=SIZING,
    commission=CommissionSettings(preset="ibkr_fixed"),
    slippage=SlippageSettings(bps=1),
    stop_loss=0.005,
    take_profit=0.01,
    time_in_force="day",
)
ROWS = (("market orders", PLAIN, False), ("stops, targets, limits, shorts, costs", GUARDED, True))
SPACING = (100, 30, 8)
"""The settings of the two halves of the table; one signal in so many bars."""


def kernel_rows(folder: Path, sessions: int, times: int) -> Iterator[str]:
    """Lines of a table; `folder` holds one Parquet file a symbol, `times` is how often each call is timed: the least counts."""
    market = market_of(folder, sessions)
    yield f"## The kernel: {len(market.symbols)} symbols x {sessions} sessions ({market.close.size:,} bars), one thread"
    yield "| signals | one in | events | fills | ns a bar, rows of a run | ns a bar, sums of a trial |"
    yield "|---|---|---|---|---|---|"
    for label, execution, guarded in ROWS:
        for spacing in SPACING:
            events = drawn(market, spacing, guarded)
            (run, fills), (trial, _) = (least(market, events, execution, sums, times) for sums in (False, True))
            yield f"| {label} | {spacing} | {len(events):,} | {fills:,} | {run:.1f} | {trial:.1f} |"
    yield ""


def market_of(folder: Path, sessions: int) -> Market:
    """The first sessions of all symbols, which have a bar in each of their minutes."""
    files = sorted(folder.glob("*.parquet"))
    bars = [pl.read_parquet(file) for file in files]
    ts = bars[0]["ts"].to_physical().to_numpy()
    labels, place = np.unique(bars[0]["ts"].dt.date().to_numpy(), return_inverse=True)
    ts, place = ts[place < sessions], place[place < sessions].astype(np.int32)
    first, last = (np.searchsorted(place, np.arange(sessions), side=side) for side in ("left", "right"))
    prices = {name: np.stack([rows[name].to_numpy()[: len(ts)] for rows in bars]) for name in OHLCV}
    names = tuple(file.stem for file in files)
    end = ts + MINUTE_US
    return Market(names, ("drawn",), ts, end, place, labels[:sessions], ts[first], end[last - 1], **prices)


def drawn(market: Market, spacing: int, guarded: bool) -> Events:
    """One signal in `spacing` bars, in the order of decision; guarded: shorts too, and every second entry at a limit below the close."""
    random = np.random.default_rng(SEED)
    symbol, slot = np.nonzero(random.random(market.close.shape) < 1.0 / spacing)
    turn = np.arange(len(slot)) - np.searchsorted(symbol, symbol)
    action = (turn % (4 if guarded else 2)).astype(np.int8)
    price, nothing = market.close[symbol, slot], np.full(len(slot), np.nan)
    given = dict.fromkeys(inputs.GIVEN, nothing) | dict.fromkeys(inputs.CALLS, np.zeros(len(slot), np.bool_))
    if guarded:
        below = np.where(action == records.ENTER_SHORT, 1.0001, 0.9999)
        given["limit"] = np.where((action % 2 == 0) & (turn % 8 < 4), price * below, np.nan)
    none, whole = np.zeros(len(slot), np.int32), np.full(len(slot), 100.0)
    return Events(
        t=slot, strategy=none, symbol=symbol.astype(np.int32), action=action, price=price, quality=whole, confidence=whole / 100.0,
        tag=none - 1, **given,
    ).sorted()  # fmt: skip


def least(market: Market, events: Events, execution: ExecutionSettings, sums: bool, times: int) -> tuple[float, int]:
    """Nanoseconds of processor time a bar, the least of some calls; how many fills there were, where they are kept."""
    carry = Carry.start(micro(CASH), 1, len(market.symbols))
    given = inputs.given(execution, RiskSettings(), AccountSettings(cash=CASH, allow_short=True), market.symbols)
    given.rules["sums"] = sums
    tape, signals = inputs.tape(market, 0), inputs.signals(events, len(market.symbols))
    spent = []
    for _ in range(times):
        book = inputs.book(events, carry, given, len(market.ts), len(market.labels))
        begun = time.thread_time_ns()
        compiled.kernel().entry_point(tape, book, signals, 0)
        spent.append(time.thread_time_ns() - begun)
    return min(spent) / market.close.size, int(book.account[0]["fills"])

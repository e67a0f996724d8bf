"""Entries that wait behind the price, and what stops look at and fill at, drawn for a random run. Never looks at the engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.properties.digits import Digits, Source, codes
from tests.properties.features import ON
from tests.scene import Quote, Rules, Signal, Slot


def behind(source: Source, signals: list[Signal], tick: float) -> list[Signal]:
    """The signals, of which none or some wait behind the price; those with levels of their own, or for a session's end, stay."""
    if "trailing_entries" not in ON:
        return signals
    density, *choices = codes(source, 1 + len(signals), 1)
    some = (0, 1, 2, 3)[density % 4]
    found = []
    for signal, code in zip(signals, choices, strict=True):
        digits = Digits(code)
        trails, amount = digits.pick(*[False] * (4 - some), *[True] * some), digits.pick(None, None, tick, 2 * tick, 5 * tick)
        part = digits.pick(None, 0.01, 0.03, 0.0)
        plain = signal.limit is None and signal.entry_stop is None and not signal.on_open and not signal.on_close
        if trails and plain and (amount or part):
            signal = replace(signal, entry_trail=part or None, entry_trail_amount=amount)
        found.append(signal)
    return found


def watched(rules: Rules, choice: Digits, slots: list[Slot]) -> Rules:
    """The rules with stops that look at quotes where there are any, and fill at closes."""
    drawn: dict[str, Any] = {"stop_watch": choice.pick("trade", "quote"), "stop_fill": choice.pick("level", "level", "close")}
    if "stop_rules" not in ON:
        return rules
    if rules.intrabar == "drill_down" or not any(slot.quotes for slot in slots):
        drawn["stop_watch"] = "trade"
    return replace(rules, **drawn)


def whole(quote: Quote, up: float, down: float, missing: str) -> Quote:
    """The quote bar with highs and lows so far beyond its opens and closes; one number may be missing."""
    bids, asks = (quote.bid_open, quote.bid_close), (quote.ask_open, quote.ask_close)
    least = min(bids) / 4
    levels = {
        "bid_high": max(bids) + up, "bid_low": max(least, min(bids) - down),
        "ask_high": max(asks) + up, "ask_low": max(least, min(asks) - down),
    }  # fmt: skip
    return replace(quote, **{name: level for name, level in levels.items() if name != missing})


def with_ranges(source: Source, slots: list[Slot], tick: float) -> list[Slot]:
    """The slots with whole quote bars, now and then one that lacks a number."""
    if "stop_rules" not in ON:
        return slots
    found = []
    for slot in slots:
        quotes = {}
        for name, quote in slot.quotes.items():
            digits = Digits(codes(source, 1, 2)[0])
            up, down = digits.pick(0, 0, 1, 2, 4, 12) * tick, digits.pick(0, 0, 1, 2, 4, 12) * tick
            quotes[name] = whole(quote, up, down, digits.pick(*[""] * 12, "bid_high", "bid_low", "ask_high", "ask_low"))
        found.append(replace(slot, quotes=quotes))
    return found

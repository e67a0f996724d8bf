"""Random small runs: sessions with early closes, bars with holes, gaps and halts, signals and rules of every built kind.

Most choices are packed into one whole number each, so that a case of 200 bars is 200 draws and shrinks towards quiet bars
at one price and no signal. Prices are whole ticks. Never looks at the engine.
"""

from __future__ import annotations

import os
from dataclasses import replace
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.scene import Bar, Quote, Rules, Scene, Signal, Slot
from tests.simulator import fee_of

MINUTE = 60_000_000
DAY = 1440 * MINUTE
SYMBOLS = ("A", "AB", "B", "TRUE", "Z")
STRATEGIES = ("second", "first", "Third")
GAPS = (0, 0, 0, 0, 0, 1, -1, 2, -2, 3, -3, 5, -5, 12, -12, 30)
WICKS = (0, 0, 0, 1, 2, 4, 8, 12)
ACTIONS = (*["enter_long"] * 10, *["exit_long"] * 4, "enter_short", "exit_short")

# `make test` repeats the same cases; BT_CASES=5000 looks for new ones, that many.
CASES = settings(
    max_examples=int(os.environ.get("BT_CASES", "300")),
    derandomize="BT_CASES" not in os.environ,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
FEWER = settings(CASES, max_examples=max(60, CASES.max_examples // 5))


class Digits:
    """A packed whole number, taken apart from its low end."""

    def __init__(self, code: int) -> None:
        self.code = code

    def take(self, base: int) -> int:
        """The next digit, in [0, base)."""
        self.code, digit = divmod(self.code, base)
        return digit

    def pick(self, *choices):
        """One of the choices."""
        return choices[self.take(len(choices))]


def codes(draw: st.DrawFn, count: int) -> list[int]:
    """So many packed numbers of 24 bits (bytes, because whole numbers would be drawn small more often than not)."""
    packed = draw(st.binary(min_size=3 * count, max_size=3 * count))
    return [int.from_bytes(packed[3 * k : 3 * k + 3], "little") for k in range(count)]


def bar_of(code: int, before: int, tick: float, holes: int, calm: bool) -> tuple[Bar | None, Quote | None, int]:
    """A bar and a quote bar that follow a close of `before` ticks, and the close in ticks; `holes` in 16 have no bar; calm: no move."""
    digits = Digits(code)
    kind = digits.pick(*["bar"] * (15 - holes), *["hole"] * holes, "zero")
    gap, up, down = digits.pick(*GAPS), digits.pick(*WICKS), digits.pick(*WICKS)
    opened = before if calm else max(1, before + gap)
    high, low = (opened, opened) if calm else (opened + up, max(1, opened - down))
    closed = low + digits.take(16) * (high - low) // 15
    spread = digits.pick(0, 1, 2, None)
    skew = digits.pick(0, 0, 1, -1)
    quote = None
    if spread is not None:
        bid_open, bid_close = max(1, opened + skew - spread), max(1, closed + skew - spread)
        quote = Quote(bid_open * tick, bid_close * tick, (bid_open + spread) * tick, (bid_close + spread) * tick)
    if kind == "hole":
        return None, quote, before
    volume = 0.0 if kind == "zero" else float(100 + code % 7)
    return Bar(opened * tick, high * tick, low * tick, closed * tick, volume), quote, closed


@st.composite
def clocks(draw: st.DrawFn) -> list[Slot]:
    """Slots of one to four sessions of 3 to 12 slots; an early close is a shorter session, perhaps with a cut last slot."""
    step = draw(st.sampled_from([1, 5])) * MINUTE
    slots, day = [], 20_000
    for session in range(draw(st.integers(1, 4))):
        digits = Digits(*codes(draw, 1))
        count, cut = 3 + digits.take(10), digits.pick(0, 0, 0, step // 2)
        day += digits.pick(1, 1, 1, 3)
        start = day * DAY + 870 * MINUTE
        close = start + count * step - cut
        slots += [Slot(start + k * step, min(start + (k + 1) * step, close), session, close) for k in range(count)]
    return slots


@st.composite
def tapes(draw: st.DrawFn, clock: list[Slot], symbols: tuple[str, ...], with_quotes: bool) -> tuple[list[Slot], float, float]:
    """The clock's slots with bars and quotes, their tick, and a price that is typical of them."""
    tick = draw(st.sampled_from([1.0, 0.01, 0.25]))
    first, calm = draw(st.sampled_from([100, 40, 2000])), draw(st.sampled_from([False, False, False, True]))
    slots = [Slot(s.start, s.end, s.session, s.session_close, {}, {}) for s in clock]
    for symbol in symbols:
        halted, holes = draw(st.sampled_from([None, None, None, None, 0, 1, 2, 3])), draw(st.sampled_from([0, 1, 4, 8]))
        before = first
        for slot, code in zip(slots, codes(draw, len(slots)), strict=True):
            bar, quote, before = bar_of(code, before, tick, holes, calm)
            if bar is not None and slot.session != halted:
                slot.bars[symbol] = bar
            if quote is not None and with_quotes:
                slot.quotes[symbol] = quote
    return slots, tick, first * tick


def seen_price(slots: list[Slot], t: int, symbol: str) -> float | None:
    """The close of the symbol's latest bar up to `t`."""
    closes = [slot.bars[symbol].close for slot in slots[: t + 1] if symbol in slot.bars]
    return closes[-1] if closes else None


def signal_of(code: int, slots: list[Slot], tick: float, t: int, strategy: str, symbol: str) -> Signal:
    """One signal at `t`; most stand on the latest close with full quality and no size or levels of their own."""
    digits = Digits(code)
    price = seen_price(slots, t, symbol)
    around = price or 1.0
    action = digits.pick(*ACTIONS)
    price = digits.pick(*[price] * 13, None, around * 0.75, around * 1.5)
    quality, confidence = digits.pick(*[100.0] * 14, 95.0, 94.875), digits.pick(*[1.0] * 14, 0.5, 0.4375)
    size = digits.pick(*[None] * 11, 1.0, 7.5, 20.0, 0.7, 1e18)
    levels = {
        "stop_loss": digits.pick(None, None, None, None, 0.02),
        "take_profit": digits.pick(None, None, None, None, 0.03),
        "stop_price": digits.pick(None, None, around - tick, around - 2 * tick, around - 4 * tick, around * 0.97),
        "target_price": digits.pick(None, None, around, around + tick, around + 3 * tick, around * 1.04),
    }
    levels = {name: level for name, level in levels.items() if level is not None}
    return Signal(t, strategy, symbol, action, price, quality, confidence, size, **levels, tag=f"tag{code % 3}")


@st.composite
def wishes(draw: st.DrawFn, slots: list[Slot], tick: float, strategies: tuple[str, ...], symbols: tuple[str, ...]) -> list[Signal]:
    """Up to four signals a slot, in no particular order."""
    density = draw(st.integers(2, 12))
    signals = []
    for t in range(len(slots)):
        for code in codes(draw, 4):
            digits = Digits(code)
            if digits.take(16) > 16 - density:
                strategy, symbol = digits.pick(*strategies), digits.pick(*symbols)
                signals.append(signal_of(digits.code * 7919 + code, slots, tick, t, strategy, symbol))
    return signals


def amounts(price: float) -> st.SearchStrategy[float | None]:
    """A money limit, or none, that bites at a few or at many units of the price."""
    return st.sampled_from([None, None, None, None, 1000 * price, 40 * price, 20 * price, 10 * price, 8.25 * price])


@st.composite
def rules(draw: st.DrawFn, price: float, prices: str) -> Rules:
    """Settings of every built kind, at amounts that matter around the price."""
    one = lambda *choices: draw(st.sampled_from(choices))  # noqa: E731
    sizing = one("shares", "notional", "equity_fraction")
    fees = one(
        {}, {"per_share": 0.005, "minimum": 1.0, "cap_bps": 100.0}, {"fee_bps": 7.5}, {"per_share": 0.013, "fee_bps": 3.3, "minimum": 0.35}
    )
    free = Rules(
        cash=price * one(1e6, 1000, 100, 45),
        fill=one("next_open", "next_close", "same_close"),
        price=prices,
        sizing=sizing,
        value={"shares": one(10.0, 1.0, 30.0, 12.5), "notional": price * one(10, 3.3, 2.2, 40), "equity_fraction": one(1.0, 0.5, 0.1, 1.3)}[
            sizing
        ],
        lot=one(1.0, 0.1, 0.001, 3.0),
        **fees,
        slippage_bps=one(0.0, 1.0, 25.0),
        time_in_force=one("gtc", "day"),
        flat_at_close=one(False, True),
        no_entry_minutes=one(0.0, 1.0, 2.5, 7.0),
        stop_loss=one(None, None, 0.01, 0.05),
        take_profit=one(None, None, 0.01, 0.06),
    )
    mood = one("limited", "limited", "crowded", "all in")
    if mood == "crowded":
        return replace(free, cash=1e6 * price, max_open_positions=1)
    if mood == "all in":
        fee = fee_of(free, price, 10.0) / 1e6
        return replace(free, sizing="shares", value=10.0, lot=one(1.0, 10.0), cash=one(10, 10.5, 20) * price + one(0, 1, 2, 3) * fee)
    return replace(
        free,
        max_buying_power=draw(amounts(price)),
        max_per_trade=draw(amounts(price)),
        max_per_symbol=draw(amounts(price)),
        max_open_positions=one(None, 2, 4),
    )


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """A whole random run of one to five symbols and one to three strategies."""
    symbols = SYMBOLS[: draw(st.sampled_from([1, 2, 2, 3, 5]))]
    strategies = STRATEGIES[: draw(st.sampled_from([1, 1, 2, 3]))]
    prices = draw(st.sampled_from(["trade", "trade", "quote"]))
    slots, tick, price = draw(tapes(draw(clocks()), symbols, prices == "quote" or draw(st.booleans())))
    signals = draw(wishes(slots, tick, strategies, symbols))
    return Scene(symbols, strategies, tuple(slots), tuple(signals), draw(rules(price, prices)))


@st.composite
def edges(draw: st.DrawFn) -> Scene:
    """A random run at one price, 10 shares a signal, with cash and limits that it meets to the last unit, or misses by one fee."""
    scene, one = draw(scenes()), lambda *choices: draw(st.sampled_from(choices))
    flat = Bar(100.0, 100.0, 100.0, 100.0)
    slots = [replace(slot, bars={name: replace(flat, volume=bar.volume) for name, bar in slot.bars.items()}) for slot in scene.slots]
    signals = [Signal(s.t, s.strategy, s.symbol, "exit_long" if "exit" in s.action else "enter_long", 100.0) for s in scene.signals]
    free = replace(Rules(cash=1e6), fill=scene.rules.fill, value=10.0, minimum=one(1.0, 0.0), per_share=0.25)
    fee = fee_of(free, 100.0, 10.0) / 1e6
    edge = one("cash", "cash", "max_buying_power", "max_per_symbol", "max_open_positions")
    least = {"cash": one(1000.0, 2000.0) + one(0, 1, 2, 3, 4) * fee, "max_open_positions": one(1, 2)}.get(edge, one(1000.0, 2000.0))
    return replace(scene, slots=tuple(slots), signals=tuple(signals), rules=replace(free, **{edge: least}))


def long_scene(seed: int) -> Scene:
    """A run of 5 sessions of 120 slots, 8 symbols, 3 strategies and some 3,000 signals, for what only a long run shows."""
    random = Random(seed)
    symbols, slots = tuple("ABCDEFGH"), []
    for session in range(5):
        start = (20_000 + session) * DAY + 870 * MINUTE
        close = start + 120 * MINUTE
        slots += [Slot(start + k * MINUTE, start + (k + 1) * MINUTE, session, close, {}, {}) for k in range(120)]
    for symbol in symbols:
        before, holes = 400, random.choice([0, 1, 6])
        for slot in slots:
            bar, _, before = bar_of(random.getrandbits(24), before, 0.25, holes, calm=False)
            slot.bars.update({symbol: bar} if bar else {})
    names = [(t, random.choice(STRATEGIES), random.choice(symbols)) for t in range(len(slots)) for _ in range(random.choice([0, 2, 5, 12]))]
    signals = [signal_of(random.getrandbits(48), slots, 0.25, *name) for name in names]
    free = Rules(cash=1e6, fill=("next_open", "next_close", "same_close")[seed % 3], value=30.0, per_share=0.013, slippage_bps=1.0)
    return Scene(symbols, STRATEGIES, tuple(slots), tuple(signals), replace(free, stop_loss=0.05, flat_at_close=seed % 2 == 1))

"""Random small runs: sessions with early closes, bars with holes, gaps and halts, signals and rules of every kind.

All choices of a run are packed into a few byte strings, taken apart digit by digit: a case is a handful of draws and shrinks
towards quiet bars at one price, no signal and the first choice of every setting. Prices are whole ticks. Never looks at the engine.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.properties.calls import at_sessions
from tests.properties.charges import charged, with_means
from tests.properties.digits import Digits, Source, codes
from tests.properties.features import ON
from tests.properties.finer import with_finer
from tests.properties.holdings import holding, lasting, partly
from tests.properties.stops import behind, watched, with_ranges
from tests.scene import Action, Bar, Quote, Rules, Scene, Signal, Slot
from tests.simulator import fee_of

MINUTE = 60_000_000
DAY = 1440 * MINUTE
SYMBOLS = ("A", "AB", "B", "TRUE", "Z")
STRATEGIES = ("second", "first", "Third")
GAPS = (0, 0, 0, 0, 0, 1, -1, 2, -2, 3, -3, 5, -5, 12, -12, 30)
WICKS = (0, 0, 0, 1, 2, 4, 8, 12)
ACTIONS = (*["enter_long"] * 5, *["enter_short"] * 5, *["exit_long"] * 3, *["exit_short"] * 3)
LEAST = 4  # ticks of the lowest price, more than any slippage
OPPOSITE = {"enter_long": "exit_short", "enter_short": "exit_long"}

# `make test` repeats the same cases; BT_CASES=5000 looks for new ones, that many.
MANY = int(os.environ.get("BT_CASES", "300"))
FIRST_SEED = int.from_bytes(os.urandom(6), "little") if "BT_CASES" in os.environ else 0
CASES = settings(
    max_examples=MANY if "BT_CASES" in os.environ else 100,
    derandomize="BT_CASES" not in os.environ,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
FEWER = settings(CASES, max_examples=max(50, CASES.max_examples // 5))


def bar_of(code: int, before: int, tick: float, holes: int, calm: bool) -> tuple[Bar | None, Quote | None, int]:
    """A bar and a quote bar that follow a close of `before` ticks, and the close in ticks; `holes` in 16 have no bar; calm: no move."""
    digits = Digits(code)
    kind = digits.pick(*["bar"] * (15 - holes), *["hole"] * holes, "zero")
    gap, up, down = digits.pick(*GAPS), digits.pick(*WICKS), digits.pick(*WICKS)
    opened = before if calm else max(LEAST, before + gap)
    high, low = (opened, opened) if calm else (opened + up, max(LEAST, opened - down))
    closed = low + digits.take(16) * (high - low) // 15
    spread = digits.pick(0, 1, 2, None)
    skew = digits.pick(0, 0, 1, -1)
    quote = None
    if spread is not None:
        bid_open, bid_close = max(LEAST, opened + skew - spread), max(LEAST, closed + skew - spread)
        quote = Quote(bid_open * tick, bid_close * tick, (bid_open + spread) * tick, (bid_close + spread) * tick)
    if kind == "hole":
        return None, quote, before
    volume = 0.0 if kind == "zero" else float(100 + code % 7)
    return Bar(opened * tick, high * tick, low * tick, closed * tick, volume), quote, closed


def clock_of(choice: Digits) -> list[Slot]:
    """Slots of one to four sessions of 3 to 12 slots; an early close is a shorter session, perhaps with a cut last slot."""
    step = choice.pick(1, 5) * MINUTE
    slots, day = [], choice.pick(20_000, 20_025)  # a month may end
    for session in range(choice.pick(1, 2, 3, 4)):
        count, cut = 3 + choice.take(10), choice.pick(0, 0, 0, step // 2)
        day += choice.pick(1, 1, 2, 3, 4)
        start = day * DAY + 870 * MINUTE
        close = start + count * step - cut
        slots += [Slot(start + k * step, min(start + (k + 1) * step, close), session, close, {}, {}) for k in range(count)]
    return slots


def fill_tape(source: Source, choice: Digits, slots: list[Slot], symbols: tuple[str, ...], tick: float, first: int, quotes: bool) -> None:
    """Put bars and quotes of all symbols into the slots, from `first` ticks on."""
    calm = choice.pick(False, False, False, True)
    for symbol in symbols:
        halted, holes = choice.pick(None, None, None, None, 0, 1, 2, 3), choice.pick(0, 1, 4, 8)
        before = first
        for slot, code in zip(slots, codes(source, len(slots), 3), strict=True):
            bar, quote, before = bar_of(code, before, tick, holes, calm)
            if bar is not None and slot.session != halted:
                slot.bars[symbol] = bar
            if quote is not None and quotes:
                slot.quotes[symbol] = quote


def seen_price(slots: list[Slot], t: int, symbol: str) -> float | None:
    """The close of the symbol's latest bar up to `t`."""
    closes = [slot.bars[symbol].close for slot in slots[: t + 1] if symbol in slot.bars]
    return closes[-1] if closes else None


def signal_of(code: int, slots: list[Slot], tick: float, t: int, strategy: str, symbol: str, rests: bool) -> Signal:
    """One signal at `t`; most stand on the latest close with full quality and no size or guards of their own; `rests`: with levels."""
    digits = Digits(code)
    price = seen_price(slots, t, symbol)
    around = price or 1.0
    action = digits.pick(*ACTIONS)
    up = -tick if action.endswith("short") else tick
    price = digits.pick(*[price] * 13, None, around * 0.75, around * 1.5)
    quality, confidence = digits.pick(*[100.0] * 14, 95.0, 94.875), digits.pick(*[1.0] * 14, 0.5, 0.4375)
    size = digits.pick(*[None] * 11, 1.0, 7.5, 20.0, 0.7, 1e18)
    levels = {
        "stop_loss": digits.pick(None, None, None, None, 0.02),
        "take_profit": digits.pick(None, None, None, None, 0.03),
        "stop_price": digits.pick(None, None, None, around - up, around - 2 * up, around - 4 * up, around * 0.97, around + up),
        "target_price": digits.pick(None, None, None, around, around + up, around + 3 * up, around * 1.04, around - 2 * up),
    }
    if rests:
        ticks = (-9, -3, -2, -1, -1, 0, 1, 1, 2, 3, 9)
        levels |= {name: digits.pick(*[None] * 6, *(max(tick, around + n * tick) for n in ticks)) for name in ("limit", "entry_stop")}
    if action.startswith("exit") and "parts" not in ON:
        levels["limit"] = None
    levels |= {"trailing_stop": digits.pick(*[None] * 7, 0.01), "trailing_amount": digits.pick(*[None] * 6, tick, 3 * tick)}
    levels = {name: level for name, level in levels.items() if level is not None}
    return Signal(t, strategy, symbol, action, price, quality, confidence, size, **levels, tag=f"tag{code % 3}")


def wishes(
    source: Source, choice: Digits, slots: list[Slot], tick: float, strategies: tuple[str, ...], symbols: tuple[str, ...]
) -> list[Signal]:
    """Up to four signals a slot, in no particular order; some entries come with the exit of the other direction."""
    density, rests = choice.pick(4, 7, 10, 13), choice.pick(False, True, True)
    signals = []
    for k, code in enumerate(codes(source, 4 * len(slots), 8)):
        digits = Digits(code)
        if digits.take(16) > 16 - density:
            strategy, symbol, reverses = digits.pick(*strategies), digits.pick(*symbols), digits.pick(False, False, False, True)
            signal = signal_of(digits.code, slots, tick, k // 4, strategy, symbol, rests)
            signals.append(signal)
            if reverses and signal.action in OPPOSITE:
                limit = signal.limit if code % 2 and "parts" in ON else None
                signals.append(Signal(k // 4, strategy, symbol, OPPOSITE[signal.action], signal.price, limit=limit))
    return signals


def directions(choice: Digits) -> dict[str, Any]:
    """Settings of an account that may sell short and borrow, and of bars that meet more than one level."""
    return {
        "allow_short": choice.pick(False, True, True, True),
        "leverage": choice.pick(1.0, 1.0, 2.0, 1.5, 4.0, 100.0),
        "borrow_bps": choice.pick(0.0, 25.0, 730.5),
        "intrabar": choice.pick("pessimistic", "optimistic", "open_to_nearest"),
        "limit_fill": choice.pick("through", "touch"),
    }


def patience(choice: Digits, tick: float) -> dict[str, Any]:
    """Settings of trailing stops, time stops and cooldowns, of every other run."""
    if choice.pick(True, False):
        return {}
    return {
        **choice.pick({}, {}, {}, {"trailing_stop": 0.02}, {"trailing_amount": 2 * tick}),
        "max_hold_bars": choice.pick(None, None, None, 1, 2, 5),
        "max_hold_minutes": choice.pick(None, None, None, 1.0, 2.5, 11.0),
        "cooldown_minutes": choice.pick(0.0, 0.0, 0.0, 1.0, 2.5, 30.0, 2000.0),
    }


def worse(choice: Digits, prices: str, tick: float) -> dict[str, Any]:
    """Slippage beside that in basis points; quotes hold the spread already."""
    spread = choice.pick(0.0, 0.5, 1.0, 0.3)
    return {"tick": tick, "slippage_ticks": choice.pick(0.0, 1.0, 0.5), "slippage_spread": 0.0 if prices == "quote" else spread}


def rules_of(choice: Digits, price: float, prices: str, tick: float) -> Rules:
    """Settings of every kind, at amounts that matter around the price."""
    one = choice.pick
    sizes = {
        "shares": (10.0, 1.0, 30.0, 12.5), "notional": (10 * price, 3.3 * price, 2.2 * price), "equity_fraction": (1.0, 0.5, 0.1, 1.3),
        "risk_fraction": (0.01, 0.001, 0.05),
    }  # fmt: skip
    sizing = one(*sizes)
    fees = one(
        {}, {"per_share": 0.005, "minimum": 1.0, "cap_bps": 100.0}, {"fee_bps": 7.5}, {"per_share": 0.013, "fee_bps": 3.3, "minimum": 0.35}
    )
    free = Rules(
        cash=price * one(1e6, 1000, 100, 45),
        fill=one("next_open", "next_close", "same_close"),
        price=prices,
        sizing=sizing,
        value=one(*sizes[sizing]),
        lot=one(1.0, 0.1, 0.001, 3.0),
        **fees,
        slippage_bps=one(0.0, 1.0, 25.0),
        time_in_force=one("gtc", "day"),
        flat_at_close=one(False, False, True),
        no_entry_minutes=one(0.0, 1.0, 2.5, 7.0),
        stop_loss=one(None, None, 0.01, 0.05),
        take_profit=one(None, None, 0.01, 0.06),
        **directions(choice),
        **patience(choice, tick),
        **worse(choice, prices, tick),
    )
    mood = one("limited", "limited", "crowded", "crowded", "all in", "all in")
    if mood == "crowded":
        return replace(free, cash=1e6 * price, max_open_positions=one(1, 1, 2))
    if mood == "all in":
        fee = fee_of(free, price, 10.0) / 1e6
        cash = one(10, 10.5, 20, 9) * price / one(1.0, free.leverage) + one(0, 1, 2, 3) * fee
        return replace(free, sizing="shares", value=10.0, lot=one(1.0, 10.0), cash=cash)
    amounts = (None, None, None, None, 1000 * price, 40 * price, 20 * price, 10 * price, 8.25 * price)
    return replace(
        free,
        max_buying_power=one(*amounts),
        max_per_trade=one(*amounts),
        max_per_symbol=one(*amounts),
        max_open_positions=one(None, 1, 2, 4),
    )


def actions_of(source: Source, slots: list[Slot], symbols: tuple[str, ...], price: float) -> list[Action]:
    """Up to five corporate actions of a run, on the days of its sessions or between them."""
    choice = Digits(codes(source, 1, 16)[0])
    days, actions = [slot.start // DAY for slot in slots], []
    for _ in range(choice.pick(0, 0, 1, 3, 5)):
        symbol, day = choice.pick(*symbols), choice.pick(*sorted(set(days)), days[-1] - 1)
        ratio, amount = choice.pick(2.0, 0.5, 1.5, 0.1, 7.0 / 3.0, 0.01), choice.pick(0.01, 0.0037, 0.5) * price
        kind = choice.pick("split", "dividend")
        actions.append(Action(symbol, day, kind, ratio if kind == "split" else amount))
    return actions


def scene_of(source: Source) -> Scene:
    """A whole random run of one to five symbols and one to three strategies."""
    (code,) = codes(source, 1, 80)
    choice = Digits(code)
    symbols, strategies = SYMBOLS[: choice.pick(1, 2, 2, 3, 5)], STRATEGIES[: choice.pick(1, 1, 2, 3)]
    prices, tick, first = choice.pick("trade", "trade", "quote"), choice.pick(1.0, 0.01, 0.25), choice.pick(100, 40, 2000)
    slots = clock_of(choice)
    fill_tape(source, choice, slots, symbols, tick, first, quotes=choice.pick(False, True) or prices == "quote")
    signals = at_sessions(source, wishes(source, choice, slots, tick, strategies, symbols))
    actions = actions_of(source, slots, symbols, first * tick)
    rules = charged(rules_of(choice, first * tick, prices, tick), Digits(codes(source, 1, 32)[0]), symbols)
    choice = Digits(codes(source, 1, 32)[0])
    rules, signals = holding(rules, choice, strategies), partly(source, choice, signals, strategies)
    rules, signals = watched(rules, choice, slots), behind(source, signals, tick)
    slots = with_ranges(source, told(source, slots, rules, tick), tick)
    return Scene(symbols, strategies, tuple(slots), tuple(signals), rules, tuple(actions))


def edge_of(source: Source) -> Scene:
    """A random run at one price, 10 shares a signal, with cash and limits that it meets to the last unit, or misses by one fee."""
    scene, (code,) = scene_of(source), codes(source, 1, 8)
    one = Digits(code).pick
    flat = Bar(100.0, 100.0, 100.0, 100.0)
    slots = [
        replace(slot, bars={name: replace(flat, volume=bar.volume) for name, bar in slot.bars.items()}, fine={}) for slot in scene.slots
    ]
    shorts, leverage = scene.rules.allow_short, one(1.0, 2.0, 4.0)
    given = [replace(s, action=s.action if shorts else s.action.replace("short", "long")) for s in scene.signals if s.action != "target"]
    signals = [Signal(s.t, s.strategy, s.symbol, s.action, 100.0, exit_fraction=s.exit_fraction) for s in given]
    free = replace(
        Rules(cash=1e6), fill=scene.rules.fill, value=10.0, minimum=one(1.0, 0.0), per_share=0.25, slippage_bps=one(0.0, 0.0, 50.0)
    )
    free = replace(free, allow_short=shorts, leverage=leverage, max_entries=scene.rules.max_entries)
    fee = fee_of(free, 100.0, 10.0) / 1e6
    edge = one("cash", "cash", "max_buying_power", "max_per_symbol", "max_open_positions")
    least = {"cash": one(1000.0, 2000.0) / leverage + one(0, 1, 2, 3, 4) * fee, "max_open_positions": one(1, 2)}
    scene = replace(scene, actions=())
    return replace(scene, slots=tuple(slots), signals=tuple(signals), rules=replace(free, **{edge: least.get(edge, one(1000.0, 2000.0))}))


def seeded(seed: int, make: Callable[[Source], Scene] = scene_of) -> Scene:
    """The random run of a seed: more happens in it than in most that hypothesis draws, but it cannot be made smaller."""
    return make(Random(seed).randbytes)


def seeds(count: int) -> range:
    """So many seeds: always the same, or new ones where BT_CASES asks for them."""
    return range(FIRST_SEED, FIRST_SEED + count)


def drawn(make: Callable[[Source], Scene]) -> st.SearchStrategy[Scene]:
    """Runs whose bytes hypothesis draws."""

    @st.composite
    def run(draw: st.DrawFn) -> Scene:
        return make(lambda count: draw(st.binary(min_size=count, max_size=count)))

    return run()


def scenes() -> st.SearchStrategy[Scene]:
    """Random runs."""
    return drawn(scene_of)


def edges() -> st.SearchStrategy[Scene]:
    """Random runs whose limits are met to the last unit."""
    return drawn(edge_of)


def long_scene(seed: int) -> Scene:
    """A run of 5 sessions of 120 slots, 8 symbols, 3 strategies and some 3,000 signals, for what only a long run shows."""
    random = Random(seed)
    symbols, slots = tuple("ABCDEFGH"), []
    for session in range(5):
        start = (20_025 + session) * DAY + 870 * MINUTE  # the fourth begins a month
        close = start + 120 * MINUTE
        slots += [Slot(start + k * MINUTE, start + (k + 1) * MINUTE, session, close, {}, {}) for k in range(120)]
    for symbol in symbols:
        before, holes = 400, random.choice([0, 1, 6])
        for slot in slots:
            bar, _, before = bar_of(random.getrandbits(24), before, 0.25, holes, calm=False)
            slot.bars.update({symbol: bar} if bar else {})
    names = [(t, random.choice(STRATEGIES), random.choice(symbols)) for t in range(len(slots)) for _ in range(random.choice([0, 2, 5, 12]))]
    signals = [signal_of(random.getrandbits(64), slots, 0.25, *name, rests=seed % 2 == 0) for name in names]
    free = Rules(cash=1e6, fill=("next_open", "next_close", "same_close")[seed % 3], value=30.0, per_share=0.013, slippage_bps=1.0)
    free = replace(free, allow_short=seed > 0, leverage=(1.0, 1.0, 2.0, 4.0)[seed], borrow_bps=50.0 * seed)
    free = replace(free, stop_loss=0.05, flat_at_close=seed % 2 == 1, **lasting(seed, STRATEGIES))
    rules = charged(free, Digits(random.getrandbits(256)), symbols)
    signals = at_sessions(random.randbytes, partly(random.randbytes, Digits(random.getrandbits(32)), signals, STRATEGIES))
    signals, rules = behind(random.randbytes, signals, 0.25), watched(rules, Digits(random.getrandbits(8)), slots)
    return Scene(symbols, STRATEGIES, tuple(told(random.randbytes, slots, rules, 0.25)), tuple(signals), rules)


def told(source: Source, slots: list[Slot], rules: Rules, tick: float) -> list[Slot]:
    """The slots with what only some rules ask for: mean prices, finer bars."""
    slots = with_means(source, slots) if rules.fill == "next_vwap" else slots
    return with_finer(source, slots, tick) if rules.intrabar == "drill_down" else slots

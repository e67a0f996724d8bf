"""Random runs in which positions grow, shrink and last: signals of one direction, and rules that seldom refuse them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.properties.digits import Digits, Source, codes
from tests.properties.features import ON
from tests.properties.markets import scene_of
from tests.scene import Rules, Scene, Signal


def busy_of(source: Source) -> Scene:
    """A random run whose signals mostly find a position to add to, or to leave in part."""
    scene, (code,) = scene_of(source), codes(source, 1, 32)
    choice = Digits(code)
    pairs = [(strategy, symbol) for strategy in scene.strategies for symbol in scene.symbols]
    sides = {pair: choice.pick("long", "long", "short") if scene.rules.allow_short else "long" for pair in pairs}
    digits = [Digits(code) for code in codes(source, len(scene.signals), 2)]
    signals = [willing(signal, sides[signal.strategy, signal.symbol], own) for signal, own in zip(scene.signals, digits, strict=True)]
    return replace(scene, signals=tuple(signals), rules=lenient(scene, choice))


def willing(signal: Signal, side: str, choice: Digits) -> Signal:
    """The signal with nothing that refuses it, mostly of the pair's side and at the market."""
    keeps_side, rests, own_size, guarded = choice.pick(True, False, False, False), choice.take(3), choice.take(3), choice.take(2)
    action = signal.action if keeps_side or signal.action == "target" else f"{signal.action.split('_')[0]}_{side}"
    target = abs(signal.target) * (1 if side == "long" else -1) if signal.target is not None and not keeps_side else signal.target
    changes: dict[str, Any] = {"action": action, "target": target, "quality": 100.0, "confidence": 1.0}
    if rests:
        changes |= {"limit": None, "entry_stop": None, "entry_trail": None, "entry_trail_amount": None}
    if own_size:
        changes |= {"size": None}
    if guarded:
        changes |= {"stop_price": None, "target_price": None}
    if action.startswith("exit") and signal.on_open and "parts" in ON and choice.take(2):
        changes |= {"exit_fraction": 0.5}  # one that waits over a night, and may be replaced
    return replace(signal, **changes)


def lenient(scene: Scene, choice: Digits) -> Rules:
    """The run's rules with more entries, room for them and time, and seldom a session that ends all."""
    rules, price = scene.rules, max([bar.close for slot in scene.slots for bar in slot.bars.values()], default=100.0)
    free = {
        "max_entries": choice.pick(2, 3, 5) if "parts" in ON else 1,
        "max_open_positions": choice.pick(None, None, 2), "max_per_trade": None, "max_per_symbol": None,
        "max_buying_power": choice.pick(None, None, 100 * price), "cooldown_minutes": 0.0, "no_entry_minutes": 0.0,
        "max_hold_bars": choice.pick(None, None, rules.max_hold_bars),
        "flat_at_close": choice.pick(False, False, False, rules.flat_at_close),
        "time_in_force": choice.pick("gtc", "gtc", "day"),
    }  # fmt: skip
    cash = 1000.0 * price if rules.capital is None and choice.pick(True, False) else rules.cash
    sizing = choice.pick(("shares", 10.0), ("shares", 30.0), ("equity_fraction", 0.1), (rules.sizing, rules.value))
    guards = choice.pick({"stop_loss": None}, {"stop_loss": 0.05, "trailing_stop": None, "trailing_amount": None}, {})
    rungs = {} if rules.scale_out else choice.pick({"take_profit": None}, {})
    size_at = rules.size_at if sizing[0] in ("notional", "equity_fraction") else "decision"
    return replace(rules, cash=cash, sizing=sizing[0], value=sizing[1], size_at=size_at, **free, **guards, **rungs)

"""Random runs whose bars often hold a stop and a target at once, with finer bars that tell which came first, or do not."""

from __future__ import annotations

from dataclasses import replace

from tests.properties.busy import busy_of
from tests.properties.digits import Digits, Source, codes
from tests.properties.features import ON
from tests.properties.markets import told
from tests.scene import Rules, Scene, Signal

AWAY = (-0.03, -0.02, -0.01, -0.005, 0.0, 0.005, 0.01, 0.02, 0.03)


def unsure_of(source: Source) -> Scene:
    """A busy run with guards near the price, and entries that often wait for one."""
    scene, (code,) = busy_of(source), codes(source, 1, 16)
    rules = guarded(scene.rules, Digits(code))
    signals = [waiting(signal, Digits(code)) for signal, code in zip(scene.signals, codes(source, len(scene.signals), 3), strict=True)]
    bare = [replace(slot, fine={}) for slot in scene.slots]
    return replace(scene, slots=tuple(told(source, bare, rules, tick_of(scene))), signals=tuple(signals), rules=rules)


def tick_of(scene: Scene) -> float:
    """The step of the scene's prices."""
    closes = [bar.close for slot in scene.slots for bar in slot.bars.values()]
    return next((tick for tick in (1.0, 0.25) if all(close / tick == close // tick for close in closes)), 0.01)


def guarded(rules: Rules, choice: Digits) -> Rules:
    """The rules with a stop and a target, or rungs, some ticks away."""
    policies = ["pessimistic", "optimistic", "open_to_nearest", *(["drill_down"] * 9 if "drill_down" in ON else [])]
    trailing = choice.pick(None, None, 0.01)
    near = {"stop_loss": choice.pick(0.005, 0.01, 0.03), "take_profit": choice.pick(0.004, 0.01, 0.03)}
    if rules.scale_out:
        near["take_profit"] = None
    intrabar = choice.pick(*policies)
    watch = "trade" if intrabar == "drill_down" else rules.stop_watch
    return replace(rules, intrabar=intrabar, stop_watch=watch, trailing_stop=trailing, trailing_amount=None, **near)


def waiting(signal: Signal, choice: Digits) -> Signal:
    """The signal, an entry of every other one at a stop, a limit or both, about its price; without guards of its own mostly."""
    behind = "trail" if "trailing_entries" in ON else ""
    kind, own = choice.pick("", "stop", "limit", "both", "", behind), choice.pick(False, False, True)
    levels = {name: (signal.price or 1.0) * (1.0 + choice.pick(*AWAY)) for name in ("entry_stop", "limit")}
    wanted = {"entry_stop": kind in ("stop", "both"), "limit": kind in ("limit", "both")}
    rests = {name: level for name, level in levels.items() if wanted[name]} if signal.action.startswith("enter") else {}
    if kind == "trail" and signal.action.startswith("enter"):
        signal = replace(signal, on_open=False, on_close=False, limit=None, entry_stop=None, entry_trail=choice.pick(0.003, 0.01))
    if rests:
        signal = replace(signal, on_open=False, on_close=False, entry_trail=None, entry_trail_amount=None, **rests)
    return signal if own else replace(signal, stop_price=None, target_price=None, stop_loss=None, take_profit=None)

"""Rules of positions of several fills, weights, participation, purses and margin calls, drawn for a random run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.properties.digits import Digits, Source, codes
from tests.properties.features import ON
from tests.scene import Rules, Signal

LADDERS = (
    ((0.01, 0.5), (0.03, 0.5)),
    ((0.004, 0.25), (0.01, 0.25), (0.02, 0.5)),
    ((0.01, 0.3),),
    ((0.0025, 0.1), (0.005, 0.1), (0.05, 0.1)),
    ((0.02, 1.0),),
)
WEIGHTS = (0.0, 0.0, 0.1, 0.25, 0.5, 0.5, 0.3, 1.0, 0.013, -0.1, -0.25, -0.5, -1.0, -0.4, 1.5, -3.0)
FRACTIONS = (None, None, 0.5, 0.25, 1.0 / 3.0, 0.1, 0.9, 1.0, 0.001)
SHARES = ((1.0,), (0.5, 0.5, 1.0), (0.2, 0.8, 0.1), (0.9, 0.05, 3.0))


def holding(rules: Rules, choice: Digits, strategies: tuple[str, ...]) -> Rules:
    """The rules with more entries, rungs, thresholds, participation, purses and margin calls, as far as the engine has them."""
    drawn: dict[str, dict[str, Any]] = {
        "parts": {"max_entries": choice.pick(1, 2, 3, 5)},
        "scale_out": choice.pick({}, {}, {"scale_out": choice.pick(*LADDERS), "take_profit": None}),
        "targets": {"rebalance_threshold": choice.pick(0.0, 0.0, 0.01, 0.1)},
        "participation": {"max_participation": choice.pick(None, None, None, 0.1, 0.05, 0.03, 0.5)},
        "capital": purses_of(rules, choice.pick(None, None, *SHARES), strategies),
        "margin_calls": choice.pick({}, {"margin_call": "liquidate", "maintenance": choice.pick(0.25, 0.5, 0.9, 0.05, 1.0)}),
    }
    known = [settings for name, settings in drawn.items() if name in ON]
    return replace(rules, **{name: value for settings in known for name, value in settings.items()})


def purses_of(rules: Rules, parts: tuple[float, ...] | None, strategies: tuple[str, ...]) -> dict[str, Any]:
    """The cash shared out to the strategies, and its sum."""
    if parts is None:
        return {}
    whole = sum(parts[: len(strategies)] if len(parts) > 1 else [1.0] * len(strategies))
    capital = {name: round(rules.cash * (parts[k] if len(parts) > 1 else 1.0) / whole, 2) for k, name in enumerate(strategies)}
    return {"capital": capital, "cash": round(sum(capital.values()), 2)}


def partly(source: Source, choice: Digits, signals: list[Signal], strategies: tuple[str, ...]) -> list[Signal]:
    """The signals with exits of a part, and with weights in the place of all signals of a strategy, or of some."""
    fractions, weighs = choice.pick(False, True), {name: choice.pick("none", "none", "all", "some") for name in strategies}
    found = []
    for signal, code in zip(signals, codes(source, len(signals), 2), strict=True):
        digits = Digits(code)
        fraction, weight = digits.pick(*FRACTIONS), digits.pick(*WEIGHTS)
        if "targets" in ON and (weighs[signal.strategy] == "all" or (weighs[signal.strategy] == "some" and digits.take(3) == 0)):
            signal = replace(signal, action="target", target=weight)
        elif "parts" in ON and fractions and signal.action.startswith("exit"):
            signal = replace(signal, exit_fraction=fraction)
        found.append(signal)
    return found


def lasting(seed: int, strategies: tuple[str, ...]) -> dict[str, Any]:
    """Settings of the long runs, as far as the engine has them."""
    drawn: dict[str, dict[str, Any]] = {
        "parts": {"max_entries": (1, 3, 2, 4)[seed]},
        "scale_out": {"scale_out": ((), LADDERS[1], (), LADDERS[0])[seed]},
        "participation": {"max_participation": (None, None, 0.1, None)[seed]},
        "capital": {"capital": (None, None, None, dict(zip(strategies, (5e5, 3e5, 2e5), strict=True)))[seed]},
        "margin_calls": {"margin_call": ("reject", "reject", "liquidate", "reject")[seed], "maintenance": 0.45},
    }
    return {name: value for feature, settings in drawn.items() if feature in ON for name, value in settings.items()}

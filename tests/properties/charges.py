"""Rules that differ by symbol, by month or by a bar's volume, drawn for a random run. Never looks at the engine."""

from __future__ import annotations

from dataclasses import replace

from tests.properties.digits import Digits, Source, codes
from tests.properties.features import ON
from tests.scene import Bar, Rules, Slot

TIERS = (
    (),
    ((12.0, 0.009, 1.0),),
    ((0.5, 0.002, 0.0), (25.0, 0.0, 12.5), (26.0, 0.03, 0.0)),
    ((7.0, 0.0, 0.0), (60.0, 0.017, 3.0)),
    ((1000.0, 0.0, 1.0), (1e6, 0.01, 0.0)),
)


def charged(rules: Rules, choice: Digits, symbols: tuple[str, ...]) -> Rules:
    """The rules with lots and ticks of symbols, tiers, impact, mean prices and sizes at the fill, as far as the engine has them."""
    tick = rules.tick
    lots, ticks = (None, None, 1.0, 3.0, 0.1, 10.0), (None, tick, tick / 2, 2 * tick)
    every_other = choice.pick(False, True)
    own = {symbol: (choice.pick(*lots), choice.pick(*ticks)) for symbol in symbols}
    drawn = {
        "instruments": {name: sizes for name, sizes in own.items() if sizes != (None, None)} if every_other else None,
        "tiers": choice.pick((), *TIERS),
        "impact_bps": choice.pick(0.0, 0.0, 1.0, 10.0, 100.0),
    }
    known = {name: value for name, value in drawn.items() if name.split("_")[0] in ON and value}
    at_fill, mean = choice.pick(False, False, True), choice.pick(False, False, False, True)
    if at_fill and "size_at_fill" in ON and rules.sizing in ("notional", "equity_fraction"):
        known["size_at"] = "fill"
    if mean and "next_vwap" in ON and rules.price == "trade":
        known["fill"] = "next_vwap"
    if choice.pick(False, False, True) and "drill_down" in ON:
        known["intrabar"] = "drill_down"
    return replace(rules, **known)


def with_means(source: Source, slots: list[Slot]) -> list[Slot]:
    """The slots with a mean price in most of their bars, now and then one outside of its bar."""
    return [replace(slot, bars={name: with_mean(bar, codes(source, 1, 1)[0]) for name, bar in slot.bars.items()}) for slot in slots]


def with_mean(bar: Bar, code: int) -> Bar:
    inside = [bar.low + part * (bar.high - bar.low) for part in (0.0, 0.3, 0.5, 0.77, 1.0)]
    return replace(bar, vwap=Digits(code).pick(None, *inside, 0.99 * bar.low, 1.01 * bar.high))

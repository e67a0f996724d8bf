"""Rules that differ by symbol, by month or by a bar's volume, drawn for a random run. Never looks at the engine."""

from __future__ import annotations

from typing import Any

from tests.properties.digits import Digits
from tests.properties.features import ON

TIERS = (
    (),
    ((12.0, 0.009, 1.0),),
    ((0.0, 0.002, 0.0), (25.0, 0.0, 12.5), (26.0, 0.03, 0.0)),
    ((7.0, 0.0, 0.0), (60.0, 0.017, 3.0)),
    ((1000.0, 0.0, 1.0), (1e6, 0.01, 0.0)),
)


def charges_of(choice: Digits, symbols: tuple[str, ...], tick: float) -> dict[str, Any]:
    """Lots and ticks of single symbols, tiers of the commission and impact, as far as the engine has them."""
    lots, ticks = (None, None, 1.0, 3.0, 0.1, 10.0), (None, tick, tick / 2, 2 * tick)
    every_other = choice.pick(False, True)
    own = {symbol: (choice.pick(*lots), choice.pick(*ticks)) for symbol in symbols}
    drawn = {
        "instruments": {name: sizes for name, sizes in own.items() if sizes != (None, None)} if every_other else None,
        "tiers": choice.pick((), *TIERS),
        "impact_bps": choice.pick(0.0, 0.0, 1.0, 10.0, 100.0),
    }
    return {name: value for name, value in drawn.items() if name.split("_")[0] in ON and value}

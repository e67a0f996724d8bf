"""The strategies that come with the program: one file each, loaded by name when asked for."""

from __future__ import annotations

BUILT_IN = {
    "buy_and_hold": "backtester.signals.strategies.buy_and_hold:BuyAndHold",
    "cross_sectional_momentum": "backtester.signals.strategies.cross_sectional_momentum:CrossSectionalMomentum",
    "opening_range_breakout": "backtester.signals.strategies.opening_range_breakout:OpeningRangeBreakout",
    "rsi_reversion": "backtester.signals.strategies.rsi_reversion:RsiReversion",
    "sma_crossover": "backtester.signals.strategies.sma_crossover:SmaCrossover",
    "vwap_reversion": "backtester.signals.strategies.vwap_reversion:VwapReversion",
}

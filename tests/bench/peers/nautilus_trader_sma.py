"""SMA 5/20 with nautilus_trader: one strategy over all bars, its compiled indicators, logging, risk checks and analysis off.

An order sent on a bar fills at that bar's close: its engine fills at the next open only where a second record a bar is fed, which
takes longer, so this is its quickest form. Usage: python nautilus_trader_sma.py FOLDER. FOLDER holds one Parquet file a symbol.
Prints one line of JSON.
"""

import json
import sys
import time
from decimal import Decimal
from pathlib import Path

import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, RiskEngineConfig, StrategyConfig
from nautilus_trader.indicators import SimpleMovingAverage
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.trading.strategy import Strategy

MINUTE_NS = 60_000_000_000


class State:
    def __init__(self, instrument_id):
        self.instrument_id = instrument_id
        self.fast, self.slow = SimpleMovingAverage(5), SimpleMovingAverage(20)
        self.before = None
        self.held = False


class Cross(Strategy):
    def __init__(self, bar_types):
        super().__init__(StrategyConfig())
        self.states = {bar_type: State(bar_type.instrument_id) for bar_type in bar_types}
        self.lot = Quantity.from_int(100)

    def on_start(self):
        for bar_type, state in self.states.items():
            self.register_indicator_for_bars(bar_type, state.fast)
            self.register_indicator_for_bars(bar_type, state.slow)
            self.subscribe_bars(bar_type)

    def on_bar(self, bar):
        state = self.states[bar.bar_type]
        if not state.slow.initialized:
            return
        now = state.fast.value - state.slow.value
        before, state.before = state.before, now
        if before is None:
            return
        if now > 0 and before <= 0 and not state.held:
            self.trade(state, OrderSide.BUY)
        elif now < 0 and before >= 0 and state.held:
            self.trade(state, OrderSide.SELL)

    def trade(self, state, side):
        state.held = side == OrderSide.BUY
        self.submit_order(self.order_factory.market(state.instrument_id, side, self.lot))


def main():
    started = time.perf_counter()
    quiet = BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), risk_engine=RiskEngineConfig(bypass=True), run_analysis=False)
    engine = BacktestEngine(quiet)
    engine.add_venue(Venue("SIM"), OmsType.NETTING, AccountType.CASH, [Money(100_000_000, USD)], base_currency=USD)
    bar_types, bars = [], 0
    for path in sorted(Path(sys.argv[1]).glob("*.parquet")):
        instrument_id = InstrumentId(Symbol(path.stem), Venue("SIM"))
        tick, lot = Price.from_str("0.01"), Quantity.from_int(1)
        equity = Equity(instrument_id, Symbol(path.stem), USD, 2, tick, lot, 0, 0, maker_fee=Decimal(0), taker_fee=Decimal(0))
        engine.add_instrument(equity)
        frame = pd.read_parquet(path, columns=["ts", "open", "high", "low", "close", "volume"]).set_index("ts")
        bar_types.append(BarType.from_str(f"{instrument_id}-1-MINUTE-LAST-EXTERNAL"))
        engine.add_data(BarDataWrangler(bar_types[-1], equity).process(frame, ts_init_delta=MINUTE_NS), validate=False)
        bars += len(frame)
    strategy = Cross(bar_types)
    engine.add_strategy(strategy)
    loaded = time.perf_counter()
    engine.run()
    done = time.perf_counter()
    print(json.dumps({"fills": len(engine.cache.orders_closed()), "bars": bars, "load": loaded - started, "first": done - loaded}))


main()

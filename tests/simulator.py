"""The slow, obvious simulator: one bar at a time, the judge of the fast kernel.

Written from SPEC.md sections 11 to 13 and docs/execution.md alone; it shares no code with the engine. Money is an int of
1e-6 currency, prices and quantities are floats, and a run is a loop over slots that does the page's seven steps in order.
Never fast, never clever: where a rule can be said in a loop over everything, it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.scene import Bar, Order, Result, Rules, Scene, Signal

SYNTHETIC_QUOTE = "synthetic_quote"
STALE_CLOSE = "stale_close"
MOST_LOTS = 2**53


@dataclass
class Position:
    """What one strategy holds of one symbol, with its protective orders and the extremes seen."""

    strategy: str
    symbol: str
    trade_id: int
    quantity: float
    price: float
    value: int
    fee: int
    slot: int
    at: str
    lowest: float
    highest: float
    stop: Order | None = None
    target: Order | None = None


def money(amount: float) -> int:
    """Currency to 1e-6 currency, half to even."""
    return round(amount * 1e6)


def value_of(price: float, quantity: float) -> int:
    """Value of a quantity at a price, as money."""
    return round(price * quantity * 1e6)


def fee_of(rules: Rules, price: float, quantity: float) -> int:
    """Commission of one fill, as money."""
    fee = rules.per_share * quantity + (price * quantity) * rules.fee_bps / 10000.0
    fee = max(fee, rules.minimum)
    if rules.cap_bps is not None:
        fee = min(fee, (price * quantity) * rules.cap_bps / 10000.0)
    return round(fee * 1e6)


def most_lots(lot: float, limit: int, cost: Callable[[float], int]) -> int:
    """The most lots whose cost is not above the limit, by halving; cost never falls as the quantity grows."""
    most, too_many = 0, MOST_LOTS + 1
    while too_many - most > 1:
        middle = (most + too_many) // 2
        if cost(middle * lot) <= limit:
            most = middle
        else:
            too_many = middle
    return most


class Simulator:
    """One run: a scene in, `Result` out."""

    def __init__(self, scene: Scene) -> None:
        self.slots, self.strategies, self.signals, self.rules = scene.slots, scene.strategies, scene.signals, scene.rules
        self.cash = money(self.rules.cash)
        self.positions: dict[tuple[str, str], Position] = {}
        self.waiting: list[Order] = []
        self.last_close: dict[str, float] = {}
        self.round_trips = 0
        self.result = Result()

    def run(self) -> Result:
        """The seven steps at every slot."""
        for t in range(len(self.slots)):
            if self.rules.fill == "next_open":
                self.fill_waiting(t, "open")
            self.look_inside(t)
            if self.rules.fill != "next_open":
                self.fill_waiting(t, "close")
            if self.rules.flat_at_close:
                self.flatten(t)
            for symbol, bar in self.slots[t].bars.items():
                self.last_close[symbol] = bar.close
            for signal in self.signals_at(t):
                self.decide(t, signal)
            if self.rules.flat_at_close:
                self.flatten(t)
            self.mark(t)
            if self.is_session_end(t):
                self.expire(t)
        self.end()
        return self.result

    # What the market says

    def rank(self, item: Any) -> tuple[bool, int, str, bool]:
        """Order of acting: exits, then entries; strategies as configured; symbols by name; long before short."""
        action = getattr(item, "action", "")
        entry = getattr(item, "side", "") == "buy" or action.startswith("enter")
        return entry, self.strategies.index(item.strategy), item.symbol, action.endswith("short")

    def signals_at(self, t: int) -> list[Signal]:
        return sorted((s for s in self.signals if s.t == t), key=self.rank)

    def fillable(self, t: int, symbol: str) -> Bar | None:
        bar = self.slots[t].bars.get(symbol)
        return bar if bar is not None and bar.volume > 0 else None

    def is_session_end(self, t: int) -> bool:
        return t + 1 == len(self.slots) or self.slots[t + 1].session != self.slots[t].session

    def is_last_fillable(self, t: int, symbol: str) -> bool:
        later = [u for u in range(t + 1, len(self.slots)) if self.slots[u].session == self.slots[t].session]
        return self.fillable(t, symbol) is not None and not any(self.fillable(u, symbol) for u in later)

    def price_at(self, t: int, symbol: str, side: str, at: str) -> tuple[float, list[str]]:
        """Price before slippage at the bar's open or close, and the flags it brings."""
        bar = self.slots[t].bars[symbol]
        trade = bar.open if at == "open" else bar.close
        if self.rules.price == "trade":
            return trade, []
        quote = self.slots[t].quotes.get(symbol)
        if quote is None:
            return trade, [SYNTHETIC_QUOTE]
        return getattr(quote, f"{'ask' if side == 'buy' else 'bid'}_{at}"), []

    def slipped(self, price: float, side: str) -> float:
        return price * (1.0 + (1 if side == "buy" else -1) * (self.rules.slippage_bps / 10000.0))

    # What the account says

    def waiting_exit(self, position: Position) -> Order | None:
        key = (position.strategy, position.symbol)
        return next((o for o in self.waiting if o.side == "sell" and (o.strategy, o.symbol) == key), None)

    def entries(self) -> list[Order]:
        return [o for o in self.waiting if o.side == "buy"]

    def mark_of(self, position: Position) -> int:
        return value_of(self.last_close[position.symbol], position.quantity)

    def marks(self) -> int:
        return sum(self.mark_of(p) for p in self.positions.values())

    def staying(self) -> list[Position]:
        """Positions that no waiting exit will close."""
        return [p for p in self.positions.values() if self.waiting_exit(p) is None]

    # Decisions

    def decide(self, t: int, signal: Signal) -> None:
        row: dict[str, Any] = {"signal": signal, "quantity": 0.0, "reason": "", "order": None, "cut": False}
        self.result.decisions.append(row)
        row["reason"] = self.entry(t, signal, row) if signal.action.startswith("enter") else self.exit(signal, row)
        row["approved"] = row["reason"] in ("approved", "max_per_trade")
        if not row["approved"]:
            return
        buys = signal.action == "enter_long"
        order = self.make(self.slots[t].end, signal, "buy" if buys else "sell", "market", row["quantity"], signal.price)
        order.signal, order.decision, row["order"] = signal, row, order
        if buys:
            order.value = value_of(signal.price, order.quantity)
            order.fee = fee_of(self.rules, signal.price, order.quantity)
        self.waiting.append(order)
        if self.rules.fill == "same_close" and self.fillable(t, signal.symbol):
            self.fill_order(t, order, "close")

    def exit(self, signal: Signal, row: dict[str, Any]) -> str:
        position = self.positions.get((signal.strategy, signal.symbol))
        if signal.action == "exit_short" or position is None or self.waiting_exit(position):
            return "no_position"
        row["quantity"] = position.quantity
        return "approved"

    def entry(self, t: int, signal: Signal, row: dict[str, Any]) -> str:
        rules, slot = self.rules, self.slots[t]
        key = (signal.strategy, signal.symbol)
        if signal.action == "enter_short":
            return "short_not_allowed"
        if signal.price is None:
            return "no_bar_to_fill"
        if signal.quality < rules.min_quality:
            return "low_quality"
        if signal.confidence < rules.min_confidence:
            return "low_confidence"
        if self.is_session_end(t) and self.only_this_session():
            return "session_closed"
        if rules.flat_at_close and slot.end > slot.session_close - round(rules.no_entry_minutes * 60e6):
            return "after_last_entry"
        if key in self.positions or any((o.strategy, o.symbol) == key for o in self.entries()):
            return "already_in_position"
        if rules.max_open_positions is not None and len(self.staying()) + len(self.entries()) >= rules.max_open_positions:
            return "max_open_positions"
        return self.sized(signal, signal.price, row)

    def only_this_session(self) -> bool:
        """An order made now could not fill, or not stay, beyond this session."""
        if self.rules.fill == "same_close":
            return self.rules.flat_at_close
        return self.rules.flat_at_close or self.rules.time_in_force == "day"

    def sized(self, signal: Signal, price: float, row: dict[str, Any]) -> str:
        rules = self.rules
        lots = self.wanted_lots(signal, price)
        if lots >= 1 and rules.max_per_trade is not None and value_of(price, lots * rules.lot) > money(rules.max_per_trade):
            lots, row["cut"] = most_lots(rules.lot, money(rules.max_per_trade), lambda q: value_of(price, q)), True
        if lots < 1:
            return "below_lot"
        quantity = row["quantity"] = lots * rules.lot
        value, fee, symbol = value_of(price, quantity), fee_of(rules, price, quantity), signal.symbol
        committed = [(p.symbol, self.mark_of(p)) for p in self.staying()] + [(o.symbol, o.value) for o in self.entries()]
        if rules.max_per_symbol is not None and value + sum(v for name, v in committed if name == symbol) > money(rules.max_per_symbol):
            return "max_per_symbol"
        if rules.max_buying_power is not None and value + sum(v for _, v in committed) > money(rules.max_buying_power):
            return "max_buying_power"
        if value + fee > self.cash - sum(o.value + o.fee for o in self.entries()) + self.expected_proceeds():
            return "insufficient_cash"
        return "max_per_trade" if row["cut"] else "approved"

    def wanted_lots(self, signal: Signal, price: float) -> int:
        rules = self.rules
        if signal.size is not None or rules.sizing == "shares":
            shares = rules.value if signal.size is None else signal.size
            return min(MOST_LOTS, int((shares / rules.lot + 1e-9) // 1))
        if rules.sizing == "notional":
            return most_lots(rules.lot, money(rules.value), lambda q: value_of(price, q))
        limit = round(rules.value * (self.cash + self.marks()))
        return most_lots(rules.lot, limit, lambda q: value_of(price, q) + fee_of(rules, price, q))

    def expected_proceeds(self) -> int:
        leaving = [p for p in self.positions.values() if self.waiting_exit(p)]
        return sum(self.mark_of(p) - fee_of(self.rules, self.last_close[p.symbol], p.quantity) for p in leaving)

    # Orders

    def make(
        self, ts: int, owner: Signal | Position, side: str, kind: str, quantity: float, seen: float | None, level: float | None = None
    ) -> Order:
        order = Order(len(self.result.orders) + 1, owner.strategy, owner.symbol, side, kind, quantity, ts, seen, level)
        self.result.orders.append(order)
        return order

    def resolve(self, t: int, order: Order | None, status: str, reason: str = "") -> None:
        if order is None:
            return
        order.status, order.reason, order.resolved = status, reason, t
        if reason == "expired" or (reason and order.side == "buy"):
            order.decision["reason"] = reason
        if order in self.waiting:
            self.waiting.remove(order)

    def fill_waiting(self, t: int, at: str) -> None:
        for order in sorted(self.waiting, key=self.rank):
            if self.fillable(t, order.symbol):
                self.fill_order(t, order, at)

    def fill_order(self, t: int, order: Order, at: str) -> None:
        price, flags = self.price_at(t, order.symbol, order.side, at)
        if order.side == "buy":
            self.open_position(t, order, at, price, flags)
        else:
            self.close_position(t, self.positions[order.strategy, order.symbol], order, at, price, "signal", flags)

    def open_position(self, t: int, order: Order, at: str, seen: float, flags: list[str]) -> None:
        rules, price, quantity = self.rules, self.slipped(seen, "buy"), order.quantity
        if rules.max_open_positions is not None and len(self.positions) >= rules.max_open_positions:
            return self.resolve(t, order, "cancelled", "max_open_positions")
        if value_of(price, quantity) + fee_of(rules, price, quantity) > self.cash:
            lots = most_lots(rules.lot, self.cash, lambda q: value_of(price, q) + fee_of(rules, price, q))
            quantity = lots * rules.lot
            self.resolve(t, order, "partial" if lots else "cancelled", "insufficient_cash")
            if not lots:
                return None
        else:
            self.resolve(t, order, "filled")
        row = self.fill(t, order, quantity, seen, price, flags)
        self.cash -= row["value"] + row["fee"]
        self.round_trips += 1
        position = Position(order.strategy, order.symbol, self.round_trips, quantity, price, row["value"], row["fee"], t, at, price, price)
        self.positions[order.strategy, order.symbol] = position
        self.protect(t, position, order.signal)

    def protect(self, t: int, position: Position, signal: Signal) -> None:
        """The position's stop and target: a price wins over a fraction, the signal over the config."""
        loss = signal.stop_loss if signal.stop_loss is not None else self.rules.stop_loss
        profit = signal.take_profit if signal.take_profit is not None else self.rules.take_profit
        stop, target = signal.stop_price, signal.target_price
        if stop is None and loss is not None:
            stop = position.price * (1.0 - loss)
        if target is None and profit is not None:
            target = position.price * (1.0 + profit)
        ts = self.slots[t].start if position.at == "open" else self.slots[t].end
        if stop is not None:
            position.stop = self.make(ts, position, "sell", "stop", position.quantity, signal.price, stop)
        if target is not None:
            position.target = self.make(ts, position, "sell", "target", position.quantity, signal.price, target)

    def close_position(self, t: int, position: Position, order: Order, at: str, seen: float, why: str, flags: list[str]) -> None:
        price = seen if order.type == "target" else self.slipped(seen, "sell")
        self.resolve(t, order, "filled")
        for other in (position.stop, position.target):
            if other is not order:
                self.resolve(t, other, "cancelled", "oco" if order.type in ("stop", "target") else "position_closed")
        if order.type != "market":
            self.resolve(t, self.waiting_exit(position), "cancelled", "flat_at_close" if order.type == "close" else "position_closed")
        row = self.fill(t, order, position.quantity, seen, price, flags)
        self.cash += row["value"] - row["fee"]
        del self.positions[position.strategy, position.symbol]
        position.lowest, position.highest = min(position.lowest, price), max(position.highest, price)
        if at == "close":
            self.see_range(t, position)
        self.trade(position, row["value"], row["fee"], t, price, why)

    def fill(self, t: int, order: Order, quantity: float, seen: float, price: float, flags: list[str]) -> dict[str, Any]:
        row = {
            "order": order, "t": t, "quantity": quantity, "price": price, "value": value_of(price, quantity),
            "fee": fee_of(self.rules, price, quantity), "slippage": value_of(abs(price - seen), quantity),
            "ambiguous": "ambiguous" in flags, "flags": [f for f in flags if f != "ambiguous"],
        }  # fmt: skip
        self.result.fills.append(row)
        return row

    def trade(self, position: Position, exit_value: int, exit_fee: int, t: int, price: float, why: str) -> None:
        pnl = exit_value - position.value - position.fee - exit_fee
        self.result.trades.append({
            "trade_id": position.trade_id, "strategy": position.strategy, "symbol": position.symbol, "quantity": position.quantity,
            "entry": position.slot, "entry_price": position.price, "exit": t, "exit_price": price,
            "pnl": pnl, "return": pnl / position.value, "fees": position.fee + exit_fee, "bars": t - position.slot,
            "mae": position.lowest / position.price - 1.0, "mfe": position.highest / position.price - 1.0,
            "exit_reason": why, "is_open": not why,
        })  # fmt: skip

    def look_inside(self, t: int) -> None:
        for position in sorted(self.positions.values(), key=self.rank):
            bar = self.fillable(t, position.symbol)
            if bar is None:
                continue
            stop, target = position.stop, position.target
            fresh = position.slot == t
            past = target is not None and (bar.open > target.level if fresh else bar.open >= target.level)
            low = stop is not None and bar.low <= stop.level
            high = target is not None and bar.high > target.level
            if stop is not None and bar.open <= stop.level:
                self.close_position(t, position, stop, "inside", bar.open, "stop", [])
            elif past:
                self.close_position(t, position, target, "inside", bar.open, "target", [])
            elif low:
                self.close_position(t, position, stop, "inside", stop.level, "stop", ["ambiguous"] if high else [])
            elif high:
                self.close_position(t, position, target, "inside", target.level, "target", [])

    def flatten(self, t: int) -> None:
        for position in sorted(self.positions.values(), key=self.rank):
            if self.is_last_fillable(t, position.symbol):
                last = self.slots[t].bars[position.symbol].close
                order = self.make(self.slots[t].end, position, "sell", "close", position.quantity, last)
                price, flags = self.price_at(t, position.symbol, "sell", "close")
                stale = [] if self.is_session_end(t) else [STALE_CLOSE]
                self.close_position(t, position, order, "close", price, "flat_at_close", flags + stale)

    def see_range(self, t: int, position: Position) -> None:
        """The bar's whole range belongs to the position unless it was entered at this bar's close."""
        bar = self.slots[t].bars.get(position.symbol)
        if bar and (position.slot < t or position.at == "open"):
            position.lowest, position.highest = min(position.lowest, bar.low), max(position.highest, bar.high)

    def mark(self, t: int) -> None:
        for position in self.positions.values():
            self.see_range(t, position)
        if self.slots[t].bars:
            self.result.equity.append({"t": t, "cash": self.cash, "marks": self.marks(), "equity": self.cash + self.marks()})

    def expire(self, t: int) -> None:
        for order in list(self.waiting):
            if self.rules.time_in_force == "day" or (self.rules.flat_at_close and order.side == "buy"):
                self.resolve(t, order, "expired", "expired")

    def end(self) -> None:
        for order in self.waiting:
            order.reason = order.decision["reason"] = "no_bar_to_fill"
        for position in sorted(self.positions.values(), key=lambda p: p.trade_id):
            self.trade(position, self.mark_of(position), 0, len(self.slots) - 1, self.last_close[position.symbol], "")
        self.result.cash = self.cash


def simulate(scene: Scene) -> Result:
    """Run the rules of docs/execution.md over the scene, slowly."""
    return Simulator(scene).run()

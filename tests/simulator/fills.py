"""Orders become positions, positions become trades: one fill at a time."""

from __future__ import annotations

from typing import Any

from tests.scene import Order, Signal
from tests.simulator.account import Position
from tests.simulator.amounts import money, most_lots, value_of
from tests.simulator.sizes import Sizer, trail_of
from tests.simulator.view import Stopped

UNSLIPPED = ("target", "limit", "stop_limit")
EXIT_REASONS = {"stop": "stop", "trailing": "trailing", "target": "target", "close": "flat_at_close", "time": "time_stop"}


class Desk(Sizer):
    """An account that fills orders."""

    def fill_market(self, t: int, order: Order, at: str) -> None:
        """Fill a market order (or a time stop's) at the bar's open or close, with `next_vwap` at its mean price."""
        if self.rules.fill == "next_vwap" and order.type not in ("market_on_open", "market_on_close"):
            price, flags = self.mean_price(t, order.symbol)
        else:
            price, flags = self.price_at(t, order.symbol, order.side, at)
        self.fill_order(t, order, at, price, flags)

    def fill_order(self, t: int, order: Order, at: str, seen: float, flags: list[str]) -> Position | None:
        """Fill at the price seen (before slippage); the position that an entry opened, or None."""
        if order.role == "entry":
            return self.open_position(t, order, at, seen, flags)
        self.close_position(t, self.positions[order.strategy, order.symbol], order, at, seen, flags)
        return None

    def fill(self, t: int, order: Order, quantity: float, seen: float, price: float, flags: list[str]) -> dict[str, Any]:
        if price <= 0.0:
            raise Stopped(f"order {order.order_id} in slot {t}")
        row = {
            "order": order, "t": t, "quantity": quantity, "price": price, "value": value_of(price, quantity),
            "fee": self.fee(price, quantity), "slippage": value_of(abs(price - seen), quantity),
            "ambiguous": "ambiguous" in flags, "flags": [f for f in flags if f != "ambiguous"],
        }  # fmt: skip
        self.result.fills.append(row)
        self.moved += quantity
        self.cash += (row["value"] if order.side == "sell" else -row["value"]) - row["fee"]
        return row

    def price_of(self, t: int, order: Order, at: str, seen: float, quantity: float) -> tuple[float, list[str]]:
        """What so much of an order fills at where its price is seen, and the flags it brings."""
        return (seen, []) if order.type in UNSLIPPED else self.slipped(t, order.symbol, order.side, at, seen, quantity)

    # Entries

    def open_position(self, t: int, order: Order, at: str, seen: float, flags: list[str]) -> Position | None:
        rules, lot = self.rules, self.lot_of(order.symbol)
        if rules.max_open_positions is not None and len(self.positions) >= rules.max_open_positions:
            self.resolve(t, order, "cancelled", "max_open_positions")
            return None
        if not self.resize(t, order, at, seen):
            self.resolve(t, order, "cancelled", "below_lot")
            return None
        quantity = order.quantity
        price, more = self.price_of(t, order, at, seen, quantity)
        if self.affordable(price, quantity):
            self.resolve(t, order, "filled")
        else:
            quantity = lot * most_lots(lot, lambda q: self.affordable(price, q))
            self.resolve(t, order, "partial" if quantity else "cancelled", "insufficient_cash")
            if not quantity:
                return None
        row = self.fill(t, order, quantity, seen, price, flags + more)
        self.round_trips += 1
        position = Position(
            order.strategy, order.symbol, 1 if order.side == "buy" else -1, self.round_trips, quantity, price, row["value"], row["fee"],
            t, at, price, price,
        )  # fmt: skip
        self.positions[order.strategy, order.symbol] = position
        self.protect(t, position, order.signal)
        return position

    def resize(self, t: int, order: Order, at: str, seen: float) -> bool:
        """Work out the size of an entry anew where that is done at the fill: at the fill's price without impact; False: no lot."""
        rules, signal, lot = self.rules, order.signal, self.lot_of(order.symbol)
        if rules.size_at != "fill" or signal.size is not None or rules.sizing not in ("notional", "equity_fraction"):
            return True
        price, _ = self.price_of(t, order, at, seen, 0.0)
        if price <= 0.0:
            raise Stopped(f"size of order {order.order_id} in slot {t}")
        lots = self.wanted_lots(signal, price)
        if rules.max_per_trade is not None and value_of(price, lots * lot) > money(rules.max_per_trade):
            lots = most_lots(lot, lambda q: value_of(price, q) <= money(rules.max_per_trade))
        if lots >= 1:
            order.quantity = order.decision["quantity"] = lots * lot
        return lots >= 1

    def affordable(self, price: float, quantity: float) -> bool:
        """All positions and this one are within the power of the equity after the fee."""
        fee = self.fee(price, quantity)
        return self.gross() + value_of(price, quantity) <= self.power(self.equity() - fee)

    def protect(self, t: int, position: Position, signal: Signal) -> None:
        """The position's stop (or trailing stop) and target: a price wins over a fraction, the signal over the config."""
        rules, d = self.rules, position.direction
        loss = signal.stop_loss if signal.stop_loss is not None else rules.stop_loss
        profit = signal.take_profit if signal.take_profit is not None else rules.take_profit
        stop, target, kind = signal.stop_price, signal.target_price, "stop"
        if stop is None and loss is not None:
            stop = position.price * (1.0 - d * loss)
        if target is None and profit is not None:
            target = position.price * (1.0 + d * profit)
        position.trail_amount, position.trail_by = trail_of(rules, signal)
        if position.trail_by is not None or position.trail_amount is not None:
            stop, kind = self.tighter(position, self.trailed(position, position.price), stop), "trailing"
        ts = self.slots[t].end if position.at == "close" else self.slots[t].start
        side, quantity, seen = position.exit_side, position.quantity, signal.price
        if stop is not None:
            position.stop = self.make(ts, position, "exit", side, kind, quantity, seen, stop=stop)
        if target is not None:
            position.target = self.make(ts, position, "exit", side, "target", quantity, seen, limit=target)

    def trailed(self, position: Position, price: float) -> float:
        """The level of a trailing stop behind a price; the amount wins."""
        if position.trail_amount is not None:
            return price - position.direction * position.trail_amount
        return price * (1.0 - position.direction * position.trail_by)

    def tighter(self, position: Position, level: float, other: float | None) -> float:
        if other is None:
            return level
        return max(level, other) if position.direction == 1 else min(level, other)

    # Exits

    def close_position(self, t: int, position: Position, order: Order, at: str, seen: float, flags: list[str]) -> None:
        (price, more), guards = self.price_of(t, order, at, seen, position.quantity), (position.stop, position.target)
        is_guard = any(order is guard for guard in guards)
        self.resolve(t, order, "filled")
        for guard in guards:
            if guard is not order:
                self.resolve(t, guard, "cancelled", "oco" if is_guard else "position_closed")
        self.resolve(t, self.waiting_exit(position), "cancelled", "flat_at_close" if order.type == "close" else "position_closed")
        row = self.fill(t, order, position.quantity, seen, price, flags + more)
        del self.positions[position.strategy, position.symbol]
        self.closed_in[position.strategy, position.symbol] = t
        position.lowest, position.highest = min(position.lowest, price), max(position.highest, price)
        if at == "close":
            self.see_range(t, position)
        self.trade(position, row["value"], row["fee"], t, price, EXIT_REASONS.get(order.type, "signal"))

    def see_range(self, t: int, position: Position) -> None:
        """The bar's whole range belongs to the position unless it was entered at this bar's close."""
        bar = self.slots[t].bars.get(position.symbol)
        if bar and (position.slot < t or position.at != "close"):
            position.lowest, position.highest = min(position.lowest, bar.low), max(position.highest, bar.high)

    def trade(self, position: Position, exit_value: int, exit_fee: int, t: int, price: float, why: str) -> None:
        costs = position.fee + exit_fee + position.borrow
        pnl = position.direction * (exit_value - position.value) - costs + position.income
        moves = [position.direction * (extreme / position.price - 1.0) + 0.0 for extreme in (position.lowest, position.highest)]
        self.result.trades.append({
            "trade_id": position.trade_id, "strategy": position.strategy, "symbol": position.symbol,
            "direction": "long" if position.direction == 1 else "short", "quantity": position.quantity,
            "entry": position.slot, "entry_price": position.price, "exit": t, "exit_price": price,
            "pnl": pnl, "return": pnl / position.value, "fees": costs, "borrow": position.borrow,
            "dividends": position.income, "bars": t - position.slot,
            "mae": min(moves), "mfe": max(moves), "exit_reason": why, "is_open": not why,
        })  # fmt: skip

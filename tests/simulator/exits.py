"""Fills, and what leaves a position: the whole of it, or a part that becomes a trade of its own."""

from __future__ import annotations

from dataclasses import replace
from math import floor
from typing import Any

from tests.scene import Order
from tests.simulator.account import Position
from tests.simulator.amounts import value_of
from tests.simulator.sizes import Sizer
from tests.simulator.view import OVER_PARTICIPATION, Stopped

UNSLIPPED = ("target", "limit", "stop_limit")
STOPS = ("stop", "trailing")
EXIT_REASONS = {
    "stop": "stop", "trailing": "trailing", "target": "target", "close": "flat_at_close", "time": "time_stop", "margin_call": "margin_call",
}  # fmt: skip


Other = tuple[Order, float]
"""A guard that did not fill, and the price before slippage that it would have had."""


class Leaver(Sizer):
    """An account whose positions can be left."""

    def fill(self, t: int, order: Order, quantity: float, seen: float, price: float, flags: list[str]) -> dict[str, Any]:
        if price <= 0.0:
            raise Stopped(f"order {order.order_id} in slot {t}")
        row = {
            "order": order, "t": t, "quantity": quantity, "price": price, "value": value_of(price, quantity),
            "fee": self.fee(price, quantity), "slippage": value_of(abs(price - seen), quantity),
            "ambiguous": "ambiguous" in flags, "flags": [f for f in flags if f != "ambiguous"], "other": None, "other_type": None,
        }  # fmt: skip
        self.result.fills.append(row)
        self.moved += quantity
        if order.type != "close":
            self.used[order.symbol] = self.used.get(order.symbol, 0) + self.lots_of(order.symbol, quantity)
        self.take(order.strategy, (row["value"] if order.side == "sell" else -row["value"]) - row["fee"])
        order.filled = self.in_lots(order.symbol, order.filled, quantity)
        return row

    def price_of(self, t: int, order: Order, at: str, seen: float, quantity: float) -> tuple[float, list[str]]:
        """What so much of an order fills at where its price is seen, and the flags it brings."""
        return (seen, []) if order.type in UNSLIPPED else self.slipped(t, order.symbol, order.side, at, seen, quantity)

    def leave(self, t: int, position: Position, order: Order, at: str, seen: float, flags: list[str], other: Other | None = None) -> None:
        """An exit fills: what it was made for, at most the position, and what the bar can fill; `other`: the guard that might have been."""
        wanted = position.quantity if order.type == "close" else self.to_sell(position, order)
        quantity, over = self.allowed(t, order, wanted)
        flags = flags + over
        if quantity == 0.0:
            return self.find_nothing(t, order)
        price, more = self.price_of(t, order, at, seen, quantity)
        row = self.fill(t, order, quantity, seen, price, flags + more)
        if row["ambiguous"]:
            row["other"], row["other_type"] = self.otherwise(t, order.symbol, other, quantity)
        if quantity < position.quantity:
            self.leave_part(t, position, row, at)
            if quantity == wanted:
                self.resolve(t, order, "filled")
                position.targets = [target for target in position.targets if target is not order]
            else:
                self.work_on(t, position, order)
            self.follow(position)
        else:
            self.end_orders(t, position, order)
            del self.positions[position.strategy, position.symbol]
            self.closed_in[position.strategy, position.symbol] = t
            self.trade(self.with_last_prices(t, position, price, at), order, row["value"], row["fee"], t, price)
        return None

    def otherwise(self, t: int, symbol: str, other: Other | None, quantity: float) -> tuple[float, str]:
        """The price that the other guard would have had, or the bar's close where the position would have been held."""
        if other is None:
            return self.slots[t].bars[symbol].close, "held"
        guard, seen = other
        return self.price_of(t, guard, "inside", seen, quantity)[0], guard.type

    # What a bar can fill

    def lots_of(self, symbol: str, quantity: float) -> int:
        """Whole lots; what is less than one counts as one."""
        return max(1, floor(quantity / self.lot_of(symbol) + 1e-9))

    def allowed(self, t: int, order: Order, quantity: float) -> tuple[float, list[str]]:
        """How much of a quantity the bar can still fill, and the flag of a fill that goes beyond it."""
        if self.rules.max_participation is None:
            return quantity, []
        lot, lots = self.lot_of(order.symbol), self.lots_of(order.symbol, quantity)
        most = floor(self.rules.max_participation * self.slots[t].bars[order.symbol].volume / lot + 1e-9)
        left = most - self.used.get(order.symbol, 0)
        if order.type == "close":
            return quantity, [OVER_PARTICIPATION] if lots > left else []
        return (quantity, []) if lots <= left else (left * lot, [])

    def find_nothing(self, t: int, order: Order) -> None:
        """An order that would fill in a bar of which nothing is left."""
        if order.type in ("market_on_open", "market_on_close"):
            self.resolve(t, order, "cancelled", "participation")
        elif order.type in STOPS and order.role == "entry":
            order.triggered = order.at_market = True

    def work_on(self, t: int, position: Position, order: Order) -> None:
        """What the bar has left of an exit: of a stop it waits and leaves at the market, and nothing else guards the position."""
        if order.type in ("market_on_open", "market_on_close"):
            self.resolve(t, order, "cancelled", "participation")
        elif order is position.stop:
            for target in position.targets:
                self.resolve(t, target, "cancelled", "oco")
            self.resolve(t, self.waiting_exit(position), "cancelled", "position_closed")
            position.stop, position.targets = None, []
            order.leaving = order.at_market = True
            self.waiting.append(order)

    def leave_part(self, t: int, position: Position, row: dict[str, Any], at: str) -> None:
        """A part is a trade with its share of all amounts; what is left goes on under a number of its own."""
        quantity, price = row["quantity"], row["price"]
        names = ("value", "fee", "borrow", "income")
        shares = {name: round(float(getattr(position, name)) * quantity / position.quantity) for name in names}
        part = self.with_last_prices(t, replace(position, quantity=quantity, **shares), price, at)
        self.trade(part, row["order"], row["value"], row["fee"], t, price)
        for name, share in shares.items():
            setattr(position, name, getattr(position, name) - share)
        position.quantity = self.in_lots(position.symbol, position.quantity, -quantity)
        self.round_trips += 1
        position.trade_id = self.round_trips

    def follow(self, position: Position) -> None:
        """Orders of the whole position take its quantity, rungs their part of what was entered."""
        waits, lot = self.waiting_exit(position), self.lot_of(position.symbol)
        for order in [*position.guards, *([waits] if waits and waits.leaving else [])]:
            order.quantity = self.in_lots(position.symbol, order.filled, position.quantity)
            if order.rung is not None and not order.takes_rest:
                part = max(1, floor(order.rung * position.entered / lot + 1e-9)) * lot
                least = self.in_lots(position.symbol, order.filled, lot)  # a split may leave less of a rung than has filled
                order.quantity = min(max(part, least), order.quantity)

    def end_orders(self, t: int, position: Position, order: Order) -> None:
        """The order that closed the position is filled; its guards, its exit that waits and an entry that joins it are cancelled."""
        is_guard = any(order is guard for guard in position.guards)
        self.resolve(t, order, "filled")
        for guard in position.guards:
            if guard is not order:
                self.resolve(t, guard, "cancelled", "oco" if is_guard else "position_closed")
        self.resolve(t, self.waiting_exit(position), "cancelled", "flat_at_close" if order.type == "close" else "position_closed")
        self.end_joining(t, position)

    def end_joining(self, t: int, position: Position) -> None:
        """An entry that was to join the position has nothing to join."""
        for entry in self.entries():
            if entry.joining and self.position_of(entry) is position:
                self.resolve(t, entry, "cancelled", "position_closed")

    # Trades

    def with_last_prices(self, t: int, position: Position, price: float, at: str) -> Position:
        """The position with the exit's price seen, and with the whole bar where it left at the close."""
        seen = replace(position, lowest=min(position.lowest, price), highest=max(position.highest, price))
        if at == "close":
            self.see_range(t, seen)
        return seen

    def see_range(self, t: int, position: Position) -> None:
        """The bar's whole range belongs to the position unless it was entered at this bar's close."""
        bar = self.slots[t].bars.get(position.symbol)
        if bar and (position.slot < t or position.at != "close"):
            position.lowest, position.highest = min(position.lowest, bar.low), max(position.highest, bar.high)

    def trade(self, position: Position, order: Order | None, exit_value: int, exit_fee: int, t: int, price: float) -> None:
        """A row of the trades; without an order the position is still open."""
        costs = position.fee + exit_fee + position.borrow
        pnl = position.direction * (exit_value - position.value) - costs + position.income
        moves = [position.direction * (extreme / position.price - 1.0) for extreme in (position.lowest, position.highest)]
        why = "" if order is None else EXIT_REASONS.get(order.type, "signal")
        self.result.trades.append({
            "trade_id": position.trade_id, "strategy": position.strategy, "symbol": position.symbol,
            "direction": "long" if position.direction == 1 else "short", "quantity": position.quantity,
            "entry": position.slot, "entry_price": position.price, "exit": t, "exit_price": price,
            "pnl": pnl, "return": float(pnl) / float(position.value) if position.value else None, "fees": costs, "borrow": position.borrow,
            "dividends": position.income, "bars": t - position.slot,
            "mae": min(0.0, *moves), "mfe": max(0.0, *moves), "exit_reason": why, "is_open": order is None, "order": order,
        })  # fmt: skip

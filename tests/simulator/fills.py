"""Orders become positions, or add to them, with their stops and targets: one fill at a time."""

from __future__ import annotations

from typing import Any

from tests.scene import Order, Signal
from tests.simulator.account import Position
from tests.simulator.amounts import money, most_lots, value_of
from tests.simulator.exits import STOPS, Leaver
from tests.simulator.sizes import trail_of
from tests.simulator.view import Stopped


class Desk(Leaver):
    """An account that fills orders."""

    def fill_market(self, t: int, order: Order, at: str) -> None:
        """Fill a market order (or a time stop's) at the bar's open or close, with `next_vwap` at its mean price."""
        if self.rules.fill == "next_vwap" and order.type not in ("market_on_open", "market_on_close"):
            price, flags = self.mean_price(t, order.symbol)
        else:
            price, flags = self.price_at(t, order.symbol, order.side, at)
        self.fill_order(t, order, at, price, flags)

    def fill_order(self, t: int, order: Order, at: str, seen: float, flags: list[str]) -> None:
        """Fill at the price seen (before slippage)."""
        if order.role == "entry":
            self.enter(t, order, at, seen, flags)
        else:
            self.leave(t, self.positions[order.strategy, order.symbol], order, at, seen, flags)

    # Entries

    def enter(self, t: int, order: Order, at: str, seen: float, flags: list[str]) -> None:
        """An entry fills, as far as the account allows: it opens a position or adds to the one it joins."""
        rules, lot, position = self.rules, self.lot_of(order.symbol), self.position_of(order)
        if self.allowed(t, order, self.to_fill(order))[0] == 0.0:
            return self.find_nothing(t, order)
        if position is None and rules.max_open_positions is not None and len(self.positions) >= rules.max_open_positions:
            return self.resolve(t, order, "cancelled", "max_open_positions")
        if not self.resize(t, order, at, seen):
            return self.resolve(t, order, "cancelled", "below_lot")
        is_first, wanted = order.filled == 0.0, self.to_fill(order)
        quantity, _ = self.allowed(t, order, wanted)
        price, more = self.price_of(t, order, at, seen, quantity)
        status, reason = ("filled", "") if quantity == wanted else ("open", "")
        if not self.affordable(order, price, quantity):
            quantity = lot * most_lots(lot, lambda q: self.affordable(order, price, q))
            status, reason = "partial" if quantity else "cancelled", "insufficient_cash"
        elif status == "open" and order.type in ("market_on_open", "market_on_close"):
            status, reason = "partial", "participation"
        if status != "open":
            self.resolve(t, order, status, reason)
        if not quantity:
            return None
        row = self.fill(t, order, quantity, seen, price, flags + more)
        if position is None:
            position = self.open_position(t, order, row, at)
            self.protect(t, position, order.signal)
        else:
            self.add(position, row)
            if is_first:
                self.move_levels(t, position, order.signal, at)
        position.entries += is_first
        if status == "open":
            self.join(order)
        if self.closes_taken < t:
            position.mark = self.slots[t].bars[order.symbol].close if at == "close" else price
        return None

    def join(self, order: Order) -> None:
        """What the bar has left of an entry waits to join the position."""
        order.joining, order.at_market = True, order.type in STOPS
        order.value, order.fee = value_of(order.seen, self.to_fill(order)), self.fee(order.seen, self.to_fill(order))

    def open_position(self, t: int, order: Order, row: dict[str, Any], at: str) -> Position:
        self.round_trips += 1
        direction, price, quantity = 1 if order.side == "buy" else -1, row["price"], row["quantity"]
        position = Position(
            order.strategy, order.symbol, direction, self.round_trips, quantity, price, row["value"], row["fee"], t, at, price, price,
            entered=quantity,
        )  # fmt: skip
        self.positions[order.strategy, order.symbol] = position
        return position

    def resize(self, t: int, order: Order, at: str, seen: float) -> bool:
        """Work out the size of an entry anew where that is done at the fill: at the fill's price without impact; False: no lot."""
        rules, signal, lot = self.rules, order.signal, self.lot_of(order.symbol)
        if order.filled > 0.0 or rules.size_at != "fill" or signal.size is not None or rules.sizing not in ("notional", "equity_fraction"):
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

    def add(self, position: Position, row: dict[str, Any]) -> None:
        """What a fill adds to a position that is held: the average price, and sums."""
        held, more, price = position.quantity, row["quantity"], row["price"]
        position.price = (position.price * held + price * more) / (held + more)
        position.quantity = self.in_lots(position.symbol, held, more)
        position.entered = self.in_lots(position.symbol, position.entered, more)
        position.value += row["value"]
        position.fee += row["fee"]
        position.lowest, position.highest = min(position.lowest, price), max(position.highest, price)
        self.follow(position)

    def affordable(self, order: Order, price: float, quantity: float) -> bool:
        """All positions of the purse and this one are within the power of its equity after the fee."""
        fee, purse = self.fee(price, quantity), self.purse_of(order.strategy)
        return self.gross(purse) + value_of(price, quantity) <= self.power(self.equity(purse) - fee)

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
        if stop is not None:
            position.stop = self.guard(t, position, kind, position.at, signal, stop=stop)
        if rules.scale_out and signal.target_price is None and signal.take_profit is None:
            self.make_rungs(t, position, signal)
        elif target is not None:
            position.targets = [self.guard(t, position, "target", position.at, signal, limit=target)]

    def make_rungs(self, t: int, position: Position, signal: Signal) -> None:
        """A target for each rung of scaling out, the nearest first."""
        rungs = self.rules.scale_out
        for profit, fraction in rungs:
            order = self.guard(t, position, "target", position.at, signal, limit=position.price * (1.0 + position.direction * profit))
            order.rung = fraction
            position.targets.append(order)
        position.targets[-1].takes_rest = abs(sum(fraction for _, fraction in rungs) - 1.0) <= 1e-9
        self.follow(position)

    def guard(self, t: int, position: Position, kind: str, at: str, signal: Signal, **level: float) -> Order:
        """A stop or target of the whole position, made at the fill of an entry."""
        ts = self.slots[t].end if at == "close" else self.slots[t].start
        return self.make(ts, position, "exit", position.exit_side, kind, position.quantity, signal.price, **level)

    def move_levels(self, t: int, position: Position, signal: Signal, at: str) -> None:
        """The levels that an adding entry's signal gives itself become the position's."""
        d, stop, target = position.direction, signal.stop_price, signal.target_price
        if stop is None and signal.stop_loss is not None:
            stop = position.price * (1.0 - d * signal.stop_loss)
        if target is None and signal.take_profit is not None:
            target = position.price * (1.0 + d * signal.take_profit)
        if stop is not None and position.stop is None:
            position.stop = self.guard(t, position, "stop", at, signal, stop=stop)
        elif stop is not None:
            trails = position.stop.type == "trailing"
            position.stop.stop = self.tighter(position, stop, position.stop.stop) if trails else stop
        if target is not None and position.target is None:
            position.targets = [self.guard(t, position, "target", at, signal, limit=target)]
        elif target is not None and position.target.rung is None:
            position.target.limit = target

    def trailed(self, position: Position, price: float) -> float:
        """The level of a trailing stop behind a price; the amount wins."""
        if position.trail_amount is not None:
            return price - position.direction * position.trail_amount
        return price * (1.0 - position.direction * position.trail_by)

    def tighter(self, position: Position, level: float, other: float | None) -> float:
        if other is None:
            return level
        return max(level, other) if position.direction == 1 else min(level, other)

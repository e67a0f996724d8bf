"""Splits and dividends: what a corporate action does to positions and to orders that wait, before a session begins."""

from __future__ import annotations

from dataclasses import replace
from math import floor

from tests.scene import Action, Order
from tests.simulator.account import Position
from tests.simulator.view import DAY
from tests.simulator.weights import Weigher


class Holder(Weigher):
    """A decider that lives through corporate actions."""

    def meet_actions(self, t: int) -> None:
        """Actions whose ex-date lies after the session before and not after this one's."""
        if t == 0 or not self.is_session_start(t):
            return
        before, today = self.slots[t - 1].start // DAY, self.slots[t].start // DAY
        due = [action for action in self.actions if before < action.day <= today]
        for action in sorted(due, key=lambda action: (action.day, action.kind != "split", action.symbol)):
            if action.kind == "split":
                self.split(action)
            else:
                self.pay(action)

    def pay(self, action: Action) -> None:
        """A dividend for every share: to a long position, from a short one."""
        for position in self.held_in(action.symbol):
            self.receive(position, round(position.quantity * action.value * 1e6))

    def split(self, action: Action) -> None:
        """So many new shares for one: quantities grow, prices and levels shrink."""
        symbol, ratio = action.symbol, action.value
        if symbol in self.last_close:
            self.last_close[symbol] /= ratio
        for position in self.held_in(symbol):
            self.split_position(position, ratio)
        for order in self.entries():
            if order.symbol == symbol:
                self.split_entry(order, ratio)

    def split_position(self, position: Position, ratio: float) -> None:
        """Whole lots stay and the rest is paid in cash, unless there would be nothing but a rest."""
        lot, exact = self.lot_of(position.symbol), position.quantity * ratio
        whole = floor(exact / lot + 1e-9) * lot
        rest = exact - whole
        if whole > 0 and rest > 1e-9 * lot:
            self.receive(position, round(self.last_close[position.symbol] * rest * 1e6))
        position.quantity = whole if whole > 0 else exact
        position.entered *= ratio
        position.price /= ratio
        position.lowest /= ratio
        position.highest /= ratio
        if position.trail_amount is not None:
            position.trail_amount /= ratio
        waits = self.waiting_exit(position)
        for order in [*position.guards, *([waits] if waits else [])]:
            self.split_quantity(order, ratio)
            self.divide_levels(order, ratio)
        self.follow(position)

    def split_quantity(self, order: Order, ratio: float) -> None:
        """At least a lot of what has filled, if anything has, and of what is left."""
        lot, left = self.lot_of(order.symbol), self.to_fill(order)
        if order.filled > 0.0:
            order.filled = max(1, floor(order.filled * ratio / lot + 1e-9)) * lot
        order.quantity = self.in_lots(order.symbol, order.filled, max(1, floor(left * ratio / lot + 1e-9)) * lot)

    def split_entry(self, order: Order, ratio: float) -> None:
        signal = order.signal
        self.split_quantity(order, ratio)
        self.divide_levels(order, ratio)
        names = ("price", "stop_price", "target_price", "trailing_amount", "entry_trail_amount")
        prices = {name: getattr(signal, name) for name in names}
        order.signal = replace(signal, **{name: price and price / ratio for name, price in prices.items()})

    def divide_levels(self, order: Order, ratio: float) -> None:
        for name in ("seen", "limit", "stop"):
            level = getattr(order, name)
            setattr(order, name, None if level is None else level / ratio)

    def held_in(self, symbol: str) -> list[Position]:
        return [position for position in self.held() if position.symbol == symbol]

    def receive(self, position: Position, amount: int) -> None:
        self.take(position.strategy, position.direction * amount)
        position.income += position.direction * amount

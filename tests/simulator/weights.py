"""Signals of a slot in their order, and those that give a weight: what they sell, buy, or leave as it is."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

from tests.scene import Signal
from tests.simulator.account import Position
from tests.simulator.amounts import most_lots, value_of
from tests.simulator.decisions import Decider
from tests.simulator.sizes import direction_of

BARE: dict[str, Any] = {
    "size": None, "exit_fraction": None, "limit": None, "entry_stop": None, "entry_trail": None,
    "entry_trail_amount": None, "on_open": False, "on_close": False,
}  # fmt: skip


class Weigher(Decider):
    """A decider that follows weights too."""

    def hear(self, t: int) -> None:
        """Exits, then entries; a weight is heard among both, and has its row in the end."""
        sold: set[int] = set()
        spoken: set[int] = set()
        for role in ("exit", "entry"):
            for signal in self.signals_at(t, role):
                if signal.action != "target":
                    self.decide(t, signal)
                    continue
                before = len(self.result.decisions)
                if role == "exit":
                    self.reduce(t, signal, sold)
                elif id(signal) not in sold:
                    self.increase(t, signal)
                if len(self.result.decisions) > before:
                    spoken.add(id(signal))
                elif role == "entry" and id(signal) not in spoken:
                    self.conclude(t, self.row_of(signal), "within_threshold")

    def reduce(self, t: int, signal: Signal, sold: set[int]) -> None:
        """Among the exits: a position of another direction leaves, one that is too large sells a part."""
        position = self.position_of(signal)
        if position is None or self.is_gone(position):
            return
        quantity = position.quantity
        if direction_of(signal) == position.direction:
            if signal.price is None:
                return
            wanted = self.weighed(signal, signal.price)
            if wanted >= quantity or self.is_near(signal, signal.price, position, wanted):
                return
            if wanted > 0.0:
                quantity = self.lots_in(signal.symbol, self.in_lots(signal.symbol, quantity, -wanted)) * self.lot_of(signal.symbol)
                sold.add(id(signal))
        row = self.row_of(replace(signal, **BARE, action="exit_long" if position.direction == 1 else "exit_short"))
        self.conclude(t, row, self.let_go(t, position, quantity, row))

    def increase(self, t: int, signal: Signal) -> None:
        """Among the entries: what is missing is bought, or sold short."""
        position, d = self.position_of(signal), direction_of(signal)
        stays = position is not None and not self.is_leaving(position)
        if d == 0 or (stays and position.direction != d):
            return
        wish = replace(signal, **BARE, action="enter_long" if d == 1 else "enter_short")
        row = self.row_of(wish)
        reason = self.refusal(t, wish, inf)
        if not reason:
            wanted = self.weighed(signal, signal.price)
            if stays and (wanted <= position.quantity or self.is_near(signal, signal.price, position, wanted)):
                return
            lots = self.lots_in(signal.symbol, self.in_lots(signal.symbol, wanted, -position.quantity if stays else 0.0))
            row["signal"] = wish = replace(wish, size=wanted)  # given, so not worked out anew at the fill
            reason = self.sized(wish, wish.price, row, lots)
        self.conclude(t, row, reason)

    def weighed(self, signal: Signal, price: float) -> float:
        """The quantity that the weight stands for."""
        lot, limit = self.lot_of(signal.symbol), round(abs(signal.target) * float(self.equity_of(signal.strategy)))
        return 0.0 if limit <= 0 else lot * most_lots(lot, lambda q: value_of(price, q) + self.fee(price, q) <= limit)

    def is_near(self, signal: Signal, price: float, position: Position, wanted: float) -> bool:
        """The position stays, and the change is within the threshold."""
        change = abs(value_of(price, wanted) - value_of(price, position.quantity))
        most = round(self.rules.rebalance_threshold * float(self.equity_of(signal.strategy)))
        return not self.is_leaving(position) and change <= most

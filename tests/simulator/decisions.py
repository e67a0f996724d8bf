"""Signals become decisions with a reason, and orders where they are approved; time stops make exits without a signal."""

from __future__ import annotations

from typing import Any

from tests.scene import Order, Signal
from tests.simulator.account import Position
from tests.simulator.amounts import money, most_lots, value_of
from tests.simulator.fills import Desk
from tests.simulator.sizes import direction_of, entry_trailed, trails


def kind_of(signal: Signal, has_limit: bool, has_stop: bool) -> str:
    """The type of the order that a signal makes."""
    if signal.action.startswith("enter") and trails(signal):
        return "trailing"
    if signal.on_open:
        return "market_on_open"
    if signal.on_close:
        return "market_on_close"
    return {(0, 0): "market", (1, 0): "limit", (0, 1): "stop", (1, 1): "stop_limit"}[has_limit, has_stop]


class Decider(Desk):
    """A desk that hears signals."""

    def decide(self, t: int, signal: Signal) -> None:
        row = self.row_of(signal)
        self.conclude(t, row, self.entry(t, signal, row) if signal.action.startswith("enter") else self.exit(t, signal, row))

    def row_of(self, signal: Signal) -> dict[str, Any]:
        return {"signal": signal, "quantity": 0.0, "reason": "", "order": None, "cut": False, "leaving": False}

    def conclude(self, t: int, row: dict[str, Any], reason: str) -> None:
        """Write the decision, and make the order of one that is approved."""
        self.result.decisions.append(row)
        row["reason"], row["approved"] = reason, reason in ("approved", "max_per_trade")
        if not row["approved"]:
            return
        signal: Signal = row["signal"]
        enters = signal.action.startswith("enter")
        limit, stop = signal.limit, self.first_stop(signal) if enters else None
        kind = kind_of(signal, limit is not None, stop is not None)
        role, side = ("entry" if enters else "exit"), ("buy" if signal.action in ("enter_long", "exit_short") else "sell")
        order = self.make(self.slots[t].end, signal, role, side, kind, row["quantity"], signal.price, limit=limit, stop=stop)
        order.signal, order.decision, row["order"] = signal, row, order
        order.joining, order.leaving = enters and self.joins(signal), row["leaving"]
        if enters:
            order.value = value_of(signal.price, order.quantity)
            order.fee = self.fee(signal.price, order.quantity)
        self.submit(t, order)

    def first_stop(self, signal: Signal) -> float | None:
        """The stop of an entry: given, or a distance behind the price seen."""
        return entry_trailed(signal, signal.price) if trails(signal) else signal.entry_stop

    def submit(self, t: int, order: Order) -> None:
        """The order waits, but for a market order of `same_close` whose bar can fill it now."""
        self.waiting.append(order)
        now = self.rules.fill == "same_close" and order.type in ("market", "time")
        if now and self.fillable(t, order.symbol) and not self.is_blocked(order):
            self.fill_market(t, order, "close")

    def stop_by_time(self, t: int) -> None:
        """Exits of positions held long enough that do not wait to leave already."""
        for position in self.held():
            if not self.is_gone(position) and self.held_too_long(t, position):
                self.resolve(t, self.waiting_exit(position), "cancelled", "replaced")
                seen, end = self.last_close[position.symbol], self.slots[t].end
                order = self.make(end, position, "exit", position.exit_side, "time", position.quantity, seen)
                order.leaving = True
                self.submit(t, order)

    def held_too_long(self, t: int, position: Any) -> bool:
        rules, entered = self.rules, self.slots[position.slot]
        start = entered.end if position.at == "close" else entered.start
        if rules.max_hold_bars is not None and t - position.slot + 1 >= rules.max_hold_bars:
            return True
        return rules.max_hold_minutes is not None and self.slots[t].end - start >= round(rules.max_hold_minutes * 60e6)

    def exit(self, t: int, signal: Signal, row: dict[str, Any]) -> str:
        position, lot = self.position_of(signal), self.lot_of(signal.symbol)
        wanted = 1 if signal.action == "exit_long" else -1
        if position is None or position.direction != wanted or self.is_gone(position):
            return "no_position"
        quantity = position.quantity
        if signal.exit_fraction is not None and signal.exit_fraction < 1.0:
            quantity = self.lots_in(signal.symbol, signal.exit_fraction * position.quantity) * lot
        return self.let_go(t, position, quantity, row)

    def let_go(self, t: int, position: Position, quantity: float, row: dict[str, Any]) -> str:
        """An exit of so much is approved if it is a lot: one that waits makes place for it."""
        if quantity == 0.0:
            return "below_lot"
        row["leaving"] = quantity >= position.quantity
        row["quantity"] = position.quantity if row["leaving"] else quantity
        self.resolve(t, self.waiting_exit(position), "cancelled", "replaced")
        if row["leaving"]:
            self.end_joining(t, position)
        return "approved"

    def entry(self, t: int, signal: Signal, row: dict[str, Any]) -> str:
        refused = self.refusal(t, signal, self.rules.max_entries)
        return refused or self.sized(signal, signal.price, row, self.wanted_lots(signal, signal.price))

    def refusal(self, t: int, signal: Signal, most_entries: float) -> str:
        """The first check before the size that fails, or nothing."""
        rules, slot = self.rules, self.slots[t]
        if signal.action == "enter_short" and not rules.allow_short:
            return "short_not_allowed"
        if signal.price is None:
            return "no_bar_to_fill"
        if signal.quality < rules.min_quality:
            return "low_quality"
        if signal.confidence < rules.min_confidence:
            return "low_confidence"
        if not signal.on_open and self.is_closed(t, signal):
            return "session_closed"
        if not signal.on_open and rules.flat_at_close and slot.end > slot.session_close - round(rules.no_entry_minutes * 60e6):
            return "after_last_entry"
        if self.is_taken(signal, most_entries):
            return "already_in_position"
        if self.is_cooling(t, signal):
            return "cooldown"
        if rules.max_open_positions is not None and not self.joins(signal) and self.places() >= rules.max_open_positions:
            return "max_open_positions"
        return ""

    def is_closed(self, t: int, signal: Signal) -> bool:
        """The session leaves an entry made now no bar to fill it, or none to hold it."""
        if signal.on_close and self.rules.flat_at_close:
            return True
        return self.is_session_end(t) and self.only_this_session()

    def only_this_session(self) -> bool:
        """An order made now could not fill, or not stay, beyond this session."""
        if self.rules.fill == "same_close":
            return self.rules.flat_at_close
        return self.rules.flat_at_close or self.rules.time_in_force == "day"

    def joins(self, signal: Signal) -> bool:
        """An entry approved now would add to the position that stays."""
        position = self.position_of(signal)
        return position is not None and position.direction == direction_of(signal) and not self.is_leaving(position)

    def is_taken(self, signal: Signal, most_entries: float) -> bool:
        """An entry waits for the signal's strategy and symbol, or a position stays that it cannot add to."""
        if any((order.strategy, order.symbol) == (signal.strategy, signal.symbol) for order in self.entries()):
            return True
        position = self.position_of(signal)
        if position is None or self.is_leaving(position):
            return False
        return not self.joins(signal) or position.entries >= most_entries

    def places(self) -> int:
        """Positions that there would be if all that waits were done."""
        leaving = [position for position in self.positions.values() if self.is_leaving(position)]
        opening = [order for order in self.entries() if not order.joining]
        return len(self.positions) + len(opening) - len(leaving)

    def is_cooling(self, t: int, signal: Signal) -> bool:
        slot = self.closed_in.get((signal.strategy, signal.symbol))
        return slot is not None and self.slots[t].end < self.slots[slot].end + round(self.rules.cooldown_minutes * 60e6)

    def sized(self, signal: Signal, price: float, row: dict[str, Any], lots: int | None) -> str:
        """The checks of so many lots, None: of a size that has no stop to stand on."""
        rules, lot = self.rules, self.lot_of(signal.symbol)
        if lots is None:
            return "no_stop"
        if lots >= 1 and rules.max_per_trade is not None and value_of(price, lots * lot) > money(rules.max_per_trade):
            lots, row["cut"] = most_lots(lot, lambda q: value_of(price, q) <= money(rules.max_per_trade)), True
        if lots < 1:
            return "below_lot"
        quantity = row["quantity"] = lots * lot
        value, fee = value_of(price, quantity), self.fee(price, quantity)
        committed = [(p, self.staying_value(p)) for p in self.held()] + [(o, o.value) for o in self.entries()]
        in_symbol, in_all = sum(v for owner, v in committed if owner.symbol == signal.symbol), sum(v for _, v in committed)
        if rules.max_per_symbol is not None and value + in_symbol > money(rules.max_per_symbol):
            return "max_per_symbol"
        if rules.max_buying_power is not None and value + in_all > money(rules.max_buying_power):
            return "max_buying_power"
        purse = self.purse_of(signal.strategy)
        fees = fee + sum(o.fee for o in self.entries() if self.is_in(purse, o))
        fees += sum(self.exit_fee(p) for p in self.held() if self.is_in(purse, p))
        in_purse = sum(v for owner, v in committed if self.is_in(purse, owner))
        if value + in_purse > self.power(self.equity(purse) - fees):
            return "insufficient_cash"
        return "max_per_trade" if row["cut"] else "approved"

"""What the account holds: cash, positions, waiting orders, last closes. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.scene import Order, Result, Scene, Signal
from tests.simulator.amounts import fee_of, money, value_of
from tests.simulator.view import View


@dataclass
class Position:
    """What one strategy holds of one symbol (direction 1 long, -1 short), its protective orders and the extremes seen."""

    strategy: str
    symbol: str
    direction: int
    trade_id: int
    quantity: float
    price: float
    value: int
    fee: int
    slot: int
    at: str  # "open", "inside" or "close" of its entry bar
    lowest: float
    highest: float
    entered: float = 0.0  # all that was ever bought into it
    entries: int = 0  # orders that have filled into it
    mark: float | None = None  # the price that marks it until the closes of the slot are taken
    borrow: int = 0
    income: int = 0  # dividends and cash in lieu of shares
    stop: Order | None = None
    targets: list[Order] = field(default_factory=list)  # those that have not filled, the nearest first
    trail_by: float | None = None  # a fraction of the price
    trail_amount: float | None = None

    @property
    def exit_side(self) -> str:
        return "sell" if self.direction == 1 else "buy"

    @property
    def target(self) -> Order | None:
        return self.targets[0] if self.targets else None

    @property
    def guards(self) -> list[Order]:
        """The stop, then the targets."""
        return [*([self.stop] if self.stop else []), *self.targets]


class Account(View):
    """The state of a run, and questions about it."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.strategies, self.signals = scene.strategies, scene.signals
        self.actions = scene.actions
        capital = self.rules.capital or {"": self.rules.cash}
        self.purses = {name: money(cash) for name, cash in capital.items()}
        self.positions: dict[tuple[str, str], Position] = {}
        self.waiting: list[Order] = []
        self.last_close: dict[str, float] = {}
        self.closes_taken = -1  # the last slot whose closes are known
        self.closed_in: dict[tuple[str, str], int] = {}
        self.round_trips = 0
        self.used: dict[str, int] = {}  # lots of each symbol's bar of the slot that fills have taken
        self.moved = 0.0  # shares that the fills of this month have moved
        self.result = Result()

    # Who acts first

    def rank(self, item: Signal | Order | Position) -> tuple[int, str]:
        """Strategies as configured, then symbols by name."""
        return self.strategies.index(item.strategy), item.symbol

    def in_turn(self, orders: list[Order]) -> list[Order]:
        """Exits, then entries."""
        return sorted(orders, key=lambda order: (order.role == "entry", self.rank(order)))

    def held(self) -> list[Position]:
        """All positions, ranked."""
        return sorted(self.positions.values(), key=self.rank)

    def signals_at(self, t: int, role: str) -> list[Signal]:
        """Those that may enter, or exit: targets, then long before short; as given."""
        word = {"entry": "enter", "exit": "exit"}[role]
        mine = [signal for signal in self.signals if signal.t == t and (signal.action.startswith(word) or signal.action == "target")]
        return sorted(mine, key=lambda s: (self.rank(s), s.action != "target", s.action.endswith("short")))

    # What the account holds

    def position_of(self, item: Signal | Order) -> Position | None:
        return self.positions.get((item.strategy, item.symbol))

    def is_blocked(self, order: Order) -> bool:
        """An entry waits while its position is held; one that joins it, while that position leaves."""
        position = self.position_of(order)
        if order.role == "exit" or position is None:
            return False
        return self.is_leaving(position) if order.joining else True

    def waiting_exit(self, position: Position) -> Order | None:
        key = (position.strategy, position.symbol)
        return next((o for o in self.waiting if o.role == "exit" and (o.strategy, o.symbol) == key), None)

    def entries(self) -> list[Order]:
        return [order for order in self.waiting if order.role == "entry"]

    def is_leaving(self, position: Position) -> bool:
        """An exit of the whole position waits."""
        order = self.waiting_exit(position)
        return order is not None and order.leaving

    def is_gone(self, position: Position) -> bool:
        """It leaves at the market: no other exit can be better."""
        order = self.waiting_exit(position)
        return order is not None and order.leaving and order.type != "limit"

    def leaving_part(self, position: Position) -> float:
        """How much of it the exit that waits will take."""
        order = self.waiting_exit(position)
        return 0.0 if order is None else self.to_sell(position, order)

    def to_sell(self, position: Position, order: Order) -> float:
        """What an exit still has to take of its position."""
        whole = order.leaving or order.takes_rest or (order.rung is None and any(order is guard for guard in position.guards))
        return position.quantity if whole else min(self.to_fill(order), position.quantity)

    def to_fill(self, order: Order) -> float:
        return self.in_lots(order.symbol, order.quantity, -order.filled)

    def staying_value(self, position: Position) -> int:
        """The mark of what no waiting exit will take."""
        part = self.leaving_part(position)
        return 0 if part >= position.quantity else value_of(self.mark_price(position), position.quantity - part)

    def mark_price(self, position: Position) -> float:
        return self.last_close[position.symbol] if position.mark is None else position.mark

    def gross_of(self, position: Position) -> int:
        """The absolute mark."""
        return value_of(self.mark_price(position), position.quantity)

    # Purses: one of all strategies, or one of each

    def purse_of(self, strategy: str) -> str:
        return strategy if self.rules.capital else ""

    def is_in(self, purse: str | None, item: Order | Position) -> bool:
        return purse is None or self.purse_of(item.strategy) == purse

    @property
    def cash(self) -> int:
        return sum(self.purses.values())

    def take(self, strategy: str, amount: int) -> None:
        """Money comes into a strategy's purse, or goes."""
        self.purses[self.purse_of(strategy)] += amount

    def gross(self, purse: str | None = None) -> int:
        """The sum of all absolute marks, of one purse or of all."""
        return sum(self.gross_of(p) for p in self.positions.values() if self.is_in(purse, p))

    def net(self, purse: str | None = None) -> int:
        return sum(p.direction * self.gross_of(p) for p in self.positions.values() if self.is_in(purse, p))

    def equity(self, purse: str | None = None) -> int:
        return (self.cash if purse is None else self.purses[purse]) + self.net(purse)

    def equity_of(self, strategy: str) -> int:
        """The equity of the purse that a strategy trades with."""
        return self.equity(self.purse_of(strategy))

    def power(self, backing: int) -> int:
        """What may be held on so much equity."""
        return backing if self.rules.leverage == 1.0 else round(self.rules.leverage * float(backing))

    def exit_fee(self, position: Position) -> int:
        """The fee of what the exit that waits will take, if one does."""
        if self.waiting_exit(position) is None:
            return 0
        return self.fee(self.mark_price(position), self.leaving_part(position))

    def fee(self, price: float, quantity: float) -> int:
        """Commission of a fill at this moment."""
        return fee_of(self.rules, price, quantity, self.moved)

    # Orders

    def make(
        self, ts: int, owner: Any, role: str, side: str, kind: str, quantity: float, seen: float | None, **levels: float | None
    ) -> Order:
        order = Order(len(self.result.orders) + 1, owner.strategy, owner.symbol, role, side, kind, quantity, ts, seen, **levels)
        self.result.orders.append(order)
        return order

    def resolve(self, t: int, order: Order | None, status: str, reason: str = "") -> None:
        """The end of an order; its decision hears of it where the order expired, or where an entry was cancelled or cut."""
        if order is None:
            return
        if status in ("cancelled", "expired") and order.filled > 0.0:
            status = "partial"
        order.status, order.reason, order.resolved = status, reason, t
        if order.decision is not None and (reason == "expired" or (reason and order.role == "entry")):
            order.decision["reason"] = reason
        self.waiting = [other for other in self.waiting if other is not order]

"""What the account holds: cash, positions, waiting orders, last closes. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
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
    borrow: int = 0
    income: int = 0  # dividends and cash in lieu of shares
    stop: Order | None = None
    target: Order | None = None
    trail_by: float | None = None  # a fraction of the price
    trail_amount: float | None = None

    @property
    def exit_side(self) -> str:
        return "sell" if self.direction == 1 else "buy"


class Account(View):
    """The state of a run, and questions about it."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.strategies, self.signals = scene.strategies, scene.signals
        self.actions = scene.actions
        self.cash = money(self.rules.cash)
        self.positions: dict[tuple[str, str], Position] = {}
        self.waiting: list[Order] = []
        self.last_close: dict[str, float] = {}
        self.closes_taken = -1  # the last slot whose closes are known
        self.closed_in: dict[tuple[str, str], int] = {}
        self.round_trips = 0
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

    def signals_at(self, t: int) -> list[Signal]:
        """Exits, then entries; long before short; as given."""
        mine = [signal for signal in self.signals if signal.t == t]
        return sorted(mine, key=lambda s: (s.action.startswith("enter"), self.rank(s), s.action.endswith("short")))

    # What the account holds

    def holds(self, order: Order) -> bool:
        return (order.strategy, order.symbol) in self.positions

    def waiting_exit(self, position: Position) -> Order | None:
        key = (position.strategy, position.symbol)
        return next((o for o in self.waiting if o.role == "exit" and (o.strategy, o.symbol) == key), None)

    def entries(self) -> list[Order]:
        return [order for order in self.waiting if order.role == "entry"]

    def staying(self) -> list[Position]:
        """Positions that no waiting exit will close."""
        return [p for p in self.positions.values() if self.waiting_exit(p) is None]

    def leaving(self) -> list[Position]:
        return [p for p in self.positions.values() if self.waiting_exit(p) is not None]

    def gross_of(self, position: Position) -> int:
        """The absolute mark; before the closes of its entry slot are taken: its entry value, or what the close that entered it says."""
        if position.slot <= self.closes_taken:
            return value_of(self.last_close[position.symbol], position.quantity)
        if position.at == "close":
            return value_of(self.slots[position.slot].bars[position.symbol].close, position.quantity)
        return position.value

    def gross(self) -> int:
        return sum(self.gross_of(p) for p in self.positions.values())

    def net(self) -> int:
        return sum(p.direction * self.gross_of(p) for p in self.positions.values())

    def equity(self) -> int:
        return self.cash + self.net()

    def power(self, backing: int) -> int:
        """What may be held on so much equity."""
        return backing if self.rules.leverage == 1.0 else round(self.rules.leverage * float(backing))

    def exit_fee(self, position: Position) -> int:
        return self.fee(self.last_close[position.symbol], position.quantity)

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
        order.status, order.reason, order.resolved = status, reason, t
        if order.decision is not None and (reason == "expired" or (reason and order.role == "entry")):
            order.decision["reason"] = reason
        self.waiting = [other for other in self.waiting if other is not order]

"""What the account holds and what the market shows: cash, positions, waiting orders, last closes. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.scene import Bar, Order, Result, Scene, Signal
from tests.simulator.amounts import fee_of, money, value_of

DAY = 86_400_000_000
SYNTHETIC_QUOTE = "synthetic_quote"
STALE_CLOSE = "stale_close"


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


class Account:
    """The state of a run, and questions about it."""

    def __init__(self, scene: Scene) -> None:
        self.slots, self.strategies, self.signals, self.rules = scene.slots, scene.strategies, scene.signals, scene.rules
        self.actions = scene.actions
        self.cash = money(self.rules.cash)
        self.positions: dict[tuple[str, str], Position] = {}
        self.waiting: list[Order] = []
        self.last_close: dict[str, float] = {}
        self.closes_taken = -1  # the last slot whose closes are known
        self.closed_in: dict[tuple[str, str], int] = {}
        self.round_trips = 0
        self.result = Result()

    # What the market shows

    def fillable(self, t: int, symbol: str) -> Bar | None:
        bar = self.slots[t].bars.get(symbol)
        return bar if bar is not None and bar.volume > 0 else None

    def is_session_start(self, t: int) -> bool:
        return t == 0 or self.slots[t - 1].session != self.slots[t].session

    def is_session_end(self, t: int) -> bool:
        return t + 1 == len(self.slots) or self.is_session_start(t + 1)

    def is_last_fillable(self, t: int, symbol: str) -> bool:
        later = [u for u in range(t + 1, len(self.slots)) if self.slots[u].session == self.slots[t].session]
        return self.fillable(t, symbol) is not None and not any(self.fillable(u, symbol) for u in later)

    def price_at(self, t: int, symbol: str, side: str, at: str) -> tuple[float, list[str]]:
        """Price of a market order before slippage at the bar's open or close, and the flags it brings."""
        bar = self.slots[t].bars[symbol]
        trade = bar.open if at == "open" else bar.close
        if self.rules.price == "trade":
            return trade, []
        quote = self.slots[t].quotes.get(symbol)
        if quote is None:
            return trade, [SYNTHETIC_QUOTE]
        return getattr(quote, f"{'ask' if side == 'buy' else 'bid'}_{at}"), []

    def slipped(self, t: int, symbol: str, side: str, at: str, price: float) -> tuple[float, list[str]]:
        """The price after slippage (a part of the price, ticks, a part of the quote's spread), and the flags it brings."""
        rules, sign = self.rules, 1 if side == "buy" else -1
        price = price * (1.0 + sign * (rules.slippage_bps / 10000.0)) + sign * (rules.slippage_ticks * rules.tick)
        if rules.slippage_spread == 0.0:
            return price, []
        quote = self.slots[t].quotes.get(symbol)
        if quote is None:
            return price, [SYNTHETIC_QUOTE]
        moment = "close" if at == "close" else "open"
        spread = getattr(quote, f"ask_{moment}") - getattr(quote, f"bid_{moment}")
        return price + sign * max(0.0, rules.slippage_spread * spread), []

    @property
    def touch(self) -> bool:
        return self.rules.limit_fill == "touch"

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
        return fee_of(self.rules, self.last_close[position.symbol], position.quantity)

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

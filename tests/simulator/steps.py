"""The steps of a slot, in the page's order, and the run as a loop over slots."""

from __future__ import annotations

from tests.scene import Order, Result, Scene
from tests.simulator.account import Position
from tests.simulator.levels import best, reaches, triggers, worst
from tests.simulator.looks import Looker
from tests.simulator.view import DAY, STALE_CLOSE

AT_MARKET = ("market", "time", "margin_call")
RESTING = ("limit", "stop", "stop_limit")


class Simulator(Looker):
    """One run: a scene in, `Result` out."""

    def run(self) -> Result:
        for t in range(len(self.slots)):
            self.start_month(t)
            self.used = {}
            self.meet_actions(t)
            self.charge_borrow(t)
            self.fill_waiting(t, "open")
            looked = self.look_at_open(t)
            self.look_inside(t)
            self.look_on(t, looked)
            self.fill_waiting(t, "close")
            if self.rules.flat_at_close:
                self.flatten(t)
            self.take_closes(t)
            self.stop_by_time(t)
            self.hear(t)
            if self.rules.flat_at_close:
                self.flatten(t)
            self.mark(t)
            if self.is_session_end(t):
                self.expire(t)
        self.end()
        return self.result

    def start_month(self, t: int) -> None:
        """A new calendar month begins with nothing moved."""
        if t > 0 and self.month_of(t) != self.month_of(t - 1):
            self.moved = 0.0

    def charge_borrow(self, t: int) -> None:
        """Short positions pay for the nights since the session before."""
        if t == 0 or not self.is_session_start(t) or self.rules.borrow_bps == 0.0:
            return
        nights = self.slots[t].start // DAY - self.slots[t - 1].start // DAY
        for position in self.held():
            if position.direction == -1:
                fee = round(float(self.gross_of(position)) * (self.rules.borrow_bps / 10000.0) * nights / 360)
                self.take(position.strategy, -fee)
                position.borrow += fee

    # Market orders

    def fill_waiting(self, t: int, at: str) -> None:
        for order in self.in_turn([order for order in self.waiting if self.is_due(t, order, at)]):
            if order.status == "open" and self.fillable(t, order.symbol) and not self.is_blocked(order):
                self.fill_market(t, order, at)

    def is_due(self, t: int, order: Order, at: str) -> bool:
        """The slot's open (or close) is one that such an order may fill at."""
        if order.type == "market_on_open":
            return at == "open" and self.is_first_fillable(t, order.symbol) and not self.made_in_session(t, order)
        if order.type == "market_on_close":
            return at == "close" and self.is_last_fillable(t, order.symbol)
        return (order.type in AT_MARKET or order.at_market) and at == ("open" if self.rules.fill == "next_open" else "close")

    def made_in_session(self, t: int, order: Order) -> bool:
        """The order was made in the session of slot `t`, which began before it."""
        return order.ts > min(slot.start for slot in self.slots if slot.session == self.slots[t].session)

    # Orders that rest

    def look_at_open(self, t: int) -> list[Order]:
        """Resting orders look at the bar's open; those that looked may look on inside the bar."""
        looked = []
        for order in self.in_turn([order for order in self.waiting if order.type in RESTING and not order.at_market]):
            bar = self.fillable(t, order.symbol)
            if bar is None or order.status != "open" or self.is_blocked(order):
                continue
            looked.append(order)
            if order.stop is not None and triggers(bar.open, order.stop, order.side):
                order.triggered = True
            cheap = self.acts_as_limit(order) and reaches(bar.open, order.limit, order.side, self.touch)
            if cheap or (order.type == "stop" and order.triggered):
                self.fill_order(t, order, "open", bar.open, [])
        return looked

    def look_on(self, t: int, looked: list[Order]) -> None:
        """Resting orders that looked at the open without filling look at the rest of the bar."""
        for order in looked:
            if order.status != "open" or self.is_blocked(order):
                continue
            bar = self.slots[t].bars[order.symbol]
            if self.acts_as_limit(order):
                if reaches(best(bar, order.side), order.limit, order.side, self.touch):
                    self.fill_inside(t, order, order.limit, bar, at_limit=True)
            elif triggers(worst(bar, order.side), order.stop, order.side):
                order.triggered = True
                if order.type == "stop" or (order.stop <= order.limit if order.side == "buy" else order.stop >= order.limit):
                    self.fill_inside(t, order, order.stop, bar, at_limit=False)

    def acts_as_limit(self, order: Order) -> bool:
        return order.type == "limit" or (order.type == "stop_limit" and order.triggered)

    # The close

    def flatten(self, t: int) -> None:
        for position in self.held():
            if self.is_last_fillable(t, position.symbol):
                last, side = self.slots[t].bars[position.symbol].close, position.exit_side
                order = self.make(self.slots[t].end, position, "exit", side, "close", position.quantity, last)
                price, flags = self.price_at(t, position.symbol, side, "close")
                stale = [] if self.is_session_end(t) else [STALE_CLOSE]
                self.leave(t, position, order, "close", price, flags + stale)

    def take_closes(self, t: int) -> None:
        for symbol, bar in self.slots[t].bars.items():
            self.last_close[symbol] = bar.close
        for position in self.positions.values():
            position.mark = None
        self.closes_taken = t

    def mark(self, t: int) -> None:
        if self.slots[t].bars:
            self.result.equity.append({"t": t, "cash": self.cash, "equity": self.equity(), "gross": self.gross(), "net": self.net()})
        for position in self.positions.values():
            self.see_range(t, position)
            self.trail(t, position)
        if self.rules.margin_call == "liquidate":
            for purse in self.purses:
                self.call_margin(t, purse)

    def call_margin(self, t: int, purse: str) -> None:
        """A purse whose equity does not maintain its positions buys nothing more and leaves them all."""
        positions = [position for position in self.held() if self.is_in(purse, position)]
        if not positions or self.equity(purse) >= round(self.rules.maintenance * float(self.gross(purse))):
            return
        for order in self.entries():
            if self.is_in(purse, order):
                self.resolve(t, order, "cancelled", "margin_call")
        for position in positions:
            if not self.is_gone(position):
                self.resolve(t, self.waiting_exit(position), "cancelled", "replaced")
                seen, end = self.last_close[position.symbol], self.slots[t].end
                order = self.make(end, position, "exit", position.exit_side, "margin_call", position.quantity, seen)
                order.leaving = True
                self.waiting.append(order)

    def trail(self, t: int, position: Position) -> None:
        """A trailing stop follows the bars that its position has seen whole."""
        bar = self.slots[t].bars.get(position.symbol)
        if position.stop is None or position.stop.type != "trailing" or bar is None:
            return
        if position.slot < t or position.at != "close":
            level = self.trailed(position, bar.high if position.direction == 1 else bar.low)
            position.stop.stop = self.tighter(position, level, position.stop.stop)

    def expire(self, t: int) -> None:
        for order in list(self.waiting):
            if order.type == "market_on_open" and self.made_in_session(t, order):
                continue
            if order.role == "exit" and order.at_market:
                continue  # a stop is good till cancelled
            if self.rules.time_in_force == "day" or (self.rules.flat_at_close and order.role == "entry"):
                self.resolve(t, order, "expired", "expired")

    def end(self) -> None:
        for order in self.waiting:
            order.reason = "no_bar_to_fill"
            if order.decision is not None:
                order.decision["reason"] = "no_bar_to_fill"
        for position in sorted(self.positions.values(), key=lambda p: p.trade_id):
            self.trade(position, None, self.gross_of(position), 0, len(self.slots) - 1, self.last_close[position.symbol])
        self.result.cash = self.cash


def simulate(scene: Scene) -> Result:
    """Run the rules of docs/execution.md over the scene, slowly."""
    return Simulator(scene).run()

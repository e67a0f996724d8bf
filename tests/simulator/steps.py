"""The steps of a slot, in the page's order, and the run as a loop over slots."""

from __future__ import annotations

from tests.scene import Bar, Order, Result, Scene
from tests.simulator.account import Position
from tests.simulator.exits import STOPS
from tests.simulator.levels import best, reaches, triggers, worst
from tests.simulator.looks import Looker
from tests.simulator.sizes import entry_trailed
from tests.simulator.view import DAY, STALE_CLOSE

AT_MARKET = ("market", "time", "margin_call")
RESTING = ("limit", "stop", "stop_limit", "trailing")


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
            watch, flags = self.watched_by(t, order)
            if order.stop is not None and triggers(watch.open, order.stop, order.side):
                order.triggered = True
            if self.acts_as_limit(order) and reaches(bar.open, order.limit, order.side, self.touch):
                self.fill_order(t, order, "open", bar.open, [])
            if order.type in STOPS and order.triggered:
                self.fill_order(t, order, "open", self.stop_price(order.side, watch, order.stop, watch.open), flags)
        return looked

    def watched_by(self, t: int, order: Order) -> tuple[Bar, list[str]]:
        """The bar that the stop of a resting order looks at."""
        return self.watched(t, order.symbol, order.side) if order.type in STOPS else (self.slots[t].bars[order.symbol], [])

    def look_on(self, t: int, looked: list[Order]) -> None:
        """Resting orders that looked at the open without filling look at the rest of the bar."""
        for order in looked:
            if order.status != "open" or self.is_blocked(order):
                continue
            watch, flags = self.watched_by(t, order)
            if self.acts_as_limit(order):
                if reaches(best(watch, order.side), order.limit, order.side, self.touch):
                    self.fill_inside(t, order, order.limit, [], at_limit=True)
            elif triggers(worst(watch, order.side), order.stop, order.side):
                order.triggered = True
                if order.type in STOPS:
                    seen = self.stop_price(order.side, watch, order.stop, order.stop)
                    self.fill_inside(t, order, seen, flags, at_limit=False)
                elif order.stop <= order.limit if order.side == "buy" else order.stop >= order.limit:
                    self.fill_inside(t, order, order.stop, [], at_limit=False)

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
        for order in self.entries():
            self.trail_entry(t, order)
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
        if position.stop is None or position.stop.type != "trailing" or position.symbol not in self.slots[t].bars:
            return
        if position.slot < t or position.at != "close":
            bar, _ = self.watched(t, position.symbol, position.exit_side)
            level = self.trailed(position, bar.high if position.direction == 1 else bar.low)
            position.stop.stop = self.tighter(position, level, position.stop.stop)

    def trail_entry(self, t: int, order: Order) -> None:
        """A trailing entry follows the bars after its signal's, until a price has met it."""
        if order.type != "trailing" or order.at_market or order.signal.t == t or order.symbol not in self.slots[t].bars:
            return
        bar, _ = self.watched(t, order.symbol, order.side)
        level = entry_trailed(order.signal, best(bar, order.side))
        order.stop = min(order.stop, level) if order.side == "buy" else max(order.stop, level)

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

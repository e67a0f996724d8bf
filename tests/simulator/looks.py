"""Stops and targets look at a bar, and at the finer bars of one that does not tell which of them came first."""

from __future__ import annotations

from tests.scene import Bar, Order
from tests.simulator.account import Position
from tests.simulator.actions import Holder
from tests.simulator.exits import Other
from tests.simulator.levels import best, reaches, triggers, worse, worst
from tests.simulator.view import AMBIGUOUS, DRILLED

Met = tuple[Order, float, Other | None]
"""The guard that fills, its price before slippage, and the other one where the bar holds both."""


class Looker(Holder):
    """An account whose guards look at bars."""

    def look_inside(self, t: int) -> None:
        for position in self.held():
            bar = self.fillable(t, position.symbol)
            if bar is not None:
                self.look(t, position, bar)

    def look(self, t: int, position: Position, bar: Bar) -> None:
        """A position's stop and target look at a bar; where a rung has filled, the next one and the stop look again."""
        enough = self.touch or position.slot < t  # a target at the open itself is reached, but not by the open that entered
        watch, flags = self.watched(t, position.symbol, position.exit_side)
        met = self.meets(position, bar, watch, enough)
        if met is not None and met[2] is not None and self.rules.intrabar == "drill_down":
            if self.drill(t, position, self.finer(t, position.symbol), enough):
                return
            met = self.meets(position, bar, watch, enough)  # a rung may have filled, so that less is met
        if met is not None:
            order, price, other = met
            unsure = [AMBIGUOUS] if other else []
            self.leave(t, position, order, "inside", price, unsure + (flags if order is position.stop else []), other)
            if self.goes_on(position, order):
                self.look(t, position, bar)

    def meets(self, position: Position, bar: Bar, watch: Bar, enough: bool, with_open: bool = True) -> Met | None:
        """What a bar fills, the stop at `watch`: first at its open, then inside; `enough`: an open at the target itself reaches it."""
        stop, target, side = position.stop, position.target, position.exit_side
        if with_open and stop is not None and triggers(watch.open, stop.stop, side):
            return stop, self.stop_price(side, watch, stop.stop, watch.open), None
        if with_open and target is not None and reaches(bar.open, target.limit, side, enough):
            return target, bar.open, None
        by_stop = stop is not None and triggers(worst(watch, side), stop.stop, side)
        by_target = self.meets_target(position, bar)
        stopped = (stop, self.stop_price(side, watch, stop.stop, stop.stop)) if by_stop else None
        reached = (target, target.limit) if by_target else None
        if stopped and (not reached or self.stop_first(position, bar, watch)):
            return *stopped, reached
        return (*reached, stopped) if reached else None

    def meets_target(self, position: Position, bar: Bar) -> bool:
        target, side = position.target, position.exit_side
        return target is not None and reaches(best(bar, side), target.limit, side, self.touch)

    def stop_first(self, position: Position, bar: Bar, watch: Bar) -> bool:
        """Of a bar that holds both levels; with `drill_down` of a finer one, too."""
        if self.rules.intrabar == "open_to_nearest":
            return abs(watch.open - position.stop.stop) <= abs(bar.open - position.target.limit)
        return self.rules.intrabar in ("pessimistic", "drill_down")

    def goes_on(self, position: Position, order: Order) -> bool:
        """A rung has filled in whole, and the position is not closed."""
        return order.status == "filled" and self.positions.get((position.strategy, position.symbol)) is position

    # Finer bars

    def finer(self, t: int, symbol: str) -> list[Bar]:
        return [bar for bar in self.slots[t].fine.get(symbol, ()) if bar.volume > 0]

    def drill(self, t: int, position: Position, bars: list[Bar], enough: bool) -> bool:
        """Stop and target look at finer bars in turn; False: none of them ends it."""
        for bar in bars:
            met = self.meets(position, bar, bar, enough)
            while met is not None:
                order, price, other = met
                self.leave(t, position, order, "inside", price, [DRILLED, *([AMBIGUOUS] if other else [])], other)
                if not self.goes_on(position, order):
                    return True
                met = self.meets(position, bar, bar, enough, with_open=False)
            enough = True
        return False

    # Entries inside a bar

    def fill_inside(self, t: int, order: Order, seen: float, flags: list[str], at_limit: bool) -> None:
        """Fill at a price, by the limit or the stop; a new position's stop looks at the rest of the bar at once."""
        held, bar = self.position_of(order), self.slots[t].bars[order.symbol]
        self.fill_order(t, order, "inside", seen, flags)
        position = self.position_of(order)
        if held is not None or position is None or position.stop is None or self.rules.intrabar == "optimistic":
            return
        watch, flags = self.watched(t, position.symbol, position.exit_side)
        if not triggers(worst(watch, position.exit_side), position.stop.stop, position.exit_side):
            return
        is_unsure = order.type != "limit" or self.meets_target(position, bar)
        if not is_unsure or self.rules.intrabar != "drill_down" or not self.drill_entry(t, position, order, seen, at_limit):
            self.stop_at_once(t, position, order, seen, bar, watch, flags)

    def stop_at_once(self, t: int, position: Position, order: Order, paid: float, bar: Bar, watch: Bar, flags: list[str]) -> None:
        """The stop fills in the bar that entered at `paid`; unsure but for a limit's entry in a bar that does not reach the target."""
        stop, target, side = position.stop, position.target, position.exit_side
        other = (target, target.limit) if self.meets_target(position, bar) else None
        level = worse(side, stop.stop, paid)
        seen = self.stop_price(side, watch, level, level)
        unsure = [AMBIGUOUS] if order.type != "limit" or other is not None else []
        self.leave(t, position, stop, "inside", seen, [*flags, *unsure], other)

    def drill_entry(self, t: int, position: Position, order: Order, paid: float, at_limit: bool) -> bool:
        """The finer bars from the one that enters on, whether they fill anything or not; False: none enters."""
        side, bars = order.side, self.finer(t, order.symbol)
        while bars:
            first = bars.pop(0)
            enters = (
                reaches(best(first, side), order.limit, side, self.touch) if at_limit else triggers(worst(first, side), order.stop, side)
            )
            if not enters:
                continue
            if triggers(worst(first, position.exit_side), position.stop.stop, position.exit_side):
                self.stop_at_once(t, position, order, paid, first, first, [DRILLED])
            else:
                self.drill(t, position, bars, enough=True)
            return True
        return False

"""How much an entry wants: the sizing's lots at a price, and the stop that a size by risk stands on. Fills nothing."""

from __future__ import annotations

from tests.scene import Rules, Signal
from tests.simulator.account import Account
from tests.simulator.amounts import MOST_LOTS, money, most_lots, value_of


def trail_of(rules: Rules, signal: Signal) -> tuple[float | None, float | None]:
    """Amount and fraction of a trailing stop: the signal's, if it gives either, else the config's."""
    if signal.trailing_amount is not None or signal.trailing_stop is not None:
        return signal.trailing_amount, signal.trailing_stop
    return rules.trailing_amount, rules.trailing_stop


def direction_of(signal: Signal) -> int:
    """1 of a long's signal, -1 of a short's; of a weight its sign."""
    if signal.action == "target":
        return (signal.target > 0.0) - (signal.target < 0.0)
    return -1 if signal.action.endswith("short") else 1


def trails(signal: Signal) -> bool:
    """The signal's entry waits behind the price."""
    return signal.entry_trail is not None or signal.entry_trail_amount is not None


def entry_trailed(signal: Signal, price: float) -> float:
    """The level of a trailing entry at a price: above it for a long, below it for a short; the amount wins."""
    d = direction_of(signal)
    return price * (1.0 + d * signal.entry_trail) if signal.entry_trail_amount is None else price + d * signal.entry_trail_amount


class Sizer(Account):
    """An account that knows how much it would buy."""

    def wanted_lots(self, signal: Signal, price: float) -> int | None:
        """Lots of the sizing; None where they depend on a stop and there is none."""
        rules, lot = self.rules, self.lot_of(signal.symbol)
        if signal.size is not None or rules.sizing == "shares":
            shares = rules.value if signal.size is None else signal.size
            return min(MOST_LOTS, int((shares / lot + 1e-9) // 1))
        if rules.sizing == "notional":
            return most_lots(lot, lambda q: value_of(price, q) <= money(rules.value))
        limit, risk = round(rules.value * self.equity_of(signal.strategy)), self.risk_of(signal, price)
        if rules.sizing == "risk_fraction" and risk is None:
            return None
        if limit <= 0:
            return 0
        if risk is not None and rules.sizing == "risk_fraction":
            return most_lots(lot, lambda q: value_of(risk, q) <= limit)
        return most_lots(lot, lambda q: value_of(price, q) + self.fee(price, q) <= limit)

    def risk_of(self, signal: Signal, price: float) -> float | None:
        """How far the first stop of an entry would lie from the price seen; None where there is none or no distance."""
        rules, d = self.rules, direction_of(signal)
        loss = signal.stop_loss if signal.stop_loss is not None else rules.stop_loss
        amount, part = trail_of(rules, signal)
        levels = []
        if signal.stop_price is not None:
            levels.append(signal.stop_price)
        elif loss is not None:
            levels.append(price * (1.0 - d * loss))
        if amount is not None:
            levels.append(price - d * amount)
        elif part is not None:
            levels.append(price * (1.0 - d * part))
        distance = min((abs(price - level) for level in levels), default=0.0)
        return distance if distance > 0.0 else None

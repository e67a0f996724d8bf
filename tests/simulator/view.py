"""What the market shows: bars that fill, the ends of sessions, prices and what makes them worse. Knows no account."""

from __future__ import annotations

from datetime import UTC, datetime
from math import floor, isnan, nan, sqrt

from tests.scene import Bar, Scene
from tests.simulator.levels import worse

DAY = 86_400_000_000
SYNTHETIC_QUOTE = "synthetic_quote"
STALE_CLOSE = "stale_close"
AMBIGUOUS, DRILLED = "ambiguous", "drilled"
OVER_PARTICIPATION = "over_participation"
TYPICAL_PRICE = "typical_price"


class Stopped(Exception):
    """The run ends with an error: a price to trade at is not above zero."""


class View:
    """The tape and the rules of a run, and questions about them."""

    def __init__(self, scene: Scene) -> None:
        self.slots, self.rules = scene.slots, scene.rules

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

    def is_first_fillable(self, t: int, symbol: str) -> bool:
        before = [u for u in range(t) if self.slots[u].session == self.slots[t].session]
        return self.fillable(t, symbol) is not None and not any(self.fillable(u, symbol) for u in before)

    def month_of(self, t: int) -> tuple[int, int]:
        day = datetime.fromtimestamp(self.slots[t].start // 1_000_000, UTC)
        return day.year, day.month

    def lot_of(self, symbol: str) -> float:
        own = (self.rules.instruments or {}).get(symbol, (None, None))[0]
        return self.rules.lot if own is None else own

    def in_lots(self, symbol: str, quantity: float, more: float) -> float:
        """The sum of two quantities (the other below 0: a difference) as `lots * lot` again, but for what holds a fraction of a lot."""
        lot, exact = self.lot_of(symbol), quantity + more
        whole = round(exact / lot) * lot
        return whole if abs(whole - exact) <= 1e-9 * lot + 1e-15 * (abs(quantity) + abs(more)) else exact

    def lots_in(self, symbol: str, quantity: float) -> int:
        """How many whole lots a quantity has."""
        lot, whole = self.lot_of(symbol), round(quantity / self.lot_of(symbol))
        near = abs(whole * lot - quantity) <= 1e-9 * lot + 1e-15 * quantity
        return whole if near else floor(quantity / lot + 1e-9)

    def tick_of(self, symbol: str) -> float:
        own = (self.rules.instruments or {}).get(symbol, (None, None))[1]
        return self.rules.tick if own is None else own

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

    def watched(self, t: int, symbol: str, side: str) -> tuple[Bar, list[str]]:
        """The bar that a stop looks at, of trades or of the quotes on the side where it fills, and the flag of a quote that is missing."""
        bar, quote = self.slots[t].bars[symbol], self.slots[t].quotes.get(symbol)
        if self.rules.stop_watch == "trade":
            return bar, []
        word = "ask" if side == "buy" else "bid"
        quoted = [getattr(quote, f"{word}_{name}", nan) for name in ("open", "high", "low", "close")]
        return (bar, [SYNTHETIC_QUOTE]) if any(map(isnan, quoted)) else (Bar(*quoted), [])

    def stop_price(self, side: str, bar: Bar, level: float, met_at: float) -> float:
        """What a stop fills at, before slippage: where it was met, or the worse of its level and the close of the bar that it looked at."""
        return met_at if self.rules.stop_fill == "level" else worse(side, level, bar.close)

    def mean_price(self, t: int, symbol: str) -> tuple[float, list[str]]:
        """The bar's mean price weighted by volume, or its typical price, flagged, where none is known."""
        bar = self.slots[t].bars[symbol]
        if bar.vwap is not None and bar.low <= bar.vwap <= bar.high:
            return bar.vwap, []
        return (bar.high + bar.low + bar.close) / 3, [TYPICAL_PRICE]

    def slipped(self, t: int, symbol: str, side: str, at: str, price: float, quantity: float) -> tuple[float, list[str]]:
        """The price after slippage (a part of the price, ticks, a part of the quote's spread, impact), and the flags it brings."""
        rules, sign = self.rules, 1 if side == "buy" else -1
        half, flags = self.half_spread(t, symbol, "close" if at == "close" else "open")
        impact = 0.0
        if rules.impact_bps > 0.0:
            impact = price * (rules.impact_bps / 10000.0) * sqrt(quantity / self.slots[t].bars[symbol].volume)
        worse = price * (1.0 + sign * (rules.slippage_bps / 10000.0)) + sign * (rules.slippage_ticks * self.tick_of(symbol))
        return worse + sign * half + sign * impact, flags

    def half_spread(self, t: int, symbol: str, moment: str) -> tuple[float, list[str]]:
        """The part of the quote's spread that a fill pays, and the flag of a quote that is missing."""
        if self.rules.slippage_spread == 0.0:
            return 0.0, []
        quote = self.slots[t].quotes.get(symbol)
        if quote is None:
            return 0.0, [SYNTHETIC_QUOTE]
        spread = getattr(quote, f"ask_{moment}") - getattr(quote, f"bid_{moment}")
        return max(0.0, self.rules.slippage_spread * spread), []

    @property
    def touch(self) -> bool:
        return self.rules.limit_fill == "touch"

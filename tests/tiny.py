"""Tiny scenes of one symbol and one strategy, and what came of them in short: for tests with literal rows."""

from __future__ import annotations

from tests.scene import Bar, Quote, Result, Rules, Scene, Signal, Slot

MINUTE = 60_000_000
Row = tuple[float, ...] | None


def scene(*sessions: list[Row], signals: list[Signal], quotes: dict[int, Quote] | None = None, **rules: object) -> Scene:
    """Symbol A, one-minute slots; a row is (open, high, low, close[, volume]) or None where there is no bar."""
    slots: list[Slot] = []
    for number, rows in enumerate(sessions):
        start = number * 1000 * MINUTE
        for row in rows:
            bars = {} if row is None else {"A": Bar(*row)}
            quote = (quotes or {}).get(len(slots))
            slots.append(Slot(start, start + MINUTE, number, (number * 1000 + len(rows)) * MINUTE, bars, {"A": quote} if quote else {}))
            start += MINUTE
    return Scene(("A",), ("s",), tuple(slots), tuple(signals), Rules(**rules))


def buy(t: int, price: float | None = 100.0, **more: object) -> Signal:
    return Signal(t, "s", "A", "enter_long", price, **more)


def sell(t: int, price: float | None = 100.0, **more: object) -> Signal:
    return Signal(t, "s", "A", "exit_long", price, **more)


def flat(price: float, volume: float = 1.0) -> Row:
    return (price, price, price, price, volume)


def fills(result: Result) -> list[tuple[object, ...]]:
    return [(f["t"], f["order"].type, f["quantity"], f["price"]) for f in result.fills]


def reasons(result: Result) -> list[str]:
    return [row["reason"] for row in result.decisions]


def states(result: Result) -> list[tuple[str, str, str]]:
    return [(order.type, order.status, order.reason) for order in result.orders]


def short(t: int, price: float | None = 100.0, **more: object) -> Signal:
    return Signal(t, "s", "A", "enter_short", price, **more)


def cover(t: int, price: float | None = 100.0, **more: object) -> Signal:
    return Signal(t, "s", "A", "exit_short", price, **more)

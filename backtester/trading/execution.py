"""Execution: orders to fills, and the account; the compiled kernel and nothing else around it.

Place in the flow: `pipeline` calls `trade` once a chunk of sessions, in order, handing each chunk's
`Carry` to the next, and `finish` at the end of the run. The rules are those of docs/execution.md. Never reads a file, never
sees a strategy.

    Market, Events, Carry --trade--> Outcome, Carry --trade--> ... --finish--> Outcome

The same sessions in one chunk or in many give the same outcome to the last bit.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from backtester.errors import DataError, InternalError
from backtester.trading import accounting, inputs, records, rows
from backtester.trading.chunk import Carry as Carry
from backtester.trading.chunk import Events as Events
from backtester.trading.chunk import Market as Market
from backtester.trading.chunk import kept
from backtester.trading.costs import MAX_MICRO
from backtester.trading.finer import Reading, settled
from backtester.trading.records import Book, Records, Tape
from backtester.trading.risk import NO_BAR_TO_FILL, NO_REASON, RiskSettings
from backtester.trading.rows import Columns, Outcome
from backtester.trading.settings import AccountSettings as AccountSettings
from backtester.trading.settings import ExecutionSettings as ExecutionSettings
from backtester.trading.settings import SizingSettings as SizingSettings


def trade(
    market: Market,
    events: Events,
    carry: Carry,
    execution: ExecutionSettings,
    risk: RiskSettings,
    account: AccountSettings,
    reading: Reading | None = None,
) -> tuple[Outcome, Carry]:
    """Trade a chunk of whole sessions: what came of it, and what the next chunk starts from. `reading` finds finer bars, if there are any.

    Raises DataError where a price at a fill is not above zero or an amount is larger than an account can hold, InternalError where
    the accounting identity breaks.
    """
    from backtester.trading import compiled  # numba is heavy: not before the first chunk

    _check(market, events, carry)
    if len(carry.purses) != (len(market.strategies) if account.capital else 0):
        raise InternalError("purses are not those of account.capital", value=len(carry.purses), allowed=str(len(account.capital)))
    events = events.halved()
    given, held = inputs.given(execution, risk, account, market.symbols), len(carry.decisions["ts"])
    signals = inputs.signals(events, carry.width)

    def attempt(tape: Tape) -> tuple[Book, int]:  # that knew itself would keep the chunk in a circle
        for more in inputs.FOURFOLD:
            book = inputs.book(events, carry, given, len(market.ts), len(market.labels), len(tape.spans), more)
            slot = compiled.kernel().entry_point(tape, book, signals, held)
            if book.account[0]["error"] != records.FULL:
                break
        return book, slot

    book, slot, drilled = settled(inputs.tape(market, carry.slots), attempt, reading)
    ended = book.account[0]
    if ended["error"] != records.NO_ERROR:
        raise stopped(market, int(ended["error"]), int(ended["pair"]), slot)
    fills, trades, moments = book.fills[: ended["fills"]], book.trades[: ended["trades"]], book.moments[: ended["equity"]]
    made, tags = book.orders[: ended["orders"]], carry.tags + events.tags
    decisions = _decisions(market, events, carry, book)
    after, ready = after_chunk(market, carry, book, decisions, tags, int(trades["pnl"].sum()))
    accounting.check_chunk(market, carry, after, fills, moments, execution.borrow_bps, book.instruments["lot"])
    outcome = Outcome(
        market.symbols,
        market.strategies,
        tags,
        {name: values[:ready] for name, values in decisions.items()},
        rows.orders(made, carry.width, rows.resolved(made)),
        rows.fills(fills, carry.width),
        rows.ambiguity(fills, carry.width),
        rows.closed_trades(trades, carry.width),
        _equity(market, carry, moments),
        drilled,
    )
    return outcome, after


def finish(carry: Carry) -> Outcome:
    """The end of the run: what still waits stays open, and positions still held are trades marked at the last close."""
    accounting.check_profit(carry)
    waits = carry.orders["role"] != records.GUARD
    decided = carry.orders["decision"] != records.NONE
    decisions, orders = {name: values.copy() for name, values in carry.decisions.items()}, carry.orders.copy()
    decisions["reason"][orders["decision"][decided]] = NO_BAR_TO_FILL
    orders["reason"] = np.where(waits, NO_BAR_TO_FILL, NO_REASON)
    return Outcome(
        carry.symbols,
        carry.strategies,
        carry.tags,
        decisions,
        rows.orders(orders, carry.width),
        rows.fills(np.zeros(0, records.FILL), carry.width),
        rows.ambiguity(np.zeros(0, records.FILL), carry.width),
        rows.open_trades(carry.pairs, carry.slots, carry.width),
        rows.equity(np.zeros(0, records.MOMENT), np.zeros(0, np.int64), np.zeros(0, "datetime64[D]"), carry.peak),
    )


def _check(market: Market, events: Events, carry: Carry) -> None:
    """Shapes and codes: the kernel looks at neither. Whoever breaks them has a defect."""
    shape, pairs = (len(market.symbols), len(market.ts)), len(market.symbols) * len(market.strategies)
    if carry.width != len(market.symbols) or len(carry.pairs) != pairs:
        raise InternalError("symbols or strategies changed between chunks", value=pairs, allowed=str(len(carry.pairs)))
    if list(market.symbols) != sorted(market.symbols):
        raise InternalError("symbols are not sorted by name", value=market.symbols)
    arrays = {field.name: getattr(market, field.name) for field in fields(market)}
    for name in inputs.PRICES:
        if arrays[name] is not None and arrays[name].shape != shape:
            raise InternalError("prices of another shape", where=name, value=arrays[name].shape, allowed=str(shape))
    if not len(market.ts) == len(market.end) == len(market.session):
        raise InternalError("slots of different lengths", value=(len(market.ts), len(market.end), len(market.session)))
    for name, values, most in (
        ("t", events.t, shape[1]),
        ("strategy", events.strategy, len(market.strategies)),
        ("symbol", events.symbol, shape[0]),
        ("action", events.action, 5),
    ):
        if len(values) and (values.min() < 0 or values.max() >= most):
            raise InternalError("a signal outside of its chunk", where=name, value=(values.min(), values.max()), allowed=f"0 to {most - 1}")


def _decisions(market: Market, events: Events, carry: Carry, book: Book) -> Columns:
    """All decisions not yet written to a table: those held back before, then those of the chunk. Orders that wait know their new rows."""
    verdicts, made = book.verdicts, book.orders[: book.account[0]["orders"]]
    new = {
        "strategy": events.strategy,
        "symbol": events.symbol,
        "session": market.labels.astype("datetime64[D]")[market.session[events.t]],
        "ts": market.end[events.t],
        "price": events.price,
        "confidence": inputs.confidence(events),
        "quality": events.quality,
        "tag": np.where(events.tag < 0, records.NONE, events.tag + len(carry.tags)).astype(np.int32),
    }
    columns = {name: np.concatenate((carry.decisions[name], values)) for name, values in new.items()}
    for name, column in inputs.VERDICT.items():
        columns[column] = verdicts[name].astype(carry.decisions[column].dtype)
    written = verdicts["written"] != 0
    if written.all():
        return columns
    decided = made["decision"] != records.NONE
    made["decision"][decided] = (np.cumsum(written) - 1)[made["decision"][decided]]
    return {name: values[written] for name, values in columns.items()}


def after_chunk(market: Market, carry: Carry, book: Book, decisions: Columns, tags: tuple[str, ...], profit: int) -> tuple[Carry, int]:
    """What passes to the next chunk, and how many decisions need not wait any more."""
    account = book.account[0]
    made, moments, pairs = book.orders[: account["orders"]], book.moments[: account["equity"]], book.pairs
    still = np.flatnonzero(made["status"] == records.OPEN)
    orders, place = made[still], np.full(len(made) + 1, records.NONE, np.int64)
    place[still] = np.arange(len(still))
    for name in ("stop", "target", "entry", "exit"):
        pairs[name] = place[pairs[name]]
    decided = orders["decision"] != records.NONE
    ready = int(orders["decision"][decided].min(initial=len(decisions["ts"])))
    orders["decision"][decided] -= ready
    back = {name: values[ready:].copy() for name, values in decisions.items()}
    used, back["tag"] = _used(back["tag"])
    peak = int((moments["cash"] + moments["marks"]).max(initial=carry.peak))
    after = Carry(
        start_cash=carry.start_cash,
        cash=int(account["cash"]),
        marks=int(account["marks"]),
        peak=peak,
        slots=carry.slots + len(market.ts),
        day=int(market.labels.astype("datetime64[D]").astype(np.int64)[market.session[-1]]) if len(market.ts) else carry.day,
        next_order=int(account["next_order"]),
        next_trade=int(account["next_trade"]),
        realized=carry.realized + profit,
        width=carry.width,
        pairs=kept(pairs),
        orders=kept(orders),
        decisions={name: kept(values) for name, values in back.items()},
        moved=float(account["moved"]),
        purses=tuple(book.purses["cash"].tolist()),
        tags=tuple(tags[code] for code in used),
        symbols=market.symbols,
        strategies=market.strategies,
    )
    return after, ready


def _used(codes: NDArray[np.int32]) -> tuple[list[int], NDArray[np.int32]]:
    """The codes in use, and the same column counting in them."""
    used = np.unique(codes[codes >= 0])
    return used.tolist(), np.where(codes < 0, records.NONE, np.searchsorted(used, codes)).astype(np.int32)


def _equity(market: Market, carry: Carry, moments: Records) -> Columns:
    """The account slot by slot, with its times."""
    place = moments["slot"] - carry.slots
    session = market.labels.astype("datetime64[D]")[market.session[place]]
    return rows.equity(moments, market.ts[place], session, carry.peak)


def stopped(market: Market, error: int, pair: int, slot: int) -> DataError:
    """What made the run impossible, for its user."""
    strategy, symbol = divmod(pair, len(market.symbols))
    ts = np.datetime64(int(market.ts[slot]), "us")
    where = f"symbol {market.symbols[symbol]}, strategy {market.strategies[strategy]}, bar {ts}Z"
    if error == records.BAD_PRICE:
        return DataError("a price to trade at is not above zero", where=where, action="repair the bar, or leave the symbol out")
    return DataError(
        "an amount of money is too large to account for",
        where=where,
        allowed=f"at most {MAX_MICRO / 1e6:.0e} in account currency",
        action="look for a wrong price, or trade smaller sizes",
    )

"""Words: a verdict, an order, a fill in a sentence, with the figures that made it so.

Place in the flow: between the run's tables and what a person reads. The rules are those of docs/execution.md; a sentence names the
setting that decided and what stood against it. Never decides anything anew.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from backtester.trading.inputs import CALLS, GIVEN
from backtester.why.account import Books, Key

Row = Mapping[str, Any]
SIDES = {"enter_long": "buy", "exit_long": "sell", "enter_short": "sell short", "exit_short": "buy back", "target": "reach a weight"}
FILLED_AT = {"next_open": "the open", "next_close": "the close", "same_close": "the close", "next_vwap": "the mean price"}


def money(amount: float) -> str:
    """An amount of money, to the hundredth."""
    return f"{amount:,.2f}"


def price(value: float | None) -> str:
    """A price with all its digits up to six behind the point, two at least.

    >>> price(209.5), price(13.123456), price(None)
    ('209.50', '13.123456', 'none')
    """
    if value is None:
        return "none"
    whole, _, rest = f"{value:,.6f}".partition(".")
    return f"{whole}.{rest.rstrip('0').ljust(2, '0')}"


def shares(quantity: float) -> str:
    """A number of shares, as short as it is exact."""
    return f"{quantity:,.10g}"


def asked(signal: Row) -> str:
    """A signal with the numbers that it gave."""
    names = ("price", "confidence", *GIVEN, *CALLS, "tag")
    given = {name: signal[name] for name in names if signal.get(name) is not None and signal.get(name) is not False}
    words = [
        name if value is True else f"{name} {value}" if isinstance(value, str) else f"{name} {value:,.8g}" for name, value in given.items()
    ]
    return f"{signal['action']}: {', '.join(words)}"


def decided(decision: Row, books: Books, clock: Callable[[dt.datetime], str]) -> str:
    """Why a decision is what it is."""
    reason, wish = str(decision["reason"]), SIDES[decision["action"]]
    if reason == "approved":
        return f"approved: {wish} {shares(decision['quantity'])}"
    if reason == "max_per_trade" and decision["approved"]:
        return f"approved, but cut: {wish} {_cut(decision, books)}"
    if decision["approved"]:
        return f"approved ({wish} {shares(decision['quantity'])}), but {ENDED.get(reason, reason)}"
    return f"refused: {_refused(reason, decision, books, clock)}"


def ordered(order: Row) -> str:
    """What an order was, and how it ended."""
    levels = {name: price(order[name]) for name in ("limit", "stop") if order[name] is not None}
    at = " and ".join(levels.values()) if len(levels) < 2 else " and ".join(f"{name} {level}" for name, level in levels.items())
    kind = str(order["type"]).replace("_", " ")
    head = f"{order['side']} {shares(order['quantity'])}, {kind}{' at ' + at if at else ''}"
    if order["status"] == "filled":
        return f"{head}: filled"
    why = ENDED.get(str(order["reason"]), str(order["reason"] or ""))
    done = f", {shares(order['filled'])} of it filled" if order["filled"] else ""
    return f"{head}: {order['status']}{done}{': ' + why if why else ''}"


def filled(fill: Row, execution: Row) -> str:
    """What was executed, at what price and cost."""
    return (f"{fill['side']} {shares(fill['quantity'])} at {price(fill['price'])}{_slipped(fill)}, value {money(fill['value'])}, "
            f"fee {money(fill['fee'])}{_where(fill, execution)}")  # fmt: skip


def _slipped(fill: Row) -> str:
    """The price before slippage."""
    if not fill["slippage"]:
        return ""
    each = fill["slippage"] / fill["quantity"]
    before = fill["price"] - each if fill["side"] == "buy" else fill["price"] + each
    return f" ({price(round(before, 6))} and {price(round(each, 6))} slippage)"


def _where(fill: Row, execution: Row) -> str:
    """At which price of its bar a fill was, and what is uncertain of it."""
    kind = str(fill["type"])
    at = {"market": FILLED_AT[execution["fill"]], "time": FILLED_AT[execution["fill"]], "margin_call": FILLED_AT[execution["fill"]],
          "close": "the close", "market_on_open": "the open", "market_on_close": "the close"}.get(kind)  # fmt: skip
    flags = f"; {fill['flags']}" if fill["flags"] else ""
    other = "" if fill["other_type"] is None else f", or it had been {_other(fill)}"
    doubt = f"; ambiguous: the bar does not say what came first{other}" if fill["ambiguous"] else ""
    if execution["price"] == "quote" and at and "synthetic_quote" not in fill["flags"]:
        at = f"the {'ask' if fill['side'] == 'buy' else 'bid'} at {at}"
    return (f", at {at} of its bar" if at else f", by a {kind.replace('_', ' ')} order") + flags + doubt


def _other(fill: Row) -> str:
    """What an ambiguous fill might have been instead."""
    return (
        f"held, {price(fill['other'])} at the close"
        if fill["other_type"] == "held"
        else f"the {fill['other_type']} at {price(fill['other'])}"
    )


ENDED = {
    "oco": "the position's other order filled first",
    "position_closed": "the position was closed otherwise",
    "replaced": "a later exit took its place",
    "flat_at_close": "the position was closed at the session's end",
    "expired": "the session ended first (time_in_force day, or flat_at_close)",
    "no_bar_to_fill": "no bar came that could fill it before the run ended",
    "insufficient_cash": "the account could not pay for more when it was about to fill",
    "max_open_positions": "others had filled up max_open_positions when it was about to fill",
    "below_lot": "at the price of the fill it was not one lot",
    "margin_call": "a margin call took back what waited",
    "participation": "the bar's volume left no more for it",
}


def _cut(decision: Row, books: Books) -> str:
    limit = books.config["trading_config"]["max_per_trade"]
    value = decision["quantity"] * decision["price"]
    return f"{shares(decision['quantity'])}, worth {money(value)} at the price seen; more would exceed max_per_trade {money(limit)}"


def _refused(reason: str, decision: Row, books: Books, clock: Callable[[dt.datetime], str]) -> str:
    """A refusal with its figures."""
    risk, execution, account = (books.config[part] for part in ("trading_config", "execution", "account"))
    key = decision["strategy"], decision["symbol"]
    at, name = clock(decision["ts"]), decision["symbol"]
    simple = {
        "low_quality": f"{name} had {decision['quality']:.2f} % of its bars by {at}, below min_quality {risk['min_quality']:g}",
        "low_confidence": f"confidence {decision['confidence']:g} is below min_confidence {risk['min_confidence']:g}",
        "short_not_allowed": "account.allow_short is false",
        "no_bar_to_fill": f"{name} had no bar for the signal to stand on, so no price was seen",
        "session_closed": f"at {at} no bar of the session was left to fill an order that may not outlive it",
        "after_last_entry": f"at {at} entries had ended: flat_at_close with no_entry_minutes {execution['no_entry_minutes']:g}",
        "cooldown": f"its last position was closed{_closed(key, decision, books, clock)}, not cooldown_minutes "
        f"{risk['cooldown_minutes']:g} ago",
        "no_stop": "sizing by risk_fraction needs a stop below the price seen, and there is none",
        "within_threshold": f"the position is within rebalance_threshold {execution['rebalance_threshold']:g} of its weight, "
        "or there is nothing to do for it",
        "no_position": f"no position {'to sell' if decision['action'] == 'exit_long' else 'to buy back'}, or its exit waits already",
        "below_lot": _less_than_a_lot(decision, books, execution),
    }  # fmt: skip
    if reason in simple:
        return simple[reason]
    if reason == "already_in_position":
        return _already(key, decision, books, risk)
    if reason == "max_open_positions":
        held = books.held(decision["ts"])
        return f"{len(held)} positions are held, with entries that wait they reach max_open_positions {risk['max_open_positions']}"
    return _too_much(reason, decision, books, risk, account)


def _already(key: Key, decision: Row, books: Books, risk: Row) -> str:
    held = books.held(decision["ts"], strategy=key[0], symbol=key[1]).get(key, 0.0)
    if not held:
        return "an entry of this strategy in it waits already"
    more = f", which has had its max_entries {risk['max_entries']}" if risk["max_entries"] > 1 else ""
    return f"{_held(held)} held {'long' if held > 0 else 'short'} already{more}"


def _too_much(reason: str, decision: Row, books: Books, risk: Row, account: Row) -> str:
    """The limits of money."""
    value = decision["quantity"] * (decision["price"] or 0.0)
    own = f"{shares(decision['quantity'])} at {price(decision['price'])} are {money(value)}"
    state = books.equity_before(decision["ts"]) or {"gross": 0.0, "equity": account["cash"]}
    if reason == "max_per_symbol":
        held = sum(abs(quantity) for quantity in books.held(decision["ts"], symbol=decision["symbol"]).values())
        return (f"{own}; with {money(held * (decision['price'] or 0.0))} held in {decision['symbol']} and what waits that is above "
                f"max_per_symbol {money(risk['max_per_symbol'])}")  # fmt: skip
    if reason == "max_buying_power":
        return f"{own}; with {money(state['gross'])} held and what waits that is above max_buying_power {money(risk['max_buying_power'])}"
    if reason == "insufficient_cash" and account["capital"]:
        capital = money(account["capital"][decision["strategy"]])
        return f"{own}; with what it holds and what waits that is more than its purse carries, which began with {capital}"
    if reason == "insufficient_cash":
        lent = f" at leverage {account['leverage']:g}" if account["leverage"] > 1 else ""
        return (
            f"{own}; with {money(state['gross'])} held and what waits, and the fees, that is more than equity "
            f"{money(state['equity'])} carries{lent}"
        )
    return reason.replace("_", " ")


def _closed(key: Key, decision: Row, books: Books, clock: Callable[[dt.datetime], str]) -> str:
    """When the last position of a strategy and symbol was closed."""
    import polars as pl

    own = books.trades.filter((pl.col("strategy") == key[0]) & (pl.col("symbol") == key[1]) & (pl.col("exit_ts") < decision["ts"]))
    return f", at {clock(own['exit_ts'].max())}" if len(own) else ""  # type: ignore[arg-type]


def _less_than_a_lot(decision: Row, books: Books, execution: Row) -> str:
    """A size that is no lot: of an entry, or of an exit that sells a part."""
    lot, sizing = books.lot_of(decision["symbol"]), execution["sizing"]
    if str(decision["action"]).startswith("exit"):
        held = books.held(decision["ts"], strategy=decision["strategy"], symbol=decision["symbol"])
        return f"its exit_fraction of {shares(abs(sum(held.values())))} held is not one lot of {lot:g}"
    own = f"sizing {sizing['type']} {sizing['value']:g}, or the signal's own"
    return f"the size ({own}) is not one lot of {lot:g} at {price(decision['price'])}"


def _held(quantity: float) -> str:
    """So many shares, with their verb.

    >>> _held(1.0), _held(-20.0)
    ('1 share is', '20 shares are')
    """
    return f"{shares(abs(quantity))} share is" if abs(quantity) == 1 else f"{shares(abs(quantity))} shares are"

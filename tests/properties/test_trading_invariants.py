"""What must hold of every run, whatever the market: accounting identities, and runs that must agree with each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.engine import play, rows_of
from tests.properties.markets import FEWER, scenes
from tests.scene import Bar, Quote, Rules, Scene, Signal, Slot

Rows = list[dict[str, Any]]


def micro(amount: float) -> int:
    """Currency of a table as whole 1e-6."""
    return round(amount * 1e6)


def signed_cash(fill: dict[str, Any]) -> int:
    """What a fill does to cash."""
    value = micro(fill["value"])
    return (-value if fill["side"] == "buy" else value) - micro(fill["fee"])


def without(table: pl.DataFrame, *columns: str) -> pl.DataFrame:
    return table.drop(*columns)


def same_money(one: dict[str, pl.DataFrame], other: dict[str, pl.DataFrame]) -> None:
    """Equal fills, trades and equity; order numbers may differ."""
    assert without(one["fills"], "order_id").equals(without(other["fills"], "order_id"))
    assert one["trades"].equals(other["trades"])
    assert one["equity"].equals(other["equity"])


@FEWER
@given(scenes())
def test_equity_is_cash_and_positions_at_their_last_close(scene: Scene):
    """I-01, I-02: fills replayed by hand over the bars give cash and equity at every slot, exactly."""
    got = play(scene)
    fills, equity = rows_of(got["fills"]), {row["ts"]: row for row in rows_of(got["equity"])}
    cash, held, last = micro(scene.rules.cash), dict[tuple[str, str], float](), dict[str, float]()
    for slot in scene.slots:
        for fill in (fill for fill in fills if fill["ts"] == slot.start):
            key = (fill["strategy"], fill["symbol"])
            cash += signed_cash(fill)
            held[key] = held.get(key, 0.0) + (fill["quantity"] if fill["side"] == "buy" else -fill["quantity"])
        last |= {symbol: bar.close for symbol, bar in slot.bars.items()}
        assert (slot.start in equity) == bool(slot.bars)
        if slot.bars:
            marks = sum(round(last[symbol] * quantity * 1e6) for (_, symbol), quantity in held.items() if quantity)
            row = equity[slot.start]
            assert (micro(row["cash"]), micro(row["equity"])) == (cash, cash + marks)


@FEWER
@given(scenes())
def test_no_buy_takes_cash_below_zero(scene: Scene):
    """I-03: only a sale whose fee exceeds its value may."""
    cash = micro(scene.rules.cash)
    for fill in rows_of(play(scene)["fills"]):
        cash += signed_cash(fill)
        assert cash >= 0 or (fill["side"] == "sell" and signed_cash(fill) < 0)


@FEWER
@given(scenes())
def test_fees_are_never_negative_and_those_of_the_trades_are_those_of_the_fills(scene: Scene):
    """I-04."""
    got = play(scene)
    fees = [micro(fee) for fee in got["fills"]["fee"]]
    assert all(fee >= 0 for fee in fees)
    assert sum(fees) == sum(micro(fee) for fee in got["trades"]["fees"])


@FEWER
@given(scenes())
def test_final_equity_is_the_cash_at_the_start_and_the_pnl_of_all_trades(scene: Scene):
    """I-05: pnl of closed trades and of those still open, fees inside both."""
    got = play(scene)
    if len(got["equity"]):
        assert micro(got["equity"]["equity"][-1]) == micro(scene.rules.cash) + sum(micro(pnl) for pnl in got["trades"]["pnl"])
    for trade in rows_of(got["trades"]):
        assert trade["mae"] <= 0.0 <= trade["mfe"]


@FEWER
@given(scenes())
def test_no_order_fills_before_its_decision_is_known(scene: Scene):
    """I-08: a bar that fills opens no earlier than the decision, but for `same_close`, which fills at the earliest when it is known."""
    got = play(scene)
    ends = {slot.start: slot.end for slot in scene.slots}
    decided = {row["order_id"]: row["ts"] for row in rows_of(got["decisions"]) if row["approved"]}
    for fill in rows_of(got["fills"]):
        if fill["order_id"] in decided:
            assert ends[fill["ts"]] >= decided[fill["order_id"]]
            assert scene.rules.fill == "same_close" or fill["ts"] >= decided[fill["order_id"]]


@FEWER
@given(scenes())
def test_every_fill_is_on_a_real_bar_with_volume_and_inside_its_range(scene: Scene):
    """I-09, I-11: inside [low, high] but for slippage; at a quote's price only where the run fills at quotes."""
    slots = {slot.start: slot for slot in scene.slots}
    bps = scene.rules.slippage_bps / 10000.0
    for fill in rows_of(play(scene)["fills"]):
        bar = slots[fill["ts"]].bars[fill["symbol"]]
        assert bar.volume > 0.0
        at_quote = scene.rules.price == "quote" and fill["type"] in ("market", "close") and fill["symbol"] in slots[fill["ts"]].quotes
        if not at_quote:
            assert bar.low * (1.0 - bps) <= fill["price"] <= bar.high * (1.0 + bps)


@FEWER
@given(scenes())
def test_a_stop_never_fills_above_its_level(scene: Scene):
    """I-12; and a target never below its own."""
    got = play(scene)
    orders = {row["order_id"]: row for row in rows_of(got["orders"])}
    for fill in rows_of(got["fills"]):
        if fill["type"] == "stop":
            assert fill["price"] <= orders[fill["order_id"]]["stop"]
        if fill["type"] == "target":
            assert fill["price"] >= orders[fill["order_id"]]["limit"]


@FEWER
@given(scenes(), st.randoms(use_true_random=False))
def test_the_order_in_which_signals_are_given_changes_nothing(scene: Scene, random: Any):
    """I-13, of what trading decides itself: one signal a (slot, strategy, symbol, action), in any order."""
    distinct = list({(s.t, s.strategy, s.symbol, s.action): s for s in scene.signals}.values())
    shuffled = random.sample(distinct, len(distinct))
    one, other = play(replace(scene, signals=tuple(distinct))), play(replace(scene, signals=tuple(shuffled)))
    assert all(one[name].equals(other[name]) for name in one)


def halves(scene: Scene) -> Scene:
    """The scene with whole lots, levels and fees in halves of halves, so that no product of the run is ever rounded."""
    rules = replace(
        scene.rules, lot=1.0, slippage_bps=0.0, fee_bps=0.0, cap_bps=None, per_share=0.25, minimum=scene.rules.minimum and 0.5,
        stop_loss=scene.rules.stop_loss and 1 / 16, take_profit=scene.rules.take_profit and 1 / 32,
    )  # fmt: skip

    def level(price: float | None) -> float | None:
        return None if price is None else round(price * 4) / 4

    def bar(b: Bar) -> Bar:
        return Bar(*(float(max(1, round(p * 4))) for p in (b.open, b.high, b.low, b.close)), b.volume)

    def quote(q: Quote) -> Quote:
        return Quote(*(float(max(1, round(p * 4))) for p in (q.bid_open, q.bid_close, q.ask_open, q.ask_close)))

    slots = [
        replace(s, bars={n: bar(b) for n, b in s.bars.items()}, quotes={n: quote(q) for n, q in s.quotes.items()}) for s in scene.slots
    ]
    signals = [
        replace(
            s, price=s.price and float(max(1, round(s.price * 4))), stop_loss=s.stop_loss and 1 / 64, take_profit=s.take_profit and 1 / 64,
            stop_price=level(s.stop_price and s.stop_price * 4), target_price=level(s.target_price and s.target_price * 4),
            size=s.size and max(2.0, 2.0 * round(min(s.size, 1e6) / 2)),
        )
        for s in scene.signals
    ]  # fmt: skip
    return replace(scene, slots=tuple(slots), signals=tuple(signals), rules=rules)


def scaled(scene: Scene, factor: float) -> Scene:
    """Every price and every amount of money times the factor."""

    def times(value: Any, *names: str) -> Any:
        return replace(value, **{name: getattr(value, name) and getattr(value, name) * factor for name in names})

    def slot(s: Slot) -> Slot:
        bars = {name: times(bar, "open", "high", "low", "close") for name, bar in s.bars.items()}
        quotes = {name: times(quote, "bid_open", "bid_close", "ask_open", "ask_close") for name, quote in s.quotes.items()}
        return replace(s, bars=bars, quotes=quotes)

    def signal(s: Signal) -> Signal:
        return times(s, "price", "stop_price", "target_price")

    names = ("cash", "per_share", "minimum", "max_buying_power", "max_per_trade", "max_per_symbol")
    rules: Rules = times(scene.rules, *names, *(["value"] if scene.rules.sizing == "notional" else []))
    return replace(scene, slots=tuple(map(slot, scene.slots)), signals=tuple(map(signal, scene.signals)), rules=rules)


@FEWER
@given(scenes().map(halves), st.sampled_from([2.0, 8.0, 1024.0]))
def test_prices_and_cash_times_two_give_the_same_trades_and_twice_the_money(scene: Scene, factor: float):
    """I-29: exact, because every product is a whole number of 1e-6 currency at either scale."""
    one, other = play(scene), play(scaled(scene, factor))
    amounts = {
        "decisions": ["price"], "orders": ["limit", "stop", "price_seen"], "fills": ["price", "value", "fee", "slippage"],
        "trades": ["entry_price", "exit_price", "pnl", "fees"], "equity": ["cash", "equity", "gross", "net"],
    }  # fmt: skip
    for name, columns in amounts.items():
        assert one[name].with_columns(pl.col(columns) * factor).equals(other[name]), name


@FEWER
@given(scenes())
def test_volume_says_only_whether_a_bar_can_fill(scene: Scene):
    """I-30: a thousand times the volume changes nothing."""
    slots = [replace(s, bars={name: replace(bar, volume=bar.volume * 1000.0) for name, bar in s.bars.items()}) for s in scene.slots]
    one, other = play(scene), play(replace(scene, slots=tuple(slots)))
    assert all(one[name].equals(other[name]) for name in one)


@FEWER
@given(scenes())
def test_without_signals_equity_is_the_cash_and_nothing_is_traded(scene: Scene):
    """I-33."""
    got = play(replace(scene, signals=()))
    assert all(len(got[name]) == 0 for name in ("decisions", "orders", "fills", "trades"))
    assert {micro(amount) for amount in got["equity"]["equity"]} <= {micro(scene.rules.cash)}


@FEWER
@given(scenes())
def test_a_higher_fee_never_raises_the_final_equity_of_the_same_trades(scene: Scene):
    """I-35: with cash and limits that never bite, so that the fills stay the same."""
    free = replace(
        scene.rules, cash=1e11, sizing="shares", value=10.0, max_buying_power=None, max_per_trade=None, max_per_symbol=None, fee_bps=1.0
    )
    signals = tuple(replace(signal, size=None) for signal in scene.signals)
    low, high = (play(replace(scene, rules=replace(free, fee_bps=bps), signals=signals)) for bps in (1.0, 9.0))
    assert without(low["fills"], "fee").equals(without(high["fills"], "fee"))
    assert all(one >= other for one, other in zip(low["equity"]["equity"], high["equity"]["equity"], strict=True))


@FEWER
@given(scenes())
def test_a_stop_that_no_price_reaches_is_no_stop(scene: Scene):
    """I-37: and a target beyond all prices is no target."""
    rules = replace(scene.rules, stop_loss=None, take_profit=None)
    bare = [replace(s, stop_loss=None, take_profit=None, stop_price=None, target_price=None) for s in scene.signals]
    far = [replace(s, stop_price=1e-9, target_price=1e9) for s in bare]
    same_money(play(replace(scene, rules=rules, signals=tuple(bare))), play(replace(scene, rules=rules, signals=tuple(far))))


@FEWER
@given(scenes().map(halves))
def test_a_strategy_at_half_size_run_twice_is_the_strategy_at_full_size(scene: Scene):
    """I-41: with cash and limits that never bite and no minimum fee."""
    rules = replace(
        scene.rules, cash=1e9, sizing="shares", value=20.0, minimum=0.0,
        max_buying_power=None, max_per_trade=None, max_per_symbol=None, max_open_positions=None,
    )  # fmt: skip
    mine = [replace(s, strategy="one", size=s.size and min(s.size, 40.0)) for s in scene.signals]
    half = [replace(s, strategy=name, size=s.size and s.size / 2) for s in mine for name in ("one", "two")]
    full = play(replace(scene, strategies=("one",), signals=tuple(mine), rules=rules))
    twice = play(replace(scene, strategies=("one", "two"), signals=tuple(half), rules=replace(rules, value=10.0)))
    assert full["equity"].equals(twice["equity"])
    assert 2 * len(full["fills"]) == len(twice["fills"])


@FEWER
@given(scenes())
def test_every_signal_has_one_decision_with_a_reason_and_every_order_its_decision(scene: Scene):
    """I-44: accepted, cut and refused are all that was submitted; a refused one has no order."""
    got = play(scene)
    decisions, orders = rows_of(got["decisions"]), rows_of(got["orders"])
    submitted = sorted((scene.slots[s.t].end, s.strategy, s.symbol, s.action) for s in scene.signals)
    assert sorted((row["ts"], row["strategy"], row["symbol"], row["action"]) for row in decisions) == submitted
    assert all(row["reason"] for row in decisions)
    assert all((row["order_id"] is not None) == row["approved"] for row in decisions)
    assert all(row["reason"] not in ("approved", "max_per_trade") for row in decisions if not row["approved"])
    made = sorted(row["order_id"] for row in decisions if row["approved"])
    assert made == sorted(order["order_id"] for order in orders if order["type"] == "market")
    assert [order["order_id"] for order in sorted(orders, key=lambda order: order["order_id"])] == list(range(1, len(orders) + 1))

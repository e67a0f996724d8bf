"""The contract of a strategy: what it declares, what it may return, and what is said where it does neither well."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import Field, ValidationError

from backtester.errors import StrategyError
from backtester.signals.bars import Bars
from backtester.signals.strategy import BOOLEANS, CALLS, LIMITS, Signals, Strategy, Wishes, checked, declared, field_names
from tests.signals.views import bars_of

NAN, INF = float("nan"), float("inf")


class Quiet(Strategy):
    """Nothing but a method."""

    def signals(self, bars: Bars) -> Signals:
        return Signals()


def two_rows() -> Bars:
    """Two symbols, one bar of history, three bars of the session."""
    return bars_of(lookback=1, close=[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])


def booleans(*marks: str) -> np.ndarray:
    """Rows of booleans drawn as text: `x` is True."""
    return np.array([[mark == "x" for mark in row] for row in marks])


def test_a_strategy_says_inputs_lookback_and_layout_or_takes_what_is_usual() -> None:
    found = declared(Quiet(), "s")
    assert (dict(found.inputs), dict(found.lookback), Quiet.layout) == ({"bars": "1m"}, {"bars": 0}, "bars")


def test_the_interval_of_a_strategy_is_that_of_its_only_input() -> None:
    class Fives(Quiet):
        interval: str = "5m"

    assert dict(declared(Fives(), "s").inputs) == {"bars": "5m"}
    assert dict(declared(Fives(interval="15m"), "s").inputs) == {"bars": "15m"}


def test_inputs_and_lookback_may_be_plain_class_attributes() -> None:
    class Plain(Quiet):
        lookback = 20
        inputs = {"bars": "5m", "trend": "15m"}

    found = declared(Plain(), "s")
    assert (dict(found.inputs), dict(found.lookback)) == ({"bars": "5m", "trend": "15m"}, {"bars": 20, "trend": 20})


def test_they_may_be_properties_that_follow_the_settings() -> None:
    class Following(Quiet):
        period: int = 7

        @property
        def inputs(self) -> dict[str, str]:
            return {"bars": "1m", "trend": f"{self.period}m"}

        @property
        def lookback(self) -> dict[str, int]:
            return {"trend": 2 * self.period}

    found = declared(Following(period=9), "s")
    assert (dict(found.inputs), dict(found.lookback)) == ({"bars": "1m", "trend": "9m"}, {"bars": 0, "trend": 18})


@pytest.mark.filterwarnings("error")
def test_they_may_be_settings() -> None:
    """A property of the base class would hide a setting of its name, and 0 bars of history be taken for 20."""

    class Set(Quiet):
        lookback: int = 20
        inputs: dict[str, str] = {"bars": "3m"}

    class Later(Set):
        other: int = 1

    assert dict(declared(Set(), "s").lookback) == {"bars": 20}
    assert dict(declared(Set(lookback=5), "s").lookback) == {"bars": 5}
    assert dict(declared(Later(lookback=6), "s").inputs) == {"bars": "3m"}
    assert dict(declared(Later(lookback=6), "s").lookback) == {"bars": 6}
    assert Later().model_dump() == {"lookback": 20, "inputs": {"bars": "3m"}, "other": 1}


@pytest.mark.parametrize(
    ("inputs", "lookback", "layout", "message"),
    [
        ({}, 0, "bars", "inputs are not names with intervals"),
        (["1m"], 0, "bars", "inputs are not names with intervals"),
        ({"bars": 5}, 0, "bars", "inputs are not names with intervals"),
        ({"bars": "5x"}, 0, "bars", "unknown interval.*inputs.*'5x'.*allowed: Ns"),
        ({"bars": "1m"}, -1, "bars", "not a number of bars.*lookback of bars.*-1"),
        ({"bars": "1m"}, 2.5, "bars", "not a number of bars.*2.5"),
        ({"bars": "1m"}, "20", "bars", "not a number of bars.*'20'"),
        ({"bars": "1m"}, True, "bars", "not a number of bars.*True"),
        ({"bars": "1m"}, None, "bars", "not a number of bars.*None"),
        ({"bars": "1m"}, {"bars": 1, "trnd": 2}, "bars", "lookback of an input that is not declared.*'trnd'"),
        ({"bars": "1m"}, 0, "rows", "unknown layout.*'rows'.*allowed: bars, clock"),
    ],
)
def test_what_a_strategy_declares_is_checked_before_any_data_is_read(inputs: Any, lookback: Any, layout: str, message: str) -> None:
    """STR-03."""
    odd = type("Odd", (Quiet,), {"inputs": property(lambda self: inputs), "lookback": property(lambda self: lookback), "layout": layout})
    with pytest.raises(StrategyError, match=message) as caught:
        declared(odd(), "mine")
    assert "strategy mine" in str(caught.value)
    assert caught.value.exit_code == 5


def test_a_lookback_that_cannot_be_worked_out_is_a_strategy_error() -> None:
    class Broken(Quiet):
        @property
        def lookback(self) -> int:
            raise ZeroDivisionError("no periods")

    with pytest.raises(StrategyError, match=r"strategy mine.*ZeroDivisionError: no periods"):
        declared(Broken(), "mine")


def test_a_strategy_without_signals_is_named() -> None:
    class Nothing(Strategy):
        period: int = 1

    with pytest.raises(StrategyError, match=r"no signals method \(strategy mine\): got Nothing"):
        declared(Nothing(), "mine")


def test_signals_that_take_something_else_are_refused() -> None:
    """STR-03: before data is read."""

    class Two(Strategy):
        def signals(self, bars: Bars, market: Any) -> Signals:  # type: ignore[override]
            return Signals()

    with pytest.raises(StrategyError, match=r"strategy mine.*'market'.*allowed: def signals\(self, bars\)"):
        declared(Two(), "mine")


def test_settings_are_typed_defaulted_and_bounded() -> None:
    class Bounded(Quiet):
        fast: int = Field(5, ge=1, le=500)
        share: float = 0.5

    assert Bounded(fast=7).model_dump() == {"fast": 7, "share": 0.5}
    for wrong in ({"fast": 0}, {"fast": "7"}, {"fast": 1.5}, {"fast": True}, {"slow": 1}, {"share": NAN}, {"share": INF}):
        with pytest.raises(ValidationError):
            Bounded(**wrong)
    with pytest.raises(ValidationError, match="frozen"):
        Bounded().fast = 3  # type: ignore[misc]


def test_signals_are_cut_to_the_session() -> None:
    bars = two_rows()
    enter, size = booleans("xx.x", "x..."), np.arange(1.0, 9.0).reshape(2, 4)
    found = checked(Signals(enter_long=enter, size=size, confidence=0.5, tags="why"), bars, "s")
    assert found.booleans["enter_long"].tolist() == [[True, False, True], [False, False, False]]
    assert found.numbers["size"].tolist() == [[2, 3, 4], [6, 7, 8]]
    assert found.numbers["confidence"].tolist() == [[0.5] * 3] * 2
    assert found.tags is not None
    assert found.tags.tolist() == [["why"] * 3] * 2
    assert set(found.booleans) == {"enter_long"}


def test_an_order_may_wait_for_a_session_s_open_or_close() -> None:
    bars = two_rows()
    every, none = np.ones(bars.shape, bool), np.zeros(bars.shape, bool)
    wishes = checked(Signals(enter_long=every, on_open=True, on_close=none), bars, "s")
    assert wishes.calls["on_open"].all()
    assert not wishes.calls["on_close"].any()
    assert wishes.calls["on_open"].shape == wishes.booleans["enter_long"].shape


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"on_open": True, "on_close": True}, "on_open and on_close"),
        ({"on_open": True, "limit": 5.0}, "on_open and limit"),
        ({"on_close": True, "entry_stop": 5.0}, "on_close and entry_stop"),
        ({"on_open": True, "entry_trail": 0.01}, "on_open and entry_trail"),
        ({"entry_trail_amount": 1.0, "limit": 5.0}, "entry_trail_amount and limit"),
        ({"entry_trail": 0.01, "entry_trail_amount": 1.0, "entry_stop": 5.0}, "entry_trail and entry_stop"),
    ],
)
def test_an_order_waits_for_one_thing_alone(given: dict[str, Any], asked: str) -> None:
    bars = two_rows()
    every, none = np.ones(bars.shape, bool), np.zeros(bars.shape, bool)
    with pytest.raises(StrategyError, match=f"cannot fill in two ways.*session.*symbol.*{asked}"):
        checked(Signals(enter_long=every, **given), bars, "s")
    assert not checked(Signals(enter_long=none, **given), bars, "s").booleans["enter_long"].any()
    for wrong in (1, "yes", np.ones(3, bool)):
        with pytest.raises(StrategyError, match="wrong"):
            checked(Signals(enter_long=every, on_open=wrong), bars, "s")


def test_an_exit_and_a_weight_do_not_read_the_trail() -> None:
    bars = two_rows()
    every = np.ones(bars.shape, bool)
    both = {"entry_trail": 0.01, "entry_trail_amount": 1.0}
    assert checked(Signals(enter_long=every, **both), bars, "s").numbers.keys() == both.keys()
    assert checked(Signals(exit_long=every, limit=5.0, **both), bars, "s").numbers.keys() == {"limit", *both}
    assert checked(Signals(target=0.5 * every, limit=5.0, **both), bars, "s").numbers.keys() == {"target", "limit", *both}


def test_nothing_wished_is_nothing() -> None:
    assert checked(Signals(), two_rows(), "s") == Wishes({}, {}, None)


@pytest.mark.parametrize("returned", [None, True, np.zeros((2, 4), np.bool_), {"enter_long": None}, (), Signals])
def test_anything_but_signals_is_refused(returned: Any) -> None:
    """STR-07."""
    with pytest.raises(StrategyError, match=r"signals must return Signals \(strategy mine\): got \w+"):
        checked(returned, two_rows(), "mine")


@pytest.mark.parametrize("column", BOOLEANS)
@pytest.mark.parametrize(
    "value", [booleans("xx"), booleans("x...").ravel(), booleans("xxx", "xxx"), booleans("xx", "xx", "xx", "xx"),
              np.zeros((1, 2, 4), np.bool_), True, [[True], [True, False]]],
)  # fmt: skip
def test_a_boolean_of_another_shape_is_refused_with_both_shapes(column: str, value: Any) -> None:
    """STR-08."""
    with pytest.raises(StrategyError, match=rf"wrong shape \(strategy mine, column {column}\)") as caught:
        checked(Signals(**{column: value}), two_rows(), "mine")
    if isinstance(value, np.ndarray):
        assert str(value.shape) in str(caught.value)
        assert "(2, 4)" in str(caught.value)


@pytest.mark.parametrize(
    "value", [np.zeros((2, 4)), np.full((2, 4), NAN), np.zeros((2, 4), np.int64), np.full((2, 4), None), np.full((2, 4), "x")]
)
def test_a_boolean_of_another_kind_is_refused(value: np.ndarray) -> None:
    """STR-08, STR-09, STR-10: numbers, and so NaN, are no booleans."""
    with pytest.raises(StrategyError, match=r"wrong dtype \(strategy mine, column exit_long\).*allowed: bool"):
        checked(Signals(exit_long=value), two_rows(), "mine")


@pytest.mark.parametrize("column", LIMITS)
def test_a_number_that_is_infinite_is_refused_with_its_place(column: str) -> None:
    """STR-09: session, symbol and bar are named."""
    values = np.full((2, 4), NAN)
    values[1, 3] = INF
    with pytest.raises(StrategyError) as caught:
        checked(Signals(**{column: values}), two_rows(), "mine")
    assert f"(strategy mine, column {column}, session 2024-01-01, symbol B, bar 2)" in str(caught.value)
    assert "got inf" in str(caught.value)


@pytest.mark.parametrize(
    ("column", "value", "allowed"),
    [
        ("confidence", 1.01, "a fraction from 0 to 1"),
        ("confidence", -0.1, "a fraction from 0 to 1"),
        ("size", 0.0, "shares, above 0"),
        ("size", -5, "shares, above 0"),
        ("stop_loss", 0.0, "a price level goes into stop_price"),
        ("stop_loss", 95.0, "a price level goes into stop_price"),
        ("take_profit", 110.0, "a price level goes into target_price"),
        ("stop_price", 0.0, "a price above 0"),
        ("target_price", -1.0, "a price above 0"),
    ],
)
def test_a_number_out_of_range_is_refused(column: str, value: float, allowed: str) -> None:
    """STR-10."""
    with pytest.raises(StrategyError, match=allowed):
        checked(Signals(**{column: value}), two_rows(), "mine")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("confidence", 0),
        ("confidence", 1.0),
        ("confidence", NAN),
        ("size", 1),
        ("stop_loss", 1.0),
        ("take_profit", 10),
        ("stop_price", NAN),
    ],
)
def test_the_ends_of_the_range_and_nan_are_allowed(column: str, value: float) -> None:
    found = checked(Signals(**{column: value}), two_rows(), "mine").numbers[column]
    np.testing.assert_array_equal(found, np.full((2, 3), float(value)))


@pytest.mark.parametrize("value", [np.zeros(3), np.zeros((2, 3)), np.zeros((2, 1)), [[1.0], [1.0, 2.0]]])
def test_a_number_of_another_shape_is_refused(value: Any) -> None:
    with pytest.raises(StrategyError, match=r"wrong shape \(strategy mine, column size\)"):
        checked(Signals(size=value), two_rows(), "mine")


@pytest.mark.parametrize("value", ["1", True, np.full((2, 4), None), np.full((2, 4), 1j)])
def test_a_number_of_another_kind_is_refused(value: Any) -> None:
    with pytest.raises(StrategyError, match=r"wrong dtype \(strategy mine, column size\)"):
        checked(Signals(size=value), two_rows(), "mine")


@pytest.mark.parametrize("value", [["a", "b"], np.full((2, 3), "a"), np.full((2, 1), "a", dtype=object)])
def test_tags_of_another_shape_are_refused(value: Any) -> None:
    with pytest.raises(StrategyError, match=r"wrong shape \(strategy mine, column tags\)"):
        checked(Signals(tags=value), two_rows(), "mine")


@pytest.mark.parametrize("value", [5, np.zeros((2, 4)), np.full((2, 4), 3, dtype=object)])
def test_tags_are_texts(value: Any) -> None:
    with pytest.raises(StrategyError, match=r"wrong dtype \(strategy mine, column tags\)"):
        checked(Signals(tags=value), two_rows(), "mine")


def test_tags_may_be_a_column_with_gaps() -> None:
    tags = np.full((2, 4), None, dtype=object)
    tags[0, 2] = "dip"
    found = checked(Signals(tags=tags), two_rows(), "s").tags
    assert found is not None
    assert found.tolist() == [[None, "dip", None], [None, None, None]]


def test_a_column_of_text_arrays_is_as_good() -> None:
    found = checked(Signals(tags=np.full((2, 4), "dip")), two_rows(), "s").tags
    assert found is not None
    assert found.tolist() == [["dip"] * 3] * 2


def test_the_clock_layout_has_three_axes() -> None:
    class Beside(Quiet):
        layout: ClassVar = "clock"

    assert declared(Beside(), "s").lookback == {"bars": 0}
    bars = bars_of(close=[[1.0, 2.0], [3.0, 4.0]])
    labels = np.array([["2024-01-01"], ["2024-01-02"]], "datetime64[D]")[..., None]
    cube = Bars("1m", 0, (2, 2, 2), lambda name: np.stack([bars.column(name)] * 2), bars.symbol[None], labels)
    values = np.ones((2, 2, 2))
    values[1, 0, 1] = -1.0
    with pytest.raises(StrategyError, match="session 2024-01-02, symbol A, bar 1"):
        checked(Signals(size=values), cube, "s")


@pytest.mark.filterwarnings("ignore:Field name")
def test_a_layout_that_looks_like_a_setting_is_refused() -> None:
    class Beside(Quiet):
        layout: str = "clock"  # type: ignore[misc]

    with pytest.raises(StrategyError, match="layout is not a setting"):
        declared(Beside(), "s")


def test_the_columns_of_signals_are_known_by_name() -> None:
    assert field_names() == (*BOOLEANS, "target", *LIMITS, *CALLS, "tags")


def test_weights_are_wishes_where_they_are_numbers() -> None:
    found = checked(Signals(target=[[NAN, 0.5, NAN, -1.0], [NAN, NAN, 0.0, 1.0]]), two_rows(), "mine")
    assert {name: mask.tolist() for name, mask in found.booleans.items()} == {"target": [[True, False, True], [False, True, True]]}
    np.testing.assert_array_equal(found.numbers["target"], [[0.5, NAN, -1.0], [NAN, 0.0, 1.0]])


def test_weights_and_booleans_together_are_refused() -> None:
    with pytest.raises(StrategyError, match=r"target and booleans together \(strategy mine, column target\): got exit_long"):
        checked(Signals(target=0.5, exit_long=booleans("....", "....")), two_rows(), "mine")


def test_a_weight_is_at_most_the_leverage() -> None:
    with pytest.raises(StrategyError, match="value out of range") as caught:
        checked(Signals(target=1.5), two_rows(), "mine")
    assert "from -1 to 1, by account.leverage" in str(caught.value)
    assert checked(Signals(target=-1.5), two_rows(), "mine", leverage=2.0).numbers["target"].min() == -1.5


def test_weights_side_by_side_add_up_to_no_more_than_the_leverage() -> None:
    bars = bars_of(lookback=1, close=[[[1.0, 2.0, 3.0], [5.0, 6.0, 7.0]]])
    assert bars.shape == (1, 2, 3)
    checked(Signals(target=[[[NAN, 0.5, 1.0], [9e9 - 9e9, -0.5, NAN]]]), bars, "mine")
    with pytest.raises(StrategyError, match="add up to more than the account carries") as caught:
        checked(Signals(target=[[[NAN, 0.5, 0.5], [NAN, -0.5, -0.75]]]), bars, "mine")
    assert "bar 1): got 1.25; allowed: at most 1, by account.leverage" in str(caught.value)


def test_signals_without_self_take_bars_alone() -> None:
    class Bare(Strategy):
        @staticmethod
        def signals(bars: Any) -> Signals:
            return Signals()

    class Wanting(Strategy):
        @staticmethod
        def signals(bars: Any, more: Any) -> Signals:
            return Signals()

    assert declared(Bare(), "bare").inputs == {"bars": "1m"}
    with pytest.raises(StrategyError, match="signals cannot be called with bars"):
        declared(Wanting(), "wanting")

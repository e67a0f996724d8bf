"""What holds for every indicator of the catalog, on random rows with holes: no look to the right, no row sees another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester.signals.indicators import CATALOG, compute

COLUMNS = ("high", "low", "close", "volume", "prior_high", "prior_low", "prior_close")
# Not remembering more than a window: the value is the same wherever the row begins.
WINDOWED = sorted(name for name, spec in CATALOG.items() if not spec.recursive and name not in ("vwap", "obv"))
# Beginning anew after a missing bar; vwap and obv go on, roc and mom look at two bars only.
ANEW = sorted(set(CATALOG) - {"vwap", "obv", "roc", "mom"})
EVERY = pytest.mark.parametrize("name", sorted(CATALOG))
# 25 indicators share the examples of the profile in force.
SHARE = settings(max_examples=max(25, settings().max_examples // 4), deadline=None)


@dataclass(frozen=True)
class Case:
    """Columns of shape (bars,), the session's first column, and small parameters."""

    columns: dict[str, np.ndarray]
    start: int
    whole: int
    number: float

    def params(self, name: str) -> dict[str, float]:
        """A value for each parameter; several whole ones differ."""
        found: dict[str, float] = {}
        for place, (key, default) in enumerate(CATALOG[name].params.items()):
            found[key] = self.whole + place if isinstance(default, int) else self.number
        return found

    def of(self, name: str, columns: dict[str, np.ndarray] | None = None, start: int | None = None) -> dict[str, np.ndarray]:
        """The indicator's outputs on these columns or on others."""
        given_columns = self.columns if columns is None else columns
        return compute(name, given_columns | {"start": np.asarray(self.start if start is None else start)}, self.params(name))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Walks in ticks with flat stretches, jumps, holes, a stretch of leading NaN, and now and then a value far from the others."""
    codes = np.array(draw(st.lists(st.integers(0, 2**24 - 1), min_size=1, max_size=60)))
    tick = draw(st.sampled_from([0.01, 1.0, 0.1, 1e-7, 1 / 3, 1e9]))
    holes = draw(st.integers(0, 4))
    moves = np.array([0, 0, 0, 1, -1, 2, -2, 7])[codes % 8] * np.where(codes // 8 % 32 == 0, 50, 1)
    close = 10_000 + np.cumsum(moves)
    columns = {"close": close * tick, "high": (close + codes // 256 % 8) * tick, "low": (close - codes // 2048 % 8) * tick}
    columns["volume"] = (codes // 16384 % 4 * 100).astype(float)
    far = codes // 65536 % 64 == 63
    columns["close"] = np.where(far, columns["close"] * 1e6, columns["close"])
    missing = (codes // 4194304 % 4 == 3) & (codes % 7 < holes)
    missing[: draw(st.integers(0, 5))] = True
    for column in columns.values():
        column[missing] = np.nan
    columns |= {f"prior_{name}": columns[name].copy() for name in ("high", "low", "close")}
    return Case(columns, draw(st.integers(0, 8)), draw(st.integers(1, 8)), draw(st.sampled_from([0.0, 1.0, 2.5])))


def bits(values: np.ndarray) -> bytes:
    """The exact bits, all NaN alike."""
    return np.where(np.isnan(values), np.nan, values).tobytes()


@EVERY
@SHARE
@given(case=cases())
def test_what_is_cut_off_at_the_right_changes_nothing_before_the_cut(name, case):
    """I-06, at every cut."""
    whole = case.of(name)
    for cut in range(1, len(case.columns["close"])):
        part = case.of(name, {key: values[:cut] for key, values in case.columns.items()})
        for output, values in part.items():
            assert bits(values) == bits(whole[output][:cut]), (output, cut)


@EVERY
@SHARE
@given(
    case=cases(), share=st.floats(0.0, 1.0), other=st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -1.0, 1e300, 1e100, -1e99, 1e-310, 99.5])
)
def test_other_values_at_the_right_change_nothing_before_them(name, case, share, other):
    """I-07."""
    cut = int(share * len(case.columns["close"]))
    changed = {key: np.where(np.arange(len(values)) < cut, values, other) for key, values in case.columns.items()}
    whole, perturbed = case.of(name), case.of(name, changed)
    for output, values in perturbed.items():
        assert bits(values[:cut]) == bits(whole[output][:cut]), output


@EVERY
@SHARE
@given(case=cases(), turn=st.integers(0, 7))
def test_a_row_of_many_has_the_bits_of_the_series_alone(name, case, turn):
    """Whatever the layout in memory, and with columns that cannot be written to."""
    length = len(case.columns["close"])
    rolled = {key: np.stack([np.roll(values, turn * row) for row in range(6)]) for key, values in case.columns.items()}
    alone = [case.of(name, {key: rows[row] for key, rows in rolled.items()}) for row in range(6)]
    layouts = {
        "rows": dict(rolled),
        "blocks": {key: rows.reshape(2, 3, length) for key, rows in rolled.items()},
        "fortran": {key: np.asfortranarray(rows) for key, rows in rolled.items()},
        "every other": {key: np.repeat(rows, 2, axis=-1)[:, ::2] for key, rows in rolled.items()},
        "backwards": {key: rows[::-1, ::-1].copy()[::-1, ::-1] for key, rows in rolled.items()},
    }
    for layout, columns in layouts.items():
        for values in columns.values():
            values.flags.writeable = False
        for output, values in case.of(name, columns).items():
            for row, expected in enumerate(alone):
                assert bits(values.reshape(6, length)[row]) == bits(expected[output]), (layout, output)


@pytest.mark.parametrize("name", WINDOWED)
@SHARE
@given(case=cases(), share=st.floats(0.0, 1.0))
def test_a_window_has_the_same_bits_wherever_the_row_begins(name, case, share):
    """So that a longer history never changes a bar that had its full window."""
    cut = int(share * len(case.columns["close"]))
    whole = case.of(name)
    late = case.of(name, {key: values[cut:] for key, values in case.columns.items()})
    settled = cut + CATALOG[name].warmup(case.params(name))
    for output, values in late.items():
        assert bits(values[settled - cut :]) == bits(whole[output][settled:]), output


@pytest.mark.parametrize("name", ANEW)
@SHARE
@given(case=cases(), share=st.floats(0.0, 1.0))
def test_what_follows_a_missing_bar_is_as_if_the_row_began_there(name, case, share):
    cut = int(share * (len(case.columns["close"]) - 1))
    holed = {key: np.where(np.arange(len(values)) == cut, np.nan, values) for key, values in case.columns.items()}
    late = case.of(name, {key: values[cut:] for key, values in holed.items()})
    for output, values in case.of(name, holed).items():
        assert bits(values[cut:]) == bits(late[output]), output


@SHARE
@given(case=cases())
def test_indicators_stay_in_their_bounds(case):
    """Percentages in [0, 100], bands around their middle, never an infinity, whatever comes in."""
    for name in CATALOG:
        for output, values in case.of(name).items():
            assert not np.isinf(values).any(), (name, output)
    found = {name: case.of(name) for name in ("rsi", "bbands", "donchian", "keltner")}
    rsi = found["rsi"]["rsi"]
    assert np.all(np.isnan(rsi) | ((rsi >= 0.0) & (rsi <= 100.0)))
    for name in ("bbands", "donchian", "keltner"):
        upper, middle, lower = found[name].values()
        assert np.all(np.isnan(upper) | ((upper >= middle) & (middle >= lower))), name

"""What indicators make of holes, shapes and bad arguments; the catalog; when loops are compiled."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from backtester.errors import ConfigError, StrategyError
from backtester.signals import indicators as ind
from tests.signals.rows import CLOSE, HIGH, LOW, NAN, VOLUME, equal, walk

# --- holes, shapes, threads


def test_a_missing_value_begins_a_window_anew():
    equal(ind.sma([NAN, NAN, 1.0, 3.0, NAN, 5.0, 7.0, NAN], 2), [NAN, NAN, NAN, 2.0, NAN, NAN, 6.0, NAN])
    equal(ind.ema([NAN, 1.0, 3.0, 5.0, NAN, 8.0, 10.0], 2), [NAN, NAN, 2.0, 4.0, NAN, NAN, 9.0])
    equal(ind.rsi([1.0, 2.0, 1.0, NAN, 5.0, 6.0], 1), [NAN, 100.0, 0.0, NAN, NAN, 100.0])
    equal(ind.swing_high([1.0, 3.0, NAN, 1.0, 3.0, 2.0], 1), [NAN, NAN, NAN, NAN, NAN, 3.0])


def test_vwap_and_obv_leave_a_missing_bar_out_and_go_on():
    price, volume = np.array([10.0, NAN, 12.0]), np.array([1.0, 5.0, 1.0])
    equal(ind.vwap(price, price, price, volume), [10.0, NAN, 11.0])
    equal(ind.obv(price, volume), [1.0, NAN, 2.0])


@pytest.mark.parametrize("absurd", [np.inf, -np.inf, 1.1e100, -1e308])
def test_an_infinity_or_what_is_beyond_1e100_counts_as_missing(absurd):
    row = np.array([1.0, 2.0, absurd, 3.0, 5.0])
    equal(ind.sma(row, 2), [NAN, 1.5, NAN, NAN, 4.0])
    equal(ind.mom(row, 1), [NAN, 1.0, NAN, NAN, 2.0])
    equal(ind.true_range(row, row, row), [NAN, 1.0, NAN, NAN, 2.0])


def test_a_period_longer_than_the_row_gives_nan_throughout():
    columns = walk(10) | {f"prior_{name}": np.ones(10) for name in ("high", "low", "close")}
    for name, spec in ind.CATALOG.items():
        params = {key: (10**12 if isinstance(value, int) else value) for key, value in spec.params.items()}
        if params:
            assert all(np.isnan(values).all() for values in ind.compute(name, columns, params).values()), name


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 5), (2, 0, 4)])
def test_empty_columns_give_empty_columns(shape):
    columns = {name: np.ones(shape) for name in ("high", "low", "close", "volume", "prior_high", "prior_low", "prior_close")}
    for name in ind.CATALOG:
        assert all(values.shape == shape for values in ind.compute(name, columns, {}).values()), name


def test_whole_numbers_and_short_floats_are_taken_as_float64():
    equal(ind.sma([1, 2, 4], 2), [NAN, 1.5, 3.0])
    assert ind.rsi(np.arange(30, dtype=np.float32)).dtype == np.float64


def test_the_same_bits_come_from_any_number_of_threads():
    """I-16."""
    rows = np.stack([walk(500, seed)["close"] for seed in range(40)])
    alone = ind.bbands(rows, 20)[0]
    with ThreadPoolExecutor(4) as pool:
        together = np.stack(list(pool.map(lambda row: ind.bbands(row, 20)[0], rows)))
    assert alone.tobytes() == together.tobytes()


# --- bad arguments


@pytest.mark.parametrize("period", [0, -3, 2.0, 2.5, NAN, True, "5", None, np.float64(3)])
def test_a_period_that_is_not_a_whole_number_from_1_is_an_error(period):
    for call in (ind.sma, ind.ema, ind.rsi, ind.bbands, ind.rolling_max, ind.rolling_std):
        with pytest.raises(StrategyError, match=r"period.*allowed: a whole number from 1"):
            call(CLOSE, period)
    with pytest.raises(ConfigError, match=r"indicator sma, period.*allowed: a whole number from 1"):
        ind.compute("sma", {"close": CLOSE}, {"period": period})


@pytest.mark.parametrize("deviations", [-1.0, NAN, np.inf, True, "2"])
def test_a_width_that_is_not_a_finite_number_is_an_error(deviations):
    with pytest.raises(StrategyError, match=r"deviations.*a finite number"):
        ind.bbands(CLOSE, 2, deviations)


def test_columns_that_do_not_fit_together_are_an_error():
    for call in (ind.williams_r, ind.true_range, ind.cci):
        with pytest.raises(StrategyError, match=r"shapes \(5,\), \(4,\)"):
            call(HIGH, LOW[1:], CLOSE)
    with pytest.raises(StrategyError, match="do not fit"):
        ind.obv(CLOSE, VOLUME[1:])


@pytest.mark.parametrize(
    "values", [3.0, "abc", ["a", "b"], np.array([1, None]), np.array([True, False]), np.array(["2025"], "datetime64[D]")]
)
def test_what_is_no_column_of_numbers_is_an_error(values):
    with pytest.raises(StrategyError, match="indicators need"):
        ind.sma(values, 2)


@pytest.mark.parametrize("start", [-1, 0.0, [[0]], [0, 1]])
def test_a_bad_start_is_an_error(start):
    with pytest.raises(StrategyError, match=r"start|do not fit"):
        ind.vwap(*(np.tile(column, (3, 1)) for column in (HIGH, LOW, CLOSE, VOLUME)), start)


# --- catalog


def test_the_catalog_holds_what_is_promised():
    promised = (
        "sma ema wma dema tema hma vwap rsi macd stochastic cci roc mom williams_r atr bbands keltner donchian obv volume_sma "
        "volume_ratio high_low swing_high swing_low pivot_points"
    )
    assert sorted(ind.CATALOG) == sorted(promised.split())
    assert all(spec.sentence.endswith(".") for spec in ind.CATALOG.values())


@pytest.mark.parametrize("name", sorted(ind.CATALOG))
def test_the_warm_up_is_the_place_of_the_first_bar_that_has_every_output(name):
    spec, columns = ind.CATALOG[name], walk(120)
    columns["high"][5], columns["low"][5] = 200.0, 50.0  # a swing as early as one can be
    columns |= {f"prior_{each}": columns[each] for each in ("high", "low", "close")}
    outputs = ind.compute(name, columns, {})
    assert tuple(outputs) == spec.outputs
    assert max(int(np.flatnonzero(~np.isnan(values))[0]) for values in outputs.values()) == ind.warmup(name, {})


def test_smoothing_forgets_where_the_row_began_when_it_has_settled():
    columns = walk(3000)
    for name, spec in ind.CATALOG.items():
        if spec.recursive:
            settled, scale = spec.settled({}), 0.002
            whole, late = (ind.compute(name, {key: values[cut:] for key, values in columns.items()}, {}) for cut in (0, 1000))
            for output in spec.outputs:
                change = np.abs(whole[output][1000 + settled :] - late[output][settled:]).max()
                assert change <= scale * np.nanstd(whole[output]), (name, output)


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'bbands'"):
        ind.warmup("bband", {})
    with pytest.raises(ConfigError, match="did you mean 'period'"):
        ind.compute("sma", {"close": CLOSE}, {"perod": 3})
    with pytest.raises(ConfigError, match="it has no parameters"):
        ind.warmup("obv", {"period": 3})
    with pytest.raises(ConfigError, match=r"missing column.*prior_low"):
        ind.compute("pivot_points", {"prior_high": CLOSE, "prior_close": CLOSE}, {})


def test_all_faults_of_the_parameters_are_told_at_once():
    with pytest.raises(ConfigError) as told:
        ind.warmup("macd", {"fast": 0, "slow": 2.5, "sginal": 3})
    assert len(told.value.problems) == 3


def test_compute_is_the_function_by_its_name():
    found = ind.compute("bbands", {"close": CLOSE, "open": CLOSE}, {"period": 2, "deviations": 1})
    for one, other in zip(found.values(), ind.bbands(CLOSE, 2, 1.0), strict=True):
        equal(one, other)
    columns = {"high": HIGH, "low": LOW, "close": CLOSE, "volume": VOLUME, "start": np.asarray(2)}
    equal(ind.compute("vwap", columns, {})["vwap"], ind.vwap(HIGH, LOW, CLOSE, VOLUME, 2))


# --- compilation


def test_importing_the_indicators_does_not_import_numba():
    code = "import sys, backtester.signals.indicators; print([name for name in ('numba', 'pandas') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_loops_are_compiled_for_the_process_where_no_folder_can_hold_the_cache(monkeypatch):
    """CLI-14: no home, program folder not writable."""
    from numba.core.caching import CacheImpl

    from backtester.signals import indicator_kernels

    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    smooth, row, out = indicator_kernels.kernel.__wrapped__("smooth"), np.array([[1.0, 3.0, 5.0]]), np.empty((1, 3))
    smooth.entry_point(row, 2, 0.5, out)
    equal(out, [[NAN, 2.0, 3.5]])

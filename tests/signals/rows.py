"""Literal rows for the tests of indicators, and how found columns are compared with expected ones."""

from __future__ import annotations

import numpy as np

NAN = float("nan")
HIGH = np.array([11.0, 13.0, 12.0, 15.0, 14.0])
LOW = np.array([9.0, 10.0, 11.0, 12.0, 10.0])
CLOSE = np.array([10.0, 12.0, 11.0, 14.0, 11.0])
VOLUME = np.array([100.0, 300.0, 200.0, 0.0, 400.0])


def equal(found, expected) -> None:
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected, dtype=float))


def close_to(found, expected) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected, dtype=float), rtol=1e-14)


def walk(count: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Prices on whole cents around 100, with volumes."""
    random = np.random.default_rng(seed)
    cents = 10_000 + np.cumsum(random.integers(-8, 9, count))
    above, below = random.integers(0, 12, count), random.integers(0, 12, count)
    columns = {"close": cents, "high": cents + above, "low": cents - below}
    return {name: values / 100.0 for name, values in columns.items()} | {"volume": random.integers(0, 5000, count).astype(float)}

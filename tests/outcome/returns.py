"""Returns that several tests of formulas draw, and how exactly they compare."""

from __future__ import annotations

import numpy as np

PER_YEAR = 251.3
EXACT = {"rel": 1e-12, "abs": 0.0}


def drawn(seed: int, sessions: int = 250) -> np.ndarray:
    """Returns of so many sessions."""
    return np.random.default_rng(seed).normal(0.0004, 0.012, sessions)

"""The days that the differential tests run over."""

from __future__ import annotations

import datetime as dt

FIRST, LAST = dt.date(2024, 11, 18), dt.date(2024, 12, 3)
"""Eleven sessions, one of them short (2024-11-29)."""

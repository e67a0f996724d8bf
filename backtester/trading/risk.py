"""Risk: the limits of the account and the words of a verdict.

Place in the flow: `config` nests the settings, `execution` turns them into money, the kernel makes the checks in the order of
docs/execution.md. Never keeps state, never sees a price.
"""

from __future__ import annotations

from pydantic import Field

from backtester import schema
from backtester.settings import Settings
from backtester.trading.costs import MAX_MICRO, micro

REASONS = (*schema.REASONS, "oco", "flat_at_close", "replaced")
"""Why a decision is as it is and why an order ended as it did (the last three of orders alone); a code is a place in here."""

(APPROVED, LOW_QUALITY, LOW_CONFIDENCE, MAX_OPEN_POSITIONS, MAX_PER_SYMBOL, MAX_PER_TRADE, MAX_BUYING_POWER) = range(7)
(INSUFFICIENT_CASH, SHORT_NOT_ALLOWED, ALREADY_IN_POSITION, NO_POSITION, BELOW_LOT, AFTER_LAST_ENTRY) = range(7, 13)
(SESSION_CLOSED, NO_BAR_TO_FILL, EXPIRED, COOLDOWN, NO_STOP, WITHIN_THRESHOLD, POSITION_CLOSED, MARGIN_CALL) = range(13, 21)
(PARTICIPATION, OCO, FLAT_AT_CLOSE, REPLACED) = range(21, 25)
NO_REASON = -1
NO_LIMIT = 2**63 - 1


class RiskSettings(Settings):
    """`trading_config`: money limits in account currency, quality in percent, confidence as a fraction; None: no limit."""

    max_buying_power: float | None = Field(default=None, gt=0.0)
    max_per_trade: float | None = Field(default=None, gt=0.0)
    max_per_symbol: float | None = Field(default=None, gt=0.0)
    max_open_positions: int | None = Field(default=None, ge=1)
    min_quality: float = Field(default=95.0, ge=0.0, le=100.0)
    min_confidence: float = Field(default=0.5, ge=0.0, le=1.0)
    cooldown_minutes: float = Field(default=0.0, ge=0.0)
    max_entries: int = Field(default=1, ge=1)


def limit_micro(limit: float | None) -> int:
    """A money limit in 1e-6 currency; NO_LIMIT where there is none, or where no account could ever reach it.

    >>> limit_micro(10000.0), limit_micro(None) == NO_LIMIT
    (10000000000, True)
    """
    if limit is None or limit * 1e6 > MAX_MICRO:
        return NO_LIMIT
    return micro(limit)


def limit_count(limit: int | None) -> int:
    """A limit on a number of positions; NO_LIMIT where there is none."""
    return NO_LIMIT if limit is None else min(limit, NO_LIMIT)

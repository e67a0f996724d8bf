"""Risk: signals to decisions, each with its reason."""

from __future__ import annotations

from pydantic import Field

from backtester.settings import Settings


class RiskSettings(Settings):
    """`trading_config`: money limits in account currency, quality in percent, confidence as a fraction; None: no limit."""

    max_buying_power: float | None = Field(None, gt=0.0)
    max_per_trade: float | None = Field(None, gt=0.0)
    max_per_symbol: float | None = Field(None, gt=0.0)
    max_open_positions: int | None = Field(None, ge=1)
    min_quality: float = Field(95.0, ge=0.0, le=100.0)
    min_confidence: float = Field(0.5, ge=0.0, le=1.0)

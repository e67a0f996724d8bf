"""Quality: expected slots joined with the bars; gaps, findings, as-of quality."""

from __future__ import annotations

from pydantic import Field

from backtester.settings import Settings


class GapFillerSettings(Settings):
    """Switch of session quality, and how often `bt data fill` asks a second source again."""

    enable_session_quality: bool = True
    max_retries: int = Field(5, ge=0)
    retry_interval_seconds: float = Field(60, ge=0)

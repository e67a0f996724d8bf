"""Derived bars: base bars grouped on time since the session's open."""

from __future__ import annotations

from pydantic import Field

from backtester.settings import Settings


class DerivedSettings(Settings):
    """How complete a derived bar must be to be made (1.0: every slot of its bucket holds a bar)."""

    min_completeness: float = Field(1.0, gt=0.0, le=1.0)

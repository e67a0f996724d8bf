"""The base of every stage's settings: frozen values, strict types, unknown keys refused.

Place in the flow: the lowest floor. A stage declares its own settings next to its code; config.py nests them.
Never holds a default of its own.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from backtester.errors import ConfigError
from backtester.intervals import Interval


def _interval(text: str) -> str:
    try:
        return Interval.parse(text).text
    except ConfigError as error:
        raise ValueError(str(error)) from None


IntervalText = Annotated[str, AfterValidator(_interval)]


class Settings(BaseModel):
    """A frozen value read from JSON: `true` is not 1, `"0.001"` is not 0.001, an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

"""Bar intervals: their names, lengths and order.

Place in the flow: the lowest floor, beside errors; every wing speaks of intervals through this file. Never reads a clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from backtester.errors import ConfigError

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US

BASES = ("1s", "1m", "1d")
DAILY = ("1d", "5d", "1w")
ALLOWED = "Ns, Nm or Nh (N a positive whole number, up to a day), 1d, 5d, 1w"

_UNIT_US = {"s": SECOND_US, "m": MINUTE_US, "h": HOUR_US}
_INTRADAY = re.compile(r"([1-9][0-9]{0,5})([smh])")


@dataclass(frozen=True, order=False)
class Interval:
    """One bar interval, such as `5m`.

    >>> Interval.parse("5m").step_us
    300000000
    >>> Interval.parse("90s").base, Interval.parse("1h").base, Interval.parse("1w").base
    ('1s', '1m', '1d')
    """

    text: str

    @classmethod
    def parse(cls, text: str, where: str | None = None) -> Interval:
        """The interval that `text` names. Raises ConfigError where it names none."""
        if text in DAILY:
            return cls(text)
        found = _INTRADAY.fullmatch(text) if isinstance(text, str) else None
        if found is None or int(found[1]) * _UNIT_US[found[2]] > DAY_US:
            raise ConfigError("unknown interval", where=where, value=repr(text), allowed=ALLOWED)
        return cls(text)

    @property
    def is_intraday(self) -> bool:
        """True for seconds, minutes and hours: bars inside one session."""
        return self.text not in DAILY

    @cached_property
    def step_us(self) -> int:
        """Length in microseconds; of a daily interval the nominal length (1, 5 and 7 days), for ordering only."""
        if self.text in DAILY:
            return {"1d": DAY_US, "5d": 5 * DAY_US, "1w": 7 * DAY_US}[self.text]
        found = _INTRADAY.fullmatch(self.text)
        assert found is not None
        return int(found[1]) * _UNIT_US[found[2]]

    @property
    def base(self) -> str:
        """The stored interval it is built from: `1s` for seconds, `1m` for minutes, hours and `1d`, `1d` for `5d`, `1w`."""
        if self.text.endswith("s"):
            return "1s"
        return "1d" if self.text in ("5d", "1w") else "1m"

    def __str__(self) -> str:
        return self.text

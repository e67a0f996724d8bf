"""Signals whose orders wait for the open or the close of a session, drawn for a random run. Never looks at the engine."""

from __future__ import annotations

from dataclasses import replace

from tests.properties.digits import Digits, Source, codes
from tests.properties.features import ON
from tests.scene import Signal


def at_sessions(source: Source, signals: list[Signal]) -> list[Signal]:
    """The signals, of which none or some make orders on the open or on the close; those with levels of their own stay."""
    if "session_orders" not in ON:
        return signals
    density, *choices = codes(source, 1 + len(signals), 1)
    some = (0, 0, 2, 6)[density % 4]
    calls = [Digits(code).pick(*[""] * (16 - 2 * some), *["on_open", "on_close"] * some) for code in choices]
    plain = [signal.limit is None and signal.entry_stop is None for signal in signals]
    return [replace(s, **{call: True}) if call and free else s for s, call, free in zip(signals, calls, plain, strict=True)]

"""Differences: where two plans part, for whoever wanted to go on with one and has the other.

Place in the flow: runs and sweeps compare what was begun with what is asked for now. Never decides whether a difference matters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

MOST = 10
_DIGEST = re.compile(r"[0-9a-f]{64}")


def differences(before: Any, now: Any, at: str = "") -> list[str]:
    """Where two plans part, each as `place: before, now`.

    >>> differences({"a": 1, "b": [1, 2]}, {"a": 2, "b": [1, 2]})
    ['/a: 1, now 2']
    """
    if isinstance(before, dict) and isinstance(now, dict):
        return [line for name in sorted({*before, *now}) for line in differences(before.get(name), now.get(name), f"{at}/{name}")]
    return [] if before == now else [f"{at}: {_shown(before)}, now {_shown(now)}"]


def listed(changed: Sequence[str]) -> str:
    """Differences as a part of one message, the first of them.

    >>> listed(["/a: 1, now 2"] * 12)[-24:]
    '/a: 1, now 2; and 2 more'
    """
    return "; ".join(changed[:MOST]) + (f"; and {len(changed) - MOST:,} more" if len(changed) > MOST else "")


def _shown(value: Any) -> str:
    """A value as JSON, digests by their beginnings."""
    return _DIGEST.sub(lambda found: found[0][:12], json.dumps(value))

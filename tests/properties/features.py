"""The rules that the engine has, so that random runs may draw them: a name is put here once its rule trades.

Names: parts scale_out targets participation capital margin_calls; instruments tiers impact session_orders next_vwap size_at_fill
ambiguity drill_down trailing_entries stop_rules. Never decides anything.
"""

from __future__ import annotations

ON: frozenset[str] = frozenset(
    {
        "ambiguity",
        "capital",
        "drill_down",
        "impact",
        "instruments",
        "margin_calls",
        "next_vwap",
        "participation",
        "parts",
        "scale_out",
        "session_orders",
        "size_at_fill",
        "stop_rules",
        "targets",
        "tiers",
        "trailing_entries",
    }
)

"""How hard the property tests look: `--hypothesis-profile=deep` (make properties) tries many more examples."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("deep", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", deadline=None)
settings.load_profile("default")

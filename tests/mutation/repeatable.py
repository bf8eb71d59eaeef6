"""A plugin of pytest: with it the same tests try the same examples, run after run."""

from __future__ import annotations

from hypothesis import HealthCheck, settings


# Every check but those of Hypothesis about itself: a mutant's tests run in a process's second run.
settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("repeatable")

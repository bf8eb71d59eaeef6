"""The workers' Celery app: `celery --app benchmarks.bulk.app`."""

from __future__ import annotations

from benchmarks.bulk.devino import serve_ok


serve_ok()

from workers.app import app  # noqa: E402, F401  # once Devino serves OK

"""The Celery app of every worker and of beat: `celery --app workers.app …`."""

from __future__ import annotations

from workers import signals  # noqa: F401  # connects them
from workers.make_app import make_app
from workers.runtime import settings


app = make_app(settings().broker_url.get_secret_value())

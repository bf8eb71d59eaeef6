"""What celery beat drives. Every entry is idempotent, so two beats change nothing but the load.

Entries expire (seconds), so that after an outage nothing piles up, but only after an hour: what is
judged by the worker's own clock must stand a clock that is minutes wrong. The tick alone has no
`expires`: a late one is as good as a new one.
"""

from __future__ import annotations

from celery.schedules import crontab

from cascade.dispatch import CALL, COLLECT, POLL, POST, RECONCILE, SYNC, TICK


EXPIRES = 3600.0

SCHEDULE = {
    TICK: {"task": TICK, "schedule": 1.0},
    COLLECT: {"task": COLLECT, "schedule": 1.0, "options": {"expires": EXPIRES}},
    POLL: {"task": POLL, "schedule": 1.0, "options": {"expires": EXPIRES}},
    CALL: {"task": CALL, "schedule": 1.0, "options": {"expires": EXPIRES}},
    POST: {"task": POST, "schedule": 1.0, "options": {"expires": EXPIRES}},
    SYNC: {"task": SYNC, "schedule": 60.0, "options": {"expires": EXPIRES}},
    RECONCILE: {
        "task": RECONCILE,
        "schedule": crontab(hour="3", minute="17"),  # UTC
        "options": {"expires": EXPIRES},
    },
}

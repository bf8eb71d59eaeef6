"""What celery beat drives. Every entry is idempotent, so two beats change nothing but the load.

Entries expire (seconds), so that after an outage nothing piles up; not too soon, because beat's and
the worker's clocks may differ. The tick alone has no `expires`: a late one is as good as a new one.
"""

from __future__ import annotations

from cascade.dispatch import CALL, COLLECT, POLL, SYNC, TICK


SCHEDULE = {
    TICK: {"task": TICK, "schedule": 1.0},
    COLLECT: {"task": COLLECT, "schedule": 1.0, "options": {"expires": 30.0}},
    POLL: {"task": POLL, "schedule": 1.0, "options": {"expires": 30.0}},
    CALL: {"task": CALL, "schedule": 1.0, "options": {"expires": 30.0}},
    SYNC: {"task": SYNC, "schedule": 60.0, "options": {"expires": 60.0}},
}

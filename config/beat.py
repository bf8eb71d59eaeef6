"""What celery beat drives. Every entry is idempotent, so two beats change nothing but the load.

An entry expires with its own pause (seconds): after an outage nothing piles up. The tick alone
has no `expires`, since a late tick is as good as a new one.
"""

from __future__ import annotations

from cascade.dispatch import COLLECT, POLL, SYNC, TICK


SCHEDULE = {
    TICK: {"task": TICK, "schedule": 1.0},
    COLLECT: {"task": COLLECT, "schedule": 1.0, "options": {"expires": 1.0}},
    POLL: {"task": POLL, "schedule": 1.0, "options": {"expires": 1.0}},
    SYNC: {"task": SYNC, "schedule": 60.0, "options": {"expires": 60.0}},
}

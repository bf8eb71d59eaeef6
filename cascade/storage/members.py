"""Members of enums by the values that rows hold them as.

Calling the class takes four times as long, and there are several in each row.
"""

from __future__ import annotations

from cascade.domain.state import AttemptState, Channel, Lane, MessageState


LANES = {one.value: one for one in Lane}
CHANNELS = {one.value: one for one in Channel}
MESSAGE_STATES = {one.value: one for one in MessageState}
ATTEMPT_STATES = {one.value: one for one in AttemptState}

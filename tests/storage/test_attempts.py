from __future__ import annotations

import pytest

from cascade.channels.base import Accepted
from cascade.domain.state import AttemptState
from cascade.storage import cascades
from cascade.storage.attempts import update_attempts
from cascade.storage.database import transaction
from tests.services.journey import Journey


pytestmark = pytest.mark.integration


def test_no_write_moves_an_attempt_down_even_with_an_old_value_in_hand(journey: Journey):
    message_id = journey.send()
    journey.call(message_id, Accepted())
    old = transaction(
        journey.engine, lambda c: cascades.lock(c, [message_id], journey.ledger.versions)
    )[message_id].current
    journey.deliver(message_id)

    transaction(journey.engine, lambda c: update_attempts(c, [old._replace(error="late")]))

    attempt = journey.attempt(message_id)
    assert (attempt.state, attempt.error) == (AttemptState.DELIVERED, None)

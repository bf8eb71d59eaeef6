from __future__ import annotations

from collections import Counter

import pytest

from cascade.dispatch import deliver_task
from cascade.domain.state import Channel, Lane
from workers.make_app import make_app
from workers.tasks import _lane, result_line


def test_a_result_line_leaves_out_what_did_not_happen() -> None:
    counts = Counter(claimed=200, accepted=118, throttled=0, unsupported=82)
    assert result_line(counts) == "claimed=200 accepted=118 unsupported=82"


def test_a_result_line_says_when_nothing_happened() -> None:
    assert result_line(Counter()) == "idle"
    assert result_line(Counter(claimed=0)) == "idle"


@pytest.mark.parametrize(
    ("key", "lane"),
    [
        ("vk.urgent", Lane.URGENT),
        ("vk.bulk", Lane.BULK),
        ("vk.normal", Lane.NORMAL),
        ("vk.of-another-release", Lane.NORMAL),
        ("", Lane.NORMAL),
    ],
)
def test_what_a_task_publishes_again_goes_to_the_lane_that_it_came_from(
    key: str, lane: Lane
) -> None:
    task = make_app("memory://").tasks[deliver_task(Channel.VK)]
    task.push_request(delivery_info={"routing_key": key})
    assert _lane(task) is lane

from __future__ import annotations

import re
import uuid

from collections.abc import Mapping
from typing import Any

import pytest

from demo.stack import WORKERS
from tests.acceptance.service import Service, attempt_ids
from tests.acceptance.waiting import until


pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

RESULT = re.compile(r"'(idle|accepted=[0-9a-f-]{36}|[a-z_]+=\d+( [a-z_]+=\d+)*)'")


@pytest.fixture
def tasks(service: Service, campaign: dict[str, uuid.UUID]) -> Mapping[str, Mapping[str, Any]]:
    """Flower's tasks by uuid, once it knows of every attempt of the campaign."""
    ids = {one.id for one in service.attempts(campaign.values())}

    def known() -> Mapping[str, Mapping[str, Any]]:
        found = service.flower("/api/tasks?limit=10000").json()
        # A task without a name was received before Flower listened.
        done = {
            name: one for name, one in found.items() if one["name"] and one["state"] == "SUCCESS"
        }
        named = [one for task in done.values() for one in attempt_ids(task)]
        return done if ids <= set(named) else {}

    return until(known, seconds=20, what="task for every attempt")


@pytest.mark.parametrize("path", ["/", "/api/tasks", "/api/workers", "/tasks", "/broker"])
def test_flower_shows_nothing_without_the_password(service: Service, path: str) -> None:
    assert service.flower(path, password="a guess").status_code == 401
    assert service.flower(path).status_code == 200


def test_flower_shows_a_node_for_every_channel_and_for_each_duty_beside_them(
    service: Service,
) -> None:
    expected = {"vk", "ok", "viber", "whatsapp", "sms", "urgent", "collector", "tick"}

    def served() -> dict[str, list[str]]:
        nodes = service.flower("/api/workers?refresh=1").json()
        return {
            name: [queue["name"] for queue in node.get("active_queues", [])]
            for name, node in nodes.items()
        }

    # A node that was restarted a moment ago tells its queues a little later.
    until(lambda: all(served().values()), seconds=20, what="answer of every node")
    assert set(served()) == {f"{name}@cascade" for name in expected}
    assert served() == {f"{name}@cascade": queues for name, (queues, _) in WORKERS.items()}


def test_every_channel_has_a_task_of_its_name_and_the_others_theirs(
    tasks: Mapping[str, Mapping[str, Any]],
) -> None:
    names = {task["name"] for task in tasks.values()}
    assert names >= {f"deliver.{name}" for name in ("vk", "ok", "viber", "whatsapp", "sms")}
    assert names >= {"receipts.collect", "receipts.poll", "tick"}
    served_by = {(t["name"], t["worker"]) for t in tasks.values() if "deliver" in t["name"]}
    for name, node in served_by:
        assert node in {f"{name.removeprefix('deliver.')}@cascade", "urgent@cascade"}


def test_a_task_is_told_ids_and_says_what_it_did(
    tasks: Mapping[str, Mapping[str, Any]],
) -> None:
    for task in tasks.values():
        if task["name"].startswith("deliver."):
            assert re.fullmatch(r"\(\[\d+(, \d+)*\],\)", task["args"])
            assert re.match(r"'(claimed=\d+|idle)", task["result"])
        elif task["name"] == "cascade.enqueue":
            assert re.fullmatch(r"\(\S*\)", task["args"])  # the message's id, nothing sealed
        else:
            assert task["args"] == "()"
        assert task["kwargs"] == "{}"
        assert RESULT.fullmatch(task["result"]), task["result"]


@pytest.mark.parametrize(
    ("message", "step", "opener"),
    [
        ("five channels", 1, "deliver.vk"),  # the provider said at once: not a user
        ("five channels", 3, "receipts.collect"),  # by webhook
        ("expired", 1, "tick"),  # the time was over
    ],
)
def test_the_next_channels_task_is_the_child_of_the_task_that_opened_its_step(
    service: Service,
    campaign: dict[str, uuid.UUID],
    tasks: Mapping[str, Mapping[str, Any]],
    message: str,
    step: int,
    opener: str,
) -> None:
    attempt = service.attempts([campaign[message]])[step]
    told = [task for task in tasks.values() if attempt.id in attempt_ids(task)]
    assert {task["name"] for task in told} == {f"deliver.{attempt.channel}"}
    openers = [tasks[task["parent_id"]] for task in told if task["parent_id"] in tasks]
    assert opener in {one["name"] for one in openers}
    assert any("opened=" in one["result"] for one in openers if one["name"] == opener)

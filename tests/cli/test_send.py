from __future__ import annotations

import json
import uuid

import pytest

from cascade.channels.base import Accepted, Rejected
from cascade.cli.following import follow
from cascade.domain.message import Content, Template
from cascade.domain.state import Channel
from cascade.services.sealed import open_content
from tests.cli.conftest import Run
from tests.services.journey import PHONE, WORDS, Journey, a_step


pytestmark = pytest.mark.integration

TO = ("--to", PHONE)


def content(journey: Journey, message_id: str) -> Content:
    stored = journey.message(uuid.UUID(message_id.strip()))
    return open_content(journey.ledger.keyring, stored.id, bytes(stored.content))


def test_the_id_of_the_message_is_all_that_is_printed(journey: Journey, run: Run):
    result = run("send", *TO, "--text", WORDS)

    assert (result.exit_code, result.stderr) == (0, "")
    stored = journey.message(uuid.UUID(result.stdout.strip()))
    assert (stored.state, stored.sender, stored.lane) == ("in_progress", "default", "normal")
    assert content(journey, result.stdout).text == WORDS


def test_every_word_of_the_client_has_an_option(journey: Journey, run: Run):
    journey.policy(a_step(Channel.WHATSAPP), a_step(Channel.SMS), name="short")
    result = run(
        *("send", *TO, "--sender", "shop", "--policy", "short", "--priority", "urgent"),
        *("--text", "#name#, #code#", "--text-for", "sms=#code#=#code#"),
        *("--template", "whatsapp=ready:en", "--parameter", "whatsapp.1=#name#"),
        *("--var", "name=Анна", "--var", "code=a=b"),
        *("--send-at", "2090-01-01T10:00+03:00", "--deadline", "2090-01-02T10:00:00Z"),
    )

    stored = journey.message(uuid.UUID(result.stdout.strip()))
    assert (stored.sender, stored.lane) == ("shop", "urgent")
    assert stored.send_at.isoformat() == "2090-01-01T07:00:00+00:00"
    assert stored.deadline.isoformat() == "2090-01-02T10:00:00+00:00"
    assert content(journey, result.stdout) == Content(
        text="#name#, #code#",
        texts={"sms": "#code#=#code#"},
        variables={"name": "Анна", "code": "a=b"},
        templates={"whatsapp": Template("ready", "en", {"1": "#name#"})},
    )


def test_the_language_chooses_among_the_texts(journey: Journey, run: Run):
    texts = ("--text-in", "ru=Готово", "--text-in", "en=Ready")

    result = run("send", *TO, *texts, "--language", "en")

    assert content(journey, result.stdout).text == "Ready"


def test_the_same_key_prints_the_first_id(journey: Journey, run: Run):
    first = run("send", *TO, "--text", WORDS, "--key", "order-17")
    again = run("send", *TO, "--text", WORDS, "--key", "order-17")

    assert again.stdout == first.stdout
    other = run("send", *TO, "--text", "other words", "--key", "order-17")
    assert (other.exit_code, other.stdout) == (2, "")
    assert other.stderr.startswith("cascade: key: it was used before for another request")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--to", "123", "--text", WORDS), "cascade: to: "),
        ((*TO, "--text", "#name#"), "cascade: variables['name']: it has no value"),
        (
            (*TO, "--text", WORDS, "--send-at", "2090-01-01"),
            "cascade: send_at: it has no time zone",
        ),
        ((*TO, "--text", WORDS, "--deadline", "tomorrow"), "it is no time such as"),
        ((*TO,), "either --text, or --text-in"),
        ((*TO, "--text", WORDS, "--text-in", "ru=x"), "either --text, or --text-in"),
        ((*TO, "--text", WORDS, "--var", "name"), "write it as name=value"),
        ((*TO, "--text", WORDS, "--parameter", "sms.a=b"), "needs a --template of its channel"),
        ((*TO, "--text", WORDS, "--priority", "soon"), "'soon' is not one of"),
    ],
)
def test_a_refused_value_is_named_and_nothing_is_sent(
    journey: Journey, run: Run, arguments: tuple[str, ...], said: str
):
    result = run("send", *arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert journey.row("SELECT count(*) FROM cascade.messages")[0] == 0


def test_a_policy_that_does_not_exist_is_a_matter_of_configuration(journey: Journey, run: Run):
    result = run("send", *TO, "--text", WORDS, "--policy", "nowhere")

    assert result.exit_code == 3
    assert "'nowhere' is not in the database" in result.stderr


def test_an_environment_that_names_no_deployment_is_told_whole(
    environment: dict[str, str], run: Run
):
    environment["CASCADE_DATABASE_URL"] = ""
    environment["CASCADE_SEAL_KEYS"] = "k1:short"

    result = run("send", *TO, "--text", WORDS)

    assert result.exit_code == 3
    assert "CASCADE_DATABASE_URL" in result.stderr
    assert "CASCADE_SEAL_KEYS" in result.stderr


def test_a_database_that_cannot_be_reached_is_told_in_one_line(
    environment: dict[str, str], run: Run
):
    environment["CASCADE_DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/none"

    result = run("send", *TO, "--text", WORDS)

    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == "cascade: database: it cannot be reached; `cascade doctor` says more\n"


def test_waiting_ends_with_the_message_and_its_cost(journey: Journey, run: Run):
    message_id = journey.send(key="order-17")
    journey.call(message_id, Accepted())
    journey.deliver(message_id)

    result = run("send", *TO, "--text", WORDS, "--key", "order-17", "--wait")

    assert (result.exit_code, result.stdout) == (0, f"{message_id}\n")
    assert result.stderr == "delivered over vk\ncost 0.30 RUB\n"


def test_a_message_is_followed_until_it_ends(journey: Journey):
    message_id = journey.send()
    happens = iter(
        [lambda: journey.call(message_id, Accepted()), lambda: journey.deliver(message_id)]
    )

    seen = list(
        follow(
            lambda: journey.cascade.status(message_id),
            timeout=100,
            pause=lambda _: next(happens)(),
        )
    )

    assert [(one.state, one.attempts[0].state) for one in seen] == [
        ("in_progress", "queued"),
        ("in_progress", "sent"),
        ("delivered", "delivered"),
    ]


def test_a_message_that_is_not_delivered_in_time_is_no_success(journey: Journey, run: Run):
    journey.policy(a_step(Channel.VK))
    undelivered = journey.send(key="order-17")
    journey.call(undelivered, Rejected("INCORRECT_SIGNATURE"))
    same = ("send", *TO, "--text", WORDS, "--wait")

    ended = run(*same, "--key", "order-17", "--json")
    still_open = run(*same, "--timeout", "0")

    assert ended.exit_code == 1
    assert json.loads(ended.stdout) == {
        "id": str(undelivered),
        "state": "undelivered",
        "success_met": False,
        "channel": "vk",
        "cost": {},
    }
    assert still_open.exit_code == 1
    [message_id] = still_open.stdout.split()
    assert still_open.stderr.splitlines() == [
        "in progress: vk queued",
        f"not ended within 0 s; cascade status {message_id} tells more",
        "cost nothing",
    ]


def test_a_broker_that_is_away_is_said_and_is_no_failure(
    environment: dict[str, str], journey: Journey, run: Run
):
    environment["CASCADE_BROKER_URL"] = "redis://127.0.0.1:1/0"

    result = run("send", *TO, "--text", WORDS)

    assert result.exit_code == 0
    assert journey.message(uuid.UUID(result.stdout.strip())).state == "in_progress"
    assert result.stderr == ("accepted; the broker cannot be reached, so the tick will send it\n")

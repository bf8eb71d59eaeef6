from __future__ import annotations

import base64
import re
import secrets
import shutil
import socket
import time

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from celery import Celery
from sqlalchemy import Engine, make_url, text

from cascade.channels.base import Receipt
from cascade.dispatch import ENQUEUE, Dispatcher, producer_app, queue, queue_names
from cascade.domain.event import OnStatus
from cascade.domain.state import AttemptState
from cascade.services.check_database import of_transaction, transactions
from cascade.services.doctor import NAMES, Diagnosis, examine
from cascade.services.finding import Health, span
from cascade.storage import health
from cascade.storage.database import connect, transaction
from cascade.storage.endpoints import sync_endpoints
from cascade.storage.health import OpenTransaction, oldest_transaction
from cascade.storage.migrate import upgrade
from demo.environment import make
from tests.services.journey import Journey


pytestmark = pytest.mark.integration

CONFIG = Path(__file__).parents[2] / "config"
SEAL_KEYS = f"test:{base64.b64encode(b'k' * 32).decode()}"

Setenv = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def setenv(monkeypatch: pytest.MonkeyPatch, database_url: str, broker_url: str) -> Setenv:
    """The whole environment of a deployment; what this returns changes it."""
    for name, value in make(database_url, broker_url).values.items():
        if name.startswith("CASCADE_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("CASCADE_SEAL_KEYS", SEAL_KEYS)
    monkeypatch.setenv("CASCADE_HASH_KEY", base64.b64encode(b"h" * 32).decode())
    return monkeypatch.setenv


def look(*names: str, **more: float) -> dict[str, Diagnosis]:
    return {one.name: one for one in examine(names or NAMES, **more)}


def state(name: str) -> Health:
    return look(name)[name].state


def red(name: str, *, cure: str) -> Diagnosis:
    """What a red check says; its cure is one line, with these words."""
    found = look(name)[name]
    assert found.state is Health.RED, found
    assert cure in found.cure
    assert "\n" not in found.cure + found.seen
    return found


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def mute_port() -> Iterator[int]:
    """Takes connections and never says a word, as a frozen server does."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield int(one.getsockname()[1])


def moved(url: str, port: int) -> str:
    return make_url(url).set(port=port).render_as_string(hide_password=False)


def test_a_healthy_deployment_is_well_in_every_row(journey: Journey):
    message = journey.send()
    journey.hear_of(message, AttemptState.DELIVERED)
    journey.collect()
    journey.tick()

    found = look()
    assert tuple(found) == NAMES
    assert {name: one for name, one in found.items() if one.state is not Health.OK} == {}


def test_a_database_that_is_away_is_red_once_and_the_rest_is_looked_at(
    setenv: Setenv, database_url: str
):
    setenv("CASCADE_DATABASE_URL", moved(database_url, closed_port()))

    found = look()
    assert [one.name for one in found.values() if one.state is Health.RED] == ["database"]
    assert "start PostgreSQL" in found["database"].cure
    assert found["due"].seen == "not looked at"
    assert "`database`" in found["due"].cure
    assert found["broker"].state is Health.OK


def test_a_single_check_of_a_database_that_is_away_is_red(setenv: Setenv, database_url: str):
    setenv("CASCADE_DATABASE_URL", moved(database_url, closed_port()))

    red("tick", cure="start PostgreSQL")


def test_a_server_that_never_answers_does_not_hang_the_doctor(
    setenv: Setenv, database_url: str, broker_url: str
):
    with mute_port() as port:
        setenv("CASCADE_DATABASE_URL", moved(database_url, port))
        setenv("CASCADE_BROKER_URL", moved(broker_url, port))
        asked_at = time.monotonic()
        found = look("database", "broker", patience=0.3)

    assert time.monotonic() - asked_at < 2
    assert {one.state for one in found.values()} == {Health.RED}
    assert found["database"].seen == "no answer within 0.3 s"


def test_a_broker_that_is_away_is_red_and_its_queues_are_not_looked_at(
    setenv: Setenv, broker_url: str
):
    setenv("CASCADE_BROKER_URL", moved(broker_url, closed_port()))

    found = look("broker", "queues")
    assert found["broker"].state is Health.RED
    assert "start the broker" in found["broker"].cure
    assert found["queues"].seen == "not looked at"


def test_a_database_without_a_schema_asks_for_a_migration(setenv: Setenv, bare_database_url: str):
    setenv("CASCADE_DATABASE_URL", bare_database_url)

    found = look("database", "migrated", "tick", "keys")
    assert [one.state for one in found.values()][:2] == [Health.OK, Health.RED]
    assert "cascade migrate" in found["migrated"].cure
    assert found["tick"].seen == "not looked at"
    red("tick", cure="cascade migrate")


def test_an_older_schema_is_red_and_a_newer_one_only_a_warning(
    setenv: Setenv, bare_database_url: str
):
    engine = connect(bare_database_url)
    upgrade(engine, "0001")
    setenv("CASCADE_DATABASE_URL", bare_database_url)
    assert "0001" in red("migrated", cure="cascade migrate").seen

    with engine.begin() as connection:
        connection.execute(text("UPDATE cascade.alembic_version SET version_num = '9999'"))
    engine.dispose()
    found = look("migrated", "offset")
    assert found["migrated"].state is Health.WARNING
    assert "9999" in found["migrated"].seen
    assert found["offset"].state is Health.OK


def test_a_tick_is_missed_from_the_start_and_when_it_grows_old(journey: Journey):
    assert "ever" in red("tick", cure="beat").seen

    journey.tick()
    assert state("tick") is Health.OK
    journey.advance(6)
    assert state("tick") is Health.WARNING
    journey.advance(60)
    assert re.fullmatch(r"the last one 6\d s ago", red("tick", cure="beat").seen)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.5, Health.OK), (2, Health.WARNING), (-2, Health.WARNING), (6, Health.RED)],
)
def test_clocks_that_differ_are_noticed(journey: Journey, seconds: float, expected: Health):
    journey.advance(seconds)

    found = look("clock")["clock"]
    assert found.state is expected
    assert expected is Health.OK or "NTP" in found.cure


def test_a_moved_shared_time_is_red_until_its_cure_is_run(journey: Journey):
    assert look("offset")["offset"].seen == "not moved (only tests move it)"
    journey.advance(0.5)

    cure = red("offset", cure="UPDATE").cure
    journey.change(cure.partition(": ")[2])
    assert state("offset") is Health.OK


def test_rows_that_the_tick_leaves_lying_are_named_by_lane(journey: Journey):
    journey.send(priority="urgent")
    assert state("due") is Health.OK

    journey.advance(30)
    assert state("due") is Health.WARNING
    journey.advance(60)
    seen = red("due", cure="tick").seen
    assert re.fullmatch(r"urgent (8|9)\d s, normal 0 s, bulk 0 s", seen)


def test_receipts_that_nobody_applies_are_noticed(journey: Journey):
    message = journey.send()
    journey.hear_of(message, AttemptState.SENT)
    assert state("receipts") is Health.OK

    journey.advance(10)
    assert state("receipts") is Health.WARNING
    journey.advance(60)
    red("receipts", cure="collector")


def test_receipts_that_were_set_aside_are_counted(journey: Journey):
    receipt = Receipt(
        status=AttemptState.SENT, native_status="1", native_code="", client_ref="f" * 32
    )
    journey.hear("smsc", receipt)
    journey.advance(73 * 3600)
    journey.collect()

    found = look("set-aside")["set-aside"]
    assert (found.state, found.seen) == (Health.WARNING, "1 receipts found no attempt")


def test_deliveries_without_a_price_are_counted(journey: Journey):
    message = journey.send()
    journey.change("TRUNCATE cascade.rates")
    journey.deliver(message)

    found = look("unrated")["unrated"]
    assert found.state is Health.WARNING
    assert found.seen.startswith("1 ")
    assert "cascade rates check" in found.cure


def test_deliveries_without_a_price_are_found_by_an_index(engine: Engine):
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = connection.execute(text(f"EXPLAIN {health._UNRATED.text}")).scalars().all()

    assert "charges_unrated_idx" in "".join(plan)


def test_callers_who_are_not_told_are_noticed(journey: Journey):
    journey.deliver(journey.send(on_status=OnStatus(task="told", queue="shop", broker="shop")))
    assert state("callbacks") is Health.OK

    journey.advance(20)
    assert state("callbacks") is Health.WARNING
    journey.advance(400)
    red("callbacks", cure="CASCADE_CALLBACK_BROKERS")
    journey.change("UPDATE cascade.events SET due_at = NULL, tries = 10")
    assert "1 given up" in look("callbacks")["callbacks"].seen


def test_callers_whose_broker_nobody_knows_are_noticed_before_they_are_late(
    journey: Journey, setenv: Setenv, monkeypatch: pytest.MonkeyPatch
):
    journey.deliver(journey.send(on_status=OnStatus(task="told", queue="shop", broker="crm")))

    found = look("callbacks")["callbacks"]
    assert found.state is Health.WARNING
    assert found.seen == "1 owed, of them to brokers without an address: 'crm'"
    assert "CASCADE_CALLBACK_BROKERS" in found.cure

    setenv("CASCADE_CALLBACK_BROKERS", "crm=redis://crm/0")
    assert state("callbacks") is Health.OK
    monkeypatch.delenv("CASCADE_CALLBACK_BROKERS")  # nothing is known of it where it is not set
    assert state("callbacks") is Health.OK


@pytest.fixture
def publish(broker_url: str) -> Iterator[Callable[[str, int], None]]:
    """Puts so many tasks into a queue; all are empty before and after."""
    app = producer_app(broker_url)

    def put(name: str, count: int) -> None:
        for _ in range(count):
            Dispatcher(app).send(name, ["id", "sealed"], name)

    empty_queues(app)
    yield put
    empty_queues(app)


def empty_queues(app: Celery) -> None:
    with app.connection_for_write() as connection:
        for name in queue_names():
            bound = queue(name)(connection.default_channel)
            bound.declare()
            bound.purge()


def test_the_longest_queue_and_that_of_requests_are_told(publish: Callable[[str, int], None]):
    assert look("queues")["queues"].seen == "0 tasks wait"

    publish("vk.normal", 3)
    publish(ENQUEUE, 2)
    assert look("queues")["queues"].seen == "5 tasks wait: 3 in vk.normal, 2 in cascade.enqueue"


def test_requests_that_nobody_takes_in_are_noticed_early(publish: Callable[[str, int], None]):
    publish(ENQUEUE, 101)
    found = look("queues")["queues"]

    assert (found.state, found.seen) == (Health.WARNING, "101 requests wait in cascade.enqueue")
    assert "start a worker of queue `cascade.enqueue`" in found.cure


def test_an_open_transaction_is_found(journey: Journey, database_url: str):
    other = connect(database_url)
    with other.begin() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        found = transaction(journey.engine, oldest_transaction)
    other.dispose()

    assert found is not None
    assert (found.pid, found.state) == (pid, "idle in transaction")


@pytest.fixture
def limited(engine: Engine) -> Iterator[str]:
    """A role that may look into no session but its own."""
    role = f"limited_{secrets.token_hex(4)}"
    with engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role}"))
    yield role
    with engine.begin() as connection:
        connection.execute(text(f"DROP ROLE {role}"))


def test_what_other_roles_have_open_is_not_passed_by_in_silence(engine: Engine, limited: str):
    with engine.begin() as other, engine.connect() as connection:
        pid = other.execute(text("SELECT pg_backend_pid()")).scalar_one()
        connection.execute(text(f"SET ROLE {limited}"))
        blind = transactions(connection)
        cure = blind.cure.partition(": ")[2]
        connection.execute(text(f"RESET ROLE; {cure}; SET ROLE {limited}"))
        seeing, oldest = transactions(connection), oldest_transaction(connection)

    assert blind.state is Health.WARNING
    assert "sessions of other roles cannot be looked into" in blind.seen
    assert cure == f"GRANT pg_read_all_stats TO {limited}"
    assert seeing.state is Health.OK
    assert oldest is not None
    assert oldest.pid == pid


@pytest.mark.parametrize(
    ("age", "expected"), [(1, Health.OK), (61, Health.WARNING), (601, Health.RED)]
)
def test_an_old_transaction_is_judged_by_its_age(age: float, expected: Health):
    found = of_transaction(OpenTransaction(pid=7, age=age, state="idle in transaction"))

    assert found.state is expected
    assert expected is Health.OK or "pg_terminate_backend(7)" in found.cure


def test_a_key_that_is_not_given_is_named(journey: Journey, setenv: Setenv):
    journey.send()
    assert state("keys") is Health.OK
    setenv("CASCADE_SEAL_KEYS", SEAL_KEYS.replace("test:", "other:"))

    assert "'test'" in red("keys", cure="put it back into CASCADE_SEAL_KEYS").seen


def test_a_key_that_was_changed_under_its_name_is_noticed(journey: Journey, setenv: Setenv):
    journey.send()
    setenv("CASCADE_SEAL_KEYS", f"test:{base64.b64encode(b'x' * 32).decode()}")

    red("keys", cure="its first value again")


def test_the_key_of_a_receipt_counts_too(journey: Journey, setenv: Setenv):
    journey.hear_of(journey.send(), AttemptState.SENT)
    journey.change("UPDATE cascade.receipts SET raw = '\\x0161'")

    assert "'a'" in red("keys", cure="CASCADE_SEAL_KEYS").seen


def test_another_hash_key_is_noticed(journey: Journey, setenv: Setenv):
    journey.send()
    setenv("CASCADE_HASH_KEY", base64.b64encode(b"x" * 32).decode())

    red("keys", cure="CASCADE_HASH_KEY")


def test_policies_that_never_came_into_the_database_are_red(journey: Journey):
    journey.change("TRUNCATE cascade.policies")

    assert "default" in red("synced", cure="cascade policies sync").seen


def test_files_that_are_newer_than_the_database_are_a_warning(
    journey: Journey, setenv: Setenv, tmp_path: Path
):
    config = shutil.copytree(CONFIG, tmp_path / "config")
    setenv("CASCADE_CONFIG_DIR", str(config))
    assert state("synced") is Health.OK

    policies = config / "policies.toml"
    policies.write_text(policies.read_text().replace('"1h"', '"2h"'))
    with (config / "rates.csv").open("a") as rates:
        rates.write("smsc,sms,+7,segment,9.00,RUB,2036-01-01T00:00:00Z\n")

    found = look("synced")["synced"]
    assert found.state is Health.WARNING
    assert found.seen.endswith("policy patient, 1 rates")


def test_limits_are_kept_where_the_broker_is_or_at_an_address_of_their_own(
    setenv: Setenv, limits_url: str
):
    assert look("limits")["limits"].seen == "no account has one"
    setenv("CASCADE_SMSC_RATE", "15/s")
    setenv("CASCADE_LIMITS_URL", limits_url)
    assert look("limits")["limits"].seen == "kept for smsc"
    setenv("CASCADE_LIMITS_URL", moved(limits_url, closed_port()))
    red("limits", cure="start it, or mend CASCADE_LIMITS_URL")


def test_limits_that_no_server_keeps_are_red(setenv: Setenv, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CASCADE_LIMITS_URL", raising=False)
    setenv("CASCADE_BROKER_URL", "amqp://guest:guest@127.0.0.1//")
    assert state("limits") is Health.OK
    setenv("CASCADE_SMSC_PER_PERSON", "1/m")
    assert "smsc" in red("limits", cure="set it to a redis:// address").seen


def test_settings_are_told_all_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CASCADE_HASH_KEY")
    monkeypatch.setenv("CASCADE_DATABASE_URL", "mysql://somewhere")

    found = red("settings", cure="CASCADE_HASH_KEY: it is not set")
    assert "CASCADE_DATABASE_URL" in found.cure


def test_a_check_asks_only_for_the_settings_that_it_needs(
    engine, monkeypatch: pytest.MonkeyPatch, database_url: str, broker_url: str
):
    for name in make(database_url, broker_url).values:
        if name.startswith("CASCADE_") and name != "CASCADE_BROKER_URL":
            monkeypatch.delenv(name)

    assert state("broker") is Health.OK
    red("database", cure="CASCADE_DATABASE_URL: it is not set")


def test_files_that_are_not_there_fail_their_checks_and_no_others(
    journey: Journey, setenv: Setenv
):
    setenv("CASCADE_CONFIG_DIR", "/nowhere")

    found = look("policies", "providers", "rates", "offset", "synced")
    assert {name for name, one in found.items() if one.state is Health.RED} == {
        "policies",
        "providers",
        "rates",
    }
    assert found["offset"].state is Health.OK
    assert found["synced"].seen == "not looked at"
    cure = "name the directory that holds policies.toml and providers.toml"
    for name in ("providers", "synced"):
        said = red(name, cure=cure)
        assert "/nowhere/p" not in said.cure
        assert "there is no such file" in said.seen
    red("policies", cure=cure)


def test_a_secret_of_a_provider_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CASCADE_SMSC_PASSWORD")

    red("providers", cure="CASCADE_SMSC_PASSWORD")


def test_an_account_without_a_rate_is_red(setenv: Setenv, tmp_path: Path):
    config = shutil.copytree(CONFIG, tmp_path / "config")
    rates = config / "rates.csv"
    kept = [line for line in rates.read_text().splitlines() if not line.startswith("smsc,sms,+7,")]
    rates.write_text("\n".join(kept) + "\n")
    setenv("CASCADE_CONFIG_DIR", str(config))

    red("rates", cure="smsc,sms,+7,")


@pytest.mark.parametrize(
    "userinfo",
    ["cascade:s3cretword", "cascade:s3cret%2Fword", "cascade:s3cret/word", "cascade:s3cret#word"],
)
@pytest.mark.parametrize(
    "host", ["127.0.0.1:{port}", "127.0.0.1:nonsense", "no-such-host.invalid:1"]
)
def test_no_word_of_a_password_is_shown_whatever_is_wrong_with_an_address(
    setenv: Setenv, userinfo: str, host: str
):
    place = host.format(port=closed_port())
    setenv("CASCADE_DATABASE_URL", f"postgresql://{userinfo}@{place}/cascade")
    setenv("CASCADE_BROKER_URL", f"redis://{userinfo}@{place}/0")

    found = look("settings", "database", "due", "broker", "queues")
    assert found["database"].state is found["broker"].state is Health.RED
    assert "s3cret" not in repr(found)
    assert "word@" not in repr(found)


def test_a_refused_password_is_not_shown(setenv: Setenv, database_url: str, broker_url: str):
    for name, url in (("CASCADE_DATABASE_URL", database_url), ("CASCADE_BROKER_URL", broker_url)):
        wrong = make_url(url).set(password="s3cretword").render_as_string(hide_password=False)
        setenv(name, wrong)

    found = look("database", "broker")
    assert {one.state for one in found.values()} == {Health.RED}
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (0.04, "0.04 s"), (12.3, "12 s"), (119, "119 s"), (180, "3 min"), (7300, "2 h")],
)
def test_times_are_read_at_a_glance(seconds: float, shown: str):
    assert span(seconds) == shown


def test_endpoints_that_take_nothing_are_noticed_with_the_command_that_helps(journey: Journey):
    transaction(journey.engine, lambda c: sync_endpoints(c, ["crm", "shop"]))
    assert look("webhooks")["webhooks"].seen == "2 endpoints, 0 webhooks owed"

    journey.change("UPDATE cascade.endpoints SET failing_since = now(), error = 'http_503'")
    assert state("webhooks") is Health.OK
    journey.advance(2 * 3600)
    found = look("webhooks")["webhooks"]
    assert found.state is Health.WARNING
    assert found.seen == "failing: crm (http_503, for 2 h), shop (http_503, for 2 h)"

    journey.change("UPDATE cascade.endpoints SET disabled_at = now() WHERE name = 'crm'")
    found = look("webhooks")["webhooks"]
    assert (found.state, found.seen) == (Health.WARNING, "disabled: crm (http_503, for 2 h)")
    assert "cascade callbacks test crm" in found.cure


def test_an_endpoint_that_is_owed_and_was_removed_is_noticed(journey: Journey):
    transaction(journey.engine, lambda c: sync_endpoints(c, ["crm"]))
    journey.deliver(journey.send(on_status=OnStatus(endpoint="crm")))
    transaction(journey.engine, lambda c: sync_endpoints(c, []))

    found = look("webhooks")["webhooks"]
    assert (found.state, found.seen) == (
        Health.WARNING,
        "owed to endpoints that no file names: crm",
    )


def test_what_waits_for_an_endpoint_that_fails_does_not_make_the_callbacks_late(
    journey: Journey,
):
    transaction(journey.engine, lambda c: sync_endpoints(c, ["crm"]))
    journey.deliver(journey.send(on_status=OnStatus(endpoint="crm")))
    journey.advance(400)
    assert state("callbacks") is Health.RED  # nobody tells it

    journey.change("UPDATE cascade.endpoints SET next_try_at = cascade.clock() + interval '1 h'")
    assert state("callbacks") is Health.OK


def test_a_secret_that_is_missing_is_red(setenv: Setenv, tmp_path: Path):
    (tmp_path / "endpoints.toml").write_text('[endpoints.crm]\nurl = "https://crm.example/"')
    setenv("CASCADE_CONFIG_DIR", str(tmp_path))

    red("endpoints", cure="CASCADE_ENDPOINT_CRM_SECRETS")

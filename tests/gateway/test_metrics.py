from __future__ import annotations

import datetime as dt
import threading

from collections.abc import Callable

import pytest

from sqlalchemy import Engine, event, text

from cascade.channels.base import Accepted, Adapter, Unsupported
from cascade.domain import engine as rules
from cascade.domain.state import AttemptState
from cascade.gateway.app import make_app
from cascade.gateway.metrics import Metrics
from cascade.gateway.source import Source
from cascade.services.advance import advance
from cascade.services.deployment import Ledger
from cascade.storage import metrics as storage
from cascade.storage.endpoints import sync_endpoints
from tests.channels.samples import TOKEN
from tests.gateway.asgi import Client, talk
from tests.gateway.scraped import scrape
from tests.gateway.test_webhooks import notify
from tests.services.journey import Journey


pytestmark = pytest.mark.integration

ACCOUNTS = {"notify-vk", "notify-ok"}
QUEUES = {"vk.normal": 3, "tick": 0}


@pytest.fixture
def metrics(engine: Engine) -> Metrics:
    return Metrics(engine=engine, queue_lengths=lambda: QUEUES, accounts=ACCOUNTS)


def fall_to_ok(journey: Journey) -> None:
    """A message that VK cannot deliver, and OK delivers five seconds later."""
    message_id = journey.send()
    journey.call(message_id, Unsupported("no user"))
    journey.call(message_id, Accepted())
    journey.advance(5)
    journey.deliver(message_id)


def settled(journey: Journey) -> None:
    """Everything that has happened is old enough to be counted."""
    journey.advance(2)


def test_a_message_is_counted_by_what_became_of_it(journey: Journey, metrics: Metrics):
    scrape(metrics)

    fall_to_ok(journey)
    settled(journey)

    now = scrape(metrics)
    assert now.value("cascade_attempts_total", channel="vk", outcome="unsupported") == 1
    assert now.value("cascade_attempts_total", channel="ok", outcome="delivered") == 1
    assert now.sum("cascade_attempts_total") == 2
    assert now.value("cascade_messages_total", state="in_progress") == 1
    assert now.value("cascade_messages_total", state="delivered") == 1
    assert now.value("cascade_messages_total", state="undelivered") == 0
    charged = {"account": "notify-ok", "channel": "ok", "currency": "RUB"}
    assert now.value("cascade_charged_total", **charged) == 0.3


def test_the_time_to_deliver_is_a_histogram_from_the_acceptance_on(
    journey: Journey, metrics: Metrics
):
    scrape(metrics)

    fall_to_ok(journey)
    settled(journey)

    now, name = scrape(metrics), "cascade_time_to_deliver_seconds"
    assert now.value(f"{name}_count", channel="ok") == 1
    assert 5 < now.value(f"{name}_sum", channel="ok") < 8
    assert now.value(f"{name}_bucket", channel="ok", le="5.0") == 0
    assert now.value(f"{name}_bucket", channel="ok", le="10.0") == 1
    assert now.value(f"{name}_bucket", channel="ok", le="+Inf") == 1


def test_every_series_is_there_before_its_first_event(ledger: Ledger, metrics: Metrics):
    now = scrape(metrics)

    assert now.value("cascade_attempts_total", channel="sms", outcome="expired") == 0
    assert now.value("cascade_messages_total", state="cancelled") == 0
    assert now.value("cascade_time_to_deliver_seconds_count", channel="whatsapp") == 0
    assert now.value("cascade_charged_total", account="smsc", channel="sms", currency="RUB") == 0
    assert now.value("cascade_unrated_charges_total", account="smsc", channel="sms") == 0


def test_nothing_is_counted_twice_and_nothing_before_the_first_scrape(
    journey: Journey, metrics: Metrics
):
    fall_to_ok(journey)
    settled(journey)
    assert scrape(metrics).sum("cascade_attempts_total") == 0

    fall_to_ok(journey)
    settled(journey)
    for _ in range(3):
        assert scrape(metrics).sum("cascade_attempts_total") == 2
        settled(journey)


def test_what_happens_while_nobody_asks_is_counted_by_the_next_scrape(
    journey: Journey, metrics: Metrics
):
    scrape(metrics)
    for _ in range(3):
        fall_to_ok(journey)
        journey.advance(3 * storage.WINDOW.total_seconds())

    assert scrape(metrics).value("cascade_messages_total", state="delivered") == 3
    assert scrape(metrics).sum("cascade_time_to_deliver_seconds_count") == 3


def test_what_is_committed_late_is_counted_all_the_same(
    journey: Journey, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(storage, "HOLD_LEAST", dt.timedelta(0))
    message_id = journey.send()
    scrape(metrics)

    with journey.engine.begin() as connection:
        advance(journey.ledger.store.on(connection), journey.ledger, {message_id: [rules.cancel]})
        assert scrape(metrics).sum("cascade_attempts_total") == 0
    now = scrape(metrics)

    assert now.value("cascade_attempts_total", channel="vk", outcome="cancelled") == 1
    assert now.value("cascade_messages_total", state="cancelled") == 1


def test_a_delivery_without_a_rate_is_counted_as_such(journey: Journey, metrics: Metrics):
    scrape(metrics)
    message_id = journey.send("+4915112345678")
    journey.call(message_id, Accepted())
    journey.deliver(message_id)
    settled(journey)

    now = scrape(metrics)
    unrated = "cascade_unrated_charges_total"
    assert now.value(unrated, account="notify-vk", channel="vk") == 1
    assert now.sum("cascade_charged_total") == 0


def test_lags_are_the_ages_of_the_oldest_that_wait(journey: Journey, metrics: Metrics):
    message_id = journey.send(priority="urgent")
    journey.tick()
    journey.hear_of(message_id, AttemptState.DELIVERED)
    journey.advance(30)

    now = scrape(metrics)
    assert 25 < now.value("cascade_due_lag_seconds", lane="urgent") < 30
    assert now.value("cascade_due_lag_seconds", lane="bulk") == 0
    assert 30 <= now.value("cascade_receipts_lag_seconds") < 32
    assert 30 <= now.value("cascade_tick_age_seconds") < 32


def test_a_receipt_that_is_set_aside_is_seen_and_no_lag(journey: Journey, metrics: Metrics):
    journey.hear_of(journey.send(), AttemptState.DELIVERED)
    journey.change("UPDATE cascade.receipts SET due_at = NULL")

    now = scrape(metrics)
    assert now.value("cascade_receipts_set_aside") == 1
    assert now.value("cascade_receipts_lag_seconds") == 0


def test_an_open_transaction_is_seen(engine: Engine, metrics: Metrics):
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        assert scrape(metrics).value("cascade_oldest_transaction_seconds") > 0


def test_without_a_database_the_rest_is_served(gone: Engine):
    metrics = Metrics(engine=gone, queue_lengths=lambda: QUEUES, accounts=ACCOUNTS)

    now = scrape(metrics)

    assert now.value("cascade_up", part="database") == 0
    assert now.value("cascade_up", part="broker") == 1
    assert now.value("cascade_queue_messages", queue="vk.normal") == 3
    assert now.sum("cascade_attempts_total") == 0
    assert "cascade_tick_age_seconds" not in now.names


def test_a_database_that_comes_back_finds_its_counters_where_they_were(
    journey: Journey, metrics: Metrics
):
    scrape(metrics)
    journey.change("ALTER TABLE cascade.charges RENAME TO away")
    try:
        fall_to_ok_uncharged = scrape(metrics)
    finally:
        journey.change("ALTER TABLE cascade.away RENAME TO charges")
    fall_to_ok(journey)
    settled(journey)

    assert fall_to_ok_uncharged.value("cascade_up", part="database") == 0
    assert scrape(metrics).value("cascade_messages_total", state="delivered") == 1


def test_without_a_broker_the_rest_is_served(journey: Journey):
    def broken() -> dict[str, int]:
        raise ConnectionError

    metrics = Metrics(engine=journey.engine, queue_lengths=broken, accounts=ACCOUNTS)

    now = scrape(metrics)

    assert now.value("cascade_up", part="broker") == 0
    assert now.value("cascade_up", part="database") == 1
    assert "cascade_queue_messages" not in now.names


def test_who_asks_waits_no_longer_than_patience_and_reads_are_never_two_at_once():
    release, begun = threading.Event(), []

    def hang() -> int:
        begun.append(1)
        release.wait(10)
        return 7

    source = Source("database", hang, patience=0.05)

    assert [source.read(), source.read()] == [None, None]
    assert len(begun) == 1
    release.set()
    patient: Callable[[], int | None] = source._begun().result
    assert patient() == 7


def test_webhooks_are_counted_by_account_and_status(
    ledger: Ledger, adapters: dict[str, Adapter], metrics: Metrics
):
    app = make_app(
        adapters=adapters,
        keyring=ledger.keyring,
        engine=ledger.engine,
        trusted_hops=0,
        answered=metrics.answered,
    )

    async def work(client: Client) -> None:
        for path in (f"notify-vk/{TOKEN}", f"notify-vk/{TOKEN}", "notify-vk/guessed", "guessed"):
            await client.post(f"/receipts/{path}", notify())

    talk(app, work)

    now, name = scrape(metrics), "cascade_webhooks_total"
    assert now.value(name, account="notify-vk", status="200") == 2
    assert now.value(name, account="notify-vk", status="404") == 1
    assert now.value(name, account="unknown", status="404") == 1


MANY = """
    INSERT INTO cascade.messages (id, sender, recipient, recipient_hash, content, policy_id, lane,
        state, deadline, created_at, ended_at)
    SELECT gen_random_uuid(), 'default', '', '', '', p.id, 'normal', 'delivered', now(),
        now() - n * interval '1 s', now() - n * interval '1 s'
    FROM generate_series(1, :number) n, (SELECT min(id) AS id FROM cascade.policies) p;
    INSERT INTO cascade.attempts (message_id, step, channel, account, state, lane, ttl, ttl_minimum,
        expires_at, client_ref, created_at, delivered_at, ended_at)
    SELECT id, 0, 'vk', 'notify-vk', 'delivered', 'normal', 15, 15, now(), id::text, created_at,
        created_at, ended_at
    FROM cascade.messages;
    INSERT INTO cascade.charges (attempt_id, units, occurred_at, booked_at)
    SELECT id, 1, ended_at, ended_at FROM cascade.attempts;
    INSERT INTO cascade.events (transaction, message_id, sequence, state, happened_at)
    SELECT row_number() OVER (), id, 1, 'delivered', ended_at FROM cascade.messages;
    INSERT INTO cascade.receipts (account, status, native_status, raw, dedupe_key, due_at,
        applied_at, attempt_id)
    SELECT 'notify-vk', 'delivered', '', '', decode(md5(id::text), 'hex'), NULL, now(), id
    FROM cascade.attempts;
    ANALYZE cascade.messages, cascade.attempts, cascade.charges, cascade.events, cascade.receipts
"""


def test_no_scrape_reads_a_whole_table(journey: Journey, metrics: Metrics):
    journey.change(MANY, number=5_000)
    scrape(metrics)
    statements: list[tuple[str, dict[str, object]]] = []

    def note(_connection, _cursor, statement, parameters, *_rest):
        statements.append((statement, parameters))

    event.listen(journey.engine, "before_cursor_execute", note)
    settled(journey)
    scrape(metrics)
    event.remove(journey.engine, "before_cursor_execute", note)

    selects = [one for one in statements if one[0].lstrip().startswith(("SELECT", "WITH"))]
    assert len(selects) >= 7
    for statement, parameters in selects:
        plan = explain(journey.engine, statement, parameters)
        for table in ("messages", "attempts", "charges", "receipts", "events"):
            assert f"Seq Scan on {table}" not in plan, f"{statement}\n{plan}"


def explain(engine: Engine, statement: str, parameters: dict[str, object]) -> str:
    with engine.begin() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
        return "\n".join(row[0] for row in rows)


def test_an_endpoint_that_fails_and_one_that_is_disabled_are_told_apart(
    journey: Journey, metrics: Metrics
):
    with journey.engine.begin() as connection:
        sync_endpoints(connection, ["crm", "shop"])
    journey.change("UPDATE cascade.endpoints SET failing_since = now() WHERE name = 'crm'")
    journey.advance(3600)
    now, failing = scrape(metrics), "cascade_endpoint_failing_seconds"
    assert now.value(failing, endpoint="crm") == pytest.approx(3600, abs=10)
    assert now.value(failing, endpoint="shop") == 0
    assert now.sum("cascade_endpoint_disabled") == 0

    journey.change("UPDATE cascade.endpoints SET disabled_at = now() WHERE name = 'crm'")
    assert scrape(metrics).value("cascade_endpoint_disabled", endpoint="crm") == 1

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging

from collections.abc import Awaitable, Callable, Iterator

import pytest

from sqlalchemy import Engine, text
from starlette.applications import Starlette

from cascade.channels.base import Accepted, Adapter, Receipt, Webhook
from cascade.channels.notify import Notify
from cascade.gateway.app import make_app
from cascade.gateway.webhooks import BODY_LIMIT
from cascade.services.collect import collect
from cascade.storage.sealing import Keyring
from tests.channels.samples import SECRET, TOKEN
from tests.channels.test_account import digest, fields_of, with_token
from tests.gateway.asgi import Answer, Client, talk
from tests.services.journey import PHONE, Journey


pytestmark = pytest.mark.integration

NOTIFY = f"/receipts/notify-vk/{TOKEN}"
CLOUD = "/receipts/cloud-whatsapp"
REF = "0123456789abcdef0123456789abcdef"


def notify(ref: str = REF, status: str = "delivered", at: float = 1_763_800_000.123) -> bytes:
    return json.dumps(
        {"message_id": ref, "status": status, "status_at": at, "route": "VK", "code": ""}
    ).encode()


def cloud(ref: str = REF) -> bytes:
    status = {
        "id": "wamid.1",
        "status": "delivered",
        "timestamp": "1763800000",
        "biz_opaque_callback_data": ref,
    }
    change = {"field": "messages", "value": {"statuses": [status]}}
    return json.dumps({"entry": [{"changes": [change]}]}).encode()


def signature(body: bytes, secret: str = SECRET + "-new") -> tuple[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return ("X-Hub-Signature-256", f"sha256={digest}")


def post(app: Starlette, path: str, body: bytes, **more: object) -> Answer:
    return talk(app, lambda client: client.post(path, body, **more))  # type: ignore[arg-type]  # by name


def receipts(journey: Journey) -> list[tuple[str, str]]:
    rows = journey.rows(
        "SELECT account, CAST(status AS text) AS status FROM cascade.receipts ORDER BY id"
    )
    return [(row.account, row.status) for row in rows]


def test_a_webhook_moves_its_attempt_from_the_gateway_to_the_charge(
    journey: Journey, app: Starlette
):
    message_id = journey.send()
    journey.call(message_id, Accepted())

    answer = post(app, NOTIFY, notify(journey.attempt(message_id).client_ref))

    assert answer == Answer(200, b"")
    assert collect(journey.ledger)["delivered"] == 1
    assert journey.state(message_id) == "delivered"
    assert len(journey.charges()) == 1


def test_a_provider_hears_2xx_only_once_its_receipt_is_committed(journey: Journey, app: Starlette):
    async def work(client: Client) -> tuple[bool, Answer]:
        with journey.engine.begin() as holder:
            holder.execute(text("LOCK TABLE cascade.receipts IN EXCLUSIVE MODE"))
            asked = asyncio.create_task(client.post(NOTIFY, notify()))
            early, _ = await asyncio.wait([asked], timeout=0.3)
        return bool(early), await asked

    early, answer = talk(app, work)

    assert not early
    assert answer.status == 200
    assert receipts(journey) == [("notify-vk", "delivered")]


def test_without_a_database_the_provider_is_told_to_come_again(
    ledger, adapters: dict[str, Adapter], gone: Engine
):
    app = make_app(adapters=adapters, keyring=ledger.keyring, engine=gone, trusted_hops=0)

    assert post(app, NOTIFY, notify()).status == 503


def test_what_the_database_refuses_is_answered_503_and_stays_with_its_request(
    journey: Journey, app: Starlette, caplog: pytest.LogCaptureFixture
):
    journey.change("ALTER TABLE cascade.receipts ADD CONSTRAINT no_read CHECK (status <> 'read')")

    async def work(client: Client) -> list[int]:
        with journey.engine.begin() as holder:
            holder.execute(text("LOCK TABLE cascade.receipts IN EXCLUSIVE MODE"))
            asked = [
                asyncio.create_task(client.post(NOTIFY, notify(f"{number:032}", status)))
                for number, status in enumerate(["sent", "delivered", "read", "delivered"])
            ]
            await asyncio.wait(asked, timeout=0.2)
        return [(await one).status for one in asked]

    try:
        assert talk(app, work) == [200, 200, 503, 200]
    finally:
        journey.change("ALTER TABLE cascade.receipts DROP CONSTRAINT no_read")
    assert len(receipts(journey)) == 3


def test_requests_that_arrive_during_a_commit_share_the_next_one(journey: Journey, app: Starlette):
    async def work(client: Client) -> list[Answer]:
        with journey.engine.begin() as holder:
            holder.execute(text("LOCK TABLE cascade.receipts IN EXCLUSIVE MODE"))
            first = asyncio.create_task(client.post(NOTIFY, notify()))
            await asyncio.wait([first], timeout=0.2)
            rest = [
                asyncio.create_task(client.post(NOTIFY, notify(f"{number:032}")))
                for number in range(20)
            ]
            await asyncio.wait(rest, timeout=0.2)
        return await asyncio.gather(first, *rest)

    answers = talk(app, work)

    assert {answer.status for answer in answers} == {200}
    groups = journey.rows("SELECT count(*) FROM cascade.receipts GROUP BY xmin::text ORDER BY 1")
    assert [row[0] for row in groups] == [1, 20]


def test_a_request_whose_caller_has_gone_takes_nobody_with_it(journey: Journey, app: Starlette):
    async def work(client: Client) -> Answer:
        with journey.engine.begin() as holder:
            holder.execute(text("LOCK TABLE cascade.receipts IN EXCLUSIVE MODE"))
            leaving = asyncio.create_task(client.post(NOTIFY, notify()))
            await asyncio.wait([leaving], timeout=0.2)
            leaving.cancel()
        return await client.post(NOTIFY, notify("1" * 32))

    assert talk(app, work).status == 200


def test_a_repeated_webhook_is_acknowledged_and_stored_once(journey: Journey, app: Starlette):
    async def work(client: Client) -> list[Answer]:
        return [await client.post(NOTIFY, notify()) for _ in range(3)]

    assert [one.status for one in talk(app, work)] == [200] * 3
    assert len(receipts(journey)) == 1


def test_two_events_of_one_message_are_two_receipts(journey: Journey, app: Starlette):
    async def work(client: Client) -> None:
        await client.post(NOTIFY, notify(status="sent"))
        await client.post(NOTIFY, notify(status="sent", at=1_763_800_001.0))

    talk(app, work)

    assert len(receipts(journey)) == 2


def test_the_raw_body_is_kept_sealed(journey: Journey, app: Starlette):
    body = json.dumps(
        {"message_id": REF, "status": "delivered", "status_at": 1.0, "phone": PHONE}
    ).encode()

    post(app, NOTIFY, body)

    raw = bytes(journey.row("SELECT raw FROM cascade.receipts")[0])
    assert PHONE.encode() not in raw
    keyring: Keyring = journey.ledger.keyring
    assert keyring.open(raw, "receipt:notify-vk") == body


@pytest.mark.parametrize("secret", ["canary-secret-new", "canary-secret-old"])
def test_a_signature_by_any_active_secret_is_believed(
    journey: Journey, app: Starlette, secret: str
):
    body = cloud()

    assert post(app, CLOUD, body, headers=[signature(body, secret)]).status == 200
    assert receipts(journey) == [("cloud-whatsapp", "delivered")]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [signature(cloud(), "guessed")],
        [signature(cloud() + b" ")],
        [("X-Hub-Signature-256", "sha256=")],
        [("X-Hub-Signature-256", "sha256=\u00ff")],
        [("X-Hub-Signature-256", "")],
        [("X-Hub-Signature-256", signature(cloud())[1].removeprefix("sha256="))],
        [("X-Hub-Signature-256", signature(cloud())[1].upper())],
        [("X-Hub-Signature", signature(cloud())[1])],
        [signature(cloud(), "canary-secret-retired")],
        [signature(cloud()), signature(cloud())],
        [signature(cloud()), signature(cloud(), "guessed")],
        [signature(cloud(), "guessed"), signature(cloud())],
        [signature(json.dumps(json.loads(cloud()), separators=(",", ":")).encode())],
    ],
    ids=range(14),
)
def test_a_forged_webhook_is_refused_and_leaves_no_trace(
    journey: Journey, app: Starlette, headers: list[tuple[str, str]]
):
    assert post(app, CLOUD, cloud(), headers=headers).status == 403
    assert receipts(journey) == []


def test_no_bit_of_a_signed_body_or_of_its_signature_can_be_changed(app: Starlette):
    body = cloud()
    name, value = signature(body)

    async def work(client: Client) -> set[int]:
        found = set()
        for bit in range(0, len(body) * 8, 7):
            changed = bytearray(body)
            changed[bit // 8] ^= 1 << bit % 8
            answer = await client.post(CLOUD, bytes(changed), headers=[(name, value)])
            found.add(answer.status)
        for at in range(len(value)):
            changed_value = value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :]
            answer = await client.post(CLOUD, body, headers=[(name, changed_value)])
            found.add(answer.status)
        return found

    assert talk(app, work) == {403}


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("application/x-www-form-urlencoded", 200),
        ("", 200),
        ("text/plain", 415),
        ("text/html", 415),
        ("multipart/form-data; boundary=a", 415),
        ("application/xml", 415),
    ],
)
def test_what_is_neither_json_nor_a_form_is_refused(
    journey: Journey, app: Starlette, media_type: str, status: int
):
    answer = post(app, NOTIFY, notify(), headers=[("Content-Type", media_type)])

    assert answer.status == status
    assert len(receipts(journey)) == (status == 200)


def test_a_token_is_rotated_without_refusing_a_receipt(journey: Journey):
    newer = "canary-newer-token-0123456789"

    def accepted(tokens: str) -> list[int]:
        account = with_token(tokens)
        app = make_app(
            adapters={account.account: account},
            keyring=journey.ledger.keyring,
            engine=journey.engine,
            trusted_hops=0,
        )

        async def work(client: Client) -> list[int]:
            paths = [f"/receipts/notify-vk/{token}" for token in (TOKEN, newer)]
            return [(await client.post(path, notify())).status for path in paths]

        return talk(app, work)

    assert accepted(TOKEN) == [200, 404]
    assert accepted(f"{TOKEN},{newer}") == [200, 200]
    assert accepted(f"{newer},{digest(TOKEN)}") == [200, 200]
    assert accepted(digest(newer)) == [404, 200]


def test_a_digest_is_no_token(app: Starlette):
    path = f"/receipts/notify-vk/{digest(TOKEN)}"
    assert post(app, path, notify()).status == 404
    assert post(app, path.replace("sha256:", ""), notify()).status == 404


def test_what_no_parser_expects_is_answered_503_and_tells_nothing_of_it(
    ledger, caplog: pytest.LogCaptureFixture
):
    class Broken(Notify):
        def parse(self, webhook: Webhook) -> list[Receipt]:
            raise RuntimeError(webhook.body.decode())

    broken = Broken.model_validate(fields_of(TOKEN))
    app = make_app(
        adapters={broken.account: broken},
        keyring=ledger.keyring,
        engine=ledger.engine,
        trusted_hops=0,
    )

    assert post(app, NOTIFY, notify()).status == 503
    assert caplog.messages == ["a webhook cannot be parsed: RuntimeError"]
    assert REF not in caplog.text


@pytest.mark.parametrize(
    "path",
    [
        "/receipts/notify-vk",
        "/receipts/notify-vk/",
        "/receipts/notify-vk/wrong",
        f"/receipts/notify-vk/{TOKEN}x",
        f"/receipts/notify-vk/{TOKEN[:-1]}",
        f"/receipts/notify-vk/{TOKEN}/more",
        "/receipts/notify-vk/\u0442\u043e\u043a\u0435\u043d",
        f"/receipts/cloud-whatsapp/{TOKEN}",
        f"/receipts/nobody/{TOKEN}",
        "/receipts",
    ],
)
def test_a_wrong_address_is_no_address(
    journey: Journey, app: Starlette, caplog: pytest.LogCaptureFixture, path: str
):
    caplog.set_level(logging.DEBUG)
    body = notify()

    answer = post(app, path, body, headers=[signature(body)])

    assert answer.status in {307, 404}
    assert receipts(journey) == []
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"{", b'{"a": NaN}', b"[" * 100_000, b"\xff\xfe"]
)
def test_what_cannot_be_read_is_refused_and_stored_nowhere(
    journey: Journey, app: Starlette, body: bytes
):
    assert post(app, NOTIFY, body).status in {200, 400}
    assert receipts(journey) == []


@pytest.mark.parametrize("status", ["\x00", "\ud83d", "delivered\u0000", "x" * 1000, "9161234567"])
def test_a_strange_status_is_stored_and_never_a_fault(
    journey: Journey, app: Starlette, status: str
):
    answer = post(app, NOTIFY, notify(status=status))

    assert answer.status in {200, 400}
    assert "9161234567" not in str(journey.rows("SELECT native_status FROM cascade.receipts"))


@pytest.mark.parametrize(
    "junk",
    [
        b"\x00",
        b"\\u0000",
        b"\\ud800",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xff\xfe",
        "\U0001f4a9".encode(),
    ],
    ids=range(7),
)
def test_hostile_bytes_in_a_field_that_nobody_reads_are_stored_and_the_receipt_is_applied(
    journey: Journey, app: Starlette, junk: bytes
):
    message_id = journey.send()
    journey.call(message_id, Accepted())
    body = notify(journey.attempt(message_id).client_ref).replace(b'"VK"', b'"' + junk + b'"')

    assert post(app, NOTIFY, body).status == 200

    collect(journey.ledger)
    assert journey.state(message_id) == "delivered"
    raw = bytes(journey.row("SELECT raw FROM cascade.receipts")[0])
    assert journey.ledger.keyring.open(raw, "receipt:notify-vk") == body


@pytest.mark.parametrize(("size", "status"), [(BODY_LIMIT, 400), (BODY_LIMIT + 1, 413)])
def test_a_body_over_the_limit_is_refused_before_anything_reads_it(
    app: Starlette, size: int, status: int
):
    assert post(app, NOTIFY, b"x" * size).status == status


def test_a_body_that_trickles_over_the_limit_is_not_read_to_its_end(app: Starlette):
    read: list[int] = []

    def parts() -> Iterator[bytes]:
        for number in range(1000):
            read.append(number)
            yield b"x" * 1024

    assert talk(app, lambda client: client.post(NOTIFY, parts())).status == 413
    assert len(read) == BODY_LIMIT // 1024 + 1


def test_a_bulk_of_statuses_is_one_commit(journey: Journey, app: Starlette):
    rows = [
        {"providerId": number, "status": "DELIVERED", "receivedAt": 1_763_800_000 + number}
        for number in range(1, 51)
    ]

    answer = post(app, f"/receipts/devino-viber/{TOKEN}", json.dumps(rows).encode())

    assert answer.status == 200
    assert len(receipts(journey)) == 50
    assert len(journey.rows("SELECT DISTINCT xmin::text FROM cascade.receipts")) == 1


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (
            "hub.mode=subscribe&hub.verify_token=canary-secret-verify&hub.challenge=42",
            Answer(200, b"42"),
        ),
        ("hub.mode=subscribe&hub.verify_token=guessed&hub.challenge=42", Answer(404, b"")),
        ("hub.verify_token=canary-secret-verify&hub.challenge=42", Answer(404, b"")),
        ("", Answer(404, b"")),
    ],
)
def test_a_handshake_is_answered_to_who_knows_the_token(
    app: Starlette, query: str, answer: Answer
):
    assert talk(app, lambda client: client.get(CLOUD, query)) == answer


def test_a_provider_without_a_handshake_gets_none(app: Starlette):
    assert talk(app, lambda client: client.get(NOTIFY)).status == 404


def test_health_says_whether_the_database_answers(
    app: Starlette, ledger, adapters: dict[str, Adapter], gone: Engine
):
    sick = make_app(adapters=adapters, keyring=ledger.keyring, engine=gone, trusted_hops=0)
    ask: Callable[[Client], Awaitable[Answer]] = lambda client: client.get("/health")  # noqa: E731  # asked twice

    assert talk(app, ask) == Answer(200, b"ok\n")
    ill = talk(sick, ask)
    assert ill.status == 503
    assert b"127.0.0.1" not in ill.body

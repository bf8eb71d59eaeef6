"""A run in which nothing went wrong that must not: tables, the sandbox's ledger, a journal.

Everything is drawn from a seed. Times lie in the future, so that the history, which is written by
triggers as the rows change, is before the calls.
"""

from __future__ import annotations

import copy
import datetime as dt
import json
import random
import uuid

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from chaos.checker.evidence import Evidence
from chaos.checker.journal import read_accepted, read_stops
from chaos.checker.ledger import read_ledger
from chaos.checker.logs import Trouble
from chaos.checker.tables import snapshot
from chaos.checker.verdict import Verdict, judge


CHANNELS = {
    "vk": ("notify-vk", Decimal("0.30")),
    "ok": ("notify-ok", Decimal("0.30")),
    "viber": ("devino-viber", Decimal("1.20")),
    "whatsapp": ("cloud-whatsapp", Decimal("1.80")),
    "sms": ("smsc", Decimal("2.00")),
}
# What can become of an attempt; the first four reach the person.
FATES = (
    "delivered",
    "read",
    "ambiguous and delivered",
    "told twice",
    "unsupported at once",
    "undeliverable",
    "expired",
    "ambiguous and not taken",
    "never called",
    "unattributable",
    "unheard",
)
REACHED = FATES[:4]
DEADLINE = dt.timedelta(minutes=2)
TTL = 30  # seconds


class Truth:
    """Rows are written through `cursor`, as its transaction sees them; nothing is committed here."""

    def __init__(self, cursor: Any, seed: int, *, messages: int = 50) -> None:
        self.cursor = cursor
        self.lines: list[dict[str, Any]] = []  # of the ledger
        self.journal: list[dict[str, Any]] = []
        self.stops: list[dict[str, Any]] = []
        self.troubles: list[Trouble] = []
        self.at_least_once: frozenset[str] = frozenset()
        self.attempts: list[dict[str, Any]] = []
        self._rates: dict[str, int] = {}
        self._dice = random.Random(seed)  # noqa: S311  # repeatable, not secret
        self.begun: dt.datetime = self.value("SELECT cascade.clock() + interval '1 hour'")
        self.policy_id = self.value(
            "INSERT INTO cascade.policies (name, version, steps) VALUES ('any', 1, '[]') RETURNING id"
        )
        for number in range(messages):
            self._message(number)
        self.do(
            "UPDATE chaos.history SET at = %s WHERE new = 'expired'",
            self.begun + dt.timedelta(seconds=TTL + 5),
        )

    def seen_by(self, cursor: Any) -> Truth:
        """The same, to be spoilt in another transaction."""
        twin = copy.copy(self)
        twin.cursor = cursor
        twin.lines, twin.journal = copy.deepcopy(self.lines), list(self.journal)
        twin.troubles = []
        return twin

    def do(self, statement: str, *values: object) -> int:
        """How many rows it has touched."""
        self.cursor.execute(statement, values)
        return int(self.cursor.rowcount)

    def value(self, statement: str, *values: object) -> Any:
        self.cursor.execute(statement, values)
        [(value,)] = self.cursor.fetchall()
        return value

    def judge(self, directory: Path) -> Verdict:
        """What the checker says of all this."""
        ledger = _write(directory / "ledger.jsonl", self.lines)
        journal = _write(directory / "accepted.jsonl", self.journal)
        stops = _write(directory / "stops.jsonl", self.stops)
        return judge(
            Evidence(
                ledger=read_ledger(ledger),
                tables=snapshot(self.cursor),
                accepted=read_accepted([journal]),
                stops=read_stops(stops),
                troubles=self.troubles,
                at_least_once=self.at_least_once,
                tolerance=dt.timedelta(seconds=0.5),
            )
        )

    def book(
        self, event: str, attempt: dict[str, Any], after: float, **more: Any
    ) -> dict[str, Any]:
        """A line about an attempt, so many seconds after the run's beginning."""
        moment = (self.begun + dt.timedelta(seconds=after)).isoformat()
        line = {
            "event": event,
            "at": moment,
            "account": attempt["account"],
            "channel": attempt["channel"],
            "client_ref": attempt["client_ref"],
            "ref": attempt["ref"],
            "received_at": moment,
            "accepted_at": moment,
            "recipient": "+79160000000",
            "amount": None,
            "currency": "RUB",
            **more,
        }
        self.lines.append(line)
        return line

    def find(self, event: str, **wanted: object) -> dict[str, Any]:
        """The first line of that kind."""
        return next(
            line
            for line in self.lines
            if line["event"] == event and wanted.items() <= line.items()
        )

    def attempt(self, fate: str) -> dict[str, Any]:
        """The first attempt with that fate."""
        return next(one for one in self.attempts if one["fate"] == fate)

    def _message(self, number: int) -> None:
        message_id = uuid.UUID(int=self._dice.getrandbits(128), version=4)
        self.add_message(message_id)
        self.journal.append(
            {"id": str(message_id), "key": f"key-{number}", "at": self.begun.isoformat()}
        )
        reached = [
            self._attempt(message_id, step, channel, fate)
            for step, (channel, fate) in enumerate(self._way(number))
        ]
        self.end_message(message_id, "delivered" if any(reached) else "undelivered")

    def add_message(self, message_id: uuid.UUID) -> None:
        self.do(
            "INSERT INTO cascade.messages (id, sender, recipient, recipient_hash, content, policy_id,"
            " lane, state, deadline, created_at)"
            " VALUES (%s, 'shop', '', '', '', %s, 'normal', 'in_progress', %s, %s)",
            message_id,
            self.policy_id,
            self.begun + DEADLINE,
            self.begun,
        )

    def end_message(self, message_id: uuid.UUID, state: str) -> None:
        self.do(
            "UPDATE cascade.messages SET state = %s, ended_at = %s WHERE id = %s",
            *(state, self.begun + dt.timedelta(seconds=60), message_id),
        )

    def _way(self, number: int) -> Iterator[tuple[str, str]]:
        """Channels and fates, until the message has reached its person; every fate comes up."""
        if number < len(FATES):
            yield "viber" if _is_possible("viber", FATES[number]) else "vk", FATES[number]
            return
        for channel in self._dice.sample(list(CHANNELS), k=self._dice.randint(1, 4)):
            fate = self._dice.choice([one for one in FATES if _is_possible(channel, one)])
            yield channel, fate
            if fate in REACHED and self._dice.random() < 0.9:  # the rest overlap
                return

    def _attempt(self, message_id: uuid.UUID, step: int, channel: str, fate: str) -> bool:
        number = len(self.attempts) + 1
        account, price = CHANNELS[channel]
        ours = f"ref-{number}"
        one: dict[str, Any] = {
            "id": number,
            "message_id": message_id,
            "channel": channel,
            "account": account,
            "client_ref": ours,
            "ref": ours if account in ("notify-vk", "notify-ok", "smsc") else f"their-{number}",
            "price": price,
            "fate": fate,
        }
        self.attempts.append(one)
        self.do(
            "INSERT INTO cascade.attempts (id, message_id, step, channel, account, state, lane, ttl,"
            " ttl_minimum, due_at, expires_at, client_ref, created_at, started_at)"
            " OVERRIDING SYSTEM VALUE VALUES"
            " (%s, %s, %s, %s, %s, 'queued', 'normal', %s, 0, %s, %s, %s, %s, %s)",
            *(number, message_id, step, channel, account, TTL, self.begun, self.begun, ours),
            *(self.begun, self.begun),
        )
        self.move(one, "sending")
        getattr(self, "_" + fate.replace(" ", "_"))(one)
        return fate in REACHED

    def move(self, one: dict[str, Any], *states: str) -> None:
        for state in states:
            self.do("UPDATE cascade.attempts SET state = %s WHERE id = %s", state, one["id"])

    def _called(self, one: dict[str, Any], *, accepted: bool = True) -> None:
        self.book("called", one, 1, accepted=accepted)
        if accepted:
            self.book("accepted", one, 1)

    def _settled(self, one: dict[str, Any]) -> None:
        self.move(one, "sent")
        self.add_ref(one, one["ref"])

    def _unsettled(self, one: dict[str, Any]) -> None:
        self.move(one, "unknown")
        self.do("UPDATE cascade.attempts SET unknown_at = %s WHERE id = %s", self.begun, one["id"])

    def add_ref(self, one: dict[str, Any], ref: str) -> None:
        self.do(
            "INSERT INTO cascade.provider_refs (account, ref, attempt_id, part, try)"
            " VALUES (%s, %s, %s, 0, 1)",
            *(one["account"], ref, one["id"]),
        )

    def hear(self, one: dict[str, Any], word: str, state: str | None = None) -> None:
        """The provider tells; the inbox has it, and the attempt has moved."""
        self.book("told", one, 3, word=word, status=200)
        self.receive(one, state or word)
        self.move(one, state or word)

    def receive(self, one: dict[str, Any], status: str, *, applied: bool = True) -> None:
        """A row of the inbox, by the reference that the provider's webhooks carry."""
        blind = one["account"] == "devino-viber"
        theirs = one["ref"] if blind or one["id"] % 2 else None
        self.do(
            "INSERT INTO cascade.receipts (account, client_ref, provider_ref, status, native_status,"
            " raw, dedupe_key, due_at, applied_at, attempt_id)"
            " VALUES (%s, %s, %s, %s, '', '', %s, %s, %s, %s)",
            *(one["account"], None if blind else one["client_ref"], theirs, status),
            *(uuid.uuid4().bytes, None if applied else self.begun),
            *((self.begun, one["id"]) if applied else (None, None)),
        )

    def _delivered(self, one: dict[str, Any]) -> None:
        self._called(one)
        self._settled(one)
        self._reach(one)

    def _reach(self, one: dict[str, Any]) -> None:
        self._bill(one)
        self.hear(one, "delivered")
        self.charge(one)

    def _bill(self, one: dict[str, Any]) -> None:
        self.book("delivered", one, 2, amount=str(one["price"]))

    def charge(self, one: dict[str, Any]) -> None:
        self.do(
            "UPDATE cascade.attempts SET delivered_at = %s WHERE id = %s", self.begun, one["id"]
        )
        self.do(
            "INSERT INTO cascade.charges (attempt_id, rate_id, amount, currency, units, occurred_at)"
            " VALUES (%s, %s, %s, 'RUB', 1, %s)",
            *(one["id"], self._rate(one), one["price"], self.begun),
        )

    def _rate(self, one: dict[str, Any]) -> int:
        if one["account"] not in self._rates:
            self._rates[one["account"]] = self.value(
                "INSERT INTO cascade.rates (account, channel, prefix, unit, price, currency,"
                " valid_from) VALUES (%s, %s, '', 'message', %s, 'RUB', 'epoch') RETURNING id",
                *(one["account"], one["channel"], one["price"]),
            )
        return self._rates[one["account"]]

    def _read(self, one: dict[str, Any]) -> None:
        self._delivered(one)
        self.book("read", one, 4)
        self.hear(one, "read")

    def _ambiguous_and_delivered(self, one: dict[str, Any]) -> None:
        self._called(one)
        self.book("ambiguous", one, 1, kind="reset", accepted=True)
        self._unsettled(one)
        self._reach(one)

    def _told_twice(self, one: dict[str, Any]) -> None:
        self._delivered(one)
        self.book("told", one, 5, word="delivered", status=200)
        self.book("told", one, 2, word="delivered", status=503)
        self.book("told", one, 2, word="delivered", status=None)

    def _unsupported_at_once(self, one: dict[str, Any]) -> None:
        self._called(one, accepted=False)
        self.book("unsupported", one, 1, accepted_at=None)
        self.move(one, "unsupported")

    def _undeliverable(self, one: dict[str, Any]) -> None:
        self._called(one)
        self._settled(one)
        self.hear(one, "blocked", "undeliverable")

    def _expired(self, one: dict[str, Any]) -> None:
        self._called(one)
        self._settled(one)
        self.move(one, "expired")
        self.book("told", one, 3, word="expired", status=503)

    def _ambiguous_and_not_taken(self, one: dict[str, Any]) -> None:
        self._called(one, accepted=False)
        self._unsettled(one)
        self.move(one, "retry", "queued", "sending", "unknown", "expired")

    def _never_called(self, one: dict[str, Any]) -> None:
        self._unsettled(one)
        self.move(one, "expired")

    def _unattributable(self, one: dict[str, Any]) -> None:
        """Its receipt is in the inbox, and nobody can know whose it is."""
        self._called(one)
        self._unsettled(one)
        self.move(one, "expired")
        self._bill(one)
        self.book("told", one, 3, word="delivered", status=200)
        self.receive(one, "delivered", applied=False)

    def _unheard(self, one: dict[str, Any]) -> None:
        self._called(one)
        self._settled(one)
        self._bill(one)
        self.book("unheard", one, 3, word="delivered")
        self.move(one, "expired")


def _is_possible(channel: str, fate: str) -> bool:
    if fate == "unattributable":
        return channel == "viber"
    return not (fate == "ambiguous and delivered" and channel == "viber")


def _write(path: Path, lines: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    path.write_text(text + '{"event": "cut sho', "utf-8")
    return path

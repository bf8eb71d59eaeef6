"""The calls of one task, between claim and result."""

from __future__ import annotations

import logging

from collections import deque
from collections.abc import Sequence

from cascade.channels.base import Adapter, HttpRequest, Item, Rejected, Result, Unavailable
from cascade.channels.exchange import requests_for, results
from cascade.domain.message import body_for
from cascade.domain.state import Channel
from cascade.services.deployment import CALL_DEADLINE, LEASE, Deployment
from cascade.services.person_limit import over_limit
from cascade.services.sealed import open_content, open_recipient
from cascade.storage.claim import Claimed
from cascade.storage.sealing import UnknownKeyError


log = logging.getLogger(__name__)

NOT_CALLED = Unavailable("not called")
UNKNOWN_KEY = Unavailable("unknown key")


class Flight:
    """Claimed attempts on their way to providers; each comes back with one result."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._claimed: dict[int, Claimed] = {}  # without a result yet, by attempt id
        self._ready: deque[tuple[HttpRequest[Item], float]] = deque()  # with its latest start
        self._refused: list[tuple[Claimed, Result]] = []  # without a call
        self.launched = 0  # attempts

    @property
    def is_over(self) -> bool:
        """Whether every attempt has come back."""
        return not self._claimed

    def room(self, channel: Channel) -> int:
        """How many attempts the free slots can carry.

        0 while fewer than half of the slots are free: claims should come in sets.
        """
        transport = self._deployment.transport
        if self._ready or transport.room < transport.flight / 2:
            return 0
        adapters = self._deployment.adapters.values()
        bulk = min((a.capabilities.bulk for a in adapters if a.channel == channel), default=1)
        return transport.room * bulk

    def launch(self, claimed: Sequence[Claimed], *, claiming_at: float) -> None:
        """Calls the providers of claimed attempts, as far as there is room at once.

        `claiming_at` is a moment of the clock before the claim: their leases are no older.
        """
        self.launched += len(claimed)
        self._claimed |= {one.attempt_id: one for one in claimed}
        for account in sorted({one.account for one in claimed}):
            ours = [one for one in claimed if one.account == account]
            self._ready.extend(
                (request, claiming_at + self._patience(request))
                for request in self._requests(account, ours)
            )
        self._submit()

    def land(self, wait: float) -> list[tuple[Claimed, Result]]:
        """Attempts with their results, as they come; waits `wait` seconds for the first one."""
        landed, self._refused = self._refused, []
        if not landed:
            for exchange in self._deployment.transport.collect(wait):
                adapter = self._deployment.adapters[self._account(exchange.request)]
                landed += [
                    (self._claimed[item.attempt_id], result)
                    for item, result in results(adapter, exchange)
                ]
        for one, _ in landed:
            del self._claimed[one.attempt_id]
        self._submit()
        return landed

    def ground(self) -> list[tuple[Claimed, Result]]:
        """Makes no more calls, and waits for those in the air: the results of all that is left."""
        landed: list[tuple[Claimed, Result]] = []
        for request, _ in self._ready:
            landed += [(self._claimed.pop(i.attempt_id), NOT_CALLED) for i in request.items]
        self._ready.clear()
        while self._claimed and (self._refused or self._deployment.transport.in_flight):
            landed += self.land(CALL_DEADLINE)
        return landed

    def _submit(self) -> None:
        while self._ready and self._deployment.transport.room > 0:
            request, start_by = self._ready.popleft()
            self._deployment.transport.submit(request, start_by=start_by)

    def _patience(self, request: HttpRequest[Item]) -> float:
        """Seconds from the claim in which the call must begin: within its lease, and in time."""
        left = (self._claimed[item.attempt_id].seconds_left for item in request.items)
        return min(LEASE - CALL_DEADLINE, *left)

    def _account(self, request: HttpRequest[Item]) -> str:
        return self._claimed[request.items[0].attempt_id].account

    def _requests(self, account: str, claimed: Sequence[Claimed]) -> list[HttpRequest[Item]]:
        adapter = self._deployment.adapters.get(account)
        if adapter is None:
            self._refused += [(one, Rejected("unconfigured account")) for one in claimed]
            return []
        over = over_limit(self._deployment, account, claimed)
        self._refused += over
        refused_ids = {one.attempt_id for one, _ in over}
        items = []
        for one in (one for one in claimed if one.attempt_id not in refused_ids):
            try:
                items.append(self._item(adapter, one))
            except UnknownKeyError:  # it may be on its way here
                self._refused.append((one, UNKNOWN_KEY))
            except Exception as error:  # noqa: BLE001  # one bad row must not stop its neighbours
                self._refused.append((one, Rejected(f"unreadable:{type(error).__name__}")))
        self._alert()
        requests, refused = requests_for(adapter, items)
        self._refused += [(self._claimed[one], result) for one, result in refused.items()]
        return requests

    def _alert(self) -> None:
        ids = [one.attempt_id for one, result in self._refused if result is UNKNOWN_KEY]
        if ids:
            log.error(
                "messages are sealed by a key that is not known here", extra={"attempt_ids": ids}
            )

    def _item(self, adapter: Adapter, one: Claimed) -> Item:
        keyring = self._deployment.ledger.keyring
        content = open_content(keyring, one.message_id, one.content)
        return Item(
            attempt_id=one.attempt_id,
            client_ref=one.client_ref,
            phone=open_recipient(keyring, one.message_id, one.recipient),
            body=body_for(content, adapter.channel),
            ttl=given_ttl(adapter, one),
        )


def given_ttl(adapter: Adapter, one: Claimed) -> int:
    """The remaining seconds in the provider's own unit, rounded down, within its range."""
    able = adapter.capabilities
    whole = int(one.seconds_left) // able.ttl_step * able.ttl_step
    return min(max(whole, able.ttl_minimum, 1), able.ttl_maximum)

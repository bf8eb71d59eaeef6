"""Providers' limits, kept for all workers together in Redis or Valkey, whose clock is shared.

An account's `rate` is a line in which every attempt gets the moment of its call, its slot. A slot
that is not now is waited for as `due_at` in the database, by nobody; it is remembered here, so that
the attempt does not line up again when it comes back. Each rank has a line of its own, and those
before it do not wait for it: an urgent message passes a campaign.

Nobody keeps to a limit that cannot be asked about: then all may go, and the provider's own refusal
(throttled) is what protects. The same words in docs/channels.md tell what that costs.
"""

from __future__ import annotations

import logging

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import redis

from redis.backoff import NoBackoff
from redis.retry import Retry

from cascade.channels.limit import AccountLimits, Place
from cascade.domain.errors import ConfigurationError


log = logging.getLogger(__name__)

PATIENCE = 1.0  # seconds for an answer, and as many for a connection
KEPT = 5.0  # seconds for which a slot waits for its attempt; then it lines up again

_NOW: Final = """
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1000000
end
"""

# A rank's clock stands behind the true time by a slot for each one that a rank before it has taken:
# so those in its line wait longer without being told. After a rest, there are a second's slots to
# give away at once, to all ranks together. An attempt that cannot wait for a slot takes none.
_TAKE_SLOTS: Final = (
    _NOW
    + """
local pause, ranks, kept = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local clock, next_slot = {}, {}
for rank = 1, ranks do
  clock[rank] = now - (redis.call('HGET', KEYS[1], 'behind:' .. rank) or 0)
  local first = clock[rank] + math.min(0, pause - 1)
  next_slot[rank] = math.max(first, redis.call('HGET', KEYS[1], 'next:' .. rank) or 0)
end

local function take(rank, left)
  local slot = next_slot[rank]
  if slot - clock[rank] > left then return nil end
  local is_now = slot <= clock[rank]
  for other = 1, ranks do
    if other > rank then
      clock[other] = clock[other] - pause
    elseif other == rank or is_now then
      next_slot[other] = next_slot[other] + pause
    end
  end
  return slot
end

local waits = {}
for at = 2, #KEYS do
  local rank, left = tonumber(ARGV[2 * at + 1]), tonumber(ARGV[2 * at + 2])
  local slot = tonumber(redis.call('GET', KEYS[at]) or '')
  if not slot or slot < clock[rank] - kept then slot = take(rank, left) end
  local wait = slot and math.max(0, slot - clock[rank])
  if not wait or wait > left then
    waits[at - 1] = '-1'
    redis.call('DEL', KEYS[at])
  elseif wait == 0 then
    waits[at - 1] = '0'
    redis.call('DEL', KEYS[at])
  else
    waits[at - 1] = string.format('%.6f', wait)
    -- an hour longer, since ranks before it may make it wait
    redis.call('SET', KEYS[at], string.format('%.6f', slot), 'EX', math.ceil(wait) + 3600)
  end
end

for rank = 1, ranks do
  redis.call('HSET', KEYS[1], 'behind:' .. rank, string.format('%.6f', now - clock[rank]),
    'next:' .. rank, string.format('%.6f', next_slot[rank]))
end
return waits
"""
)

# The newest calls to a person, as many as the limit counts; an attempt that is tried again is one.
_COUNT_CALLS: Final = (
    _NOW
    + """
local count, seconds = tonumber(ARGV[2]), tonumber(ARGV[3])

local waits = {}
for at, calls in ipairs(KEYS) do
  local attempt = ARGV[3 + at]
  redis.call('ZREMRANGEBYSCORE', calls, '-inf', string.format('%.6f', now - seconds))
  if redis.call('ZCARD', calls) < count or redis.call('ZSCORE', calls, attempt) then
    redis.call('ZADD', calls, string.format('%.6f', now), attempt)
    redis.call('EXPIRE', calls, seconds + 1)
    waits[at] = '0'
  else
    local oldest = redis.call('ZRANGE', calls, 0, 0, 'WITHSCORES')[2]
    waits[at] = string.format('%.6f', oldest + seconds - now)
  end
end
return waits
"""
)


class Limits:
    """The limits of all accounts that have any."""

    def __init__(
        self,
        client: redis.Redis,
        accounts: Mapping[str, AccountLimits],
        *,
        ranks: int,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """`clock` tells seconds where a test moves the time; else the server's own does."""
        self._client = client
        self._accounts = accounts
        self._ranks = ranks
        self._clock = clock
        self._take_slots = client.register_script(_TAKE_SLOTS)
        self._count_calls = client.register_script(_COUNT_CALLS)

    def has_rate(self, account: str) -> bool:
        """Whether its calls are spread over time."""
        return self._of(account).rate is not None

    def take_slots(self, account: str, places: Sequence[Place]) -> dict[int, float | None]:
        """Seconds until each attempt's call, 0 for those that may go now; None where it would
        have to wait longer than it can.
        """
        rate = self._of(account).rate
        if rate is None or not places:
            return {one.attempt_id: 0.0 for one in places}
        keys = [_key(account, "line"), *(_key(account, f"slot:{p.attempt_id}") for p in places)]
        numbers = [number for one in places for number in (one.rank, f"{one.left:.6f}")]
        values = [self._now(), rate.pause, self._ranks, KEPT, *numbers]
        waits = self._ask(lambda: self._take_slots(keys, values), len(places))
        return {
            one.attempt_id: None if wait < 0 else wait
            for one, wait in zip(places, waits, strict=True)
        }

    def count_calls(self, account: str, persons: Mapping[int, bytes]) -> dict[int, float]:
        """Counts a call to each attempt's person, told by a keyed hash; seconds until one may be
        made where the limit is reached, and 0 where it may be made now.
        """
        limit = self._of(account).per_person
        if limit is None or not persons:
            return dict.fromkeys(persons, 0.0)
        keys = [_key(account, f"person:{one.hex()}") for one in persons.values()]
        values: list[str | int] = [self._now(), limit.count, limit.seconds, *persons]
        waits = self._ask(lambda: self._count_calls(keys, values), len(persons))
        return dict(zip(persons, waits, strict=True))

    def answers(self) -> bool:
        """Whether the server can be asked."""
        try:
            self._client.ping()
        except redis.RedisError:
            return False
        return True

    def _of(self, account: str) -> AccountLimits:
        return self._accounts.get(account, _UNLIMITED)

    def _now(self) -> str:
        return "" if self._clock is None else f"{self._clock():.6f}"

    def _ask(self, ask: Callable[[], Sequence[bytes]], count: int) -> list[float]:
        try:
            return [float(wait) for wait in ask()]
        except redis.RedisError as error:
            log.warning("providers' limits cannot be kept: %s", type(error).__name__)
            return [0.0] * count


_UNLIMITED = AccountLimits()


def limits_at(
    url: str | None, accounts: Mapping[str, AccountLimits], *, ranks: int
) -> Limits | None:
    """The limits, or None where no account has any. Connects when it is first asked.

    Raises ConfigurationError if there are limits, and no `url` of a server that keeps them.
    """
    if not accounts:
        return None
    if url is None:
        names = ", ".join(accounts)
        raise ConfigurationError(
            "CASCADE_LIMITS_URL",
            f"the limits of {names} are kept in Redis or Valkey, and the broker is neither",
            "set it to a redis:// address, or `rate` and `per_person` of these accounts to unlimited",
        )
    return Limits(_client(url), accounts, ranks=ranks)


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 1),  # a connection that went stale; more would hold up a worker
        client_name="cascade",
    )


def _key(account: str, name: str) -> str:
    return f"cascade:limits:{{{account}}}:{name}"  # the braces: one account, one cluster slot

"""A look at what the broker holds, whichever broker it is."""

from __future__ import annotations

import base64
import json

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

import redis

from kombu import Connection

from cascade.dispatch import is_amqp, queue_lengths, queue_names


READ: Mapping[object, Callable[[Any, bytes], Iterable[bytes | None]]] = {
    b"string": lambda client, key: [client.get(key)],
    b"list": lambda client, key: client.lrange(key, 0, -1),
    b"hash": lambda client, key: [part for pair in client.hgetall(key).items() for part in pair],
    b"set": lambda client, key: client.smembers(key),
    b"zset": lambda client, key: client.zrange(key, 0, -1),
}


END = "nothing more is heard"


class Broker(Protocol):
    """What tests ask of a broker."""

    def answers(self) -> bool:
        """Whether it is there; raises what its client raises otherwise."""

    def bodies(self, queue: str) -> list[str]:
        """What the messages that wait in a queue say; they stay where they are."""

    def contents(self) -> Iterator[str]:
        """Everything that it holds, names and all."""

    def overheard(self) -> AbstractContextManager[list[str]]:
        """Everything that it is told while the block runs; complete after it."""


class Redis:
    """Redis or Valkey; its names carry the prefix `cascade:`."""

    def __init__(self, url: str) -> None:
        self._url = url

    def answers(self) -> bool:
        with self._client() as client:
            return bool(client.ping())

    def bodies(self, queue: str) -> list[str]:
        with self._client() as client:
            queued = client.lrange(f"cascade:{queue}", 0, -1)
        return [base64.b64decode(json.loads(message)["body"]).decode() for message in queued]

    def contents(self) -> Iterator[str]:
        with self._client() as client:
            for key in client.scan_iter():
                kind = client.type(key)
                if kind == b"none":  # taken meanwhile
                    continue
                parts = READ[kind](client, key)
                yield key.decode()
                yield from (part.decode("utf-8", "replace") for part in parts if part is not None)

    @contextmanager
    def overheard(self) -> Iterator[list[str]]:
        said: list[str] = []
        with self._client() as client, client.monitor() as monitor:
            listening = Thread(target=_listen, args=(monitor, said), daemon=True)
            listening.start()
            yield said
            client.echo(END)
            listening.join(10)

    def _client(self) -> redis.Redis:
        return redis.Redis.from_url(self._url)


class Rabbit:
    """RabbitMQ; its files are looked through too where they are known, logs and all."""

    def __init__(self, url: str, files: Path | None) -> None:
        self._url = url
        self._files = files

    def answers(self) -> bool:
        return bool(queue_lengths(self._url))

    def bodies(self, queue: str) -> list[str]:
        return [message.body for message in self._waiting(queue)]

    def contents(self) -> Iterator[str]:
        for name in queue_names():
            yield name
            for message in self._waiting(name):
                yield f"{message.headers} {message.properties} {message.body}"
        for path in self._files.rglob("*") if self._files else ():
            if path.is_file():
                yield path.read_bytes().decode("utf-8", "replace")

    @contextmanager
    def overheard(self) -> Iterator[list[str]]:
        said: list[str] = []
        yield said
        said += self.contents()  # its files hold what has passed through

    def _waiting(self, queue: str) -> list[Any]:
        with Connection(self._url) as connection:
            channel: Any = connection.channel()
            return list(iter(lambda: channel.basic_get(queue), None))
            # None is acknowledged: all go back as the connection ends.


def _listen(monitor: Any, said: list[str]) -> None:
    for heard in monitor.listen():
        said.append(heard["command"])
        if END in heard["command"]:
            return


def broker_at(url: str, files: Path | None) -> Broker:
    """The broker of this address; `files` is where RabbitMQ keeps its own, if that is known."""
    return Rabbit(url, files) if is_amqp(url) else Redis(url)

"""The proxy in another program's hand."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


_PATIENCE = 10.0  # seconds for an answer


class ProxyError(RuntimeError):
    """The proxy does not start, does not answer, or cannot obey; the message says why."""


@dataclass(frozen=True, slots=True)
class Hit:
    """The connections that are open now, and how many (or commits) a fault has broken."""

    open: int
    hit: int


@dataclass(frozen=True, slots=True)
class Links:
    """A running proxy, commanded by its links' names; every method raises ProxyError.

    `ports` on loopback lead to the targets. A link has one fault at a time: a new one ends the one
    before it. The answer of `heal` tells what the ended fault has hit, that of `status` what the
    present one has hit so far.
    """

    ports: Mapping[str, int]
    _control: int
    _process: subprocess.Popen[bytes] = field(repr=False)

    @classmethod
    def start(cls, directory: Path, targets: Mapping[str, tuple[str, int]]) -> Links:
        """A proxy whose words go to `directory`/proxy.log; `targets` are hosts and ports by name."""
        log = directory / "proxy.log"
        process = _launch(targets, log)
        assert process.stdout is not None  # noqa: S101  # a pipe, as asked for
        line = process.stdout.readline()
        if not line:
            process.communicate()
            words = log.read_text(errors="replace")[-2000:]
            raise ProxyError(f"the proxy does not start:\n{words}")
        told = json.loads(line)
        return cls(told["links"], told["control"], process)

    def stop(self) -> None:
        """Ends the proxy, and with it every connection."""
        self._process.kill()
        self._process.communicate()

    def latency(self, link: str, *, ms: float, jitter: float = 0, seed: int = 0) -> Hit:
        """Delays all bytes, in both directions, by `ms` plus or minus `jitter`."""
        return self._order(link, fault="latency", ms=ms, jitter=jitter, seed=seed)

    def blackhole(self, link: str) -> Hit:
        """Swallows all bytes; connections stay open and hang."""
        return self._order(link, fault="blackhole")

    def reset(self, link: str) -> Hit:
        """RST on every connection, and on new ones until it is healed."""
        return self._order(link, fault="reset")

    def cut_after_commit(self, link: str, *, times: int = 1) -> Hit:
        """The next `times` commits reach PostgreSQL, and their clients never hear of it."""
        return self._order(link, fault="cut_after_commit", times=times)

    def heal(self, link: str) -> Hit:
        """Everything passes again. Connections that a blackhole has touched are reset."""
        return self._order(link, fault="heal")

    def status(self, link: str) -> Hit:
        """What the present fault has hit so far."""
        return self._order(link)

    def _order(self, link: str, **order: object) -> Hit:
        try:
            answer = self._ask(json.dumps({"link": link, **order}))
        except (OSError, ValueError) as error:
            raise ProxyError(f"the proxy gives no answer: {error}") from error
        if "error" in answer:
            raise ProxyError(f"{link}: {answer['error']}")
        return Hit(**answer)

    def _ask(self, line: str) -> dict[str, int]:
        with socket.create_connection(("127.0.0.1", self._control), _PATIENCE) as peer:
            peer.sendall(line.encode() + b"\n")
            with peer.makefile("rb") as answers:
                answer: dict[str, int] = json.loads(answers.readline())
        return answer


def _launch(targets: Mapping[str, tuple[str, int]], log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "chaos.proxy"]
    for name, (host, port) in targets.items():
        command += ["--link", f"{name}=0={host}:{port}"]
    with log.open("ab") as errors:
        return subprocess.Popen(  # noqa: S603  # our own program
            command,
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            process_group=0,  # Ctrl-C goes to the owner only
        )

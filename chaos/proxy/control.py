"""Commands to the proxy: a JSON object a line, answered by one."""

from __future__ import annotations

import asyncio
import json

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chaos.proxy.fault import Blackhole, CutAfterCommit, Fault, Latency, Reset
from chaos.proxy.link import Link


FAULTS: Mapping[str, type[Fault]] = {
    "heal": Fault,
    "latency": Latency,
    "blackhole": Blackhole,
    "reset": Reset,
    "cut_after_commit": CutAfterCommit,
}


@dataclass(frozen=True, slots=True)
class Control:
    """Obeys commands such as `{"link": "postgres", "fault": "latency", "ms": 50}`.

    The answer is `{"open": connections, "hit": what the fault that is on has hit}`, with `heal` what
    the ended one had hit; without `fault` nothing is changed. What cannot be obeyed is answered by
    `{"error": words}`.
    """

    links: Mapping[str, Link]

    async def listen(self, port: int) -> int:
        """Takes commands on loopback from now on; the port, which may be 0 for a free one."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        return int(server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            writer.write(json.dumps(self._answer(line)).encode() + b"\n")
        writer.close()

    def _answer(self, line: bytes) -> dict[str, object]:
        try:
            return self._obey(**json.loads(line))
        except (ValueError, TypeError, KeyError) as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def _obey(self, link: str, fault: str | None = None, **options: Any) -> dict[str, object]:
        one = self.links[link]
        hit = one.fault.hit
        if fault is not None:
            ended = one.put(FAULTS[fault](**options))
            hit = ended if fault == "heal" else one.fault.hit
        return {"open": len(one.connections), "hit": hit}

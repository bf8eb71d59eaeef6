"""The answer of a send that was received: in time, late, or such that nobody can read it."""

from __future__ import annotations

import asyncio
import socket
import struct

from dataclasses import dataclass

from aiohttp import web

from cascade.sandbox.clock import Tempo
from cascade.sandbox.faults import Ambiguity, Kind


_SILENCE = 30.0  # promised seconds
_RECEIPT_FIRST = 0.6  # seconds: the webhook has been answered long before
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST and drops what was not sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Reception:
    """How a send was received; an `early` one is answered after its first webhooks."""

    ambiguity: Ambiguity | None = None
    early: bool = False

    @property
    def accepted(self) -> bool:
        return self.ambiguity is None or self.ambiguity.accepted


async def answer(
    request: web.Request, reception: Reception, response: web.Response, tempo: Tempo
) -> web.Response:
    """`response`, unless the reception was ambiguous: then what one sees of that."""
    if reception.early:
        await asyncio.sleep(_RECEIPT_FIRST)
    if reception.ambiguity is None:
        return response
    match reception.ambiguity.kind:
        case Kind.RESET:
            _reset(request)
        case Kind.SILENT:
            await asyncio.sleep(_SILENCE * tempo.second)
            _reset(request)
        case Kind.UNREADABLE:
            whole = response.text or ""
            return web.Response(text=whole[: len(whole) // 2], content_type="application/json")
        case error:
            return web.Response(status=int(error), text="<html><h1>Error</h1></html>")
    return response  # to a connection that is gone


def _reset(request: web.Request) -> None:
    if request.transport is None:
        return
    peer = request.transport.get_extra_info("socket")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    request.transport.abort()

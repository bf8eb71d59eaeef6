"""Answers that never come, or come late."""

from __future__ import annotations

import asyncio

from aiohttp import web

from cascade.sandbox.clock import Tempo
from cascade.sandbox.outcomes import Outcome


_SILENCE = 30.0  # promised seconds
_RECEIPT_FIRST = 0.6  # seconds: the webhook has been answered long before


async def hold(request: web.Request, outcome: Outcome, tempo: Tempo) -> None:
    """Waits as `outcome` asks; after a silence the connection is gone, so nothing is answered."""
    if outcome is Outcome.SILENT:
        await asyncio.sleep(_SILENCE * tempo.second)
        if request.transport is not None:
            request.transport.abort()
    elif outcome is Outcome.RECEIPT_FIRST:
        await asyncio.sleep(_RECEIPT_FIRST)

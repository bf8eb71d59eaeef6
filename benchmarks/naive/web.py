"""Its webhook: a task for each receipt. `uvicorn benchmarks.naive.web:app`."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.naive.app import receive


async def _receive(request: Request) -> Response:
    told = await request.json()
    await run_in_threadpool(receive.delay, int(told["message_id"], 16))
    return Response()


app = Starlette(
    routes=[Route("/receipts/{account}/{token}", _receive, methods=["POST"])],
)

"""The sandbox as one HTTP server: the accounts of a config file and the judge's own pages."""

from __future__ import annotations

import asyncio
import os
import tomllib

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from string import Template
from typing import Any

from aiohttp import web

from cascade.sandbox.clock import Tempo
from cascade.sandbox.cloud import Cloud, CloudSettings
from cascade.sandbox.courier import Courier
from cascade.sandbox.devino import Devino, DevinoSettings
from cascade.sandbox.invoice import invoice_of
from cascade.sandbox.ledger import Ledger
from cascade.sandbox.notify import Notify, NotifySettings
from cascade.sandbox.outcomes import Channel
from cascade.sandbox.smsc import Smsc, SmscSettings
from cascade.sandbox.weather import FAIR_EVERYWHERE, Forecast
from cascade.sandbox.webhooks import Webhooks


Config = Mapping[str, Mapping[str, Any]]
Provider = Notify | Devino | Cloud | Smsc
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def read_config(path: Path) -> Config:
    """A TOML file with one table per account, in which `${NAME}` is the environment's NAME.

    Raises ValueError for what is no TOML, and for a name that the environment does not have.
    """
    try:
        text = Template(path.read_text("utf-8")).substitute(os.environ)
    except KeyError as missing:
        raise ValueError(f"{path}: {missing.args[0]} is not set in the environment") from None
    return tomllib.loads(text)


class Sandbox:
    """Serves the accounts of `config`; raises ValueError or TypeError if it cannot be read."""

    def __init__(
        self,
        config: Config,
        *,
        ledger: Ledger,
        seed: int,
        tempo: Tempo,
        forecast: Forecast = FAIR_EVERYWHERE,
    ) -> None:
        self._accounts = frozenset(config)
        if unknown := forecast.accounts.keys() - self._accounts:
            raise ValueError(f"weather at {min(unknown)}, which is no account of the config")
        self._ledger = ledger
        self._webhooks = Webhooks(self._ledger, tempo)
        self._courier = Courier(
            self._ledger, self._webhooks, tempo=tempo, seed=seed, forecast=forecast
        )
        self._providers = [
            provider_of(account, table, self._courier) for account, table in config.items()
        ]

    async def start(self, port: int, host: str = "127.0.0.1") -> int:
        """Listens on `host`; the port that it is, if `port` was 0. Raises OSError."""
        self._ledger.open()
        self._webhooks.start()
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=1024)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stops at once: what is pending is dropped, and open calls get no answer."""
        await self._runner.cleanup()
        await self._webhooks.stop()
        self._ledger.close()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._after_the_ledger])
        for provider in self._providers:
            app.add_routes(provider.routes())
        app.add_routes(
            [
                web.get("/health", self.health),
                web.get("/ledger", self.ledger),
                web.get("/invoice", self.invoice),
                web.get("/pending", self.pending),
            ]
        )
        return app

    async def health(self, _: web.Request) -> web.Response:
        """200 while it serves."""
        return web.json_response({"status": "ok"})

    async def ledger(self, _: web.Request) -> web.FileResponse:
        """The ledger up to now, as JSON lines."""
        return web.FileResponse(
            self._ledger.path, headers={"Content-Type": "application/x-ndjson"}
        )

    async def invoice(self, request: web.Request) -> web.Response:
        """What `account` bills, or all accounts do, up to now, as CSV."""
        account = request.query.get("account")
        if account is not None and account not in self._accounts:
            raise web.HTTPNotFound(text=f"no account {account}")
        text = await asyncio.to_thread(invoice_of, self._ledger.path, account)
        return web.Response(text=text, content_type="text/csv")

    async def pending(self, _: web.Request) -> web.Response:
        """How many events are still to come and webhooks to be acknowledged."""
        return web.json_response({"pending": self._courier.scheduled + self._webhooks.pending})

    @web.middleware
    async def _after_the_ledger(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        """Nothing is answered that the ledger could forget."""
        response = await handler(request)
        await self._ledger.kept()
        return response


def provider_of(account: str, table: Mapping[str, Any], courier: Courier) -> Provider:
    """The provider that serves `account`, with the settings of its table."""
    match account:
        case "notify-vk":
            return Notify(account, Channel.VK, NotifySettings(**table), courier)
        case "notify-ok":
            return Notify(account, Channel.OK, NotifySettings(**table), courier)
        case "devino-viber":
            return Devino(account, DevinoSettings(**table), courier)
        case "cloud-whatsapp":
            return Cloud(account, CloudSettings(**table), courier)
        case "smsc":
            return Smsc(account, SmscSettings(**table), courier)
        case _:
            raise ValueError(f"no provider serves the account {account}")

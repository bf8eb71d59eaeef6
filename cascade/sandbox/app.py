"""The sandbox as one HTTP server: the accounts of a config file and the judge's own pages."""

from __future__ import annotations

import os
import tomllib

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from aiohttp import web

from cascade.sandbox.clock import Tempo
from cascade.sandbox.cloud import Cloud, CloudSettings
from cascade.sandbox.courier import Courier
from cascade.sandbox.devino import Devino, DevinoSettings
from cascade.sandbox.ledger import Ledger
from cascade.sandbox.notify import Notify, NotifySettings
from cascade.sandbox.outcomes import Channel
from cascade.sandbox.smsc import Smsc, SmscSettings
from cascade.sandbox.webhooks import Webhooks


Config = Mapping[str, Mapping[str, Any]]
Provider = Notify | Devino | Cloud | Smsc


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

    def __init__(self, config: Config, *, ledger: Path, seed: int, tempo: Tempo) -> None:
        self._ledger = Ledger(ledger)
        self._webhooks = Webhooks(tempo)
        self._courier = Courier(self._ledger, self._webhooks, tempo=tempo, seed=seed)
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
        app = web.Application()
        for provider in self._providers:
            app.add_routes(provider.routes())
        app.add_routes(
            [
                web.get("/health", self.health),
                web.get("/ledger", self.ledger),
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

    async def pending(self, _: web.Request) -> web.Response:
        """How many events are still to come and webhooks to be acknowledged."""
        return web.json_response({"pending": self._courier.scheduled + self._webhooks.pending})


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

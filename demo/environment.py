"""The settings of one run: secrets made anew, addresses on loopback."""

from __future__ import annotations

import base64
import os
import re
import secrets
import socket

from dataclasses import dataclass, field
from pathlib import Path
from string import Template


ROOT = Path(__file__).resolve().parent.parent

_SECRETS = (
    "CASCADE_NOTIFY_VK_CLIENT_SECRET",
    "CASCADE_NOTIFY_VK_WEBHOOK_TOKEN",
    "CASCADE_NOTIFY_OK_CLIENT_SECRET",
    "CASCADE_NOTIFY_OK_WEBHOOK_TOKEN",
    "CASCADE_DEVINO_VIBER_PASSWORD",
    "CASCADE_DEVINO_VIBER_WEBHOOK_TOKEN",
    "CASCADE_CLOUD_WHATSAPP_ACCESS_TOKEN",
    "CASCADE_CLOUD_WHATSAPP_VERIFY_TOKEN",
    "CASCADE_CLOUD_WHATSAPP_APP_SECRETS",
    "CASCADE_SMSC_PASSWORD",
    "CASCADE_SMSC_WEBHOOK_TOKEN",
)
_ACCOUNTS = ("notify-vk", "notify-ok", "devino-viber", "cloud-whatsapp", "smsc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the processes of one stack are told."""

    sandbox_port: int
    gateway_port: int
    flower_port: int
    flower_password: str = field(repr=False)
    values: dict[str, str] = field(repr=False)

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.gateway_port}"

    @property
    def flower_url(self) -> str:
        return f"http://127.0.0.1:{self.flower_port}"

    @property
    def flower_login(self) -> str:
        return f"cascade / {self.flower_password}"

    def sandbox_config(self) -> str:
        """The sandbox's TOML, with this run's secrets."""
        template = Template((ROOT / "demo" / "sandbox.toml").read_text("utf-8"))
        return template.substitute(self.values, GATEWAY=self.gateway_url)


def make(database_url: str, broker_url: str) -> Environment:
    """An environment with fresh secrets and free ports, for servers that run already."""
    sandbox_port, gateway_port, flower_port = free_ports(3)
    password = secrets.token_urlsafe(12)
    values = {name: secrets.token_urlsafe(24) for name in _SECRETS}
    values |= {
        f"CASCADE_{account}_BASE_URL".upper().replace("-", "_"): (
            f"http://127.0.0.1:{sandbox_port}/{account}"
        )
        for account in _ACCOUNTS
    }
    values |= {  # the sandbox has none, and a demo sends many messages to few people
        f"CASCADE_{account}_{limit}".upper().replace("-", "_"): "unlimited"
        for account in _ACCOUNTS
        for limit in ("rate", "per_person")
    }
    values |= {
        "CASCADE_DATABASE_URL": database_url,
        "CASCADE_BROKER_URL": broker_url,
        "CASCADE_SEAL_KEYS": f"demo:{_key()}",
        "CASCADE_HASH_KEY": _key(),
        "CASCADE_CONFIG_DIR": str(ROOT / "config"),
        "CASCADE_GATEWAY_URL": f"http://127.0.0.1:{gateway_port}",
        "CASCADE_CALLBACK_BROKERS": f"shop={_beside(broker_url)}",
        # Of an app that sends: its own broker database, its own tables beside Cascade's.
        "SHOP_BROKER_URL": _beside(broker_url),
        "SHOP_DATABASE_URL": database_url,
        "FLOWER_BASIC_AUTH": f"cascade:{password}",
        "PYTHONUNBUFFERED": "1",
    }
    return Environment(
        sandbox_port=sandbox_port,
        gateway_port=gateway_port,
        flower_port=flower_port,
        flower_password=password,
        values=_inherited() | values,
    )


def _inherited() -> dict[str, str]:
    """The caller's variables, less those that would point the stack elsewhere."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CASCADE_", "CELERY_", "FLOWER_"))
    }


def _beside(broker_url: str) -> str:
    """A place of its own for another app: on Redis the next database of the same server."""
    return re.sub(r"(?<=/)\d+$", lambda number: str(int(number[0]) + 1), broker_url)


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()

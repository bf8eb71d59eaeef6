"""Lets an account at Devino serve OK as well, in whichever process calls it."""

from __future__ import annotations

import secrets

from pathlib import Path

from cascade.channels.devino import Devino
from cascade.domain.state import Channel


CONFIG = Path(__file__).parent / "config"


def serve_ok() -> None:
    """From now on, in this process."""
    Devino.channels = frozenset({Channel.VIBER, Channel.OK})


def settings(sandbox_url: str) -> dict[str, str]:
    """What the environment needs besides; serves OK in this process, too, which reads the config."""
    serve_ok()
    return {
        "CASCADE_CONFIG_DIR": str(CONFIG),
        "CASCADE_DEVINO_OK_BASE_URL": f"{sandbox_url}/devino-ok",
        "CASCADE_DEVINO_OK_PASSWORD": secrets.token_urlsafe(24),
        "CASCADE_DEVINO_OK_WEBHOOK_TOKEN": secrets.token_urlsafe(24),
    }

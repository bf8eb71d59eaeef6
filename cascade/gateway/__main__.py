"""`python -m cascade.gateway --port 8080`: serves until it is stopped."""

from __future__ import annotations

import argparse
import os

import uvicorn

from cascade.channels.registry import load_accounts
from cascade.gateway.app import make_app
from cascade.settings import ServiceSettings, load
from cascade.storage.database import connect


def main() -> None:
    """Reads the environment and serves."""
    parser = argparse.ArgumentParser(prog="python -m cascade.gateway", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    settings = load(ServiceSettings)
    app = make_app(
        adapters=load_accounts(
            settings.config_dir / "providers.toml",
            environ=os.environ,
            gateway_url=settings.gateway_url,
        ),
        keyring=settings.keyring(),
        engine=connect(settings.database_url.get_secret_value()),
        trusted_hops=settings.gateway_trusted_hops,
    )
    # The access log would write the secret path tokens.
    uvicorn.run(
        app, host=arguments.host, port=arguments.port, access_log=False, log_level="warning"
    )


if __name__ == "__main__":
    main()

"""`python -m workers.flower`: Flower on any deployment; needs CASCADE_BROKER_URL, nothing else.

It is always behind a password: FLOWER_BASIC_AUTH (`user:password`), or one that is made and told.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys

from cascade.settings import BrokerSettings, load
from workers.make_app import make_app


def main() -> None:
    """Serves until it is stopped."""
    parser = argparse.ArgumentParser(prog="python -m workers.flower", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5555)
    given = parser.parse_args()
    if not os.environ.get("FLOWER_BASIC_AUTH"):
        password = secrets.token_urlsafe(12)
        os.environ["FLOWER_BASIC_AUTH"] = f"cascade:{password}"
        sys.stdout.write(f"Flower: user cascade, password {password}\n")
    sys.stdout.write(f"Flower: http://{given.host}:{given.port}\n")
    sys.stdout.flush()
    app = make_app(load(BrokerSettings).broker_url.get_secret_value())
    columns = "name,args,result,state,received,runtime,worker,uuid"
    address = [f"--address={given.host}", f"--port={given.port}"]
    app.start(["flower", *address, f"--tasks-columns={columns}"])


if __name__ == "__main__":
    main()

"""A shop on Django: an order's message is sent in Django's own transaction.

    make up                                    # in another terminal
    set -a; . .cascade/up/env; set +a
    .venv/bin/python -m examples.django_shop.manage migrate --run-syncdb
    .venv/bin/python -m examples.django_shop.manage runserver --noreload 8002

and in a third one:

    curl 127.0.0.1:8002/orders --data phone=+79164011111
    curl 127.0.0.1:8002/orders/1/ready --data shelf=A7
    curl 127.0.0.1:8002/orders/1/notification

models.py shows how: `cascade.send(..., session=atomic_session())`.
"""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.django_shop.settings")
    execute_from_command_line(sys.argv)

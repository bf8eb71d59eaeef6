"""What is measured, a file each."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.part import Part
from benchmarks.parts import (
    collect,
    enqueue,
    growth,
    ingest,
    lanes,
    latency,
    limits,
    peers,
    waiting,
    whole,
)


PARTS: Mapping[str, Part] = {
    part.name: part
    for part in [
        *whole.PARTS,
        latency.PART,
        lanes.PART,
        ingest.PART,
        collect.PART,
        enqueue.PART,
        growth.PART,
        waiting.PART,
        limits.PART,
        *peers.PARTS,
    ]
}

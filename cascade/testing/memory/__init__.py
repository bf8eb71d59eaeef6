"""A store in memory that does what PostgreSQL's does: `tests/storage` holds both to the same tests."""

from __future__ import annotations

from cascade.testing.memory.store import Change, MemoryStore


__all__ = ["Change", "MemoryStore"]

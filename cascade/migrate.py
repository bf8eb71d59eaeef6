"""`python -m cascade.migrate`: brings the database of CASCADE_DATABASE_URL to the newest schema."""

from __future__ import annotations

from cascade.settings import DatabaseSettings, load
from cascade.storage.database import connect
from cascade.storage.migrate import upgrade


def main() -> None:
    """Migrates."""
    upgrade(connect(load(DatabaseSettings).database_url.get_secret_value()))


if __name__ == "__main__":
    main()

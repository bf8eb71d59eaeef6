"""The schema's history (Alembic); `upgrade` brings a database to the newest version."""

"""How fast Cascade is, as ratios to an empty Celery task on the same machine: `make bench`."""

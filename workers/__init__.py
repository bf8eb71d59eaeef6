"""Celery processes: thin tasks around the services."""

"""Telling customers: their own Celery tasks over their brokers, and their endpoints over HTTP."""

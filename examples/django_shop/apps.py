"""The app's name, and the client that its process keeps."""

from __future__ import annotations

import functools

from django.apps import AppConfig

from cascade import Cascade


class ShopConfig(AppConfig):
    name = "examples.django_shop"
    label = "shop"
    default_auto_field = "django.db.models.BigAutoField"


@functools.cache
def cascade() -> Cascade:
    """One per process, shared by its threads; made at the first use, after a server's fork."""
    return Cascade.from_env()

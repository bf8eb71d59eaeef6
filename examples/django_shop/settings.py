"""The least that Django needs, and what Cascade asks of its database."""

from __future__ import annotations

import os
import secrets

from sqlalchemy import make_url


_URL = make_url(os.environ["SHOP_DATABASE_URL"])

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",  # on psycopg 3 or psycopg2
        "NAME": _URL.database,  # the one that holds Cascade's schema
        "HOST": _URL.host,
        "PORT": _URL.port,
        "USER": _URL.username,
        "PASSWORD": _URL.password,
        # Django's tables lie in `public`, also where the database's user is named `cascade`: by
        # default PostgreSQL would make them in the schema of that name.
        "OPTIONS": {"options": "-c search_path=public"},
    }
}

INSTALLED_APPS = ["examples.django_shop.apps.ShopConfig"]
ROOT_URLCONF = "examples.django_shop.urls"
ALLOWED_HOSTS = ["127.0.0.1"]
SECRET_KEY = secrets.token_urlsafe(32)
USE_TZ = True

"""A message in Django's own transaction, which nobody but Django may end."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import django
import pytest

from django.conf import settings
from django.db import connection, models, transaction
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from django.test.utils import override_settings
from sqlalchemy import make_url
from sqlalchemy.orm import Session

from cascade import ConfigurationError, InvalidInputError
from cascade.django import atomic_session
from cascade.domain.hint import Hint
from tests.services.journey import Journey


pytestmark = pytest.mark.integration

FACTS = {"a": 1}  # what Django's JSON fields must go on to be read as


@pytest.fixture(scope="module")
def orders(database_url: str) -> Iterator[type[models.Model]]:
    """A model of the shop's, with its table in the database of Cascade."""
    url = make_url(database_url)
    place = {"NAME": url.database, "HOST": url.host, "PORT": url.port}
    login = {"USER": url.username, "PASSWORD": url.password}
    # Without it Django would make its tables in the schema that is named like the user.
    options = {"OPTIONS": {"options": "-c search_path=public"}}
    engine = {"ENGINE": "django.db.backends.postgresql"}
    settings.configure(DATABASES={"default": engine | place | login | options})
    django.setup()

    class Order(models.Model):  # noqa: DJ008  # nobody looks at it
        facts = models.JSONField()
        made_at = models.DateTimeField(auto_now_add=True)  # type: ignore[var-annotated]  # as without the plugin

        class Meta:
            app_label = "shop"

    with connection.schema_editor() as editor:
        editor.create_model(Order)
    yield Order
    with connection.schema_editor() as editor:
        editor.delete_model(Order)
    connection.close()


@dataclass(frozen=True, slots=True)
class Shop:
    """A Django app that sells, and tells."""

    orders: type[models.Model]
    journey: Journey

    def sell(self, **words: Any) -> uuid.UUID:
        """An order and its message, in the transaction that is open."""
        self.orders.objects.create(facts=FACTS)
        return self.tell(**words)

    def tell(self, **words: Any) -> uuid.UUID:
        return self.journey.send(session=atomic_session(), **words)

    def sell_and_fail(self) -> None:
        with transaction.atomic():
            self.sell(key="order-1-ready")
            raise LookupError

    def seen(self) -> tuple[int, int]:
        """Orders and messages that others can see."""
        found = self.journey.row(
            "SELECT (SELECT count(*) FROM shop_order) AS orders,"
            " (SELECT count(*) FROM cascade.messages) AS messages"
        )
        return found.orders, found.messages


@pytest.fixture
def shop(orders: type[models.Model], journey: Journey) -> Iterator[Shop]:
    yield Shop(orders, journey)
    orders.objects.all().delete()


def test_both_become_real_with_djangos_commit_and_the_hint_follows_at_once(
    shop: Shop, journey: Journey, hints: list[Hint]
):
    with transaction.atomic():
        message_id = shop.sell(key="order-1-ready")
        assert (shop.seen(), hints) == ((0, 0), [])

    assert shop.seen() == (1, 1)
    assert [hint.attempt_id for hint in hints] == [journey.attempt(message_id).id]


def test_djangos_rollback_takes_the_message_and_its_key_along(shop: Shop, hints: list[Hint]):
    with pytest.raises(LookupError):
        shop.sell_and_fail()

    assert (shop.seen(), hints) == ((0, 0), [])
    with transaction.atomic():
        shop.sell(key="order-1-ready", text="other words")  # the key is free
    assert shop.seen() == (1, 1)


def test_a_savepoint_of_djangos_takes_only_its_own_message_back(
    shop: Shop, journey: Journey, hints: list[Hint]
):
    with transaction.atomic():
        kept = shop.sell()
        with pytest.raises(LookupError):
            shop.sell_and_fail()
        with transaction.atomic():
            also_kept = shop.sell()

    assert shop.seen() == (2, 2)
    expected = [journey.attempt(one).id for one in (kept, also_kept)]
    assert [hint.attempt_id for hint in hints] == expected


@pytest.mark.parametrize("wrong", [{"to": "12"}, {"policy": "nobody"}])
def test_what_is_refused_leaves_djangos_transaction_usable(
    shop: Shop, hints: list[Hint], wrong: dict[str, str]
):
    with transaction.atomic():
        shop.sell()
        with pytest.raises((InvalidInputError, ConfigurationError)):
            shop.tell(**wrong)
        shop.tell()

    assert shop.seen() == (1, 2)
    assert len(hints) == 2


def test_a_session_that_is_ended_by_hand_does_not_end_djangos_transaction(shop: Shop):
    with pytest.raises(LookupError):
        sell_with_sessions_that_end(shop)
    assert shop.seen() == (0, 0)


@transaction.atomic
def sell_with_sessions_that_end(shop: Shop) -> None:
    for end in (Session.commit, Session.rollback, Session.close):
        session = atomic_session()
        shop.orders.objects.create(facts=FACTS)
        shop.journey.send(session=session)
        end(session)
    assert shop.orders.objects.count() == 3
    raise LookupError


def test_djangos_connection_is_left_as_django_set_it_up(shop: Shop):
    with transaction.atomic():
        shop.sell()
        connection_before = connection.connection
    [facts] = shop.orders.objects.values_list("facts", flat=True)
    assert facts == FACTS  # Django decodes it itself, and would fail on what is decoded
    assert connection.connection is connection_before
    assert connection.get_autocommit()


def test_an_inline_policy_is_kept_with_the_message(shop: Shop, journey: Journey):
    with transaction.atomic():
        message_id = shop.tell(policy=[{"channel": "sms", "ttl": "60s"}])
    assert journey.attempt(message_id).channel == "sms"


def test_a_session_outside_of_a_transaction_is_refused_with_the_cure(shop: Shop):
    with pytest.raises(ConfigurationError, match=r"transaction\.atomic"):
        atomic_session()


def test_an_app_without_time_zones_may_send_as_well(shop: Shop):
    with override_settings(USE_TZ=False):
        connection.close()  # a new one is set up by the new setting
        with transaction.atomic():
            shop.sell()
    connection.close()
    assert shop.seen() == (1, 1)


@pytest.mark.skipif(not is_psycopg3, reason="psycopg 3 is missing: all this ran on psycopg2")
def test_all_of_this_holds_on_psycopg2_as_well(postgres_url: str):
    """Django takes psycopg 3 wherever it is installed, once for each process."""
    without_it = "import sys; sys.modules['psycopg'] = None; import pytest; "
    done = subprocess.run(
        [sys.executable, "-c", f"{without_it} sys.exit(pytest.main(['-n0', {__file__!r}]))"],
        env=os.environ | {"CASCADE_DATABASE_URL": postgres_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout

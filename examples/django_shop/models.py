"""An order that tells its customer when it is ready."""

from __future__ import annotations

from django.db import models, transaction
from typing_extensions import override

from cascade.django import atomic_session
from examples.django_shop.apps import cascade


class Order(models.Model):
    phone = models.CharField(max_length=20)
    is_ready = models.BooleanField(default=False)
    message_id = models.UUIDField(null=True)

    @override
    def __str__(self) -> str:
        return f"order {self.pk}"

    @transaction.atomic
    def make_ready(self) -> None:
        """The order is ready and its customer is told, or neither, whoever rolls back and why.

        The message goes out after the commit of the outermost `atomic`. Raises InvalidInputError
        for a phone that is none, and IdempotencyConflictError for another one than the first time.
        """
        self.is_ready = True
        self.message_id = cascade().send(
            to=self.phone,
            text="Заказ №#order# собран и ждёт вас.",
            variables={"order": str(self.pk)},
            sender="django-shop",  # whose keys these are
            key=f"order-{self.pk}-ready",
            session=atomic_session(),
        )
        self.save()

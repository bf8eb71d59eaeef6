"""Placing an order, making it ready, and asking how its customer was told."""

from __future__ import annotations

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET, require_POST

from cascade import IdempotencyConflictError, InvalidInputError
from examples.django_shop.apps import cascade
from examples.django_shop.models import Order


@require_POST
def place(request: HttpRequest) -> HttpResponse:
    """A new order for the form's `phone`."""
    order = Order.objects.create(phone=request.POST["phone"])
    return JsonResponse({"id": order.pk}, status=201)


@require_POST
def ready(request: HttpRequest, order_id: int) -> HttpResponse:
    """The event that the customer is told of; the form's `shelf` may be full."""
    try:
        with transaction.atomic():
            order = get_object_or_404(Order.objects.select_for_update(), pk=order_id)
            order.make_ready()
            put_on(request.POST["shelf"])
    except InvalidInputError as error:  # its words hold no phone number
        return JsonResponse({"error": f"{error.field}: {error.problem}"}, status=422)
    except IdempotencyConflictError:  # the key belongs to the first request
        return JsonResponse({"error": "it was ready before, for another phone"}, status=409)
    except LookupError as error:
        return JsonResponse({"error": str(error)}, status=409)
    return JsonResponse({"message_id": str(order.message_id)}, status=202)


@require_GET
def notification(_request: HttpRequest, order_id: int) -> HttpResponse:
    """What became of the message; 404 until the order is ready."""
    order = get_object_or_404(Order, pk=order_id, is_ready=True)
    status = cascade().status(order.message_id)
    return JsonResponse({"state": status.state, "channel": status.channel})


def put_on(shelf: str) -> None:
    """What may go wrong after the sending, and takes the message back with everything else."""
    if shelf == "full":
        raise LookupError("there is no room on the shelf")

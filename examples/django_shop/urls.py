"""The pages of the shop."""

from __future__ import annotations

from django.urls import path

from examples.django_shop import views


urlpatterns = [
    path("orders", views.place),
    path("orders/<int:order_id>/ready", views.ready),
    path("orders/<int:order_id>/notification", views.notification),
]

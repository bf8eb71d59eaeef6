"""The demo's campaign: recipients from a CSV, a text with variables, one urgent code among them."""

from __future__ import annotations

import csv

from collections.abc import Iterator
from pathlib import Path

from cascade import Row, Template


TEXT = "#name#, ваш заказ №#order# на #amount# ₽ собран и ждёт вас. Пункт выдачи открыт до 21:00."
TEMPLATES = {
    "whatsapp": Template(
        name="order_ready",
        language="ru",
        parameters={"name": "#name#", "order": "#order#", "amount": "#amount#"},
    )
}

# A one-time code in the urgent lane. Its number is one whose Viber call is never answered: Viber
# delivers, nobody can tell, and the SMS follows in time.
URGENT_TEXT = "Код подтверждения: #code#. Никому его не сообщайте."
URGENT_TO = "+79161200991"


def recipients(path: Path, *, count: int, seed: int) -> Iterator[Row]:
    """`count` rows of the file, from a place that `seed` chooses; round again if they run out."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    first = (seed - 1) * 977
    for number in range(count):
        row = rows[(first + number) % len(rows)]
        order = row["order"] if number < len(rows) else f"{row['order']}-{number // len(rows)}"
        variables = {"name": row["name"], "order": order, "amount": row["amount"]}
        yield Row(to=row["to"], key=f"order-{order}-ready", variables=variables)

"""The people that messages are sent to."""

from __future__ import annotations

from collections.abc import Iterator

from cascade.client import Row


FIRST_NUMBER = 79_160_000_000


def rows(count: int, *, first: int = 0) -> Iterator[Row]:
    """People with numbers in a row: 40 % of them are no users of the first channel."""
    for number in range(first, first + count):
        yield {
            "to": f"+{FIRST_NUMBER + number}",
            "variables": {"name": "Анна", "order": str(100_000 + number)},
        }


TEXT = "#name#, ваш заказ №#order# собран и ждёт вас. Пункт выдачи открыт до 21:00."


def not_users(count: int) -> int:
    """How many of them are no users of the first channel; `count` is a multiple of ten."""
    return count * 4 // 10

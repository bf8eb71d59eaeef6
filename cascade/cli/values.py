"""Kinds of values that commands take."""

from __future__ import annotations

import datetime as dt
import uuid

from collections.abc import Iterable

import click

from typing_extensions import override


class MessageId(click.ParamType[uuid.UUID]):
    """A message's id, with or without dashes."""

    name = "id"

    @override
    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> uuid.UUID:
        try:
            return value if isinstance(value, uuid.UUID) else uuid.UUID(str(value))
        except ValueError:
            self.fail("it is no message's id; `cascade send` prints them", param, ctx)


class Moment(click.ParamType[dt.datetime]):
    """A time in ISO 8601; whether it has a zone is the client's to check."""

    name = "time"

    @override
    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> dt.datetime:
        try:
            return moment(str(value))
        except ValueError:
            self.fail("it is no time such as 2026-12-31T10:00+03:00", param, ctx)


def moment(written: str) -> dt.datetime:
    """The time in ISO 8601; raises ValueError."""
    return dt.datetime.fromisoformat(written)


def pairs(_ctx: click.Context, param: click.Parameter, given: Iterable[str]) -> dict[str, str]:
    """`name=value` options as a dict; the value may hold further `=`."""
    found: dict[str, str] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.BadParameter("write it as name=value", param=param)
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice", param=param)
        found[name] = value
    return found

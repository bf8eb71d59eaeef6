"""A message as its caller asks for it, checked whole at the edge: nothing is written yet."""

from __future__ import annotations

import datetime as dt
import uuid

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from uuid_utils.compat import uuid7

from cascade.domain.errors import InvalidInputError, shown
from cascade.domain.event import OnStatus
from cascade.domain.message import Content, Template, Words
from cascade.domain.phone import normalise
from cascade.domain.policy import PolicyStep
from cascade.domain.state import Lane
from cascade.services.characters import check_characters, check_name
from cascade.services.wording import Wording, wording


YEARS = range(2000, 2100)  # others overflow somewhere on their way


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One message as its caller asks for it; not checked yet."""

    to: str = field(repr=False)
    text: Words = field(repr=False)
    texts: Mapping[str, Words] = field(default_factory=dict, repr=False)  # by channel
    templates: Mapping[str, Template] = field(default_factory=dict, repr=False)  # by channel
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    language: str | None = None
    policy: str | Sequence[PolicyStep] = "default"
    sender: str = "default"
    key: str | None = field(default=None, repr=False)
    send_at: dt.datetime | None = None
    deadline: dt.datetime | None = None
    priority: Lane = Lane.NORMAL
    on_status: OnStatus | None = None
    message_id: uuid.UUID | None = None  # stamped by the producer task's caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A submission that can be written: its own values, and what it shares with those alike."""

    shared: Submission
    to: str = field(repr=False)  # as it was given
    phone: str = field(repr=False)
    content: Content = field(repr=False)
    language: str | None
    key: str | None = field(repr=False)
    send_at: dt.datetime | None
    message_id: uuid.UUID


def lane_of(priority: Lane | str) -> Lane:
    """The lane of that name; raises InvalidInputError."""
    try:
        return Lane(priority)
    except ValueError:
        raise InvalidInputError(
            "priority", f"{shown(priority)} is none", f"use one of {', '.join(Lane)}"
        ) from None


def check(asked: Submission, *, allow_unused: bool = False) -> Checked:
    """Raises InvalidInputError, which names the field, the problem and the cure.

    With `allow_unused` variables need no place: for requests that were accepted elsewhere, where
    an older version may have let them pass.
    """
    return Alike(asked, allow_unused=allow_unused).check(
        to=asked.to,
        key=asked.key,
        variables=asked.variables,
        language=asked.language,
        send_at=asked.send_at,
        message_id=asked.message_id,
    )


class Alike:
    """Checks messages that differ in what `check` is given only: the rest is checked once in each
    language.
    """

    def __init__(self, shared: Submission, *, allow_unused: bool = False) -> None:
        """`shared`: what it says of one message only is not looked at."""
        self._shared = shared
        self._allow_unused = allow_unused
        self._wordings: dict[str | None, Wording] = {}

    def check(
        self,
        *,
        to: str,
        key: str | None,
        variables: Mapping[str, str],
        language: str | None,
        send_at: dt.datetime | None,
        message_id: uuid.UUID | None = None,
    ) -> Checked:
        """Raises InvalidInputError, which names the field, the problem and the cure."""
        words = self._wording(language)
        if key is not None:
            check_name("key", key)
        check_characters("to", to)
        _check_times(send_at, self._shared.deadline)
        return Checked(
            shared=self._shared,
            to=to,
            content=words.with_variables(variables, allow_unused=self._allow_unused),
            phone=normalise(to),
            language=language,
            key=key,
            send_at=send_at,
            message_id=message_id or uuid7(),
        )

    def _wording(self, language: str | None) -> Wording:
        if language is not None:
            check_name("language", language)
        known = self._wordings.get(language)
        if known is None:
            known = self._wordings[language] = _checked(self._shared, language)
        return known


def _checked(shared: Submission, language: str | None) -> Wording:
    """Its words, when all that it says besides is checked, too."""
    _check_told(shared.on_status)
    _check_names(shared)
    _check_policy(shared.policy)
    return wording(shared.text, shared.texts, shared.templates, language)


def _check_told(told: OnStatus | None) -> None:
    """What an annotation says, and nothing holds at run time."""
    if not isinstance(told, OnStatus | None):
        raise InvalidInputError(
            "on_status", "it is no OnStatus", "give cascade.OnStatus(task=…, queue=…)"
        )
    if told is not None:
        _check_one_way(told)


def _check_one_way(told: OnStatus) -> None:
    """Either a task or an endpoint."""
    if told.endpoint is not None and told != OnStatus(endpoint=told.endpoint):
        raise InvalidInputError(
            "on_status",
            "it names a task and an endpoint",
            "give OnStatus(task=…, queue=…) or OnStatus(endpoint=…)",
        )


def _check_names(shared: Submission) -> None:
    names: dict[str, object] = {"sender": shared.sender}
    if isinstance(shared.policy, str):
        names["policy"] = shared.policy
    if shared.on_status is not None:
        told = shared.on_status.plain()
        names |= {f"on_status.{name}": value for name, value in told.items()}
    for name, value in names.items():
        check_name(name, value)


def _check_policy(policy: object) -> None:
    """Its shape; what it says is checked where the channels are known."""
    if isinstance(policy, str):
        return
    steps = policy if isinstance(policy, Sequence) else ()
    if not steps or not all(isinstance(step, Mapping) for step in steps):
        raise InvalidInputError(
            "policy",
            "it is neither a name nor a list of steps",
            'write [{"channel": …, "ttl": …}]',
        )
    for place, step in enumerate(steps, 1):
        for name, value in step.items():
            check_characters(f"policy, step {place}", name)
            if isinstance(value, int):
                raise InvalidInputError(
                    f"policy, step {place}, {name}", "it has no unit", f'write "{value}s"'
                )
            check_characters(f"policy, step {place}, {name}", value)


def _check_times(send_at: dt.datetime | None, deadline: dt.datetime | None) -> None:
    for name, moment in (("send_at", send_at), ("deadline", deadline)):
        if moment is not None and not isinstance(moment, dt.datetime):
            raise InvalidInputError(name, "it is no datetime", "give an aware datetime")
        if moment is not None and moment.utcoffset() is None:
            raise InvalidInputError(name, "it has no time zone", "give an aware datetime")
        if moment is not None and moment.year not in YEARS:
            raise InvalidInputError(
                name, f"the year {moment.year} is beyond all plans", "look for a slip"
            )
    if send_at and deadline and deadline <= send_at:
        raise InvalidInputError(
            "deadline", "it is not after send_at", "give a later one, or send earlier"
        )

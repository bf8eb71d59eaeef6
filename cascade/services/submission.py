"""A message as its caller asks for it, checked whole at the edge: nothing is written yet."""

from __future__ import annotations

import datetime as dt
import re
import uuid

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from uuid_utils.compat import uuid7

from cascade.domain.errors import InvalidInputError, shown
from cascade.domain.event import OnStatus
from cascade.domain.message import (
    TEMPLATED,
    Content,
    Template,
    Words,
    body_for,
    unused,
    words_for,
)
from cascade.domain.phone import normalise
from cascade.domain.policy import PolicyStep
from cascade.domain.state import Channel, Lane


TEXT_MAXIMUM = 1000  # characters: the shortest maximum among the channels
NAME_MAXIMUM = 200  # characters of a sender, a key, a task or a queue
YEARS = range(2000, 2100)  # others overflow somewhere on their way

_SURROGATE = re.compile("[\ud800-\udfff]")


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
    key: str | None = None
    send_at: dt.datetime | None = None
    deadline: dt.datetime | None = None
    priority: Lane = Lane.NORMAL
    on_status: OnStatus | None = None
    message_id: uuid.UUID | None = None  # stamped by the producer task's caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A submission that can be written."""

    asked: Submission
    phone: str = field(repr=False)
    content: Content = field(repr=False)
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
    _check_kinds(asked)
    _check_characters("to", asked.to)
    _check_names(asked)
    _check_policy(asked.policy)
    _check_times(asked)
    content = _content(asked)
    _check_content(content)
    if not allow_unused:
        _check_unused(content)
    return Checked(
        asked=asked,
        phone=normalise(asked.to),
        content=content,
        message_id=asked.message_id or uuid7(),
    )


def _check_kinds(asked: Submission) -> None:
    """What an annotation says, and nothing holds at run time."""
    for name in ("variables", "texts", "templates"):
        if not isinstance(getattr(asked, name), Mapping):
            raise InvalidInputError(name, "it is no mapping", "give a dict")
    if not isinstance(asked.on_status, OnStatus | None):
        raise InvalidInputError(
            "on_status", "it is no OnStatus", "give cascade.OnStatus(task=…, queue=…)"
        )
    if asked.on_status is not None:
        _check_one_way(asked.on_status)


def _check_one_way(told: OnStatus) -> None:
    """Either a task or an endpoint."""
    if told.endpoint is not None and told != OnStatus(endpoint=told.endpoint):
        raise InvalidInputError(
            "on_status",
            "it names a task and an endpoint",
            "give OnStatus(task=…, queue=…) or OnStatus(endpoint=…)",
        )


def _check_names(asked: Submission) -> None:
    names: dict[str, object] = {"sender": asked.sender}
    if isinstance(asked.policy, str):
        names["policy"] = asked.policy
    if asked.key is not None:
        names["key"] = asked.key
    if asked.language is not None:
        names["language"] = asked.language
    if asked.on_status is not None:
        told = asked.on_status.plain()
        names |= {f"on_status.{name}": value for name, value in told.items()}
    for name, value in names.items():
        if not 0 < len(_checked_characters(name, value)) <= NAME_MAXIMUM:
            raise InvalidInputError(
                name, "it is empty or too long", f"give 1 to {NAME_MAXIMUM} characters"
            )


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
            _check_characters(f"policy, step {place}", name)
            if isinstance(value, int):
                raise InvalidInputError(
                    f"policy, step {place}, {name}", "it has no unit", f'write "{value}s"'
                )
            _check_characters(f"policy, step {place}, {name}", value)


def _check_times(asked: Submission) -> None:
    for name, moment in (("send_at", asked.send_at), ("deadline", asked.deadline)):
        if moment is not None and not isinstance(moment, dt.datetime):
            raise InvalidInputError(name, "it is no datetime", "give an aware datetime")
        if moment is not None and moment.utcoffset() is None:
            raise InvalidInputError(name, "it has no time zone", "give an aware datetime")
        if moment is not None and moment.year not in YEARS:
            raise InvalidInputError(
                name, f"the year {moment.year} is beyond all plans", "look for a slip"
            )
    if asked.send_at and asked.deadline and asked.deadline <= asked.send_at:
        raise InvalidInputError(
            "deadline", "it is not after send_at", "give a later one, or send earlier"
        )


def _content(asked: Submission) -> Content:
    """The content in the message's language."""
    _check_channels("texts", asked.texts, tuple(Channel))
    _check_channels("templates", asked.templates, sorted(TEMPLATED))
    return Content(
        text=_in_language("text", asked.text, asked.language),
        texts={
            channel: _in_language(f"texts[{channel!r}]", words, asked.language)
            for channel, words in asked.texts.items()
        },
        variables=asked.variables,
        templates={
            channel: _template(f"templates[{channel!r}]", template, asked.language)
            for channel, template in asked.templates.items()
        },
    )


def _check_channels(name: str, by_channel: Mapping[str, object], known: Sequence[Channel]) -> None:
    for channel in by_channel:
        if channel not in tuple(Channel):
            problem = "there is no such channel"
        elif channel not in known:
            problem = "its provider has no templates"
        else:
            continue
        raise InvalidInputError(f"{name}[{shown(channel)}]", problem, f"use {', '.join(known)}")


def _in_language(name: str, words: Words, language: str | None) -> str:
    if not isinstance(words, Mapping):
        return words
    for one, text in words.items():
        _check_characters(f"{name}, language", one)
        _check_characters(name, text)
    if language is not None and language in words:
        return words[language]
    languages = ", ".join(sorted(map(str, words))) or "a text instead"
    if language is None:
        raise InvalidInputError(
            "language", f"{name} is given by language", f"name one of {languages}"
        )
    raise InvalidInputError("language", f"{name} has no {shown(language)}", f"use {languages}")


def _template(name: str, template: Template, language: str | None) -> Template:
    if not isinstance(template, Template):
        raise InvalidInputError(name, "it is no Template", "give a cascade.Template")
    known = template.language if template.language is not None else language
    if known is None:
        raise InvalidInputError(
            f"{name}.language", "it has none", "give it one, or the message a language"
        )
    return replace(template, language=known)


def _check_content(content: Content) -> None:
    words = {"text": content.text} | {f"texts[{c!r}]": text for c, text in content.texts.items()}
    for name, text in words.items():
        if not _checked_characters(name, text).strip():
            raise InvalidInputError(name, "it is empty", "give the words to send")
    for name, value in content.variables.items():
        _check_characters(f"variables[{name!r}]", name)
        _check_characters(f"variables[{shown(name)}]", value)
    for channel, template in content.templates.items():
        _check_template(f"templates[{channel!r}]", template)
    _check_variables(content)
    _check_length("text", words_for(content, ""))
    for channel in content.texts:
        _check_length(f"texts[{channel!r}]", words_for(content, channel))


def _check_variables(content: Content) -> None:
    for channel in ("", *content.texts, *content.templates):
        try:
            body_for(content, channel)
        except KeyError as missing:
            raise InvalidInputError(
                f"variables[{shown(missing.args[0])}]", "it has no value", "give it one"
            ) from None


def _check_unused(content: Content) -> None:
    for name in unused(content):
        raise InvalidInputError(
            f"variables[{shown(name)}]",
            "no text has a place for it",
            "remove it, or write its name between two # signs",
        )


def _check_template(name: str, template: Template) -> None:
    _check_characters(f"{name}.name", template.name)
    _check_characters(f"{name}.language", template.language)
    for parameter, value in template.parameters.items():
        _check_characters(f"{name}.parameters[{parameter!r}]", parameter)
        _check_characters(f"{name}.parameters[{parameter!r}]", value)


def _check_length(name: str, filled: str) -> None:
    if len(filled) > TEXT_MAXIMUM:
        raise InvalidInputError(
            name,
            f"it has {len(filled)} characters once its places are filled",
            f"shorten it to {TEXT_MAXIMUM}",
        )


def _check_characters(name: str, value: object) -> None:
    _checked_characters(name, value)


def _checked_characters(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInputError(name, "it is no text", "give a str")
    if "\x00" in value:
        raise InvalidInputError(name, "it holds a NUL character", "remove it")
    if _SURROGATE.search(value):
        raise InvalidInputError(
            name, "it holds half a surrogate pair", "decode it properly before sending"
        )
    return value

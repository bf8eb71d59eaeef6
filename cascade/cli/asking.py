"""The options by which `send` and `send-csv` say what goes to whom."""

from __future__ import annotations

import datetime as dt
import functools

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from cascade.cli.values import Moment, pairs
from cascade.domain.message import PLACE, Template, Words
from cascade.domain.state import Lane


_OPTIONS = (
    click.option("--text", help="The words for all channels; #name# is a place for a variable."),
    click.option(
        "--text-in",
        multiple=True,
        callback=pairs,
        metavar="LANGUAGE=TEXT",
        help="The words in one language, instead of --text.",
    ),
    click.option(
        "--text-for",
        multiple=True,
        callback=pairs,
        metavar="CHANNEL=TEXT",
        help="Other words for one channel.",
    ),
    click.option(
        "--template",
        multiple=True,
        callback=pairs,
        metavar="CHANNEL=NAME[:LANGUAGE]",
        help="A template registered at the channel's provider.",
    ),
    click.option(
        "--parameter",
        multiple=True,
        callback=pairs,
        metavar="CHANNEL.NAME=VALUE",
        help="A parameter of that template; #name# is a place here, too.",
    ),
    click.option("--policy", default="default", show_default=True, help="Which cascade."),
    click.option("--sender", default="default", show_default=True, help="Whose message it is."),
    click.option("--deadline", type=Moment(), help="After this time nothing more is sent."),
    click.option(
        "--priority",
        type=click.Choice([lane.value for lane in Lane]),
        default=Lane.NORMAL.value,
        show_default=True,
        help="Which lane.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be said, and how, in the words of the client."""

    text: Words = field(repr=False)
    texts: Mapping[str, str] = field(repr=False)
    templates: Mapping[str, Template] = field(repr=False)
    policy: str
    sender: str
    deadline: dt.datetime | None
    priority: str

    def arguments(self) -> dict[str, Any]:
        """For `Cascade.send` and `send_many`."""
        return {
            "text": self.text,
            "texts": self.texts,
            "templates": self.templates,
            "policy": self.policy,
            "sender": self.sender,
            "deadline": self.deadline,
            "priority": self.priority,
        }

    def places(self, language: str | None) -> frozenset[str]:
        """The variables that a message in `language` needs."""
        text = self.text.get(language or "", "") if isinstance(self.text, Mapping) else self.text
        parameters = (one for t in self.templates.values() for one in t.parameters.values())
        words = (text, *self.texts.values(), *parameters)
        return frozenset(name for one in words for name in PLACE.findall(one))

    @property
    def languages(self) -> Sequence[str | None]:
        """Those that the words are given in; one None where they are for all."""
        return list(self.text) if isinstance(self.text, Mapping) else [None]


def asking(command: Callable[..., object]) -> Callable[..., object]:
    """Adds the options to a command, which is given them as one `Asked`."""

    @functools.wraps(command)
    def with_options(*args: Any, **options: Any) -> object:
        common = {name: options.pop(name) for name in ("policy", "sender", "deadline", "priority")}
        text, by_language = options.pop("text"), options.pop("text_in")
        texts = options.pop("text_for")
        templates = _templates(options.pop("template"), options.pop("parameter"))
        asked = Asked(text=_text(text, by_language), texts=texts, templates=templates, **common)
        return command(*args, asked, **options)

    for option in reversed(_OPTIONS):
        option(with_options)
    return with_options


def _text(text: str | None, by_language: Mapping[str, str]) -> Words:
    if (text is None) == (not by_language):
        raise click.UsageError("give the words: either --text, or --text-in for each language")
    return by_language if text is None else text


def _templates(names: Mapping[str, str], parameters: Mapping[str, str]) -> dict[str, Template]:
    values: dict[str, dict[str, str]] = {channel: {} for channel in names}
    for place, value in parameters.items():
        channel, _, name = place.partition(".")
        if channel not in values or not name:
            raise click.UsageError(
                "--parameter CHANNEL.NAME=VALUE needs a --template of its channel"
            )
        values[channel][name] = value
    return {channel: _template(name, values[channel]) for channel, name in names.items()}


def _template(written: str, parameters: Mapping[str, str]) -> Template:
    name, _, language = written.partition(":")
    return Template(name, language or None, parameters)

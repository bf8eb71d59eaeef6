"""A message's content, and the body that each channel is given."""

from __future__ import annotations

import re

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from cascade.domain.state import Channel


TEMPLATED = frozenset({Channel.VK, Channel.OK, Channel.WHATSAPP})  # their providers have templates

PLACE = re.compile(r"#([A-Za-z_][A-Za-z0-9_]*)#")

Words = str | Mapping[str, str]
"""A text, or texts by language, such as `{"ru": "…", "en": "…"}`."""


@dataclass(frozen=True, slots=True)
class Text:
    """The message's own words, with every place filled."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Template:
    """A template registered at a provider: its name, its language (None: the message's), and its
    parameters, in order.
    """

    name: str
    language: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)


Body = Text | Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What to say, in one language: words with `#name#` places for all channels, other words for
    some, and provider templates for those that demand one.
    """

    text: str = field(repr=False)
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)  # by channel
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    templates: Mapping[str, Template] = field(default_factory=dict, repr=False)  # by channel

    def places(self) -> list[str]:
        """The names of all places in texts and templates' parameters, each once, in order."""
        found = (PLACE.findall(words) for words in self._all_words())
        return list(dict.fromkeys(name for names in found for name in names))

    def _all_words(self) -> Iterator[str]:
        yield self.text
        yield from self.texts.values()
        for template in self.templates.values():
            yield from template.parameters.values()


def fill(text: str, variables: Mapping[str, str]) -> str:
    """`text` with each `#name#` replaced; raises KeyError with the name that has no value."""
    if "#" not in text:  # as most texts are
        return text
    return PLACE.sub(lambda place: variables[place[1]], text)


@dataclass(frozen=True, slots=True)
class Length:
    """How long a text is once its places are filled: known without filling them."""

    bare: int  # characters without the places
    places: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Length:
        """That of `text`."""
        return cls(len(PLACE.sub("", text)), tuple(PLACE.findall(text)))

    def filled(self, variables: Mapping[str, str]) -> int:
        """In characters; raises KeyError with the name that has no value."""
        return self.bare + sum(len(variables[name]) for name in self.places)


def words_for(content: Content, channel: str) -> str:
    """The text for `channel`, filled; raises KeyError with the name that has no value."""
    return fill(content.texts.get(channel, content.text), content.variables)


def body_for(content: Content, channel: str) -> Body:
    """What `channel` is given: its provider template if there is one, else its text, else the
    text for all. Raises KeyError with the name of a variable that has no value.
    """
    template = content.templates.get(channel)
    if template is None:
        return Text(words_for(content, channel))
    parameters = {
        name: fill(value, content.variables) for name, value in template.parameters.items()
    }
    return replace(template, parameters=parameters)

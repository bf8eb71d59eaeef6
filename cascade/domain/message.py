"""A message's content, and the body that each channel is given."""

from __future__ import annotations

import re

from collections.abc import Mapping
from dataclasses import dataclass, field


PLACE = re.compile(r"#([A-Za-z_][A-Za-z0-9_]*)#")


@dataclass(frozen=True, slots=True)
class Text:
    """The message's own words, with every place filled."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Template:
    """A template registered at a provider: its name and its parameters, in order."""

    name: str
    language: str
    parameters: Mapping[str, str] = field(repr=False)


Body = Text | Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What to say: words with `#name#` places, and templates for channels that demand one."""

    text: str = field(repr=False)
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    templates: Mapping[str, Template] = field(default_factory=dict, repr=False)  # by channel

    def words(self) -> str:
        """The text with every place filled; raises KeyError with the name that has no value."""
        return fill(self.text, self.variables)


def fill(text: str, variables: Mapping[str, str]) -> str:
    """`text` with each `#name#` replaced; raises KeyError with the name that has no value."""
    return PLACE.sub(lambda place: variables[place[1]], text)


def body_for(content: Content, channel: str) -> Body:
    """What `channel` is given: its provider template if there is one, else the text."""
    template = content.templates.get(channel)
    if template is None:
        return Text(content.words())
    return Template(
        name=template.name,
        language=template.language,
        parameters={
            name: fill(value, content.variables) for name, value in template.parameters.items()
        },
    )

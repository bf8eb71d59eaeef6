"""What messages that are alike say, checked whole: their variables are still to come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from cascade.domain.errors import InvalidInputError, shown
from cascade.domain.message import TEMPLATED, Content, Length, Template, Words
from cascade.domain.state import Channel
from cascade.services.characters import check_characters, checked_characters, is_proper


TEXT_MAXIMUM = 1000  # characters: the shortest maximum among the channels


@dataclass(frozen=True, slots=True)
class Wording:
    """The words in one language."""

    content: Content  # without variables
    places: Mapping[str, None] = field(repr=False)  # the names that need a value, in order
    lengths: Sequence[tuple[str, Length]] = field(repr=False)  # of the texts, by field

    def with_variables(self, variables: Mapping[str, str], *, allow_unused: bool) -> Content:
        """The words of one message; raises InvalidInputError for variables that do not fit.

        With `allow_unused` they need no place.
        """
        check_mapping("variables", variables)
        fit = variables.keys() == self.places.keys()  # and then their names are proper
        for name, value in variables.items():
            if not (is_proper(value) and (fit or is_proper(name))):
                check_characters(f"variables[{name!r}]", name)
                check_characters(f"variables[{shown(name)}]", value)
        if not fit:
            _check_missing(variables, self.places)
        for name, length in self.lengths:
            _check_length(name, length.filled(variables))
        if not fit and not allow_unused:
            _check_unused(variables, self.places)
        return Content(
            text=self.content.text,
            texts=self.content.texts,
            variables=variables,
            templates=self.content.templates,
        )


def wording(
    text: Words,
    texts: Mapping[str, Words],
    templates: Mapping[str, Template],
    language: str | None,
) -> Wording:
    """The words in that language; raises InvalidInputError."""
    check_mapping("texts", texts)
    check_mapping("templates", templates)
    content = _content(text, texts, templates, language)
    words = {"text": content.text} | {f"texts[{c!r}]": text for c, text in content.texts.items()}
    for name, one in words.items():
        if not checked_characters(name, one).strip():
            raise InvalidInputError(name, "it is empty", "give the words to send")
    for channel, template in content.templates.items():
        _check_template(f"templates[{channel!r}]", template)
    return Wording(
        content=content,
        places=dict.fromkeys(content.places()),
        lengths=[(name, Length.of(one)) for name, one in words.items()],
    )


def check_mapping(name: str, value: object) -> None:
    """Raises InvalidInputError for anything else."""
    if not isinstance(value, Mapping):
        raise InvalidInputError(name, "it is no mapping", "give a dict")


def _content(
    text: Words,
    texts: Mapping[str, Words],
    templates: Mapping[str, Template],
    language: str | None,
) -> Content:
    _check_channels("texts", texts, tuple(Channel))
    _check_channels("templates", templates, sorted(TEMPLATED))
    return Content(
        text=_in_language("text", text, language),
        texts={
            channel: _in_language(f"texts[{channel!r}]", words, language)
            for channel, words in texts.items()
        },
        templates={
            channel: _template(f"templates[{channel!r}]", template, language)
            for channel, template in templates.items()
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
        check_characters(f"{name}, language", one)
        check_characters(name, text)
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


def _check_missing(variables: Mapping[str, str], places: Mapping[str, None]) -> None:
    for name in places:
        if name not in variables:
            raise InvalidInputError(f"variables[{shown(name)}]", "it has no value", "give it one")


def _check_unused(variables: Mapping[str, str], places: Mapping[str, None]) -> None:
    for name in sorted(variables.keys() - places):
        raise InvalidInputError(
            f"variables[{shown(name)}]",
            "no text has a place for it",
            "remove it, or write its name between two # signs",
        )


def _check_template(name: str, template: Template) -> None:
    check_characters(f"{name}.name", template.name)
    check_characters(f"{name}.language", template.language)
    for parameter, value in template.parameters.items():
        check_characters(f"{name}.parameters[{parameter!r}]", parameter)
        check_characters(f"{name}.parameters[{parameter!r}]", value)


def _check_length(name: str, filled: int) -> None:
    if filled > TEXT_MAXIMUM:
        raise InvalidInputError(
            name,
            f"it has {filled} characters once its places are filled",
            f"shorten it to {TEXT_MAXIMUM}",
        )

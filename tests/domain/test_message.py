from __future__ import annotations

import pytest

from hypothesis import given, settings, strategies as st

from cascade.domain.message import Content, Length, Template, Text, body_for, fill, words_for
from cascade.domain.state import Channel


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)


def a_template(**parameters: str) -> Template:
    return Template(name="order_ready", language="ru", parameters=parameters)


def test_each_place_is_filled_with_its_value() -> None:
    content = Content(text="#name#, код #code#. #name#!", variables={"name": "Аня", "code": "42"})
    assert words_for(content, "sms") == "Аня, код 42. Аня!"


def test_a_place_without_a_value_is_named() -> None:
    with pytest.raises(KeyError, match="'code'"):
        words_for(Content(text="#name# #code#", variables={"name": "Аня"}), "sms")


def test_every_place_of_texts_and_templates_is_named_once_in_order() -> None:
    content = Content(
        text="#c# #a#",
        texts={"sms": "#b# #a#"},
        templates={"whatsapp": a_template(first="#d#")},
    )
    assert content.places() == ["c", "a", "b", "d"]


def test_a_channel_with_words_of_its_own_is_given_those() -> None:
    content = Content(text="всем, #a#", texts={"sms": "коротко #a#"}, variables={"a": "1"})
    assert body_for(content, Channel.SMS) == Text("коротко 1")
    assert body_for(content, Channel.VK) == Text("всем, 1")


def test_a_template_goes_before_words_of_the_channels_own() -> None:
    content = Content(text="a", texts={"whatsapp": "b"}, templates={"whatsapp": a_template()})
    assert body_for(content, Channel.WHATSAPP) == a_template()


@pytest.mark.parametrize("text", ["№ 5 # 6", "##", "#1#", "#first name#", "#имя#", "C# and F#"])
def test_what_only_looks_like_a_place_stays(text: str) -> None:
    assert fill(text, {}) == text


def test_places_may_touch() -> None:
    assert fill("#a##b#", {"a": "1", "b": "2"}) == "12"


@settings(deadline=None)
@given(st.dictionaries(names, st.text(max_size=8), min_size=1, max_size=4))
def test_values_go_in_as_they_are_even_if_they_look_like_places(values: dict[str, str]) -> None:
    text = "|".join(f"#{name}#" for name in values)
    assert fill(text, values) == "|".join(values.values())
    assert fill("#inner#", {"inner": "#secret#", "secret": "x"}) == "#secret#"


def test_a_channel_without_a_template_is_given_the_words() -> None:
    content = Content(text="#a#", variables={"a": "b"}, templates={"whatsapp": a_template()})
    assert body_for(content, Channel.SMS) == Text("b")


def test_a_channel_with_a_template_is_given_its_parameters_filled_in_their_order() -> None:
    content = Content(
        text="irrelevant",
        variables={"code": "42", "name": "Аня"},
        templates={"whatsapp": a_template(second="#name#", first="№ #code#")},
    )
    body = body_for(content, Channel.WHATSAPP)
    assert isinstance(body, Template)
    assert (body.name, body.language) == ("order_ready", "ru")
    assert list(body.parameters.items()) == [("second", "Аня"), ("first", "№ 42")]


def test_a_templates_place_without_a_value_is_named() -> None:
    content = Content(text="", templates={"whatsapp": a_template(first="#code#")})
    with pytest.raises(KeyError, match="'code'"):
        body_for(content, Channel.WHATSAPP)


def test_no_repr_shows_what_is_said() -> None:
    secret = "s3cret words"
    template = a_template(first=secret)
    content = Content(text=secret, variables={"a": secret}, templates={"whatsapp": template})
    for value in (content, template, Text(secret), body_for(content, "sms")):
        assert secret not in repr(value)


@settings(deadline=None)
@given(st.lists(names | st.text(max_size=8)), st.text(max_size=8))
def test_a_texts_length_is_known_without_filling_it(parts: list[str], value: str) -> None:
    text = "#".join(parts)
    length = Length.of(text)
    variables = dict.fromkeys(length.places, value)

    assert length.filled(variables) == len(fill(text, variables))

from __future__ import annotations

import hashlib

import pytest

from cascade.gateway.token import is_addressed


OLD, NEW = "canary-token-old-canary", "canary-token-new-canary"
DIGESTS = frozenset(hashlib.sha256(one.encode()).digest() for one in (OLD, NEW))


@pytest.mark.parametrize("token", [OLD, NEW])
def test_every_active_token_opens_the_path(token: str) -> None:
    assert is_addressed(DIGESTS, token)


@pytest.mark.parametrize("token", [None, "", OLD[:-1], OLD.upper(), "é", DIGESTS.__repr__()])
def test_nothing_else_opens_a_path_with_a_token(token: str | None) -> None:
    assert not is_addressed(DIGESTS, token)


def test_a_token_that_was_taken_away_opens_nothing() -> None:
    assert not is_addressed([hashlib.sha256(NEW.encode()).digest()], OLD)


def test_a_provider_that_signs_has_a_path_without_a_token() -> None:
    assert is_addressed([], None)
    assert not is_addressed([], OLD)
    assert not is_addressed([], "")

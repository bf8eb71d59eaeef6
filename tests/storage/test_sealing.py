from __future__ import annotations

import hmac

import pytest

from cascade.storage.sealing import Keyring, UnknownKeyError, UnsealableError


CONTEXT = "recipient:1"
PHONE = b"+79161234567"


def test_what_is_sealed_opens_again_under_the_same_context(keyring: Keyring):
    assert keyring.open(keyring.seal(PHONE, CONTEXT), CONTEXT) == PHONE


def test_a_sealed_value_shows_nothing_and_is_never_the_same_twice(keyring: Keyring):
    first, second = keyring.seal(PHONE, CONTEXT), keyring.seal(PHONE, CONTEXT)

    assert PHONE not in first
    assert first != second


def test_a_wrong_key_opens_nothing(keyring: Keyring):
    stranger = Keyring({"new": b"x" * 32}, b"h" * 32)

    with pytest.raises(UnsealableError, match="altered"):
        stranger.open(keyring.seal(PHONE, CONTEXT), CONTEXT)


def test_an_unknown_key_id_is_named_as_the_trouble(keyring: Keyring):
    stranger = Keyring({"other": b"n" * 32}, b"h" * 32)

    with pytest.raises(
        UnsealableError, match=r"^sealed by a key that is not in CASCADE_SEAL_KEYS$"
    ):
        stranger.open(keyring.seal(PHONE, CONTEXT), CONTEXT)


def test_a_value_moved_to_another_row_does_not_open(keyring: Keyring):
    with pytest.raises(UnsealableError, match=r"^altered, or not sealed as recipient$"):
        keyring.open(keyring.seal(PHONE, "recipient:2"), CONTEXT)


def test_the_refusal_tells_of_the_context_no_more_than_its_kind(keyring: Keyring):
    with pytest.raises(UnsealableError, match=r"^altered, or not sealed as recipient$"):
        keyring.open(keyring.seal(PHONE, CONTEXT), "recipient:7: 9161234567")


def test_every_altered_byte_is_noticed(keyring: Keyring):
    sealed = keyring.seal(PHONE, CONTEXT)

    for place in range(len(sealed)):
        altered = bytearray(sealed)
        altered[place] ^= 1
        with pytest.raises(UnsealableError):
            keyring.open(bytes(altered), CONTEXT)


def test_a_value_that_names_a_key_by_bytes_that_are_no_text_is_of_an_unknown_key(keyring: Keyring):
    with pytest.raises(UnknownKeyError):
        keyring.open(b"\x03\xff\xfe\xfd" + 28 * b"x", CONTEXT)


@pytest.mark.parametrize("length", [0, 1, 4, 10, 17])
def test_a_value_cut_short_is_unsealable_like_any_other(keyring: Keyring, length: int):
    with pytest.raises(UnsealableError):
        keyring.open(keyring.seal(PHONE, CONTEXT)[:length], CONTEXT)


def test_after_a_rotation_the_new_key_seals_and_the_old_one_still_opens(keyring: Keyring):
    before = Keyring({"old": b"o" * 32}, b"h" * 32)
    old = before.seal(PHONE, CONTEXT)

    assert keyring.open(old, CONTEXT) == PHONE
    with pytest.raises(UnsealableError):
        before.open(keyring.seal(PHONE, CONTEXT), CONTEXT)


def test_the_hash_survives_a_rotation_and_depends_on_its_own_key(keyring: Keyring):
    before = Keyring({"old": b"o" * 32}, b"h" * 32)
    stranger = Keyring({"old": b"o" * 32}, b"i" * 32)

    assert keyring.hash(PHONE) == before.hash(PHONE)
    assert keyring.hash(PHONE) != stranger.hash(PHONE)


def test_the_hash_of_each_value_is_its_own(keyring: Keyring):
    assert keyring.hash(PHONE) != keyring.hash(PHONE[:-1])
    assert keyring.hash(PHONE) == hmac.digest(b"h" * 32, PHONE, "sha256")

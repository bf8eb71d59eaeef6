from __future__ import annotations

import contextlib
import tomllib

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hypothesis import given, settings, strategies as st

from cascade.domain.errors import ConfigurationError, InvalidInputError
from cascade.domain.policy import (
    ChannelFacts,
    Policy,
    duration,
    inline_policy,
    notes,
    read_policies,
    seconds,
)
from cascade.domain.state import Channel, Success
from cascade.services.sync import load_policies
from tests.domain.building import a_document, channel_facts


CONFIG = Path(__file__).parents[2] / "config"
CHANNELS = {
    Channel.VK: channel_facts(ttl_minimum=15, ttl_maximum=86_400),
    Channel.SMS: channel_facts(ttl_minimum=0, ttl_maximum=86_400, read_receipts=False),
}


def read(
    document: Mapping[str, Any], channels: Mapping[Channel, ChannelFacts] = CHANNELS
) -> list[Policy]:
    return read_policies("policies.toml", document, channels)


def refusal(*steps: object) -> ConfigurationError:
    """Why a policy of these steps is refused; it always names the file, the policy and a cure."""
    with pytest.raises(ConfigurationError) as caught:
        read(a_document(*steps, name="careless"))
    assert caught.value.field.startswith("policies.toml: policy 'careless'")
    assert caught.value.cure
    return caught.value


class TestDurations:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [("1s", 1), ("15s", 15), ("10m", 600), ("1h", 3600), ("7d", 604_800), ("090s", 90)],
    )
    def test_a_number_and_a_unit_are_seconds(self, text: str, expected: int) -> None:
        assert seconds(text) == expected

    @pytest.mark.parametrize(
        "text",
        ["", "15", "s", "15 s", " 15s", "15s ", "15s\n", "-15s", "1.5h", "15S", "1w", "1h30m"],
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="not a duration"):
            seconds(text)

    @pytest.mark.parametrize("value", [15, 15.0, None, True, ["15s"]])
    def test_a_value_that_is_no_text_is_refused(self, value: object) -> None:
        with pytest.raises(ValueError, match="not a duration"):
            seconds(value)

    @pytest.mark.parametrize("text", ["31d", "2592001s", "9999999d", f"{10**12}s"])
    def test_more_than_thirty_days_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"longer than 30d|not a duration"):
            seconds(text)

    @pytest.mark.parametrize("text", ["0s", "0m", "00d"])
    def test_no_time_at_all_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="not a duration"):
            seconds(text)

    @settings(deadline=None)
    @given(st.one_of(st.text(max_size=5), st.integers(), st.none(), st.floats()))
    def test_no_value_gives_anything_but_whole_seconds_or_a_value_error(
        self, value: object
    ) -> None:
        with contextlib.suppress(ValueError):
            assert seconds(value) >= 1


class TestShownDurations:
    @pytest.mark.parametrize("text", ["1s", "90s", "1m", "59m", "1h", "25h", "1d", "30d"])
    def test_a_duration_is_shown_as_it_is_best_written(self, text: str) -> None:
        assert duration(seconds(text)) == text

    def test_nothing_is_shown_as_no_seconds(self) -> None:
        assert duration(0) == "0s"


class TestReading:
    def test_the_order_of_the_steps_is_the_order_of_the_file(self) -> None:
        (policy,) = read(
            a_document({"channel": "sms", "ttl": "1m"}, {"channel": "vk", "ttl": "1h"})
        )
        assert policy.name == "default"
        assert [step.channel for step in policy.steps] == [Channel.SMS, Channel.VK]
        assert [step.ttl for step in policy.steps] == [60, 3600]

    def test_a_step_knows_the_account_that_serves_it_and_its_minimum(self) -> None:
        (policy,) = read(a_document({"channel": "vk", "ttl": "15s"}))
        assert (policy.steps[0].account, policy.steps[0].ttl_minimum) == ("an-account", 15)

    def test_a_step_asks_for_delivery_and_waits_without_bounds_unless_it_says_more(self) -> None:
        (policy,) = read(a_document({"channel": "vk", "ttl": "15s"}))
        assert policy.steps[0].success is Success.DELIVERED
        assert policy.steps[0].max_wait is None

    def test_a_step_may_ask_to_be_read_and_bound_its_waiting(self) -> None:
        row = {"channel": "vk", "ttl": "15s", "success": "read", "max_wait": "20s"}
        (policy,) = read(a_document(row))
        assert policy.steps[0].success is Success.READ
        assert policy.steps[0].max_wait == 20

    @pytest.mark.parametrize("ttl", ["15s", "86400s"])
    def test_the_providers_shortest_and_longest_ttl_are_taken(self, ttl: str) -> None:
        read(a_document({"channel": "vk", "ttl": ttl}))

    def test_a_file_may_hold_many_policies_or_none(self) -> None:
        rows = [{"channel": "vk", "ttl": "15s"}]
        document = {"policies": {"one": {"steps": rows}, "two": {"steps": rows}}}
        assert [policy.name for policy in read(document)] == ["one", "two"]
        assert read({}) == []


class TestRefusals:
    def test_the_text_names_file_policy_step_field_problem_and_cure(self) -> None:
        good = {"channel": "sms", "ttl": "1m"}
        error = refusal(good, {"channel": "vk", "ttl": "14s"})
        assert str(error) == (
            "policies.toml: policy 'careless', step 2, ttl:"
            " 14s is below what vk by an-account takes; give at least 15s"
        )

    def test_a_ttl_above_the_providers_maximum(self) -> None:
        error = refusal({"channel": "vk", "ttl": "2d"})
        assert error.field.endswith("step 1, ttl")
        assert error.cure == "give at most 1d"

    @pytest.mark.parametrize("ttl", [None, 15, "soon", "0s"])
    def test_a_ttl_that_is_no_duration(self, ttl: object) -> None:
        error = refusal({"channel": "vk", "ttl": ttl})
        assert error.field.endswith("step 1, ttl")
        assert "15s" in error.cure

    def test_a_step_without_ttl(self) -> None:
        assert refusal({"channel": "vk"}).field.endswith("step 1, ttl")

    @pytest.mark.parametrize("wait", [20, "0s", "a while"])
    def test_a_max_wait_that_is_no_duration(self, wait: object) -> None:
        error = refusal({"channel": "vk", "ttl": "15s", "max_wait": wait})
        assert error.field.endswith("step 1, max_wait")

    @pytest.mark.parametrize("channel", ["pigeon", "VK", None, 1, ["vk"]])
    def test_a_channel_that_no_account_serves(self, channel: object) -> None:
        error = refusal({"channel": channel, "ttl": "15s"})
        assert error.field.endswith("step 1, channel")
        assert error.cure == "use one of sms, vk"

    def test_a_known_channel_without_an_account(self) -> None:
        assert "served by no account" in refusal({"channel": "ok", "ttl": "15s"}).problem

    def test_a_channel_named_twice(self) -> None:
        row = {"channel": "vk", "ttl": "15s"}
        error = refusal(row, {"channel": "sms", "ttl": "1m"}, row)
        assert error.field.endswith("step 3")
        assert error.problem == "channel vk appears twice"

    @pytest.mark.parametrize("success", ["seen", "READ", None, True, ["read"]])
    def test_a_success_that_does_not_exist(self, success: object) -> None:
        error = refusal({"channel": "vk", "ttl": "15s", "success": success})
        assert error.field.endswith("step 1, success")
        assert error.cure == "use delivered or read"

    def test_a_wish_to_be_read_where_nobody_tells(self) -> None:
        error = refusal({"channel": "sms", "ttl": "1m", "success": "read"})
        assert error.field.endswith("step 1, success")
        assert error.cure == "use delivered"

    def test_a_misspelt_field(self) -> None:
        error = refusal({"channel": "vk", "ttl": "15s", "maxwait": "20s"})
        assert error.field.endswith("step 1, maxwait")
        assert "max_wait" in error.cure

    def test_a_misspelt_field_of_the_policy_itself(self) -> None:
        document = a_document(name="careless")
        document["policies"]["careless"]["dedline"] = "1h"  # type: ignore[index]
        with pytest.raises(ConfigurationError, match="policy 'careless', dedline: no such field"):
            read(document)

    def test_a_misspelt_table_of_the_file(self) -> None:
        with pytest.raises(ConfigurationError, match=r"policies\.toml, policy: no such field"):
            read({"policy": {}})

    @pytest.mark.parametrize("steps", [[], "vk", {"channel": "vk"}, 3, None])
    def test_a_policy_without_a_list_of_steps(self, steps: object) -> None:
        with pytest.raises(ConfigurationError, match="policy 'careless'"):
            read({"policies": {"careless": {"steps": steps}}})

    def test_a_policy_without_steps(self) -> None:
        with pytest.raises(ConfigurationError, match="policy 'careless': it has no steps"):
            read({"policies": {"careless": {}}})

    @pytest.mark.parametrize("step", ["vk", 3, None, ["vk", "15s"]])
    def test_a_step_that_is_no_table(self, step: object) -> None:
        assert refusal(step).field.endswith("step 1")

    @pytest.mark.parametrize("policy", ["vk", 3, ["vk"]])
    def test_a_policy_that_is_no_table(self, policy: object) -> None:
        with pytest.raises(ConfigurationError, match="policy 'careless'"):
            read({"policies": {"careless": policy}})

    @pytest.mark.parametrize("policies", ["vk", 3, [{"steps": []}]])
    def test_policies_that_are_no_table(self, policies: object) -> None:
        with pytest.raises(ConfigurationError, match=r"policies\.toml"):
            read({"policies": policies})


class TestDeadlines:
    STEPS = ({"channel": "vk", "ttl": "1h"}, {"channel": "sms", "ttl": "1h"})

    def read_with(self, deadline: object, *steps: object) -> Policy:
        document = a_document(*(steps or self.STEPS), name="careless")
        document["policies"]["careless"]["deadline"] = deadline  # type: ignore[index]
        (policy,) = read(document)
        return policy

    def test_a_policy_that_names_none_has_72_hours(self) -> None:
        (policy,) = read(a_document(*self.STEPS))
        assert policy.deadline == 72 * 3600

    def test_the_times_may_just_fit(self) -> None:
        assert self.read_with("2h").deadline == 7200

    def test_the_step_that_goes_beyond_is_named(self) -> None:
        with pytest.raises(
            ConfigurationError,
            match="step 2: the times up to here sum to 2h, beyond the deadline of 7199s",
        ):
            self.read_with("7199s")

    def test_times_beyond_72_hours_need_a_deadline_of_their_own(self) -> None:
        long = ({"channel": "vk", "ttl": "1d"}, {"channel": "sms", "ttl": "1d"})
        channels = {c: channel_facts(ttl_maximum=10**6) for c in CHANNELS}
        document = a_document({"channel": "vk", "ttl": "4d"}, *long[1:])
        with pytest.raises(ConfigurationError, match="step 1: the times"):
            read(document, channels)

    def test_a_step_that_can_never_run_is_named(self) -> None:
        with pytest.raises(ConfigurationError, match="step 1: it can never run: vk by an-account"):
            self.read_with("14s", {"channel": "vk", "ttl": "15s"})

    @pytest.mark.parametrize("deadline", [60, "soon", "0s", ["1h"]])
    def test_a_deadline_that_is_no_duration_is_named(self, deadline: object) -> None:
        with pytest.raises(ConfigurationError, match="policy 'careless', deadline"):
            self.read_with(deadline)


class TestPoliciesWrittenInPython:
    def test_they_are_read_in_the_words_of_the_file(self) -> None:
        steps = [{"channel": "vk", "ttl": "15s"}, {"channel": "sms", "ttl": "1m"}]
        (same,) = read(a_document(*steps))
        assert inline_policy(steps, CHANNELS).steps == same.steps

    def test_equal_ones_have_one_name_and_others_another(self) -> None:
        one = inline_policy([{"channel": "vk", "ttl": "60s"}], CHANNELS)
        same = inline_policy([{"channel": "vk", "ttl": "1m"}], CHANNELS)
        other = inline_policy([{"channel": "vk", "ttl": "61s"}], CHANNELS)
        assert one == same
        assert one.name != other.name

    def test_what_is_wrong_is_the_callers_input(self) -> None:
        with pytest.raises(InvalidInputError, match="policy, step 1, ttl"):
            inline_policy([{"channel": "vk", "ttl": "1s"}], CHANNELS)

    def test_their_names_cannot_be_taken_in_the_file(self) -> None:
        with pytest.raises(ConfigurationError, match="belong to policies of Python"):
            read(a_document(name="inline-mine"))


def test_a_step_that_may_deliver_late_is_noted_unless_it_is_the_last() -> None:
    channels = {c: channel_facts(late_delivery=c is Channel.SMS) for c in CHANNELS}
    vk, sms = {"channel": "vk", "ttl": "15s"}, {"channel": "sms", "ttl": "1m"}

    (first,) = read(a_document(sms, vk), channels)
    (last,) = read(a_document(vk, sms), channels)

    (note,) = notes(first, channels)
    assert note.startswith("policy 'default', step 1: late delivery possible")
    assert notes(last, channels) == []


class TestTheShippedPolicies:
    def test_they_hold_against_the_shipped_accounts(self) -> None:
        policies = {policy.name: policy for policy in load_policies(CONFIG)}
        assert set(policies) == {"default", "patient", "code"}

    def test_the_default_goes_from_vk_to_sms(self) -> None:
        (default,) = [policy for policy in load_policies(CONFIG) if policy.name == "default"]
        assert [step.channel for step in default.steps] == [
            Channel.VK,
            Channel.OK,
            Channel.VIBER,
            Channel.WHATSAPP,
            Channel.SMS,
        ]

    def test_the_step_that_is_too_short_for_its_provider_is_named(self, tmp_path: Path) -> None:
        text = (CONFIG / "policies.toml").read_text("utf-8")
        careless = text.replace(
            'channel = "viber", ttl = "30s"', 'channel = "viber", ttl = "29s"', 1
        )
        (tmp_path / "policies.toml").write_text(careless, "utf-8")
        (tmp_path / "providers.toml").write_bytes((CONFIG / "providers.toml").read_bytes())
        with pytest.raises(
            ConfigurationError, match="policy 'default', step 3, ttl: 29s is below"
        ):
            load_policies(tmp_path)

    def test_a_file_that_is_no_toml_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "policies.toml").write_text("[policies", "utf-8")
        with pytest.raises(ConfigurationError, match=r"policies\.toml: it cannot be read as TOML"):
            load_policies(tmp_path)

    def test_every_field_they_use_is_one_that_the_reader_knows(self) -> None:
        document = tomllib.loads((CONFIG / "policies.toml").read_text("utf-8"))
        used = {key for p in document["policies"].values() for step in p["steps"] for key in step}
        assert used <= {"channel", "ttl", "success", "max_wait"}

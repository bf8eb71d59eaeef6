"""A large simulation is divided into worlds, and comes to the same in any number of processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cascade.testing import worlds
from cascade.testing.__main__ import main
from cascade.testing.memory.advancing import Advancing
from cascade.testing.outcome import Outcome, together
from cascade.testing.worlds import WORLD, World, digest_of, divided, live, lived


CONFIG = Path(__file__).parents[2] / "config"
SMALL = World(seed=5, messages=25, config=CONFIG)


def test_a_run_is_divided_into_worlds_with_seeds_of_their_own() -> None:
    parts = divided(replace(SMALL, messages=2 * WORLD + 1))
    assert [one.messages for one in parts] == [WORLD, WORLD, 1]
    assert len({one.seed for one in parts}) == 3
    assert divided(replace(SMALL, seed=6, messages=2 * WORLD + 1))[1].seed != parts[1].seed


def test_each_world_can_be_run_alone() -> None:
    for one in divided(replace(SMALL, messages=2 * WORLD + 1)):
        assert divided(one) == [one]


def test_the_trace_is_the_same_in_any_number_of_processes() -> None:
    parts = [SMALL, replace(SMALL, seed=6), replace(SMALL, seed=7)]
    here, elsewhere = (list(lived(parts, processes=count)) for count in (1, 2))
    assert [one.digest for one in here] == [one.digest for one in elsewhere]
    assert len({one.digest for one in here}) == 3
    assert digest_of(here) == digest_of(elsewhere) != digest_of(here[::-1])


def test_worlds_together_are_their_sum() -> None:
    parts = [live(SMALL).outcome, live(replace(SMALL, seed=6)).outcome]
    whole = together(parts)
    assert whole.messages == 50
    assert whole.seconds == sorted([*parts[0].seconds, *parts[1].seconds])
    assert whole.cost["RUB"] == sum(one.cost["RUB"] for one in parts)
    for name in ("states", "faults"):
        assert sum(getattr(whole, name).values()) == sum(_count(one, name) for one in parts)
    assert {channel: one.called for channel, one in whole.funnel.items()} == {
        channel: sum(one.funnel[channel].called for one in parts if channel in one.funnel)
        for channel in whole.funnel
    }
    assert together([parts[0]]) == parts[0]


def _count(outcome: Outcome, name: str) -> int:
    return sum(getattr(outcome, name).values())


def test_the_program_tells_the_worlds_and_where_their_traces_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worlds, "WORLD", 20)
    said = _said(capsys, "--messages", "30", "--processes", "1", "--trace", str(tmp_path))
    assert "1/2 world 1: 20 messages" in said
    assert "30 messages, " in said
    traces = sorted(path.name for path in tmp_path.iterdir())
    assert len(traces) == 2
    assert "1.txt" in traces


def test_a_broken_invariant_names_its_world_and_how_to_run_it_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Advancing, "book", lambda *_: None)  # what was delivered is free
    said = _said(capsys, "--messages", "20", "--calm", status=1)
    assert "1/1 world 1: 20 messages" in said
    assert "BROKEN" in said
    alone = f"python -m cascade.testing --messages 20 --seed 1 --policy default --config {CONFIG}"
    assert f"in world 1 ({alone} --calm" in said
    assert "not_charged: a delivery" in said


def _said(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--config", str(CONFIG)])
    assert ended.value.code == status
    return capsys.readouterr().out

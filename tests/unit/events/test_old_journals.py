"""An old journal must replay: recorded nights, with a daemon killed in the middle and commands sent while none ran.

One file per version that wrote it, never changed. Paths and the host's name were replaced, and the chain made anew.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from fakes.oracle import Oracle

from cutoverd.daemon.engine.message import Message
from cutoverd.daemon.engine.run_log import RunLog
from cutoverd.events import facts
from cutoverd.events.codec import Recorded, encode
from cutoverd.states.next_action import AttemptStep, Finished, next_action
from cutoverd.states.run import Run, StepKey

JOURNALS = sorted(Path(__file__).with_name("journals").glob("*.jsonl"))
STORED_AT = datetime(2026, 1, 1, tzinfo=UTC)


class Kept:
    """A journal in a file."""

    def __init__(self, path: Path) -> None:
        self.messages = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    async def append(self, id: str, body: bytes) -> int:
        raise AssertionError("a replay appends nothing")

    async def replay(self) -> AsyncGenerator[Message, None]:
        for each in self.messages:
            yield Message(each["seq"], each["message"].encode(), STORED_AT, "cutover.evt.night")

    def follow(self, start: int) -> AsyncGenerator[Message, None]:
        return self.replay()


async def replayed(path: Path) -> list[tuple[Run, Recorded]]:
    """The run after each event."""
    history: list[tuple[Run, Recorded]] = []
    await RunLog("night", Kept(path), observers=[lambda run, recorded: history.append((run, recorded))]).replay()
    return history


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
async def test_it_ends_as_it_did_and_every_prefix_has_a_next_step(path: Path) -> None:
    history = await replayed(path)
    started = [(run, recorded) for run, recorded in history if run.plan]
    steps = [next_action(run) for run, _ in started]
    assert history[-1][0].state == path.stem.partition("_")[0]
    assert steps[-1] == Finished()
    assert Finished() not in steps[:-1]
    assert history[-1][0].epoch == 2, "two daemons took it"


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
async def test_its_transitions_and_records_are_those_that_are_planned_today(path: Path) -> None:
    """What needed no look at the world was decided by the run alone, so it must be decided in the same way now.

    But for a step that came later: it is still to be taken where the journal goes on.
    """
    history = [(run, recorded) for run, recorded in await replayed(path) if run.plan]
    known = {StepKey.of(recorded.event.step).step for _, recorded in history if isinstance(recorded.event, facts.StepStarted)}
    for (run, _), (_, recorded) in pairwise(history):
        if isinstance(recorded.event, facts.Transitioned | facts.GateReached) and recorded.envelope.epoch == run.epoch:
            planned = next_action(run)
            if isinstance(planned, AttemptStep) and planned.key.step not in known:
                continue
            assert getattr(planned, "event", None) == recorded.event, (planned, recorded.event)


class BeforeWritesWereCounted(Oracle):
    """0.1 turned back from Smoke and Cutover without a count of what was written: its journals have none."""

    def nothing_written(self, event: facts.Transitioned) -> bool:
        return not self.traffic_may_be_open


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
async def test_the_table_alone_comes_through_the_same_states(path: Path) -> None:
    oracle = BeforeWritesWereCounted()
    for run, recorded in await replayed(path):
        oracle.follow(recorded.event, run)
    assert oracle.state == path.stem.partition("_")[0]


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
def test_every_field_that_was_written_is_still_known(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        document = json.loads(json.loads(line)["message"])
        known = facts.TYPES[document["type"]].model_fields.keys()
        assert document["data"].keys() <= known


def test_there_are_journals_of_both_ends() -> None:
    assert {path.stem.partition("_")[0] for path in JOURNALS} == {"completed", "rolledback"}


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
async def test_a_message_is_written_as_it_was(path: Path) -> None:
    """But for fields that came later: the chain of an open run must go on under a newer version."""
    for (_, recorded), line in zip(await replayed(path), Kept(path).messages, strict=True):
        then, now = json.loads(line["message"]), json.loads(encode(recorded.envelope))
        assert {**now, "data": {name: now["data"][name] for name in then["data"]}} == then

"""The rehearsal without a run: what was found is never lost by what comes after it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cutoverd.daemon.bus.memory import MemoryStream
from cutoverd.daemon.control import rehearsal_copy
from cutoverd.daemon.control.rehearsal_steps import Finding, Rehearsal, Steps
from cutoverd.daemon.engine.run_log import RunLog
from cutoverd.events import facts
from cutoverd.states.errors import StepError
from cutoverd.states.ports import Direction
from cutoverd.states.precheck import PreCheck
from cutoverd.states.run import StepKey


async def test_a_stop_that_a_step_takes_for_an_outcome_that_nobody_knows_is_a_stop() -> None:
    """Found: with the server away a cancelled session says that alone; it ended by 1, "it could not be made", after a SIGTERM."""

    class Executor:
        async def attempt(self, *given: Any) -> facts.Event:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                return facts.StepInterrupted(
                    step=str(PreCheck.check_server), direction=Direction.FORWARD, seconds=1, reason="lost"
                )
            raise AssertionError

    steps: Any = object.__new__(Steps)
    steps.done, steps._executor, steps._log = Rehearsal(), Executor(), RunLog("r1", MemoryStream().journal("r1"))
    await steps._log.append(facts.RunStarted(plan_sha256="", files={}, items={}, gates=[], version="", rehearses=True))
    taking = asyncio.create_task(steps._fails(StepKey.of(str(PreCheck.check_server)), []))
    await asyncio.sleep(0.05)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking


async def test_a_drop_that_fails_takes_no_finding_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found: on a full disk the drop failed as well, and its error was all that was said."""

    async def fails(*given: Any) -> None:
        raise StepError("no room for a checkpoint")

    monkeypatch.setattr(rehearsal_copy, "drop", fails)
    found = Rehearsal([Finding(StepKey("precheck", PreCheck.prove_backup.name), "No space left", "")])
    given: Any = None
    done = await rehearsal_copy.drop_after(given, given, found)
    assert [each.reason for each in done.failed] == ["No space left"]
    assert "no room for a checkpoint" in done.not_dropped

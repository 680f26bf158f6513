"""The rehearsal without a run: what was found is never lost by what comes after it."""

from __future__ import annotations

from typing import Any

import pytest

from cutoverd.daemon.control import rehearsal_copy
from cutoverd.daemon.control.rehearsal_steps import Finding, Rehearsal
from cutoverd.states.errors import StepError
from cutoverd.states.precheck import PreCheck
from cutoverd.states.run import StepKey


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

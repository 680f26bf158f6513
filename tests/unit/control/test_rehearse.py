"""The rehearsal without a run: what was found is never lost by what comes after it."""

from __future__ import annotations

from typing import Any

import pytest

from cutoverd.daemon.control import rehearse
from cutoverd.daemon.control.rehearse import Finding, Rehearsal
from cutoverd.states.errors import StepError
from cutoverd.states.precheck import PreCheck
from cutoverd.states.run import StepKey


async def test_a_drop_that_fails_takes_no_finding_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found: on a full disk the drop failed as well, and its error was all that was said."""

    async def fails(*given: Any) -> None:
        raise StepError("no room for a checkpoint")

    monkeypatch.setattr(rehearse, "_drop", fails)
    found = Rehearsal([Finding(StepKey("precheck", PreCheck.prove_backup.name), "No space left", "")])
    given: Any = None
    done = await rehearse._without_copy(given, given, found)
    assert [each.reason for each in done.failed] == ["No space left"]
    assert "no room for a checkpoint" in done.not_dropped

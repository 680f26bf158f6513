"""What helps is said without words that nobody hears there: of a run that is over, of `check`, of `cutoverd rehearse`."""

from __future__ import annotations

from typing import Any

import pytest

from cutoverd.daemon.cli import rehearse as cli
from cutoverd.daemon.control import rehearsal_steps
from cutoverd.daemon.views.hints import hint_of, without_commands
from cutoverd.events import facts
from cutoverd.states.errors import StepError

HINTS = {
    "`retry` tries it again": "",
    "it is made in PreCheck; `abort` and start a new run": "it is made in PreCheck",
    "make room on the disk that it names, then `retry`": "make room on the disk that it names",
    "mend the file, then `abort` and start a run with a name of its own": "mend the file",
    "end it (SELECT pg_terminate_backend(7)), then `retry`, which rehearses anew": "end it (SELECT pg_terminate_backend(7))",
    "end it, and `retry`\nin a minute": "end it",
    "put it back, or `abort`/`rollback` with the old plan": "put it back, or `abort`/`rollback` with the old plan",
    "look at `status`": "look at `status`",
}  # fmt: skip


@pytest.mark.parametrize("hint", HINTS)
def test_what_only_a_run_can_be_told_is_left_out_however_it_is_worded(hint: str) -> None:
    """Found: only ", then `retry`" was, and `cutoverd rehearse` advised "`retry` tries it again"."""
    assert without_commands(hint) == HINTS[hint]
    failed: Any = {"step": "precheck.reset_copy", "direction": "forward", "seconds": 0.1, "error": "StepError", "reason": "no"}
    assert rehearsal_steps._without_run(facts.StepFailed(**failed, hint=hint)).hint == HINTS[hint]  # type: ignore[attr-defined]
    assert hint_of("precheck.reset_copy", "forward", hint) == hint, "in PreCheck a run hears it"
    assert hint_of("downtime.fence_old", "forward", hint) == HINTS[hint]


async def test_what_ends_a_rehearsal_advises_nothing_that_only_a_run_hears() -> None:
    """Found: what is done around its steps, `--again` and `--drop`, was told with the hint of a run."""

    async def fails() -> None:
        raise StepError("the copy is called app_p still", hint="end who is in it; `retry` tries it again")

    with pytest.raises(StepError) as raised:
        await cli._without_run(fails())
    assert raised.value.hint == "end who is in it"

"""What `run` says at last on stderr, whatever the format, when it leaves a run unfinished."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from fakes.simulation import Simulation
from fakes.situations import SCRIPT, entering, in_the_middle_of, stuck, waiting
from unit.views.test_run_tree import moment

from cutoverd.daemon.cli.run import _complain_if_left
from cutoverd.daemon.engine.exit_codes import Exit


def tracker_of(simulation: Simulation, *, has_led: bool = True) -> Any:
    at = moment(simulation)
    return SimpleNamespace(run=at.run, timeline=at.timeline, has_led=has_led)


@pytest.mark.parametrize("code", [Exit.UNFINISHED, Exit.STUCK, Exit.ABORTED, Exit.ERROR])
def test_whatever_ends_it_the_last_lines_say_what_production_is(code: Exit, capsys: pytest.CaptureFixture[str]) -> None:
    simulation = stuck() if code is Exit.STUCK else waiting(in_the_middle_of(SCRIPT), "hold", now=True)
    _complain_if_left(tracker_of(simulation), code)
    printed = capsys.readouterr()
    assert printed.out == "", "stdout is for events alone"
    assert "  production is " in printed.err
    assert "`cutoverd run PLAN` goes on from here" in printed.err


def test_nothing_is_said_of_a_run_that_another_leads_that_is_over_or_of_which_half_the_journal_was_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _complain_if_left(tracker_of(entering("data")), Exit.SUPERSEDED)
    _complain_if_left(tracker_of(entering("completed")), Exit.COMPLETED)
    _complain_if_left(tracker_of(entering("data"), has_led=False), Exit.UNFINISHED)
    assert capsys.readouterr() == ("", "")

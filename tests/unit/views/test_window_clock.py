"""When the window will have ended, as operators read it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from fakes.rehearsed import ITEMS, NOW, a_run, done

from cutoverd.daemon.cli.common import OutputFormat
from cutoverd.daemon.cli.status import _print_document
from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.daemon.views.run_tree import TreeInput, tree
from cutoverd.daemon.views.status import status_document
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.daemon.views.window_clock import WindowClock, window_clock
from cutoverd.states.run import Run

SERVICES: dict[str, Any] = {"items": {**ITEMS, "services": ["api"]}}


def timeline() -> Timeline:
    entered = [("precheck", NOW - timedelta(hours=1)), ("downtime", NOW)]
    return Timeline(entered=entered, budget_seconds=60.0, closed_at=NOW)


def clock(run: Run) -> WindowClock:
    found = window_clock(run, NOW)
    assert found is not None
    return found


def within(seconds: float, **plan: Any) -> Run:
    return a_run(budget_seconds=seconds, **plan)


def test_the_end_of_the_window_stands_against_its_deadline() -> None:
    found = clock(within(600.0))
    assert (found.describe(), found.is_late) == ("window ends 02:03 of 02:10", False)
    late = clock(within(60.0))
    assert (late.describe(), late.is_late) == ("window ends 02:03 of 02:01", True)
    assert clock(a_run()).describe() == "window ends 02:03"


def test_what_nobody_knows_is_no_end() -> None:
    assert clock(within(600.0, **SERVICES)).describe() == "window ends not before 02:03 of 02:10"


def test_before_the_window_its_length_is_told() -> None:
    assert clock(a_run("precheck")).describe() == "window 3:34"
    assert clock(a_run("precheck", **SERVICES)).describe() == "window at least 3:34"
    late = clock(a_run("precheck", budget_seconds=60.0))
    assert (late.describe(), late.is_late, late.deadline) == ("window 3:34 of 1:00", True, None)


def test_status_has_each_state_and_the_rollback() -> None:
    found = status_document(within(600.0, tried={"downtime.fence_old": done()}), timeline(), NOW)["foreseen"]
    assert found["states"]["data"] == {"seconds": 158.0, "at_least": False}
    assert (found["rollback"], found["deadline"]) == ({"seconds": 2.0, "at_least": False}, "2026-12-01T02:10:00+00:00")
    assert status_document(a_run(found={}), timeline(), NOW)["foreseen"] is None


def test_status_says_it_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Found: the text form of `status` ended by a traceback, for it knew no numbers within numbers."""
    run = within(600.0, tried={"downtime.fence_old": done()}, **SERVICES)
    _print_document(status_document(run, timeline(), NOW), OutputFormat.TEXT, Exit.COMPLETED)
    says = "foreseen  window ends not before 02:03 of 02:10; a rollback would take 2.0 s now"
    assert says in capsys.readouterr().out


def test_the_tree_says_it_beside_downtime_and_gives_it_up_first() -> None:
    at = TreeInput(within(60.0), timeline(), None, NOW + timedelta(seconds=1))
    assert tree(at, width=80)[0].endswith("window ends 02:03 of 02:01 ⚠ · downtime 1.0 s of 1:00")
    assert tree(at, width=45)[0].split("  ")[-1].strip() == "downtime 1.0 s of 1:00"

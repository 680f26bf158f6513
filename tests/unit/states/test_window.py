"""The window against what the rehearsal took: the arithmetic is said."""

from __future__ import annotations

import pytest

from cutoverd.states.errors import Unfit
from cutoverd.states.window import check_window

REHEARSED = {
    "precheck.make_placeholder": 7.0,
    "downtime.fence_old": 0.5,
    "schema.build_new": 4.0,
    "schema.apply_schema": 2.0,
    "data.run_script:data/010.sql": 30.0,
    "validate.compare:flights": 12.5,
    "undo smoke.exchange_names": 0.25,
    "undo downtime.fence_old": 0.25,
}


def test_a_window_that_is_too_short_is_refused_with_its_arithmetic() -> None:
    """The result comes first, then its sum: a terminal that is too narrow cuts the end."""
    with pytest.raises(Unfit) as refused:
        check_window(40.0, REHEARSED)
    assert str(refused.value).startswith(
        "the window is too short: the rehearsal took 49 s, and window.budget is 40 s: "
        "0.5 s downtime + 6 s schema + 30 s data + 12.5 s validate; services"
    )
    assert "window.budget" in refused.value.hint
    assert refused.value.evidence["seconds"] == 49.0


def test_a_window_that_is_just_long_enough_is_fit() -> None:
    assert check_window(49.0, REHEARSED)["seconds"] == 49.0


def test_without_a_budget_what_was_rehearsed_goes_on_record() -> None:
    found = check_window(None, REHEARSED)
    assert (found["rehearsed"]["data"], found["rollback_seconds"]) == (30.0, 0.5)


@pytest.mark.parametrize("budget", [None, 1.0, 1000.0])
def test_what_was_rehearsed_on_another_server_is_shown_and_judges_nothing(budget: float | None) -> None:
    found = check_window(budget, REHEARSED, elsewhere="app on db2:5432")
    assert (found["seconds"], found["elsewhere"]) == (49.0, "app on db2:5432")
    [warning] = found["warnings"]
    assert warning.startswith("the rehearsal took 49 s on app on db2:5432, another server, which says nothing of production's")
    assert warning.endswith("is enough is not known") == (budget is not None)


def test_a_window_that_nobody_rehearsed_is_not_fit() -> None:
    """Found: nothing measured was a sum of 0 s, and `cutoverd check` said that the window is long enough."""
    assert check_window(0.001, {}) == {"not_looked_at": "nothing was rehearsed"}

"""The window against what PreCheck measured: the arithmetic is said."""

from __future__ import annotations

import pytest

from cutoverd.states.errors import Unfit
from cutoverd.states.window import check_window

PROVEN = {
    "parts": {"dump": 12.5, "restore": 30.0, "schema": 2.0},
    "way_back": {"seconds": {"build_new": 4.0, "fence": 0.2}, "exchange_seconds": 0.1, "way_back_seconds": 0.4},
}


def test_a_window_that_is_too_short_is_refused_with_its_arithmetic() -> None:
    """The result comes first, then its sum: a terminal that is too narrow cuts the end."""
    with pytest.raises(Unfit) as refused:
        check_window(40.0, PROVEN)
    assert str(refused.value) == (
        "the window is too short: at least 49 s are needed, and window.budget is 40 s: 4 s clone (the clone) + 2 s schema "
        "(the schema files) + 30 s restore (the rows written once, as the restore wrote them) + 12.5 s dump (the rows read "
        "once, as the dump read them) + 0.5 s way back (the names there and back)"
    )
    assert "window.budget" in refused.value.hint
    assert refused.value.evidence["seconds"] == 49.0


def test_a_window_that_is_just_long_enough_is_fit() -> None:
    assert check_window(49.0, PROVEN)["seconds"] == 49.0


def test_without_a_budget_what_was_measured_goes_on_record() -> None:
    assert check_window(None, PROVEN)["measured"]["restore"] == 30.0


@pytest.mark.parametrize("evidence", [{}, {"seconds": 1.3, "bytes": 11782}])
def test_a_window_that_nobody_measured_is_not_fit(evidence) -> None:
    """Found: nothing measured was a sum of 0 s, and `cutoverd check` said that the window is long enough."""
    assert check_window(0.001, evidence) == {"not_looked_at": "nothing was measured yet"}

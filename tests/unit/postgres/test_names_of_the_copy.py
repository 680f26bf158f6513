"""The four names around the copy that the window is rehearsed on."""

from __future__ import annotations

from pathlib import Path

from cutoverd.daemon.postgres.session.names import Names
from cutoverd.daemon.postgres.session.server import Server


def test_no_name_of_the_copy_is_one_of_the_windows() -> None:
    night = Names("a" * 54)
    at_night = {*night.all, night.scratch, *(night.build(epoch) for epoch in range(1000))}
    trial_names = {night.of_trial.next, night.of_trial.previous, night.of_trial.closed, night.of_trial.build(7)}
    assert night.of_trial.production == night.scratch
    assert len(trial_names) == 4
    assert not trial_names & at_night
    assert max(len(name.encode()) for name in trial_names) <= 63


def test_a_copy_that_the_team_has_made_has_its_own_name_and_is_said_to_be_on_its_own_server() -> None:
    production = Server("postgresql://c@db1/app", "r1", 1, Path("/nowhere"))
    copy = production.of_copy("postgresql://c@db2:5433/app")
    assert (copy.names.production, copy.names.made) == ("app", ("app_n", "app_p", "app_c", "app_b"))
    assert (copy.place, copy.worded("mend the host in database.url")) == (
        "app on db2:5433",
        "mend the host in rehearsal.database",
    )
    assert (production.of_copy().names.production, production.of_copy().url) == ("app_try", production.url)

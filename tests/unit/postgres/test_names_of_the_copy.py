"""The four names around the copy that the window is rehearsed on."""

from __future__ import annotations

from cutoverd.daemon.postgres.session.names import Names


def test_no_name_of_the_copy_is_one_of_the_windows() -> None:
    night = Names("a" * 54)
    at_night = {*night.all, night.scratch, *(night.build(epoch) for epoch in range(1000))}
    trial_names = {night.of_trial.next, night.of_trial.previous, night.of_trial.closed, night.of_trial.build(7)}
    assert night.of_trial.production == night.scratch
    assert len(trial_names) == 4
    assert not trial_names & at_night
    assert max(len(name.encode()) for name in trial_names) <= 63

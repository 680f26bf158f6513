"""What stands for a run's name where a database is rehearsed without one."""

from __future__ import annotations

import pytest

from cutoverd.daemon.postgres.precheck.requirements import LONGEST_APPLICATION_NAME
from cutoverd.states.rehearsal import WITHOUT_RUN, is_without_run, name_without_run

NAMES = ("app", "App", "a" * 24, "a" * 25, "a" * 54, "my app", "../app", "a/b", "größe", "a.b")


@pytest.mark.parametrize("production", NAMES)
def test_it_fits_the_name_of_a_session_and_that_of_a_file_and_no_plan_can_give_it(production: str) -> None:
    name = name_without_run(production)
    assert len(f"cutoverd/{name}/{10**9}".encode()) <= LONGEST_APPLICATION_NAME
    assert not {"/", " ", "\0"} & set(name)
    assert name.startswith(WITHOUT_RUN)
    assert is_without_run(name)


def test_each_database_has_its_own() -> None:
    assert len({name_without_run(production) for production in NAMES}) == len(NAMES)
    assert name_without_run("app") == "rehearsal.app"
    assert not is_without_run("rehearsal")

"""Which databases of an ended run may be dropped: decided by oid and name, and whatever is in doubt stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.situations import entering, night, saying
from hypothesis import given
from hypothesis import strategies as st

from cutoverd.states.leftovers import (
    ACCEPT_LOSS,
    SWAPPED,
    UNFINISHED,
    WITHOUT_DUMP,
    LeftoverDatabase,
    confirmations_wanted,
    decide_leftovers,
    written_by_clients,
)
from cutoverd.states.ports import Direction, Evidence
from cutoverd.states.run import Attempts, Run

OLD = LeftoverDatabase("old", 1, "app_previous", "app_previous")
NEW = LeftoverDatabase("new", 2, "app_next", "app_next")
CLOSED = LeftoverDatabase("placeholder", 3, "app_closed", "app_closed")
SCRATCH = LeftoverDatabase(UNFINISHED, 4, "app_try", "app_try")


def ended(state: str) -> Run:
    return Run("night", state=state)


@pytest.mark.parametrize(
    ("state", "dropped"),
    [
        ("completed", [OLD, CLOSED, SCRATCH]),
        ("rolledback", [NEW, CLOSED, SCRATCH]),
        ("aborted", [CLOSED, SCRATCH]),
    ],
)
def test_how_a_run_ended_says_what_it_left_over(state: str, dropped: list[LeftoverDatabase]):
    assert list(decide_leftovers(ended(state), (OLD, NEW, CLOSED, SCRATCH), "app").drop) == dropped


def test_after_a_cutover_new_is_production_and_stays_whatever_a_later_run_called_it():
    later = replace(NEW, name="app_previous")
    assert decide_leftovers(ended("completed"), (later,), "app").drop == ()


@pytest.mark.parametrize("state", ["precheck", "validate", "monitor", "rollback", "stuck"])
def test_a_run_that_is_open_is_refused(state: str):
    decided = decide_leftovers(ended(state), (OLD, CLOSED), "app")
    assert (decided.drop, decided.refused) == ((), (f"run night is not over, it is in {state}",))


def test_one_that_is_gone_is_recorded_once():
    gone = replace(OLD, name=None)
    assert decide_leftovers(ended("completed"), (gone,), "app").gone == (gone,)
    assert decide_leftovers(replace(ended("completed"), dropped=frozenset({1})), (gone,), "app").gone == ()


def test_a_session_or_a_missing_right_refuses_all_of_it_with_every_reason():
    busy = replace(OLD, sessions=("client backend 7 of bob (psql)",))
    foreign = replace(CLOSED, lacks="role cutover may not act for bob, who owns it: GRANT bob TO cutover")
    refused = decide_leftovers(ended("completed"), (busy, foreign), "app").refused
    assert refused == (
        "app_previous is in use by client backend 7 of bob (psql): end that first",
        "app_closed: role cutover may not act for bob, who owns it: GRANT bob TO cutover",
    )


def test_what_was_renamed_or_is_not_as_it_was_made_is_left_alone_and_no_reason_to_refuse():
    kept = replace(OLD, name="app_2019", sessions=("client backend 7 of bob (psql)",))
    decided = decide_leftovers(ended("completed"), (kept, replace(SCRATCH, is_as_made=False)), "app")
    assert (decided.drop, decided.refused) == ((), ())
    assert decided.left_alone == (
        "app_2019 (oid 1) was app_previous: somebody gave it another name",
        "app_try (oid 4) lets others in, as no unfinished database of a run does",
    )


databases = st.builds(
    LeftoverDatabase,
    role=st.sampled_from(["old", "new", "placeholder", UNFINISHED]),
    oid=st.integers(1, 9),
    name=st.sampled_from([None, "app", "app_previous", "app_next", "app_closed", "app_try", "app_kept"]),
    given_name=st.sampled_from(["app", "app_previous", "app_next", "app_closed", "app_try"]),
    sessions=st.sampled_from([(), ("somebody",)]),
    is_as_made=st.booleans(),
)


@given(state=st.sampled_from(["completed", "rolledback", "aborted", "cutover", "stuck"]), found=st.lists(databases, max_size=6))
def test_whatever_is_found_production_is_never_dropped(state: str, found: list[LeftoverDatabase]):
    decided = decide_leftovers(ended(state), tuple(found), "app")
    assert all(each.name not in (None, "app") and each.name == each.given_name for each in decided.drop)
    assert not decided.drop or state in ("completed", "rolledback", "aborted")
    assert bool(decided.refused) or not any(each.sessions for each in decided.drop)


def test_a_run_of_the_journal_is_decided_alike():
    simulation = night()
    simulation.drive()
    assert decide_leftovers(simulation.run, (OLD, NEW, CLOSED), "app").drop == (OLD, CLOSED)
    back = saying(entering("schema"), "rollback").finish()
    assert decide_leftovers(back, (OLD, NEW, CLOSED), "app").drop == (NEW, CLOSED)


def taken_back(evidence: Evidence | None = None) -> Run:
    """A run that went back after clients were in; `evidence` of the names' way back, or as the world gave it."""
    run = saying(entering("monitor"), "rollback", accept_loss=True, reason="wrong").finish()
    assert run.state == "rolledback"
    return run if evidence is None else seeing(run, evidence)


def seeing(run: Run, evidence: Evidence) -> Run:
    return replace(run, attempts={**run.attempts, (str(SWAPPED), Direction.BACK): Attempts(evidence=evidence)})


ROWS = {"store.machine": {"inserted": 2, "updated": 0, "deleted": 1, "replaced": True}}


def test_what_clients_wrote_to_new_is_in_no_dump_and_is_not_dropped_on_the_runs_name_alone():
    assert confirmations_wanted(taken_back({"written": ROWS}), (NEW, CLOSED), has_final_dump=True) == {
        ACCEPT_LOSS: "app_next has what clients wrote after the cutover, and no dump has these rows: "
        "store.machine: 2 inserted, 1 deleted, replaced"
    }


@pytest.mark.parametrize(
    ("evidence", "why"),
    [
        ({}, "unknown: what they wrote is not on record"),
        ({"written": {"unknown": "connection refused"}}, "unknown: connection refused"),
        ({"written": {}, "written_uncounted": "a crash lost the counters"}, "unknown: a crash lost the counters"),
    ],
)
def test_what_clients_may_have_written_unseen_counts_as_written(evidence: Evidence, why: str):
    assert confirmations_wanted(taken_back(evidence), (NEW,), has_final_dump=True)[ACCEPT_LOSS].endswith(f"these rows: {why}")


def test_where_clients_wrote_nothing_or_were_never_let_in_the_runs_name_is_enough():
    assert confirmations_wanted(taken_back({"written": {}}), (NEW, CLOSED), has_final_dump=False) == {}
    shut = seeing(saying(entering("cutover"), "rollback").finish(), {"written": ROWS})
    assert written_by_clients(shut) == {}, "the smoke tests wrote it"
    assert confirmations_wanted(taken_back({"written": ROWS}), (CLOSED,), has_final_dump=False) == {}, "it is gone already"


def test_old_is_not_dropped_without_its_final_dump_unless_somebody_says_so():
    simulation = night()
    simulation.drive()
    assert confirmations_wanted(simulation.run, (OLD, CLOSED), has_final_dump=True) == {}
    assert confirmations_wanted(simulation.run, (OLD, CLOSED), has_final_dump=False) == {
        WITHOUT_DUMP: "app_previous is the only copy of the old database: its final dump is missing"
    }

"""What a rehearsal will cost: bytes by production's size, time by the last one, and never by a guess."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cutoverd.daemon.postgres.backup.rehearsal_cost import estimate, seconds_by_part
from cutoverd.daemon.postgres.ledger.rehearsals import RehearsalOnRecord

SECONDS = {
    "precheck.make_placeholder": 0.1,
    "downtime.fence_old": 0.4,
    "schema.build_new": 60.0,
    "schema.apply_schema": 10.0,
    "data.run_script:a.sql": 1200.0,
    "validate.compare:a": 300.0,
    "smoke.exchange_names": 0.5,
    "undo smoke.exchange_names": 1.0,
}
PARTS = {"dump": 100.0, "restore": 400.0}


def last(production_bytes: int | None, made_by: str = "night", parts: dict[str, float] = PARTS) -> RehearsalOnRecord:
    return RehearsalOnRecord("i", datetime(2026, 11, 29, 20, 12, tzinfo=UTC), 1.0, made_by, SECONDS, parts, production_bytes)


def test_restore_clone_scripts_and_checks_are_told_apart_in_their_order() -> None:
    apart = seconds_by_part(SECONDS, PARTS)
    assert list(apart) == ["dump", "restore", "clone", "scripts", "checks", "names and rollback"]
    assert apart == {"dump": 100, "restore": 400, "clone": 60, "scripts": 1210, "checks": 300, "names and rollback": 2}
    assert "restore" not in seconds_by_part(SECONDS, {}), "what is not known is no 0"


@pytest.mark.parametrize(
    ("then", "says"),
    [
        (
            40_000_000_000,
            "The last one, 2026-11-29 by run night, took 34:32: 1:40 dump, 6:40 restore, 1:00 clone, 20:10 scripts, ",
        ),
        (41_000_000_000, "5:00 checks, 2.0 s names and rollback"),
        (20_000_000_000, "Production had 20.0 GB then and has 40.0 GB now: in proportion 1:09:04"),
        (None, "2.0 s names and rollback"),
    ],
)
def test_the_last_one_is_said_with_its_date_and_in_proportion_where_production_has_grown(then: int | None, says: str) -> None:
    made = estimate(40_000_000_000, last(then))
    assert says in made["says"]
    assert ("in proportion" in made["says"]) == (then == 20_000_000_000)
    assert made["says"].startswith(
        "It takes the disk of three times 40.0 GB in the server (the restored copy, its clone, its new"
    )


def test_without_one_on_record_the_time_is_not_known_and_the_bytes_are() -> None:
    made = estimate(40_000_000_000, None)
    assert made["seconds"] is None
    assert made["says"].endswith("is not known: no rehearsal of this database is on record; at least as long as dump and restore")
    assert made["bytes"] == dict.fromkeys(["dump", "restored copy", "clone", "new tables"], 40_000_000_000)


def test_of_a_copy_that_the_team_has_made_the_restored_one_is_for_the_backup_alone() -> None:
    says = estimate(40_000_000_000, None, "app on db2:5432")["says"]
    assert says.startswith(
        "It takes the disk of twice 40.0 GB where that is (the clone, its new tables), and before that, for the"
    )


def test_the_command_is_named_as_it_is_typed() -> None:
    assert "by `cutoverd rehearse`, took" in estimate(1, last(None, "rehearsal."))["says"]

"""The contract of `Validation`, on the one in memory and on two real databases.

The one in memory has no rows: it finds what a test tells it to, with the evidence of the real one. What is found in which rows
is in tests/integration/validation and tests/integration/compare.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest
from fakes.world import World
from support.new_database import make_site
from support.servers import Cluster

from cutoverd.daemon.postgres.compare.compare import Comparison
from cutoverd.daemon.postgres.validation.query_timing import TimedQuery
from cutoverd.daemon.postgres.validation.validation import PostgresValidation
from cutoverd.states.errors import CheckFailed, OutcomeUnknown
from cutoverd.states.ports import AttemptId, Direction, Evidence, Validation

ATTEMPT_ID = AttemptId("r1", 1, "validate", Direction.FORWARD, "e1")
# each with the name of what it is asked to look at, and the keys of its evidence
FINE = {
    "check_script:totals": {"checks", "failed"},
    "compare:flights": {"rows_old", "rows_new", "differing"},
    "check_coverage": {"tables", "compared", "waived"},
    "check_invariants": {"relations", "sequences", "inherited"},
    "check_grants": {"roles", "grants", "waived", "unused", "warnings"},
    "check_query:overview": {"columns", "old_ms"},
    "time_query:overview": {"old_ms", "new_ms", "ratio", "rounds", "allowed", "rows_old", "rows_new"},
    "set_sequences": {"set", "right", "unjudged"},
    "analyze": {"tables", "seconds", "skipped"},
}
WRONG = {
    "check_script:totals": {"checks", "failed", "failed_count"},
    "compare:flights": {
        *("missing", "extra", "changed", "repeated_old", "repeated_new", "rows_old", "rows_new", "keys", "file", "sha256")
    },
    "check_coverage": {"unread", "unknown", "unexplained"},
    "check_invariants": {"found"},
    "check_grants": {"found"},
    "check_query:overview": set[str](),
    "time_query:overview": FINE["time_query:overview"],
    "set_sequences": {"exhausted"},
}
OF_FENCED_OLD = ("compare:flights", "check_coverage", "check_invariants", "check_grants", "time_query:overview", "set_sequences")
BEFORE_THE_FENCE = ("check_coverage", "check_query:overview")  # PreCheck asks them of production


class Rig(Protocol):
    """Old is fenced and open to us; new holds the same."""

    validation: Validation

    def break_it(self, what: str) -> None:
        """One of `WRONG` has a reason to fail."""

    def close_old(self) -> None: ...

    def lift_fence(self) -> None: ...


async def ask(validation: Validation, what: str) -> Evidence:
    method, _, name = what.partition(":")
    return await getattr(validation, method)(ATTEMPT_ID, *filter(None, [name]))


class InMemory:
    def __init__(self) -> None:
        self._world = World({}, {}, {}, fenced=True, old_readable=True, built=True, schema_applied=True, epoch=1)
        self.validation = self._world.ports().validation

    def break_it(self, what: str) -> None:
        self._world.wrong.add(what)

    def close_old(self) -> None:
        self._world.old_readable = False

    def lift_fence(self) -> None:
        self._world.fenced = self._world.old_readable = False


CONTENT = """
SET ROLE app_owner;
CREATE TABLE flights (id serial PRIMARY KEY, v text);
INSERT INTO flights (v) SELECT 'row ' || n FROM generate_series(1, 100) n;
GRANT SELECT ON flights TO app_user;
"""
BREAK = {
    "check_script:totals": "INSERT INTO flights (v) VALUES ('one more')",
    "compare:flights": "UPDATE flights SET v = 'changed' WHERE id = 7",
    "check_invariants": "SELECT setval('flights_id_seq', 1)",
    "check_grants": "REVOKE SELECT ON flights FROM app_user",
    "set_sequences": "SELECT setval('flights_id_seq', 2147483647)",
}
QUERY = "SELECT v FROM flights LIMIT 3"
TOTALS = "SELECT count(*) = 100 AS ok, 'as many flights' AS check FROM flights;"


class OnPostgres:
    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster, self._folder = cluster, folder
        cluster.execute(CONTENT, "app")
        cluster.execute("SELECT 1;" + CONTENT, "app_next")
        cluster.execute("ALTER DATABASE app RENAME TO app_previous")
        (folder / "totals.sql").write_text(TOTALS)
        self._plan()

    def _plan(self, query: str = QUERY, *, new: str = QUERY, allowed: float = 1e6, **how: float) -> None:
        """`allowed`: times as long on new as on old, so that no load of this machine decides."""
        rows = "SELECT id, v FROM flights"
        self.validation: Validation = PostgresValidation(
            replace(self._cluster.server(folder=self._folder / "state"), **how),
            [Comparison("flights", rows, rows, ("id",))],
            {},
            {"totals": self._folder / "totals.sql"},
            self._folder / "differences",
            queries=[TimedQuery("overview", query, new, allowed)],
        )

    def break_it(self, what: str) -> None:
        match what:
            case "check_coverage":
                self._cluster.execute("CREATE TABLE unread (id int)", "app_previous")
            case "check_query:overview":
                self._plan("SELECT v FROM nowhere")
            case "time_query:overview":
                self._plan(new="SELECT v, pg_sleep(0.02) FROM flights LIMIT 3", allowed=0)
            case _:
                self._cluster.execute(BREAK[what], "app_next")

    def close_old(self) -> None:
        self._cluster.execute("ALTER DATABASE app_previous ALLOW_CONNECTIONS false")
        self._plan(reach_seconds=0)  # it will not open

    def lift_fence(self) -> None:
        self._cluster.execute("ALTER DATABASE app_previous RENAME TO app")


class ValidationContract:
    async def test_what_is_right_passes_with_what_was_seen_and_again(self, rig: Rig) -> None:
        for what, keys in FINE.items():
            for _ in range(2):
                evidence = await ask(rig.validation, what)
                assert evidence.keys() == keys, what
                json.dumps(dict(evidence))

    async def test_content_that_is_the_same_differs_in_nothing(self, rig: Rig) -> None:
        evidence = await rig.validation.compare(ATTEMPT_ID, "flights")
        assert (evidence["differing"], evidence["rows_new"]) == (0, evidence["rows_old"])
        assert (await rig.validation.check_script(ATTEMPT_ID, "totals"))["failed"] == []
        coverage = await rig.validation.check_coverage(ATTEMPT_ID)
        assert coverage["compared"] == {"public.flights": ["flights"]}

    @pytest.mark.parametrize("what", WRONG)
    async def test_what_is_wrong_fails_with_its_evidence(self, rig: Rig, what: str) -> None:
        rig.break_it(what)
        with pytest.raises(CheckFailed) as failed:
            await ask(rig.validation, what)
        assert failed.value.evidence.keys() == WRONG[what]
        assert str(failed.value)
        json.dumps(failed.value.evidence)

    async def test_differing_content_is_counted_and_named_without_its_values(self, rig: Rig) -> None:
        rig.break_it("compare:flights")
        with pytest.raises(CheckFailed, match="flights") as failed:
            await rig.validation.compare(ATTEMPT_ID, "flights")
        evidence = failed.value.evidence
        assert (evidence["missing"], evidence["extra"], evidence["changed"]) == (0, 0, 1)
        assert [(each["kind"], [*each["key"]], each["columns"]) for each in evidence["keys"]] == [("changed", ["id"], ["v"])]
        assert Path(evidence["file"]).stem == evidence["sha256"]

    async def test_while_old_is_closed_nothing_can_be_asked_of_it(self, rig: Rig) -> None:
        rig.close_old()
        for what in OF_FENCED_OLD:
            with pytest.raises(OutcomeUnknown):
                await ask(rig.validation, what)

    async def test_before_the_fence_production_is_asked(self, rig: Rig) -> None:
        rig.lift_fence()
        for what in BEFORE_THE_FENCE:
            assert (await ask(rig.validation, what)).keys() == FINE[what], what


class TestInMemory(ValidationContract):
    @pytest.fixture
    def rig(self) -> Rig:
        return InMemory()


class TestOnPostgres(ValidationContract):
    @pytest.fixture
    async def rig(self, cluster: Cluster, tmp_path: Path) -> Rig:
        await make_site(cluster, tmp_path)
        return OnPostgres(cluster, tmp_path)

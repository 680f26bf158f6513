"""The contract of `Scripts`, on the one in memory and through psql; its probes on the recorder of the loop's tests too.

What psql makes of a file, and a schema that is built, the one in memory cannot show: that is in tests/integration/scripts and
tests/integration/confiture. The recorder keeps no other promise: it answers what a test of the loop tells it to.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest
from fakes.recording_ports import World as Recorder
from fakes.world import World
from support.new_database import Site, make_site
from support.servers import Cluster

from cutoverd.daemon.postgres.scripts.scripts import DataScript
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.states.errors import CheckFailed, NotLeader, OutcomeUnknown, StepError
from cutoverd.states.ports import AttemptId, Direction, Found, Scripts

SCHEMA = AttemptId("r1", 1, "schema.apply_schema", Direction.FORWARD, "e1")
LOAD = AttemptId("r1", 1, "data.run_script:load", Direction.FORWARD, "e2")
INDEX = AttemptId("r1", 1, "data.run_script:index", Direction.FORWARD, "e3")


def later(attempt_id: AttemptId, epoch: int = 1) -> AttemptId:
    """The next attempt at the same step."""
    return replace(attempt_id, event_id="later", epoch=epoch)


class Rig(Protocol):
    """Script `load` runs in a transaction, `index` cannot and has a probe; each inserts one row, as does the schema."""

    scripts: Scripts

    def effects(self) -> int:
        """How often anything has taken effect."""

    def break_it(self, what: str) -> None:
        """`schema`, `load`, `index`: their file fails after it has inserted; `COMMIT`: it cannot be run in our transaction."""

    def mend_it(self, what: str) -> None: ...

    def mute(self) -> None:
        """The probe of `index` answers neither yes nor no."""

    def close_new(self) -> None: ...

    def supersede(self) -> None:
        """A daemon of epoch 2 has the fence."""


class InMemory:
    def __init__(self) -> None:
        self._world = World({"data_scripts": ["load", "index"]}, {}, {}, built=True, epoch=1)
        self.scripts = self._world.ports().scripts

    def effects(self) -> int:
        return self._world.effects.total()

    def break_it(self, what: str) -> None:
        self._world.wrong.add({"schema": "apply_schema", "COMMIT": "check_files"}.get(what, f"run_script:{what}"))

    def mend_it(self, what: str) -> None:
        self._world.wrong.clear()

    def mute(self) -> None:
        self._world.wrong.add("probe_script:index")

    def close_new(self) -> None:
        self._world.new_closed = True

    def supersede(self) -> None:
        self._world.epoch = 2


WORK = {
    "schema": "INSERT INTO public.witness VALUES ('schema');\n",
    "load": "INSERT INTO public.witness VALUES ('load');\n",
    "index": "-- cutoverd: no-transaction\nINSERT INTO public.witness VALUES ('index');\n",
}
PROBE = "SELECT EXISTS (SELECT FROM public.witness WHERE name = 'index')"


class OnPostgres:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._files = {name: site.file(f"{name}.sql", work) for name, work in WORK.items()}
        self._plan(PROBE, site.server)

    def _plan(self, probe: str, server: Server) -> None:
        data = [DataScript("load", self._files["load"]), DataScript("index", self._files["index"], probe)]
        self.scripts: Scripts = self._site.scripts([self._files["schema"]], data, server=server)

    def effects(self) -> int:
        return len(self._site.witnessed())

    def break_it(self, what: str) -> None:
        if what == "COMMIT":
            self._files["schema"].write_text(f"{WORK['schema']}COMMIT;\n")
        else:
            self._files[what].write_text(f"{WORK[what]}SELECT 1/0;\n")

    def mend_it(self, what: str) -> None:
        self._files[what].write_text(WORK[what])

    def mute(self) -> None:
        self._plan("SELECT NULL::boolean", self._site.server)

    def close_new(self) -> None:
        self._site.execute("ALTER DATABASE app_next ALLOW_CONNECTIONS false")
        self._plan(PROBE, replace(self._site.server, reach_seconds=0))  # it will not open

    def supersede(self) -> None:
        for database in ("cutoverd", "app_next"):
            self._site.execute("UPDATE cutoverd.fence SET epoch = 2", database)


class ScriptsContract:
    async def test_files_that_can_be_run_are_counted(self, rig: Rig) -> None:
        assert (await rig.scripts.check_files())["files"] == 3

    async def test_a_file_that_cannot_be_run_is_named_with_its_line(self, rig: Rig) -> None:
        rig.break_it("COMMIT")
        with pytest.raises(CheckFailed, match=r"schema\.sql:2") as failed:
            await rig.scripts.check_files()
        [finding] = failed.value.evidence["findings"]
        assert "schema.sql:2: COMMIT" in finding

    async def test_each_takes_effect_once_and_a_repeat_says_that_it_was_done(self, rig: Rig) -> None:
        schema = [await rig.scripts.apply_schema(attempt_id, "") for attempt_id in (SCHEMA, later(SCHEMA))]
        assert [(evidence["files"], evidence["already_done"]) for evidence in schema] == [(1, False), (1, True)]
        for name, attempt_id in (("load", LOAD), ("index", INDEX)):
            evidence = [await rig.scripts.run_script(each, name) for each in (attempt_id, later(attempt_id))]
            assert [each["already_done"] for each in evidence] == [False, True], name
        assert rig.effects() == 3

    async def test_two_at_once_take_effect_once(self, rig: Rig) -> None:
        both = await asyncio.gather(rig.scripts.apply_schema(SCHEMA, ""), rig.scripts.apply_schema(later(SCHEMA), ""))
        assert sorted(evidence["already_done"] for evidence in both) == [False, True]
        assert rig.effects() == 1

    async def test_a_schema_that_fails_leaves_nothing_and_is_applied_once_it_is_mended(self, rig: Rig) -> None:
        rig.break_it("schema")
        with pytest.raises(StepError, match="division by zero"):
            await rig.scripts.apply_schema(SCHEMA, "")
        assert rig.effects() == 0
        rig.mend_it("schema")
        assert (await rig.scripts.apply_schema(later(SCHEMA), ""))["already_done"] is False

    async def test_a_script_that_fails_leaves_nothing_and_its_probe_says_so(self, rig: Rig) -> None:
        await rig.scripts.apply_schema(SCHEMA, "")
        rig.break_it("load")
        with pytest.raises(StepError, match="division by zero"):
            await rig.scripts.run_script(LOAD, "load")
        assert (await rig.scripts.probe_script(LOAD, "load")).found is Found.ABSENT
        assert rig.effects() == 1
        rig.mend_it("load")
        assert (await rig.scripts.run_script(later(LOAD), "load"))["already_done"] is False

    @pytest.mark.parametrize(("name", "attempt_id"), [("load", LOAD), ("index", INDEX)])
    async def test_a_probe_tells_what_was_done_from_what_was_not(self, rig: Rig, name: str, attempt_id: AttemptId) -> None:
        await rig.scripts.apply_schema(SCHEMA, "")
        assert (await rig.scripts.probe_script(attempt_id, name)).found is Found.ABSENT
        await rig.scripts.run_script(attempt_id, name)
        assert (await rig.scripts.probe_script(later(attempt_id, epoch=2), name)).found is Found.PRESENT

    async def test_a_probe_that_cannot_answer_says_unknown_and_nothing_is_run(self, rig: Rig) -> None:
        await rig.scripts.apply_schema(SCHEMA, "")
        rig.mute()
        probed = await rig.scripts.probe_script(INDEX, "index")
        assert (probed.found, "error" in probed.evidence) == (Found.UNKNOWN, True)
        with pytest.raises(OutcomeUnknown):
            await rig.scripts.run_script(INDEX, "index")
        assert rig.effects() == 1

    async def test_while_new_cannot_be_reached_nothing_is_known(self, rig: Rig) -> None:
        await rig.scripts.apply_schema(SCHEMA, "")
        rig.close_new()
        for name, attempt_id in (("load", LOAD), ("index", INDEX)):
            probed = await rig.scripts.probe_script(attempt_id, name)
            assert (probed.found, "app_next" in probed.evidence["error"]) == (Found.UNKNOWN, True), name
        with pytest.raises(OutcomeUnknown, match="app_next"):
            await rig.scripts.run_script(LOAD, "load")

    async def test_a_stale_daemon_runs_nothing(self, rig: Rig) -> None:
        rig.supersede()
        with pytest.raises(NotLeader):
            await rig.scripts.apply_schema(SCHEMA, "")
        await rig.scripts.apply_schema(later(SCHEMA, epoch=2), "")
        for name, attempt_id in (("load", LOAD), ("index", INDEX)):
            with pytest.raises(NotLeader):
                await rig.scripts.run_script(attempt_id, name)
        assert rig.effects() == 1


class TestInMemory(ScriptsContract):
    @pytest.fixture
    def rig(self) -> Rig:
        return InMemory()


class TestThroughPsql(ScriptsContract):
    @pytest.fixture
    async def rig(self, cluster: Cluster, tmp_path: Path) -> Rig:
        return OnPostgres(await make_site(cluster, tmp_path))


class TestRecorder:
    """Of the loop's tests: its probes alone."""

    async def test_a_probe_tells_what_was_done_from_what_was_not(self) -> None:
        scripts = Recorder().ports().scripts
        assert (await scripts.probe_script(LOAD, "load")).found is Found.ABSENT
        await scripts.run_script(LOAD, "load")
        assert (await scripts.probe_script(later(LOAD), "load")).found is Found.PRESENT

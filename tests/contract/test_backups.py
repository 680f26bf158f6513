"""The contract of `Backups`, on the one in memory and by pg_dump.

Which process is ended, and what is restored and counted, the one in memory cannot show: it has names of dumps alone. That is in
tests/integration/backup and tests/fault.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest
from fakes.world import World
from support.new_database import Site, make_site
from support.servers import Cluster

from cutoverd.daemon.postgres.backup.backups import PgDump
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.states.errors import NotLeader, StepError, Unfit
from cutoverd.states.ports import AttemptId, Backups, Direction


def attempt_id(step: str, epoch: int = 1) -> AttemptId:
    return AttemptId("r1", epoch, step, Direction.FORWARD, f"{step}-{epoch}")


PROVE, CLEAR = attempt_id("precheck.prove_backup"), attempt_id("precheck.prove_backup")
START, FINISH = attempt_id("schema.start_backup"), attempt_id("validate.finish_backup")


class Rig(Protocol):
    async def led_by(self, epoch: int) -> Backups:
        """As a new daemon of that epoch sees them."""

    def kept(self) -> list[str]:
        """Names of whole dumps and of unfinished ones."""

    def databases(self) -> set[str]:
        """Those that a proof makes."""

    def fence(self) -> None: ...

    def break_proof(self) -> None: ...

    def mend_proof(self) -> None: ...

    def forbid_reading(self) -> None:
        """Something that our role may not read is in production."""

    def left_by_a_kill(self, kind: str) -> None:
        """`proof` or `final`: a daemon of epoch 1 was killed while it took that one."""


class InMemory:
    def __init__(self) -> None:
        self._world = World({}, {}, {})

    async def led_by(self, epoch: int) -> Backups:
        self._world.epoch = epoch
        return self._world.ports().backups

    def kept(self) -> list[str]:
        unfinished = [each for each in self._world.unfinished_proof if each != "app_try"]
        return [*self._world.dumps, *unfinished, *(["final.part"] if self._world.dumping else [])]

    def databases(self) -> set[str]:
        return {"app_try"} & {*self._world.unfinished_proof, *(["app_try"] if self._world.copy else [])}

    def fence(self) -> None:
        self._world.fenced = True

    def break_proof(self) -> None:
        self._world.wrong.add("prove")

    def mend_proof(self) -> None:
        self._world.wrong.clear()

    def forbid_reading(self) -> None:
        self._world.wrong.add("dumpable")

    def left_by_a_kill(self, kind: str) -> None:
        if kind == "proof":
            self._world.unfinished_proof = ["app_try", "r1-before.part"]
        else:
            self._world.dumping = True


class ByPgDump:
    def __init__(self, site: Site) -> None:
        self._site, self._directory = site, site.folder / "backups"
        site.execute("DROP DATABASE app_next")
        site.execute("SET ROLE app_owner; CREATE TABLE t AS SELECT n FROM generate_series(1, 10) n", "app")

    async def led_by(self, epoch: int) -> Backups:
        server = self._site.cluster.server(epoch=epoch, folder=self._site.server.folder)
        await ledger.acquire_fence(server)
        return PgDump(server, self._directory, 1, self._site.scripts([]), evict_seconds=20)

    def kept(self) -> list[str]:
        return sorted(each.name for each in self._directory.iterdir()) if self._directory.exists() else []

    def databases(self) -> set[str]:
        return {name for (name,) in self._site.execute("SELECT datname FROM pg_database WHERE starts_with(datname, 'app_try')")}

    def fence(self) -> None:
        self._site.execute("ALTER DATABASE app RENAME TO app_previous")

    def break_proof(self) -> None:
        self._site.execute("REVOKE pg_read_all_data FROM cutover")
        self._site.execute("CREATE SCHEMA hidden; CREATE TABLE hidden.t ()", "app")

    def mend_proof(self) -> None:
        self._site.execute("DROP SCHEMA hidden CASCADE", "app")

    def forbid_reading(self) -> None:
        self._site.execute("SELECT lo_from_bytea(7, 'a superuser''s')", "app")

    def left_by_a_kill(self, kind: str) -> None:
        name = {"proof": "before", "final": "final"}[kind]
        (self._directory / f"r1-{name}-20260101T000000.000000Z.1.part").mkdir(parents=True)
        if kind == "proof":
            self._site.execute("INSERT INTO cutoverd.announced (run, name, epoch) VALUES ('r1', 'app_try', 1)", "cutoverd")
            self._site.execute("CREATE DATABASE app_try OWNER cutover TEMPLATE template0")


class BackupsContract:
    async def test_room_is_seen_and_a_lack_of_it_is_unfit(self, rig: Rig) -> None:
        backups = await rig.led_by(1)
        evidence = await backups.check_room(attempt_id("precheck.check_room"), None)
        assert evidence["backup"].keys() == {"folder", "needed_bytes", "free_bytes"}
        assert evidence.keys() == {"production_bytes", "backup", "data", "wal", "warnings"}
        rehearsing = await backups.check_room(attempt_id("precheck.check_room"), None, rehearses=True)
        assert 2 * rehearsing["data"]["needed_bytes"] == 3 * evidence["data"]["needed_bytes"]
        assert (await backups.check_room(attempt_id("precheck.check_room"), 4096))["backup"]["needed_bytes"] == 4096
        with pytest.raises(Unfit, match="too little disk") as unfit:
            await backups.check_room(attempt_id("precheck.check_room"), 10**18)
        assert len(unfit.value.evidence["reasons"]) == 1

    async def test_what_our_role_may_not_read_is_a_reason_before_anything_is_dumped(self, rig: Rig) -> None:
        backups = await rig.led_by(1)
        assert (await backups.check_dumpable(attempt_id("precheck.check_dumpable"))).keys() == {"warnings", "left_out"}
        rig.forbid_reading()
        with pytest.raises(Unfit, match=r"large object 7 .*may not be read") as unfit:
            await backups.check_dumpable(attempt_id("precheck.check_dumpable"))
        assert len(unfit.value.evidence["reasons"]) == 1
        assert rig.kept() == []

    async def test_a_proof_leaves_a_whole_dump_and_the_copy_and_so_does_the_next(self, rig: Rig) -> None:
        backups = await rig.led_by(1)
        first = await backups.prove(PROVE)
        assert first.keys() >= {"file", "bytes", "tables", "rows", "parts", "copy", "warnings"}
        assert (rig.kept(), rig.databases()) == ([Path(first["file"]).name], {"app_try"})
        again = await rig.led_by(2)
        second = await again.prove(attempt_id("precheck.prove_backup", 2))
        assert rig.kept() == sorted(Path(each["file"]).name for each in (first, second))
        assert rig.databases() == {"app_try"}
        assert (await again.check_copy(attempt_id("precheck.check_copy", 2), second))["rows"] == second["rows"]
        assert await again.clear(attempt_id("precheck.drop_copy", 2)) == {"removed": ["app_try"]}

    async def test_a_proof_that_fails_leaves_nothing_and_can_be_taken_again(self, rig: Rig) -> None:
        backups = await rig.led_by(1)
        rig.break_proof()
        with pytest.raises(StepError):
            await backups.prove(PROVE)
        assert (rig.kept(), rig.databases()) == ([], set())
        rig.mend_proof()
        rig.left_by_a_kill("proof")
        proven = await backups.prove(PROVE)
        assert (rig.kept(), rig.databases()) == ([Path(proven["file"]).name], {"app_try"})

    async def test_clear_removes_what_a_kill_has_left_and_keeps_what_is_whole(self, rig: Rig) -> None:
        backups = await rig.led_by(1)
        assert await backups.clear(CLEAR) == {"removed": []}
        rig.left_by_a_kill("proof")
        left = [*rig.databases(), *rig.kept()]
        assert len(left) == 2
        assert await backups.clear(CLEAR) == {"removed": left}
        assert (await backups.clear(CLEAR), rig.kept(), rig.databases()) == ({"removed": []}, [], set())

    async def test_a_stale_daemon_neither_proves_nor_clears(self, rig: Rig) -> None:
        stale, _ = await rig.led_by(1), await rig.led_by(2)
        for operation in (stale.prove, stale.clear):
            with pytest.raises(NotLeader):
                await operation(PROVE)
        assert (rig.kept(), rig.databases()) == ([], set())

    async def test_a_rehearsal_is_on_record_once_it_was_recorded(self, rig: Rig) -> None:
        backups = await rig.led_by(1)
        found = await backups.find_rehearsal(attempt_id("find_rehearsal"))
        assert (found["on_record"], bool(found["identity"])) == (None, True)
        await backups.record_rehearsal(attempt_id("record_rehearsal"), found["identity"], {"data.run_script:a.sql": 1.5}, {})
        again = await backups.find_rehearsal(attempt_id("find_rehearsal"))
        assert again["identity"] == found["identity"]
        assert again["on_record"]["seconds"] == {"data.run_script:a.sql": 1.5}
        assert (again["on_record"]["place"], again["on_record"]["is_elsewhere"]) == ("", False), "where its seconds count"

    async def test_what_was_rehearsed_is_asked_again_before_the_window(self, rig: Rig) -> None:
        backups = await rig.led_by(1)
        found = await backups.find_rehearsal(attempt_id("find_rehearsal"))
        with pytest.raises(Unfit):
            await backups.check_rehearsal(attempt_id("check_rehearsal"), found["identity"])
        await backups.record_rehearsal(attempt_id("record_rehearsal"), found["identity"], {"data.run_script:a.sql": 1.5}, {})
        assert (await backups.check_rehearsal(attempt_id("check_rehearsal"), found["identity"])).keys() == {"age_seconds"}

    async def test_a_stale_daemon_records_no_rehearsal(self, rig: Rig) -> None:
        stale, _ = await rig.led_by(1), await rig.led_by(2)
        with pytest.raises(NotLeader):
            await stale.record_rehearsal(attempt_id("record_rehearsal"), "of these files", {"a": 1.0}, {})

    async def test_a_final_dump_that_was_begun_is_finished_once(self, rig: Rig) -> None:
        backups = await rig.led_by(1)
        rig.fence()
        started = await backups.start(START)
        assert (await backups.start(START), started["already_done"]) == (started, False)
        finished = await backups.finish(FINISH)
        assert (finished["file"], finished["bytes"] > 0) == (started["file"], True)
        whole = [Path(finished["file"]).name]
        assert rig.kept() == whole
        for later in (backups, await rig.led_by(2)):
            assert (await later.finish(FINISH))["file"] == finished["file"]
            assert await later.start(START) == {"file": finished["file"], "already_done": True}
            assert await later.end(START) == {"removed": []}
        assert rig.kept() == whole

    async def test_finish_takes_the_dump_now_if_the_daemon_that_began_it_is_gone(self, rig: Rig) -> None:
        rig.fence()
        rig.left_by_a_kill("final")
        finished = await (await rig.led_by(2)).finish(FINISH)
        assert (rig.kept(), finished["bytes"] > 0) == ([Path(finished["file"]).name], True)

    async def test_end_removes_what_is_not_finished_and_is_fine_without_a_start(self, rig: Rig) -> None:
        backups = await rig.led_by(1)
        rig.fence()
        assert await backups.end(START) == {"removed": []}
        await backups.start(START)
        await backups.end(START)
        assert rig.kept() == []
        rig.left_by_a_kill("final")
        assert len((await (await rig.led_by(2)).end(attempt_id("schema.start_backup", 2)))["removed"]) == 1
        assert rig.kept() == []
        assert (await backups.finish(FINISH))["bytes"] > 0, "taken anew"


class TestInMemory(BackupsContract):
    @pytest.fixture
    def rig(self) -> Rig:
        return InMemory()


class TestByPgDump(BackupsContract):
    @pytest.fixture
    async def rig(self, cluster: Cluster, tmp_path: Path) -> Rig:
        return ByPgDump(await make_site(cluster, tmp_path))

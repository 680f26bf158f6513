"""The contract of `Databases`, on the one in memory and on a real cluster.

Who does not leave a database, and what a clone carries or a lifted fence gives back to the byte, the one in memory cannot show:
it has no sessions and no content. That is in tests/integration/databases and tests/fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import pytest
from fakes.world import World
from support.production import attempt_id, back, furnish, lead
from support.servers import Cluster

from cutoverd.daemon.postgres.databases import clone, fence, swap
from cutoverd.states.errors import CheckFailed, NotLeader, StepError, Unfit, Unproven
from cutoverd.states.ports import Databases, Evidence

THERE = {  # what each operation makes of the names, and who gets in
    "make_placeholder": {"app": "old open", "app_closed": "placeholder closed"},
    "fence": {"app": "placeholder closed", "app_previous": "old closed"},
    "build_new": {"app": "placeholder closed", "app_previous": "old closed", "app_next": "new ours"},
    "open_old": {"app": "placeholder closed", "app_previous": "old ours", "app_next": "new ours"},
    "close_old": {"app": "placeholder closed", "app_previous": "old closed", "app_next": "new ours"},
    "exchange": {"app": "new open", "app_previous": "old closed", "app_closed": "placeholder closed"},
}
BACK = {  # as Rollback undoes them, newest first
    "exchange_back": {"app": "placeholder closed", "app_previous": "old closed", "app_next": "new closed"},
    "close_old": {"app": "placeholder closed", "app_previous": "old closed", "app_next": "new closed"},
    "keep_new": {"app": "placeholder closed", "app_previous": "old closed", "app_next": "new closed"},
    "lift_fence": {"app": "old open", "app_next": "new closed", "app_closed": "placeholder closed"},
}
UNTOUCHED = {"app": "old open"}


class Killed(Exception):
    """the daemon is gone"""


class Rig(Protocol):
    async def led_by(self, epoch: int) -> Databases:
        """As the daemon of that epoch sees them, once it has the fence."""

    def names(self) -> dict[str, str]: ...

    def take(self, *names: str) -> None:
        """Somebody else makes databases of these names."""

    async def killed_half_way(self, operation: str) -> None: ...

    def found(self) -> dict[str, dict[str, Any]]:
        """What is on record as it was before the window, by the step that looked."""

    async def write_to_old(self) -> None:
        """As somebody does whom no fence keeps out; returns when it is counted."""

    def reset_counters(self) -> None: ...

    def shut_out(self) -> None:
        """app_user may not connect to production any more."""

    def write_to_new(self) -> None:
        """A client, to table store.machine."""


class InMemory:
    def __init__(self) -> None:
        self._world = World({}, {}, {})

    async def led_by(self, epoch: int) -> Databases:
        self._world.epoch = epoch
        return self._world.ports().databases

    def names(self) -> dict[str, str]:
        return self._world.ports().databases.names()  # type: ignore[attr-defined]

    def take(self, *names: str) -> None:
        self._world.taken_names |= set(names)

    def found(self) -> dict[str, dict[str, Any]]:
        return self._world.found

    async def killed_half_way(self, operation: str) -> None:
        match operation:
            case "fence":
                self._world.was_fenced = self._world.production_closed = True
            case "build_new":
                self._world.unfinished_build = "app_b1"
            case "exchange":
                self._world.new_closed = True

    async def write_to_old(self) -> None:
        self._world.old_written = self._world.counted = True

    def reset_counters(self) -> None:
        self._world.counters_reset = True

    def shut_out(self) -> None:
        self._world.wrong.add("check_logins")

    def write_to_new(self) -> None:
        self._world.new_written.add("store.machine")


NAMES = """
SELECT d.datname, coalesce(o.role, CASE d.oid WHEN {old} THEN 'old' END),
       CASE WHEN NOT d.datallowconn THEN 'closed'
            WHEN has_database_privilege('app_user', d.oid, 'CONNECT') THEN 'open' ELSE 'ours' END
FROM pg_database d LEFT JOIN cutoverd.database_oids o ON o.oid = d.oid WHERE starts_with(d.datname, 'app')
"""
COUNTED = "SELECT tup_deleted FROM pg_stat_database WHERE datname = 'app_previous'"


class OnPostgres:
    def __init__(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        cluster.execute("ALTER SYSTEM SET autovacuum = off")  # what it moves while old is opened leaves that unproven
        cluster.execute("SELECT pg_reload_conf()")
        furnish(cluster)
        [(self._old,)] = cluster.execute("SELECT oid FROM pg_database WHERE datname = 'app'")
        self._cluster, self._monkeypatch, self._taken = cluster, monkeypatch, set[str]()

    async def led_by(self, epoch: int) -> Databases:
        return await lead(self._cluster, epoch, evict_seconds=10)

    def names(self) -> dict[str, str]:
        rows = self._cluster.execute(NAMES.format(old=self._old), "cutoverd")
        return {name: f"{role} {lets_in}" if role else "unfinished" for name, role, lets_in in rows if name not in self._taken}

    def take(self, *names: str) -> None:
        for name in names:
            self._cluster.execute(f"CREATE DATABASE {name} TEMPLATE template0")
            self._taken.add(name)

    def found(self) -> dict[str, dict[str, Any]]:
        return dict(self._cluster.execute("SELECT step, evidence FROM cutoverd.found WHERE run = 'r1'", "cutoverd"))

    async def killed_half_way(self, operation: str) -> None:
        module, then = {
            "fence": (fence, "retry_until_empty"),
            "build_new": (clone, "_furnish"),
            "exchange": (swap, "retry_until_empty"),
        }[operation]
        databases = await self.led_by(1)
        with self._monkeypatch.context() as patch:
            patch.setattr(module, then, killed)
            with pytest.raises(Killed):
                await getattr(databases, operation)(attempt_id(operation))

    async def write_to_old(self) -> None:
        cluster = self._cluster
        cluster.execute("ALTER DATABASE app_previous ALLOW_CONNECTIONS true")
        cluster.execute("SET transaction_read_only = off; DELETE FROM store.machine", "app_previous")
        cluster.execute("ALTER DATABASE app_previous ALLOW_CONNECTIONS false")
        await until(lambda: cluster.execute(COUNTED)[0][0] >= 500)

    def reset_counters(self) -> None:
        self._cluster.kill()
        self._cluster.start()

    def shut_out(self) -> None:
        self._cluster.execute("REVOKE CONNECT ON DATABASE app FROM PUBLIC, app_user, reader, lender CASCADE")

    def write_to_new(self) -> None:
        self._cluster.execute("INSERT INTO store.machine (serial) VALUES ('of a client')", "app")


def killed(*_: object, **__: object) -> None:
    raise Killed


async def until(true: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)


async def go_to(databases: Databases, last: str, epoch: int = 1) -> None:
    for operation in [*THERE][: [*THERE].index(last) + 1]:
        await getattr(databases, operation)(attempt_id(operation, epoch=epoch))


async def go_back(databases: Databases, epoch: int = 1) -> dict[str, Evidence]:
    return {operation: await getattr(databases, operation)(back(operation, epoch=epoch)) for operation in BACK}


class DatabasesContract:
    async def test_each_operation_gives_the_names_that_it_promises_and_a_repeat_finds_it_done(self, rig: Rig) -> None:
        databases, evidence = await rig.led_by(1), dict[str, Any]()
        for stages, mark in ((THERE, attempt_id), (BACK, back)):
            for operation, names in stages.items():
                evidence[mark(operation)] = await getattr(databases, operation)(mark(operation))
                assert rig.names() == names, operation
                assert await getattr(databases, operation)(mark(operation)) == evidence[mark(operation)], operation
                assert rig.names() == names, f"{operation} once more"
                assert await databases.leftovers() == {"databases": sorted({*names} - {"app"})}
        self.check_evidence(
            [evidence[attempt_id(operation)] for operation in THERE], {name: evidence[back(name)] for name in BACK}
        )

    async def test_what_was_found_last_is_on_record_and_only_the_leader_says_it(self, rig: Rig) -> None:
        first = await rig.led_by(1)
        await first.keep_found(attempt_id("downtime.record_service:api"), {"running": False})
        await first.keep_found(attempt_id("downtime.record_service:api"), {"running": True})
        await rig.led_by(2)
        with pytest.raises(NotLeader):
            await first.keep_found(attempt_id("downtime.record_door:door"), {"open": False})
        assert rig.found() == {"downtime.record_service:api": {"running": True}}

    def check_evidence(self, there: list[Evidence], went_back: dict[str, Evidence]) -> None:
        _, fenced, built, _, _, exchanged = there
        names = ["app_closed", "app_previous", "app_next", "app_previous", "app_previous", "app"]
        assert [evidence["database"] for evidence in there] == names
        assert built.keys() >= {"oid", "bytes", "clone_seconds", "not_carried"}
        assert (fenced["sessions_ended"], exchanged["differs"]) == (0, [])
        assert (went_back["exchange_back"]["left_over"], went_back["keep_new"]["left_over"]) == (["app_next"], ["app_next"])
        assert (went_back["lift_fence"]["database"], went_back["lift_fence"]["differs"]) == ("app", [])

    async def test_a_stale_daemon_is_refused_and_changes_nothing(self, rig: Rig) -> None:
        stale, databases = await rig.led_by(1), await rig.led_by(2)
        for stages, mark in ((THERE, attempt_id), (BACK, back)):
            for operation in stages:
                for _ in ("before", "after"):
                    names = rig.names()
                    with pytest.raises(NotLeader):
                        await getattr(stale, operation)(mark(operation))
                    assert rig.names() == names, operation
                    await getattr(databases, operation)(mark(operation, epoch=2))
        with pytest.raises(NotLeader):
            await stale.drop_placeholder(back("make_placeholder"))

    async def test_where_nothing_was_begun_there_is_nothing_to_undo(self, rig: Rig) -> None:
        databases = await rig.led_by(1)
        evidence = await go_back(databases)
        assert evidence["exchange_back"]["nothing_exchanged"]
        assert evidence["close_old"]["nothing_to_close"]
        assert evidence["keep_new"]["left_over"] == []
        assert evidence["lift_fence"]["nothing_to_lift"]
        assert (await databases.written(back("exchange")))["tables"] == {}
        assert await databases.drop_placeholder(back("make_placeholder")) == {"dropped": []}
        assert (rig.names(), await databases.leftovers()) == (UNTOUCHED, {"databases": []})

    @pytest.mark.parametrize("last", ["make_placeholder", "open_old"])
    async def test_the_fence_is_lifted_from_wherever_the_run_has_got_to(self, rig: Rig, last: str) -> None:
        databases = await rig.led_by(1)
        await go_to(databases, last)
        await go_back(databases)
        new = {"app_next": "new closed"} if last == "open_old" else {}
        assert rig.names() == {**THERE["make_placeholder"], **new}

    async def test_a_fence_that_got_half_way_is_lifted_or_finished(self, rig: Rig) -> None:
        databases = await rig.led_by(1)
        await go_to(databases, "make_placeholder")
        await rig.killed_half_way("fence")
        assert rig.names()["app"] == "old closed"
        assert (await databases.lift_fence(back("fence")))["database"] == "app"
        assert rig.names() == THERE["make_placeholder"]
        await rig.killed_half_way("fence")
        await databases.fence(attempt_id("fence"))
        assert rig.names() == THERE["fence"]

    async def test_a_clone_that_got_half_way_is_left_over_or_made_anew(self, rig: Rig) -> None:
        databases = await rig.led_by(1)
        await go_to(databases, "fence")
        await rig.killed_half_way("build_new")
        assert rig.names() == {**THERE["fence"], "app_b1": "unfinished"}
        assert await databases.leftovers() == {"databases": ["app_b1", "app_previous"]}
        assert (await databases.keep_new(back("build_new")))["left_over"] == ["app_b1"]
        await (await rig.led_by(2)).build_new(attempt_id("build_new", epoch=2))
        assert rig.names() == THERE["build_new"]

    async def test_the_placeholder_is_dropped_only_while_it_is_one_and_no_fence_does_without(self, rig: Rig) -> None:
        databases = await rig.led_by(1)
        await go_to(databases, "fence")
        with pytest.raises(StepError, match="in use"):
            await databases.drop_placeholder(back("make_placeholder"))
        assert rig.names() == THERE["fence"]
        await databases.lift_fence(back("fence"))
        assert await databases.drop_placeholder(back("make_placeholder")) == {"dropped": ["app_closed"]}
        assert await databases.drop_placeholder(back("make_placeholder")) == {"dropped": []}
        with pytest.raises(Unfit, match="placeholder is missing"):
            await databases.fence(attempt_id("fence"))
        assert rig.names() == UNTOUCHED

    async def test_what_comes_before_its_time_is_refused_and_changes_nothing(self, rig: Rig) -> None:
        databases = await rig.led_by(1)
        for operation in ("build_new", "open_old", "exchange", "record_position", "check_logins"):
            with pytest.raises(StepError):
                await getattr(databases, operation)(attempt_id(operation))
        with pytest.raises(StepError, match="no fenced app_previous"):
            await databases.check_unchanged(attempt_id("check_unchanged"), {"lsn": "0/1", "counters": {}, "stats_reset": None})
        assert rig.names() == UNTOUCHED

    async def test_a_name_that_somebody_else_has_is_never_taken(self, rig: Rig) -> None:
        databases = await rig.led_by(1)
        await databases.check_fit(attempt_id("check_fit"))
        await databases.make_placeholder(attempt_id("make_placeholder"))
        assert (await databases.check_fit(attempt_id("check_fit"))).keys() >= {"server_version", "not_carried", "warnings"}
        rig.take("app_next", "app_previous")
        with pytest.raises(Unfit, match=r"app_next is in the way of run r1.*app_previous is in the way") as unfit:
            await databases.check_fit(attempt_id("check_fit"))
        assert len(unfit.value.evidence["reasons"]) == 2
        with pytest.raises(StepError, match="app_previous"):
            await databases.fence(attempt_id("fence"))
        assert rig.names() == THERE["make_placeholder"], "production lets clients in again"

    async def test_a_placeholder_that_somebody_else_made_is_none(self, rig: Rig) -> None:
        databases = await rig.led_by(1)
        rig.take("app_closed")
        with pytest.raises(Unfit, match="app_closed already"):
            await databases.make_placeholder(attempt_id("make_placeholder"))
        assert await databases.drop_placeholder(back("make_placeholder")) == {"dropped": []}
        assert rig.names() == UNTOUCHED

    async def test_names_change_hands_only_while_old_is_closed_and_unwritten(self, rig: Rig) -> None:
        databases = await rig.led_by(1)
        await go_to(databases, "fence")
        position = await databases.record_position(attempt_id("record_position"))
        assert position.keys() >= {"lsn", "counters", "stats_reset"}
        for operation in ("build_new", "open_old"):
            await getattr(databases, operation)(attempt_id(operation))
        with pytest.raises(StepError, match="app_previous is open to us still"):
            await databases.exchange(attempt_id("exchange"))
        await databases.close_old(attempt_id("close_old"))
        assert (await databases.check_unchanged(attempt_id("check"), position))["counters"] == position["counters"]
        await rig.write_to_old()
        with pytest.raises(CheckFailed, match="app_previous was written to"):
            await databases.check_unchanged(attempt_id("check"), position)
        with pytest.raises(CheckFailed, match="app_previous was written to"):
            await databases.exchange(attempt_id("exchange"))
        assert rig.names() == THERE["close_old"]

    @pytest.mark.parametrize("written", [False, True])
    async def test_counters_that_were_reset_prove_nothing_until_old_was_opened_again(self, rig: Rig, written: bool) -> None:
        databases = await rig.led_by(1)
        await go_to(databases, "fence")
        position = await databases.record_position(attempt_id("record_position"))
        for operation in ("build_new", "open_old", "close_old"):
            await getattr(databases, operation)(attempt_id(operation))
        await rig.killed_half_way("exchange")
        assert rig.names()["app_next"] == "new closed"
        rig.reset_counters()
        with pytest.raises(Unproven, match="reset"):
            await databases.check_unchanged(attempt_id("check"), position)
        with pytest.raises(Unproven, match="reset"):
            await databases.exchange(attempt_id("exchange"))
        assert rig.names() == THERE["close_old"], "new can be read: its content is to be compared"
        await databases.open_old(attempt_id("again.open"), again=True)
        await databases.close_old(attempt_id("again.close"))
        with pytest.raises(Unproven):  # whether the content was compared, it cannot know
            await databases.check_unchanged(attempt_id("check"), position)
        if written:
            await rig.write_to_old()
            with pytest.raises(CheckFailed, match="app_previous was written to"):
                await databases.exchange(attempt_id("exchange"))
        else:
            await databases.exchange(attempt_id("exchange"))
        assert rig.names() == THERE["close_old" if written else "exchange"]

    async def test_while_new_is_production_only_the_names_can_go_back(self, rig: Rig) -> None:
        databases = await rig.led_by(1)
        await go_to(databases, "exchange")
        with pytest.raises(StepError, match="app is the new database still"):
            await databases.lift_fence(back("fence"))
        with pytest.raises(StepError, match=r"app.* is the new database still"):
            await databases.keep_new(back("build_new"))
        assert rig.names() == THERE["exchange"]
        await databases.exchange_back(back("exchange"))
        await databases.keep_new(back("build_new"))
        await databases.lift_fence(back("fence"))
        assert rig.names() == BACK["lift_fence"]

    async def test_whoever_could_log_in_before_and_cannot_now_is_named(self, rig: Rig) -> None:
        databases = await rig.led_by(1)
        await go_to(databases, "exchange")
        assert (await databases.check_logins(attempt_id("check_logins"))).keys() == {"roles", "warnings"}
        rig.shut_out()
        with pytest.raises(CheckFailed, match=r"before the fence and cannot now: .*app_user") as failed:
            await databases.check_logins(attempt_id("check_logins"))
        assert "app_user" in failed.value.evidence["shut_out"]

    async def test_what_clients_wrote_to_new_is_named_there_and_on_the_way_back(self, rig: Rig) -> None:
        databases = await rig.led_by(1)
        await go_to(databases, "exchange")
        assert await databases.written(attempt_id("written")) == {"tables": {}, "complete": True}
        rig.write_to_new()
        inserted = {"store.machine": {"inserted": 1, "updated": 0, "deleted": 0, "replaced": False}}
        async with asyncio.timeout(10):
            while (await databases.written(attempt_id("written")))["tables"] != inserted:
                await asyncio.sleep(0.02)
        await databases.exchange_back(back("exchange"))
        assert (await databases.written(back("exchange")))["tables"] == inserted


class TestInMemory(DatabasesContract):
    @pytest.fixture
    def rig(self) -> Rig:
        return InMemory()


class TestOnPostgres(DatabasesContract):
    @pytest.fixture
    def rig(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Rig:
        return OnPostgres(cluster, monkeypatch)

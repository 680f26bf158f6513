"""The contract of `Databases` between the swap and the opening: who gets in, and whether anybody wrote.

Which writes counters see late, and whose, the one in memory cannot show: tests/integration/databases/test_count_writes.py.
"""

from __future__ import annotations

import pytest
from contract.test_databases import THERE, InMemory, OnPostgres, go_to
from support.production import attempt_id, back, lead
from support.servers import Cluster

from cutoverd.states.errors import NotLeader
from cutoverd.states.ports import Databases, Evidence

WITHHELD = {**THERE["exchange"], "app": "new ours"}
CLOSED = {**THERE["exchange"], "app": "new closed"}


class InMemoryWithRoles(InMemory):
    def with_roles(self, named: bool) -> None:
        self._world.smoke_roles = named


class OnPostgresWithRoles(OnPostgres):
    named = False

    def with_roles(self, named: bool) -> None:
        self.named = named
        self._cluster.execute("DROP ROLE IF EXISTS smoke; CREATE ROLE smoke LOGIN")

    async def led_by(self, epoch: int) -> Databases:
        return await lead(self._cluster, epoch, evict_seconds=10, smoke_roles=["smoke"] if self.named else None)


Rig = InMemoryWithRoles | OnPostgresWithRoles


async def exchanged(rig: Rig, *, named: bool) -> Databases:
    rig.with_roles(named)
    databases = await rig.led_by(1)
    await go_to(databases, "exchange")
    return databases


def count(event_id: str = "1", *, epoch: int = 1):
    return attempt_id(f"count.{event_id}", epoch=epoch)


def tables(evidence: Evidence) -> list[str]:
    return sorted(evidence["tables"])


class AdmissionContract:
    async def test_connect_is_withheld_from_the_swap_to_the_admission_and_given_back_whole(self, rig: Rig) -> None:
        databases = await exchanged(rig, named=True)
        assert rig.names() == WITHHELD
        assert "roles" not in await databases.check_logins(attempt_id("check_logins"))
        admitted = await databases.admit_clients(attempt_id("admit"))
        assert (admitted["written"], admitted["differs"]) == ({}, [])
        assert rig.names() == THERE["exchange"]
        assert await databases.admit_clients(attempt_id("admit")) == admitted
        assert rig.names() == THERE["exchange"]
        assert "roles" in await databases.check_logins(attempt_id("check_logins"))

    async def test_where_nobody_is_named_nothing_is_withheld(self, rig: Rig) -> None:
        databases = await exchanged(rig, named=False)
        assert rig.names() == THERE["exchange"]
        assert await databases.admit_clients(attempt_id("admit")) == {"withheld": False}
        assert rig.names() == THERE["exchange"]

    async def test_before_the_swap_nothing_was_written(self, rig: Rig) -> None:
        rig.with_roles(True)
        databases = await rig.led_by(1)
        await go_to(databases, "close_old")
        assert (await databases.count_writes(count()))["writes"] == "none"
        assert rig.names() == THERE["close_old"]

    @pytest.mark.parametrize("named", [True, False])
    async def test_once_nothing_was_counted_nobody_gets_in_any_more(self, rig: Rig, named: bool) -> None:
        databases = await exchanged(rig, named=named)
        counted = await databases.count_writes(count())
        assert (counted["writes"], counted["tables"]) == ("none", {})
        assert rig.names() == CLOSED
        assert (await databases.count_writes(count("2")))["writes"] == "none"
        await databases.exchange_back(back("exchange"))

    async def test_what_was_written_is_named_and_new_is_as_open_as_it_was(self, rig: Rig) -> None:
        databases = await exchanged(rig, named=False)
        rig.write_to_new()
        counted = await databases.count_writes(count())
        assert (counted["writes"], tables(counted)) == ("some", ["store.machine"])
        assert rig.names() == THERE["exchange"]
        assert (await databases.count_writes(count("2")))["writes"] == "some"

    async def test_what_the_smoke_tests_wrote_costs_nothing_unless_others_share_their_role(self, rig: Rig) -> None:
        databases = await exchanged(rig, named=True)
        rig.write_to_new()
        shared = await databases.count_writes(count(), ["smoke"])
        assert (shared["writes"], tables(shared)) == ("some", ["store.machine"])
        assert rig.names() == WITHHELD
        assert (await databases.count_writes(count("2")))["writes"] == "none"
        assert rig.names() == CLOSED

    async def test_what_was_written_before_the_admission_is_the_tests_and_not_the_clients(self, rig: Rig) -> None:
        databases = await exchanged(rig, named=True)
        rig.write_to_new()
        assert [*(await databases.admit_clients(attempt_id("admit")))["written"]] == ["store.machine"]
        assert (await databases.count_writes(count()))["writes"] == "none"
        assert rig.names() == CLOSED

    async def test_what_others_may_have_written_before_the_admission_counts_on(self, rig: Rig) -> None:
        """Found: the count began anew at the admission, whoever had shared a role of the tests until then."""
        databases = await exchanged(rig, named=True)
        rig.write_to_new()
        assert (await databases.admit_clients(attempt_id("admit"), ["smoke"]))["outsiders"] == ["smoke"]
        counted = await databases.count_writes(count())
        assert (counted["writes"], tables(counted)) == ("some", ["store.machine"])
        assert rig.names() == THERE["exchange"]

    async def test_what_was_written_after_the_admission_is_the_clients(self, rig: Rig) -> None:
        databases = await exchanged(rig, named=True)
        await databases.admit_clients(attempt_id("admit"))
        rig.write_to_new()
        counted = await databases.count_writes(count())
        assert (counted["writes"], tables(counted)) == ("some", ["store.machine"])
        assert rig.names() == THERE["exchange"]

    async def test_a_stale_daemon_counts_and_admits_nothing(self, rig: Rig) -> None:
        stale = await exchanged(rig, named=True)
        databases = await rig.led_by(2)
        with pytest.raises(NotLeader):
            await stale.count_writes(count())
        with pytest.raises(NotLeader):
            await stale.admit_clients(attempt_id("admit"))
        assert rig.names() == WITHHELD
        await databases.admit_clients(attempt_id("admit", epoch=2))
        assert rig.names() == THERE["exchange"]


class TestInMemory(AdmissionContract):
    @pytest.fixture
    def rig(self) -> Rig:
        return InMemoryWithRoles()


class TestOnPostgres(AdmissionContract):
    @pytest.fixture
    def rig(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Rig:
        return OnPostgresWithRoles(cluster, monkeypatch)

"""A copy that the team has made: rehearsed on where it is, given back as it was, and never taken for what it is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from support.copies import a_standby, restore_on
from support.new_database import Site, make_site
from support.production import CONTENT, all_names, attempt_id, back, dump, names, photograph
from support.servers import Cluster, Clusters, running_clusters

from cutoverd.daemon.postgres.backup.backups import PgDump
from cutoverd.daemon.postgres.backup.kept_copy import open_kept
from cutoverd.daemon.postgres.backup.rehearsal_record import RehearsalPlan
from cutoverd.daemon.postgres.databases.databases import PostgresDatabases
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.precheck import disk_space
from cutoverd.states.errors import CheckFailed, NotLeader, StepError, Unfit
from cutoverd.states.ports import AttemptId, Direction

pytestmark = [pytest.mark.both_versions, pytest.mark.parametrize("cluster", ["18"], indirect=True)]
THERE = ("make_placeholder", "fence", "build_new", "exchange")
BACK = {"exchange_back": "exchange", "keep_new": "build_new", "lift_fence": "fence"}  # by the step that it undoes
LEFT = " UNION ALL ".join(
    f"SELECT '{table}', run FROM cutoverd.{table} WHERE run LIKE '%/try'"
    for table in ("step_log", "database_oids", "announced", "counters", "found")
)


@pytest.fixture(scope="session")
def others() -> Iterator[Clusters]:
    with running_clusters() as session:
        yield session


@pytest.fixture
def other(others: Clusters, tmp_path: Path) -> Iterator[Cluster]:
    """Another server, with an empty database `app` and the same roles."""
    folder = tmp_path / "other"
    folder.mkdir()
    yield others.fresh("18", folder)
    others.clean("18")


@pytest.fixture
async def site(cluster: Cluster, tmp_path: Path) -> Site:
    made = await make_site(cluster, tmp_path)
    cluster.execute("DROP DATABASE app_next")
    cluster.execute(CONTENT, "app")
    cluster.execute("GRANT CONNECT ON DATABASE app TO PUBLIC")  # the way back would spell the default out
    return made


def backups(site: Site, url: str | None, *, epoch: int = 1, roles: tuple[str, ...] = ()) -> PgDump:
    server = site.cluster.server(epoch=epoch, folder=site.server.folder)
    plan = RehearsalPlan(sha256="of these files", database=url, roles=roles)
    return PgDump(server, site.folder / "backups", 1, site.scripts([]), rehearsal=plan, evict_seconds=20)


async def go_there(site: Site, port: PgDump, url: str, last: str = THERE[-1]) -> None:
    databases = PostgresDatabases(site.server.of_copy(url), evict_seconds=20)
    for name in THERE[: THERE.index(last) + 1]:
        await port.take_copy(attempt_id(name))
        await getattr(databases, name)(of_copy(name))


async def go_back(site: Site, url: str) -> None:
    databases = PostgresDatabases(site.server.of_copy(url), evict_seconds=20)
    for name, step in BACK.items():
        await getattr(databases, name)(of_copy(step, Direction.BACK))


def of_copy(name: str, direction: Direction = Direction.FORWARD) -> AttemptId:
    return replace(attempt_id(name, direction), run="r1/try")


def left(cluster: Cluster) -> list[tuple[str, ...]]:
    """Rows of rehearsals in the ledger."""
    return cluster.execute(LEFT, "cutoverd")


@pytest.mark.long
async def test_the_window_is_taken_on_another_server_and_the_copy_is_as_it_was(site: Site, other: Cluster) -> None:
    restore_on(other, site.cluster)
    production, copy, url = photograph(site.cluster), photograph(other), other.url()
    onlooker = backups(site, url)
    onlooker._team_copy.server = replace(site.server, read_only=True)
    assert (await onlooker.find_rehearsal(attempt_id("find")))["is_elsewhere"] is True
    assert "cutoverd" not in str(other.execute("SELECT array_agg(datname) FROM pg_database")), "who looks writes nothing"
    port = backups(site, url)
    found = await port.find_rehearsal(attempt_id("find"))
    await port.prove(attempt_id("prove"))
    assert names(site.cluster) == {"app"}, "the restored backup was counted, and is not what is rehearsed on"
    reset = await port.reset_copy(attempt_id("reset"))
    await go_there(site, port, url)
    assert names(other) == {"app", "app_p", "app_c"}
    await go_back(site, url)
    kept = await open_kept(site.server.of_copy(url), attempt_id("keep"))
    assert [each.name for each in kept] == ["app", "app_n"]
    assert (await port.check_copy(attempt_id("check"), reset))["rows"] == 520
    made = await port.record_rehearsal(attempt_id("record"), found["identity"], {"schema.build_new": 1.0}, {})
    assert (made["place"], made["is_elsewhere"]) == (f"app on 127.0.0.1:{other.port}", True)
    assert set((await port.clear(attempt_id("drop")))["removed"]) == {"app_n", "app_c"}
    assert all_names(other) == {"app", "cutoverd"}, "the ledger stays, and nothing is in it"
    assert (photograph(site.cluster), photograph(other)) == (production, copy)
    assert (left(site.cluster), left(other), other.execute("SELECT FROM cutoverd.fence", "cutoverd")) == ([], [], [])
    known = (await port.find_rehearsal(attempt_id("again")))["on_record"]
    assert (known["place"], known["is_elsewhere"]) == (made["place"], True)


async def test_room_for_clone_and_new_tables_is_asked_where_the_copy_is(
    site: Site, other: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found: only production's disk was asked, and a full one there ends the rehearsal half-way."""
    restore_on(other, site.cluster)
    port = backups(site, other.url())
    [[size]] = other.execute("SELECT pg_database_size('app')")
    monkeypatch.setattr(disk_space, "free_bytes", lambda folder: 2 * size - 1)
    with pytest.raises(
        Unfit, match=r"rehearsal\.database .*: too little disk: .* for the server's data \(the clone, its new tables\)"
    ):
        await port.find_rehearsal(attempt_id("find"))
    monkeypatch.undo()
    found = await port.find_rehearsal(attempt_id("find"))
    assert f"makes one on {found['place']}, which the team has made. It takes the disk of twice " in found["says"]


@pytest.mark.parametrize("last", [pytest.param("build_new", marks=pytest.mark.long), "exchange"])
async def test_whoever_comes_after_a_kill_puts_it_right_and_never_drops_it(site: Site, other: Cluster, last: str) -> None:
    restore_on(other, site.cluster)
    before, url = photograph(other), other.url()
    await backups(site, url).reset_copy(attempt_id("reset"))
    await go_there(site, backups(site, url), url, last)
    await ledger.acquire_fence(site.cluster.server(epoch=2))
    successor = backups(site, url, epoch=2)
    await successor.find_rehearsal(attempt_id("find", epoch=2))
    await successor.reset_copy(attempt_id("reset", epoch=2))
    assert names(other) == {"app"}
    assert photograph(other) == before
    with pytest.raises(NotLeader):
        await PostgresDatabases(site.server.of_copy(url)).make_placeholder(of_copy("make_placeholder"))
    later = backups(site, None, epoch=2)
    await later.clear(attempt_id("clear", epoch=2))  # by a plan that names it no more
    assert (all_names(other), left(other), left(site.cluster)) == ({"app", "cutoverd"}, [], [])


async def test_an_abort_is_not_held_up_by_a_copy_that_is_gone_and_it_says_so(site: Site, other: Cluster) -> None:
    restore_on(other, site.cluster)
    port = backups(site, other.url())
    await port.reset_copy(attempt_id("reset"))
    server = replace(site.server, reach_seconds=0.1)
    port._team_copy.server = server
    other.stop()
    with pytest.raises(StepError, match="was not reached"):
        await port.clear(attempt_id("drop"))
    with pytest.raises(
        StepError, match=rf"rehearsal.database \(app on 127.0.0.1:{other.port}\): no session could be had"
    ) as away:
        await port.find_rehearsal(attempt_id("find"))
    assert "mend host and port in rehearsal.database" in away.value.hint
    cleared = await port.clear(back("prove"))
    assert f"app on 127.0.0.1:{other.port} was not reached, and may be left as the rehearsal had it" in cleared["warnings"][0]
    assert left(site.cluster) == []


@pytest.mark.long
async def test_a_copy_on_productions_own_server_keeps_its_database_and_its_seconds_count(site: Site) -> None:
    site.execute("CREATE DATABASE app_copy TEMPLATE app OWNER app_owner")
    before, url = dump(site.cluster, "app_copy"), site.cluster.url("app_copy")
    port = backups(site, url)
    assert (await port.find_rehearsal(attempt_id("find")))["is_elsewhere"] is False
    reset = await port.reset_copy(attempt_id("reset"))
    await go_there(site, port, url)
    await ledger.acquire_fence(site.cluster.server(epoch=2))
    successor = backups(site, url, epoch=2)
    await successor.prove(attempt_id("prove", epoch=2))  # a rehearsal that is begun anew
    assert names(site.cluster) == {"app", "app_copy"}
    await successor.check_copy(attempt_id("check", epoch=2), reset)
    assert dump(site.cluster, "app_copy") == before
    assert site.execute("SELECT count(*) FROM cutoverd.fence", "cutoverd") == [(1,)]


async def test_production_is_never_taken_for_its_copy_whatever_address_it_has(site: Site) -> None:
    url = f"{site.cluster.url()}&hostaddr=127.0.0.1"
    for ask in (backups(site, url).find_rehearsal, backups(site, url).reset_copy, backups(site, url).take_copy):
        with pytest.raises(Unfit, match="it is production itself, and the rehearsal would rename it"):
            await ask(attempt_id("find"))
    site.execute("CREATE DATABASE app_previous OWNER app_owner")
    with pytest.raises(Unfit, match="app_previous is a name that a run gives to its own databases"):
        await backups(site, site.cluster.url("app_previous")).find_rehearsal(attempt_id("find"))
    assert left(site.cluster) == []


@pytest.mark.parametrize("size", [61, 62, 63])
async def test_a_copy_whose_name_leaves_no_room_for_those_around_it_is_refused_before_anything_is_touched(
    site: Site, size: int
) -> None:
    """Found: `_n` and its like were cut off by PostgreSQL, so that it failed late, in the middle of the rehearsal."""
    name = "app_".ljust(size, "c")
    site.execute(f"CREATE DATABASE {name} TEMPLATE app OWNER app_owner")
    port = backups(site, site.cluster.url(name))
    if size <= 61:
        assert (await port.find_rehearsal(attempt_id("find")))["place"].startswith(name)
        return
    with pytest.raises(Unfit, match=f"the name {name} has {size} bytes, at most 61 leave room for {name}_n: rename it"):
        await port.find_rehearsal(attempt_id("find"))
    assert left(site.cluster) == []


@pytest.mark.long
async def test_a_standby_is_refused_until_it_is_promoted_and_then_it_is_another_server(site: Site, tmp_path: Path) -> None:
    """It has production's system identifier, oids, ledger and roles: only what is in memory tells them apart."""
    before = photograph(site.cluster)
    with a_standby(site.cluster, tmp_path) as standby:
        port = backups(site, standby.url())
        with pytest.raises(Unfit, match=r"it is a standby, where nothing can be renamed: .* promote it"):
            await port.find_rehearsal(attempt_id("find"))
        standby.execute("SELECT pg_promote()")
        assert (await port.find_rehearsal(attempt_id("find")))["is_elsewhere"] is True
        copy = photograph(standby)
        reset = await port.reset_copy(attempt_id("reset"))
        await go_there(site, port, standby.url())
        await go_back(site, standby.url())
        await port.check_copy(attempt_id("check"), reset)
        await port.clear(attempt_id("drop"))
        assert (names(standby), photograph(standby)) == ({"app"}, copy)
    assert photograph(site.cluster) == before


async def test_all_that_is_not_as_in_production_is_said_at_once_before_anything_is_touched(site: Site, other: Cluster) -> None:
    site.execute("CREATE ROLE reporting; GRANT SELECT ON store.log TO reporting", "app")
    for statement in (
        "CREATE ROLE other",
        "CREATE DATABASE cutoverd OWNER other",
        "CREATE DATABASE app_n",
        "ALTER DATABASE app OWNER TO cutover",
        "ALTER ROLE cutover NOCREATEDB",
        "REVOKE pg_monitor FROM cutover",
    ):
        other.execute(statement)
    port = backups(site, other.url(), roles=("smoke",))
    with psycopg.connect(other.url(user="app_user")):
        for ask in (port.find_rehearsal, port.reset_copy):
            with pytest.raises(Unfit) as unfit:
                await ask(attempt_id("find"))
    place = f"rehearsal.database (app on 127.0.0.1:{other.port}): "
    reasons = [reason.removeprefix(place) for reason in unfit.value.evidence["reasons"]]
    assert [re.split("[:,]", reason)[0] for reason in reasons] == [
        "its server has no role reporting",
        "app belongs to cutover and production to app_owner",
        "somebody uses app",
        "role cutover may not create databases",
        "role cutover lacks pg_monitor",
        "the ledger cutoverd belongs to other",
        "app_n is in the way of run r1",
    ]
    assert "reporting, smoke, which" in reasons[0]
    assert (names(other), other.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'cutoverd'", "cutoverd")) == (
        {"app", "app_n"},
        [(0,)],
    )


async def test_another_catalog_is_refused_by_the_names_of_what_differs(site: Site, other: Cluster) -> None:
    site.execute("CREATE EXTENSION citext SCHEMA public", "app")
    restore_on(other, site.cluster)
    for statement in (
        "DROP EXTENSION citext",
        "ALTER TABLE store.log ADD COLUMN more int",
        "REVOKE SELECT ON store.machine FROM app_user",
        "ALTER DATABASE app SET app.secret = 'hunter2'",
    ):
        other.execute(statement, "app")
    with pytest.raises(Unfit) as unfit:
        await backups(site, other.url()).find_rehearsal(attempt_id("find"))
    named = str(unfit.value).partition("nothing would be proven: ")[2].partition(": make the copy anew")[0].split(", ")
    version = site.execute("SELECT extversion FROM pg_extension WHERE extname = 'citext'", "app")[0][0]
    assert named[:3] == [
        f"extension citext is not there (production has {version})",
        "column store.log.more is there alone",
        "relation store.machine is another there",
    ]
    assert "hunter2" not in str(unfit.value)


async def test_a_copy_that_the_rehearsal_changed_is_found(site: Site, other: Cluster) -> None:
    restore_on(other, site.cluster)
    port = backups(site, other.url())
    reset = await port.reset_copy(attempt_id("reset"))
    other.execute("DELETE FROM store.log WHERE id = 1", "app")
    with pytest.raises(CheckFailed, match="after the rollback app is not as it was: 3 tables had 520 rows, and 3 have 519"):
        await port.check_copy(attempt_id("check"), reset)

"""A superuser's session, which our role cannot end, is where a name should change."""

from __future__ import annotations

import psycopg
import pytest
from support.daemons import BACK, FORWARD, mark_of, stopped_before_its_record
from support.production import furnish, lead, log_in, photograph
from support.servers import Cluster

from cutoverd.states.errors import TimedOut

pytestmark = pytest.mark.both_versions


async def test_a_superuser_who_stays_in_new_stops_the_exchange_but_not_the_way_back(cluster: Cluster) -> None:
    furnish(cluster)
    before = photograph(cluster)
    databases = await lead(cluster, evict_seconds=1)
    for operation in FORWARD[:5]:
        await getattr(databases, operation.name)(mark_of(operation, 1))
    with cluster.superuser("app_next") as superuser:
        with pytest.raises(TimedOut, match=f"client backend {superuser.info.backend_pid} of postgres"):
            await databases.exchange(mark_of(FORWARD[5], 1))
        evidence = {operation.name: await getattr(databases, operation.name)(mark_of(operation, 1)) for operation in BACK}
        [refused] = evidence["keep_new"]["sessions_refused"]
        assert refused["pid"] == superuser.info.backend_pid
    assert photograph(cluster) == before
    assert log_in(cluster) == 500


async def test_a_superuser_who_stays_in_production_keeps_the_names_and_clients_out(cluster: Cluster) -> None:
    furnish(cluster)
    databases = await lead(cluster, evict_seconds=1)
    for operation in FORWARD:
        await getattr(databases, operation.name)(mark_of(operation, 1))
    with cluster.superuser("app"), pytest.raises(TimedOut):
        await databases.exchange_back(mark_of(BACK[0], 1))
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        log_in(cluster)
    for operation in BACK:
        await getattr(databases, operation.name)(mark_of(operation, 1))
    assert log_in(cluster) == 500


async def test_counting_what_was_written_lets_nobody_into_a_half_fenced_production(cluster: Cluster) -> None:
    furnish(cluster)
    databases = await lead(cluster)
    for operation in FORWARD:
        await getattr(databases, operation.name)(mark_of(operation, 1))
    with stopped_before_its_record(cluster, BACK[0], 2) as running:
        running.kill()
    databases = await lead(cluster, 3)
    await databases.written(mark_of(BACK[0], 3))
    [(accepts, acl)] = cluster.execute("SELECT datallowconn, datacl::text FROM pg_database WHERE datname = 'app'")
    assert not accepts
    assert "app_user=T/" in acl
    assert "cutover=c/" in acl

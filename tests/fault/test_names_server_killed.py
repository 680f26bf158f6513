"""The postmaster and all of its processes are killed within an operation on the names."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import psycopg
import pytest
from support.daemons import BACK, CLONING, FORWARD, Operation, daemon, mark_of, stopped_before_its_record
from support.production import furnish, lead, log_in, photograph
from support.servers import Cluster

pytestmark = pytest.mark.both_versions


def kill_the_server(cluster: Cluster, operation: Operation, epoch: int) -> None:
    with suppress(psycopg.OperationalError), stopped_before_its_record(cluster, operation, epoch) as running:
        cluster.kill()
        code, output = running.end()
        assert code == 1
        assert output.startswith("OutcomeUnknown: the connection was lost"), output
    assert cluster.pid is None
    cluster.start()


def kill_the_server_while_it_clones(cluster: Cluster, operation: Operation, epoch: int) -> None:
    with daemon(cluster, operation, epoch) as running:
        running.leads()
        running.wait_for(CLONING)
        cluster.kill()
        assert running.end()[0] == 1
    cluster.start()


# A crash once old was opened to us leaves counters that prove nothing to an exchange: it is gone without, and back from there.
EXCHANGED = (*FORWARD[:3], FORWARD[5], BACK[0], BACK[3])
NOT_EXCHANGED = (*FORWARD[:5], *BACK[1:])


@pytest.mark.parametrize(
    ("operations", "killed"),
    [
        pytest.param(EXCHANGED, {"fence", "build_new", "exchange", "exchange_back", "lift_fence"}, id="exchanged"),
        pytest.param(
            NOT_EXCHANGED, {"make_placeholder", "open_old", "close_old", "keep_new"}, id="not-exchanged", marks=pytest.mark.long
        ),
    ],
)
async def test_every_operation_survives_a_kill_of_the_server(
    cluster: Cluster, operations: Sequence[Operation], killed: set[str]
) -> None:
    furnish(cluster)
    cluster.execute("CHECKPOINT")  # else the crash itself moves the sequences
    before = photograph(cluster)
    epoch = 1
    await lead(cluster, epoch)
    for operation in operations:
        if operation.name in killed:
            kill_the_server(cluster, operation, epoch + 1)
        if operation.name == "build_new" and operation.name in killed:
            kill_the_server_while_it_clones(cluster, operation, epoch + 2)
        epoch += 3
        databases = await lead(cluster, epoch)
        evidence = await getattr(databases, operation.name)(mark_of(operation, epoch))
        if operation.name == "exchange":
            cluster.kill()  # right after it was acknowledged
            cluster.start()
            assert log_in(cluster) == 500
            assert await databases.exchange(mark_of(operation, epoch)) == evidence
    assert photograph(cluster) == before
    assert log_in(cluster) == 500

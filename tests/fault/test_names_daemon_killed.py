"""A daemon that is killed within an operation on the names: the next one carries on or takes the way back."""

from __future__ import annotations

import random
import time

import pytest
from support.daemons import (
    BACK,
    CLONING,
    FORWARD,
    RENAMED,
    Operation,
    daemon,
    mark_of,
    stopped_before_its_record,
    stopped_while_renaming,
)
from support.production import furnish, lead, log_in, names, photograph
from support.servers import Cluster

from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.states.ports import Direction

SEED = 20261123
EXPECTED = {
    "make_placeholder": {"app", "app_closed"},
    "fence": {"app", "app_previous"},
    "lift_fence": {"app", "app_closed", "app_next"},
    "exchange": {"app", "app_closed", "app_previous"},
}


def kill_before_its_record(cluster: Cluster, operation: Operation, epoch: int) -> None:
    with stopped_before_its_record(cluster, operation, epoch) as running:
        running.kill()


def kill_in_the_middle(cluster: Cluster, operation: Operation, epoch: int) -> None:
    if operation.name == "build_new":
        with daemon(cluster, operation, epoch) as running:
            running.leads()
            running.wait_for(CLONING)
            running.kill()
    elif operation.name in RENAMED and operation.direction == "forward":
        with stopped_while_renaming(cluster, operation, epoch) as running:
            running.kill()


def kill_at_random(cluster: Cluster, operation: Operation, epoch: int, seconds: float) -> None:
    with daemon(cluster, operation, epoch) as running:
        running.leads()
        time.sleep(seconds)  # the moment of a random kill, not a wait for anything
        if running.process.poll() is None:
            running.kill()


@pytest.mark.long
async def test_every_operation_survives_three_kills_of_its_daemon(cluster: Cluster) -> None:
    furnish(cluster)
    cluster.execute("CHECKPOINT")
    before = photograph(cluster)
    chance, epoch = random.Random(SEED), 1
    await lead(cluster, epoch)
    for operation in (*FORWARD, *BACK):
        kill_in_the_middle(cluster, operation, epoch + 1)
        kill_before_its_record(cluster, operation, epoch + 2)
        kill_at_random(cluster, operation, epoch + 3, chance.uniform(0, 0.3))
        epoch += 4
        databases = await lead(cluster, epoch)
        evidence = await getattr(databases, operation.name)(mark_of(operation, epoch))
        assert evidence.get("differs", []) == []
        row = await ledger.read(cluster.server(epoch=epoch), operation.step, Direction(operation.direction))
        assert row
        assert row.finished
        check(cluster, operation)
    assert photograph(cluster) == before
    assert log_in(cluster) == 500


def check(cluster: Cluster, operation: Operation) -> None:
    """No database too many, none too few: whatever crashed builds left is gone."""
    assert names(cluster) == EXPECTED.get(operation.name, {"app", "app_previous", "app_next"}), operation
    accepting = {row[0] for row in cluster.execute("SELECT datname FROM pg_database WHERE datallowconn")}
    assert ("app" in accepting) == (operation.name in ("make_placeholder", "exchange", "lift_fence")), operation
    if operation.name == "exchange":
        assert log_in(cluster) == 500


async def test_from_every_killed_operation_the_way_back_restores_production(cluster: Cluster) -> None:
    furnish(cluster)
    cluster.execute("CHECKPOINT")
    before = photograph(cluster)
    for killed in range(1, len(FORWARD)):
        run = f"until-{FORWARD[killed].name}"
        databases = await lead(cluster, 1, run=run)
        for operation in FORWARD[:killed]:
            await getattr(databases, operation.name)(mark_of(operation, 1, run))
        with stopped_before_its_record(cluster, FORWARD[killed], 2, run) as running:
            running.kill()

        databases = await lead(cluster, 3, run=run)
        for operation in BACK:
            if operation.step in {begun.step for begun in FORWARD[: killed + 1]}:
                await getattr(databases, operation.name)(mark_of(operation, 3, run))

        assert photograph(cluster) == before, run
        assert log_in(cluster) == 500
        left = (await databases.leftovers())["databases"]
        assert set(left) == names(cluster) - {"app"}
        for name in left:
            cluster.execute(f"DROP DATABASE {name}")

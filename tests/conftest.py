"""Fixtures that start real servers; see support/servers.py for what they give."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.servers import Cluster, Clusters, NatsServer, running_clusters, running_nats

from cutoverd.daemon.bus.connection import Client, connect
from cutoverd.daemon.bus.stream import prepare


@pytest.fixture(scope="session")
def clusters() -> Iterator[Clusters]:
    with running_clusters() as session:
        yield session


@pytest.fixture(params=["15", "18"])
def cluster(request: pytest.FixtureRequest, clusters: Clusters, tmp_path: Path) -> Iterator[Cluster]:
    """PostgreSQL, with a new production database `app`: once as 15, once as 18."""
    major: str = request.param
    yield clusters.fresh(major, tmp_path)
    clusters.clean(major)


@pytest.fixture
def nats_server() -> Iterator[NatsServer]:
    """A nats-server with JetStream that syncs always."""
    with running_nats() as server:
        yield server


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    """A connection to that server, whose stream is made."""
    client = await connect(nats_server.url)
    await prepare(client)
    yield client
    await client.close()

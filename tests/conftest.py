"""Fixtures that start real servers (support/servers.py), and where all of their files are (support/workplace.py)."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.servers import Cluster, Clusters, NatsServer, running_clusters, running_nats
from support.versions import mark_other_version
from support.workplace import place, workplace

from cutoverd.daemon.bus.connection import Client, connect
from cutoverd.daemon.bus.stream import prepare
from cutoverd.daemon.host import environment

HEADER = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Everything that tests make is in one folder; the workers of xdist inherit it by TMPDIR."""
    if not hasattr(config, "workerinput"):
        chosen, session = place(), ExitStack()
        config.add_cleanup(session.close)
        config.stash[HEADER] = f"files of tests: {session.enter_context(workplace(chosen.folder))} ({chosen.why})"


def pytest_report_header(config: pytest.Config) -> str:
    return config.stash.get(HEADER, "")


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_other_version(items)


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: each collection of garbage would go through thousands of tests."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)  # of xdist: without it there is nothing to share
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from support.distribution import OneByOne

    return OneByOne(config, log) if config.getvalue("dist") == "load" else None


@pytest.fixture(autouse=True)
def nothing_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process keeps of its environment is of one test only: found where PGUSER of one test was met in another."""
    monkeypatch.setattr(environment, "_set_aside", {})


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

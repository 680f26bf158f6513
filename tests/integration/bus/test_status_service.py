"""`cutover.svc.status`: how a run stands, by a plain NATS request; who may not serve it does everything else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import nats.errors
import pytest
from integration.bus.test_journal_rights import connected, server, sync_interval  # noqa: F401
from support.servers import NatsServer

from cutoverd.daemon.bus.connection import Client, connect
from cutoverd.daemon.bus.status_service import serving
from cutoverd.events.subjects import STATUS, status_of

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")  # nats.micro's own
SECRET = "postgresql://cutover:hunter2@db/app"


async def asked(client: Client, subject: str) -> Any:
    answer = await client.nc.request(subject, b"", timeout=5)
    return json.loads(answer.data)


async def all_who_answer(client: Client, subject: str, count: int) -> list[Any]:
    """As `nats req --replies=0` does."""
    inbox, answers = client.nc.new_inbox(), []
    subscription = await client.nc.subscribe(inbox)
    await client.nc.publish(subject, b"", reply=inbox)
    for _ in range(count):
        answers.append(json.loads((await subscription.next_msg(timeout=5)).data))
    with pytest.raises(nats.errors.TimeoutError):
        await subscription.next_msg(timeout=0.2)
    await subscription.unsubscribe()
    return answers


@pytest.fixture
def url(nats_server: NatsServer) -> Iterator[str]:
    return nats_server.url


async def test_two_runs_on_one_bus_are_both_found_and_each_can_be_asked_alone(url: str) -> None:
    first, second, operator = [await connect(url) for _ in range(3)]
    async with serving(first, "north", lambda: {"run": "north"}), serving(second, "south", lambda: {"run": "south"}):
        assert sorted(each["run"] for each in await all_who_answer(operator, STATUS, 2)) == ["north", "south"]
        for run in ("north", "south"):
            assert await asked(operator, status_of(run)) == {"run": run}
        found = await all_who_answer(operator, "$SRV.PING.cutoverd", 2)
        assert sorted(each["metadata"]["run"] for each in found) == ["north", "south"]
    with pytest.raises(nats.errors.NoRespondersError):
        await asked(operator, status_of("north"))
    for client in (first, second, operator):
        await client.close()


async def test_what_went_wrong_is_for_the_log_and_not_for_whoever_asks(url: str) -> None:
    def broken() -> dict[str, object]:
        raise RuntimeError(SECRET)

    daemon, operator = await connect(url), await connect(url)
    async with serving(daemon, "night", broken):
        answer = await operator.nc.request(STATUS, b"", timeout=5)
        assert answer.headers is not None
        assert answer.headers["Nats-Service-Error-Code"] == "500"
        assert "hunter2" not in f"{answer.headers} {answer.data!r}"
        stats = await operator.nc.request("$SRV.STATS.cutoverd", b"", timeout=5)
        assert b"hunter2" not in stats.data
        await operator.nc.publish(STATUS, b"a message that wants no answer")
        assert (await operator.nc.request(STATUS, b"", timeout=5)).headers is not None, "it is served still"
    await daemon.close()
    await operator.close()


async def test_a_daemon_that_may_not_serve_goes_on_without_and_says_so(
    server: tuple[str, str],  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its rights are the smallest: see test_journal_rights."""
    async with connected(server[0], "daemon") as daemon, connected(server[0], "admin") as admin:
        async with serving(daemon, "night", lambda: {"run": "night"}):
            with pytest.raises(nats.errors.NoRespondersError):
                await asked(admin, STATUS)
        assert daemon.nc.is_connected
    output = capsys.readouterr().out
    assert "status_service_not_served" in output
    assert "let the daemon's NATS user subscribe to cutover.svc.status.> and $SRV.>" in output

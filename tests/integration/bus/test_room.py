"""Room for events, on a real nats-server: the stream's limit grows and takes nothing away; where it cannot, a person is told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.servers import configured_nats

from cutoverd.daemon.bus.commands import CommandStream
from cutoverd.daemon.bus.connection import Client, connect
from cutoverd.daemon.bus.errors import CannotGrow, NoRoom
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.bus.obstacles import UPDATE, may_update
from cutoverd.daemon.bus.outlook import find_outlook
from cutoverd.daemon.bus.room import StreamGrowth
from cutoverd.daemon.bus.stream import prepare
from cutoverd.daemon.bus.stream_api import find_info
from cutoverd.daemon.engine.errors import Unavailable
from cutoverd.events.subjects import STREAM, events_of

SUBJECT = events_of("r1")
BODY = b"x" * 60_000
MEGABYTE = 1 << 20
RIGHTS = [
    "cutover.>",
    "$JS.API.INFO",
    "$JS.API.STREAM.INFO.*",
    f"$JS.API.STREAM.MSG.GET.{STREAM}",
    f"$JS.API.CONSUMER.CREATE.{STREAM}.>",
    "$JS.FC.>",
]
PATIENCE_SECONDS = 20.0


async def edit(client: Client, **changes: Any) -> None:
    """What an administrator does."""
    info = await client.js.stream_info(STREAM)
    await client.js.update_stream(info.config.evolve(**changes))


async def config_of(client: Client) -> dict[str, Any]:
    info = await find_info(client)
    assert info
    return dict(info["config"])


async def fill(journal: Journal, count: int) -> list[str]:
    ids = [f"id{n}" for n in range(count)]
    for id in ids:
        await journal.append(id, BODY)
    return ids


async def kept(client: Client) -> list[str]:
    return [message.id async for message in Journal(client, SUBJECT).replay()]


async def flood(client: Client, count: int) -> None:
    """Commands, as any client sends them: nobody waits for an answer, and what has no room is dropped."""
    for _ in range(count):
        await client.nc.publish("cutover.cmd", BODY)
    await client.nc.flush()


async def until_full(client: Client) -> None:
    while True:
        await flood(client, 10)
        info = await find_info(client)
        assert info
        if info["config"]["max_bytes"] - info["state"]["bytes"] < 2 * len(BODY):
            break
    for size in (30_000, 10_000, 1000, 100, 1):
        for _ in range(8):
            await client.nc.publish("cutover.cmd", b"x" * size)
    await client.nc.flush()
    await asyncio.sleep(0.2)


@contextmanager
def accounts(folder: Path, account: str = "", server: str = "") -> Iterator[str]:
    """A server with an administrator and a daemon whose rights do not include STREAM.UPDATE; `account`, `server`: limits."""
    with configured_nats(folder, _accounts(account, server)) as url:
        yield url


def _accounts(account: str, server: str) -> str:
    permissions = json.dumps({"publish": RIGHTS, "subscribe": ["_INBOX.>"]})
    users = f"[{{user: admin, password: admin}}, {{user: daemon, password: daemon, permissions: {permissions}}}]"
    store = f"pid_file: nats.pid\njetstream {{store_dir: js, sync_interval: always, {server}}}\n"
    return f"{store}accounts {{A {{jetstream: {account or 'enabled'}, users: {users}}}, SYS {{}}}}\nsystem_account: SYS\n"


def raise_account(folder: Path, url: str, account: str) -> None:
    """As its administrator does: another configuration, and SIGHUP to the server."""
    port = url.rpartition(":")[2]
    (folder / "nats.conf").write_text(f"listen: 127.0.0.1:{port}\n{_accounts(account, '')}")
    os.kill(int((folder / "nats.pid").read_text()), signal.SIGHUP)


@asynccontextmanager
async def as_user(url: str, name: str) -> AsyncIterator[Client]:
    client = await connect(url, user=name, password=name)
    try:
        yield client
    finally:
        await client.close()


async def resized(client: Client, max_bytes: int) -> None:
    await edit(client, max_bytes=max_bytes)


async def test_an_append_to_a_full_stream_raises_its_limit_and_keeps_what_is_there(client: Client) -> None:
    """Found: commands filled the stream, and the daemon ended by exit code 1 in the middle of Downtime."""
    await resized(client, 300_000)
    await until_full(client)
    before, config = await client.js.stream_info(STREAM), await config_of(client)
    growth = StreamGrowth(client)
    with capture_logs() as lines:
        ids = await fill(Journal(client, SUBJECT, growth=growth), 20)
    assert await kept(client) == ids
    after = await client.js.stream_info(STREAM)
    assert after.state.messages == before.state.messages + len(ids)
    assert await config_of(client) == config | {"max_bytes": after.config.max_bytes}
    assert (after.config.max_bytes or 0) >= 64 * MEGABYTE
    assert [line["event"] for line in lines] == ["stream_limit_raised"]
    assert growth.waits.reason == ""


async def test_what_an_administrator_has_written_on_the_stream_stays(client: Client) -> None:
    await edit(client, max_bytes=300_000, description="ours", metadata={"owner": "team"})
    await until_full(client)
    await fill(Journal(client, SUBJECT), 3)
    config = await config_of(client)
    assert (config["description"], config["metadata"]["owner"]) == ("ours", "team")


async def test_the_limit_is_raised_before_it_is_reached(client: Client) -> None:
    await resized(client, 8 * MEGABYTE)
    growth = StreamGrowth(client)
    keeping = asyncio.create_task(growth.keep_headroom())
    await flood(client, 90)
    await asyncio.sleep(0.5)
    assert (await config_of(client))["max_bytes"] == 8 * MEGABYTE
    await flood(client, 20)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await config_of(client))["max_bytes"] != 72 * MEGABYTE:
            await asyncio.sleep(0.1)
    keeping.cancel()


async def test_a_limit_of_messages_that_somebody_has_set_is_lifted(client: Client) -> None:
    await fill(Journal(client, SUBJECT), 3)
    await edit(client, max_msgs=3)
    journal = Journal(client, SUBJECT)
    assert [message.id async for message in journal.replay()] == ["id0", "id1", "id2"]
    await journal.append("more", BODY)
    assert (await config_of(client))["max_msgs"] == -1
    assert await kept(client) == ["id0", "id1", "id2", "more"]


async def test_a_limit_below_what_is_used_takes_nothing_away_and_is_raised(client: Client) -> None:
    journal = Journal(client, SUBJECT)
    ids = await fill(journal, 10)
    await resized(client, 100_000)
    assert await kept(client) == ids
    await journal.append("more", BODY)
    assert await kept(client) == [*ids, "more"]


async def test_a_stream_that_somebody_has_changed_otherwise_is_left_alone_and_named(client: Client) -> None:
    await edit(client, max_bytes=300_000, allow_direct=True)
    await until_full(client)
    config = await config_of(client)
    with pytest.raises(Unavailable, match="allow_direct is true, expected false"):
        await Journal(client, SUBJECT, budget_seconds=0.5).append("one", BODY)
    assert await config_of(client) == config


async def test_without_the_right_it_waits_with_the_administrators_command_and_goes_on_once_there_is_room(tmp_path: Path) -> None:
    with accounts(tmp_path) as url:
        async with as_user(url, "admin") as admin, as_user(url, "daemon") as daemon:
            await prepare(admin, stream_bytes=300_000)
            await until_full(daemon)
            growth = StreamGrowth(daemon)
            with capture_logs() as lines, pytest.raises(Unavailable) as away:
                await Journal(daemon, SUBJECT, budget_seconds=1, growth=growth).append("one", BODY)
            assert "may not be raised by this NATS user: " in away.value.args[0]
            assert away.value.hint.startswith(f"`nats stream edit {STREAM} --max-bytes=")
            assert f"or let this NATS user publish to {UPDATE}" in growth.waits.reason
            assert [line["event"] for line in lines if line["log_level"] == "error"] == ["journal_waits"]
            waiting = asyncio.create_task(Journal(daemon, SUBJECT, growth=growth).append("one", BODY))
            await asyncio.sleep(1)
            assert not waiting.done()
            await resized(admin, MEGABYTE)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await waiting
            assert await kept(daemon) == ["one"]
            assert growth.waits.reason == ""


async def test_a_full_account_is_named_and_the_append_goes_on_once_it_may_store_more(tmp_path: Path) -> None:
    with accounts(tmp_path, "{max_file: 3MB}") as url:
        async with as_user(url, "admin") as client:
            await prepare(client, stream_bytes=MEGABYTE)
            for _ in range(10):  # grown as far as the account lets it, and filled again
                await until_full(client)
                if await StreamGrowth(client).make_room("") is not None:
                    break
            growth = StreamGrowth(client)
            waiting = asyncio.create_task(Journal(client, SUBJECT, growth=growth).append("one", BODY))
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not growth.waits.reason:
                    await asyncio.sleep(0.05)
            assert "the account may store 3.1 MB, and 3.1 MB are taken or reserved" in growth.waits.reason
            assert "jetstream.max_file" in growth.waits.reason
            raise_account(tmp_path, url, "{max_file: 30MB}")
            async with asyncio.timeout(PATIENCE_SECONDS):
                await waiting
            assert await kept(client) == ["one"]


async def test_a_server_that_has_no_more_for_jetstream_is_named(tmp_path: Path) -> None:
    with accounts(tmp_path, server="max_file_store: 3MB") as url:
        async with as_user(url, "admin") as client:
            await prepare(client, stream_bytes=2 * MEGABYTE)
            await until_full(client)
            assert await StreamGrowth(client).make_room("full") is None, "by as much as it has left"
            await until_full(client)
            obstacle = await StreamGrowth(client).make_room("full")
            assert isinstance(obstacle, CannotGrow)
            assert "raise jetstream.max_file_store" in obstacle.hint


async def test_a_stream_without_a_limit_of_its_own_in_a_full_account(tmp_path: Path) -> None:
    with accounts(tmp_path, "{max_file: 2MB}") as url:
        async with as_user(url, "admin") as client:
            await prepare(client, stream_bytes=-1)
            await flood(client, 60)
            with pytest.raises(Unavailable, match="resource limits exceeded for account"):
                await Journal(client, SUBJECT, budget_seconds=0.5).append("one", BODY)


async def test_a_run_begins_where_the_limit_can_be_raised_and_else_is_refused_with_what_stands_in_the_way(tmp_path: Path) -> None:
    with accounts(tmp_path) as url:
        async with as_user(url, "admin") as admin, as_user(url, "daemon") as daemon:
            await prepare(admin, stream_bytes=500_000)
            await until_full(daemon)
            with pytest.raises(NoRoom, match=r"holds \d+ of 500000 bytes: .* left, expected 10%; .*may not be raised") as refused:
                await StreamGrowth(daemon).check_room()
            assert "nats stream edit" in refused.value.hint
            assert (await StreamGrowth(admin).check_room()).left_share > 0.9


async def test_whether_the_limit_may_be_raised_is_asked_without_changing_it(tmp_path: Path) -> None:
    with accounts(tmp_path) as url:
        async with as_user(url, "admin") as admin, as_user(url, "daemon") as daemon:
            await prepare(admin)
            before = await config_of(admin)
            assert (await may_update(admin), await may_update(daemon)) == (True, False)
            assert await config_of(admin) == before


async def test_what_check_says_before_the_window(tmp_path: Path) -> None:
    with accounts(tmp_path, "{max_file: 2GB}") as url:
        async with as_user(url, "admin") as admin, as_user(url, "daemon") as daemon:
            made = await find_outlook(admin, None)
            assert (made.detail, made.todo) == (f"stream {STREAM} will be made, for 1.1 GB", "")
            await prepare(admin)
            fit = await find_outlook(admin, None)
            assert fit.detail.startswith(f"stream {STREAM} holds 0 B of 1.1 GB; its limit can be raised; ")
            assert "of its account are left for it" in fit.detail
            assert fit.todo == ""
            warned = await find_outlook(daemon, None)
            assert "this NATS user may not raise that" in warned.detail
            assert warned.todo.startswith(f"`nats stream edit {STREAM} --max-bytes=2147483648`, or let this NATS user publish to")
            assert not warned.is_short
            await resized(admin, 300_000)
            await until_full(daemon)
            assert (await find_outlook(daemon, None)).is_short


async def test_check_says_that_the_account_is_too_small_for_the_stream(tmp_path: Path) -> None:
    with accounts(tmp_path, "{max_file: 20MB}") as url:
        async with as_user(url, "admin") as admin:
            too_small = await find_outlook(admin, None)
            assert "only 2" in too_small.detail
            assert "of its account are left" in too_small.detail
            assert "raise its limit" in too_small.todo


async def test_a_command_that_finds_no_room_is_refused_with_what_helps(client: Client) -> None:
    """Found: the hint was to see that the NATS server runs, and to start again."""
    await resized(client, 300_000)
    await until_full(client)
    with pytest.raises(Unavailable, match=r"maximum bytes exceeded.*is full, and no daemon has raised its limit"):
        await CommandStream(client, budget_seconds=0.5).publish(b"advance", id="one")

"""The stream's settings, proven on a real nats-server."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from nats.js import api
from support.servers import configured_nats

from cutoverd.daemon.bus.connection import Client, connect
from cutoverd.daemon.bus.errors import Unsuitable
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.bus.stream import (
    check_as_it_is,
    check_possible,
    check_settings,
    check_sync,
    check_version,
    exists,
    prepare,
    settings,
    sync_always,
)
from cutoverd.events.subjects import STREAM, events_of


@pytest.fixture
async def client(nats_server: Any) -> AsyncIterator[Client]:
    client = await connect(nats_server.url)
    yield client
    await client.close()


async def altered(client: Client, **changes: Any) -> None:
    info = await client.js.stream_info(STREAM)
    await client.js.update_stream(info.config.evolve(**changes))


async def test_a_stream_is_made_once_and_found_again(client: Client) -> None:
    await prepare(client)
    await Journal(client, events_of("r1")).append(uuid4().hex, b"kept")
    await prepare(client)
    assert (await client.js.stream_info(STREAM)).state.messages == 1


async def test_the_stream_refuses_to_delete_and_to_purge(client: Client) -> None:
    await prepare(client)
    await Journal(client, events_of("r1")).append(uuid4().hex, b"kept")
    for attempt in (client.js.delete_msg(STREAM, 1), client.js.purge_stream(STREAM)):
        with pytest.raises(Exception, match=r"not permitted|denied|deny"):
            await attempt


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"discard": api.DiscardPolicy.OLD}, 'discard is "old", expected "new"'),
        ({"max_msgs": 2}, "max_msgs is 2, expected -1"),
        ({"max_age": 3600.0, "duplicate_window": 60.0}, "max_age is 3600000000000, expected 0"),
        ({"allow_direct": True}, "allow_direct is true, expected false"),
        ({"allow_rollup_hdrs": True}, 'allow_rollup_hdrs is true, expected "unset"'),
        ({"subjects": ["cutover.cmd", "cutover.evt.*"]}, 'subjects is ["cutover.cmd", "cutover.evt.*"]'),
        ({"allow_msg_ttl": True}, 'allow_msg_ttl is true, expected "unset"'),
    ],
)
async def test_a_setting_that_differs_is_named_with_both_values(client: Client, changes: dict[str, Any], difference: str) -> None:
    expected = settings() | {"deny_purge": False} if "allow_rollup_hdrs" in changes else settings()
    await client.js.add_stream(_config(expected))
    await altered(client, **changes)
    for ask in (prepare, check_as_it_is):  # found: `check` said that all is well
        with pytest.raises(Unsuitable) as refused:
            await ask(client)
        assert difference in str(refused.value)


def _config(expected: dict[str, Any]) -> api.StreamConfig:
    return api.StreamConfig.from_response(dict(expected))


async def test_a_stream_in_memory_is_refused(client: Client) -> None:
    await client.js.add_stream(_config(settings() | {"storage": "memory", "max_bytes": 1 << 20}))
    with pytest.raises(Unsuitable, match='storage is "memory", expected "file"'):
        await prepare(client, stream_bytes=1 << 20)


async def test_subjects_that_another_stream_has_are_refused_with_its_name(client: Client) -> None:
    """Found: the server's words alone left the administrator to look for it; `check` said that all is well."""
    await client.js.add_stream(name="OTHER", subjects=["cutover.evt.>"])
    await client.js.add_stream(name="ANOTHER", subjects=["cutover.runs", "cutover.cmd"])
    says = r"stream ANOTHER has cutover\.cmd, cutover\.runs; stream OTHER has cutover\.evt\.\*;"
    with pytest.raises(Unsuitable, match=f"subjects overlap: {says}"):
        await prepare(client)
    with pytest.raises(Unsuitable, match=says):
        await check_as_it_is(client)
    await client.js.delete_stream("OTHER")
    await client.js.delete_stream("ANOTHER")
    await client.js.add_stream(name="ALL", subjects=["cutover.>"])
    with pytest.raises(Unsuitable, match=r"stream ALL has cutover\.cmd, cutover\.cmd\.\*, cutover\.evt\.\*, cutover\.runs;"):
        await check_as_it_is(client)


async def test_a_stream_that_can_be_made_and_one_that_is_there_are_told_apart(client: Client) -> None:
    assert await check_possible(client) is False
    await prepare(client)
    assert await check_possible(client) is True
    assert await check_as_it_is(client) is True


async def test_a_server_without_jetstream_is_refused_at_once(tmp_path: Path) -> None:
    """Found: `check` called it a fault of cutoverd, and `run` waited for half a minute."""
    with configured_nats(tmp_path) as url:
        client = await connect(url)
        began = time.monotonic()
        for ask in (prepare, check_possible, check_as_it_is, exists):
            with pytest.raises(Unsuitable, match=r"^JetStream is off on the NATS server 127\.0\.0\.1:\d+; set `jetstream \{"):
                await ask(client)
        assert time.monotonic() - began < 2
        await client.close()


async def test_an_account_without_jetstream_is_refused_at_once(tmp_path: Path) -> None:
    accounts = 'jetstream {store_dir: "js"}\naccounts {A {users: [{user: a, password: a}]}, B {jetstream: enabled}, SYS {}}\n'
    with configured_nats(tmp_path, accounts) as url:
        client = await connect(url, user="a", password="a")
        for ask in (prepare, check_as_it_is):
            with pytest.raises(Unsuitable, match="JetStream is off for the account of this NATS user"):
                await ask(client)
        await client.close()


def test_a_setting_that_we_do_not_know_must_be_off() -> None:
    check_settings(settings() | {"from_the_future": False, "metadata": {"_nats.ver": "3"}, "consumer_limits": {}}, settings())
    with pytest.raises(Unsuitable, match='from_the_future is true, expected "unset"'):
        check_settings(settings() | {"from_the_future": True}, settings())


def test_a_missing_setting_is_not_taken_for_one_that_is_right() -> None:
    configured = settings()
    del configured["deny_purge"]
    with pytest.raises(Unsuitable, match="deny_purge is null, expected true"):
        check_settings(configured, settings())


@pytest.mark.parametrize(("version", "fits"), [((2, 11, 9), False), ((2, 12, 0), True), ((3, 0, 0), True)])
def test_a_server_before_2_12_is_refused(version: tuple[int, int, int], fits: bool) -> None:
    client: Any = SimpleNamespace(
        nc=SimpleNamespace(connected_server_version=SimpleNamespace(major=version[0], minor=version[1], patch=version[2]))
    )
    if fits:
        check_version(client)
    else:
        with pytest.raises(Unsuitable, match=r"nats-server is 2\.11\.9, expected 2\.12 or newer"):
            check_version(client)


async def test_whether_the_server_syncs_is_unknown_without_its_monitoring_port() -> None:
    assert await sync_always(None) is None
    assert await sync_always("http://127.0.0.1:1") is None


@pytest.mark.parametrize("url", ["http://[::1", "localhost:8222", "ftp://127.0.0.1:1", "http://127.0.0.1:99999"])
async def test_a_monitoring_address_that_cannot_be_asked_is_a_named_error(url: str) -> None:
    """Found: two of these ended `cutoverd run` in a traceback, and with the others nobody was asked and nobody told."""
    with pytest.raises(Unsuitable, match=r"cannot be asked at .*; give bus\.monitoring as http://host:8222") as refused:
        await check_sync(url)
    assert url in str(refused.value)

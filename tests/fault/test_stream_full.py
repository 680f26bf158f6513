"""The stream is full in the middle of the window, by commands or by messages of others; its limit can grow, or cannot."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.aftermath import assert_completed
from support.night import Night, a_night, until
from support.servers import Cluster, configured_nats, in_a_loop_of_its_own
from support.wire import Wire, hpub

from cutoverd.daemon.bus.connection import connect
from cutoverd.daemon.bus.stream import prepare
from cutoverd.daemon.bus.stream_api import find_info
from cutoverd.daemon.embedded.loopback import free_port
from cutoverd.events import facts
from cutoverd.events.subjects import STREAM

pytestmark = [pytest.mark.parametrize("cluster", ["18"], indirect=True), pytest.mark.long]
FLOOD, SMALL_BYTES = 20_000, 8 << 20
STEP = "downtime.fence_old"
BODIES = [
    b"x" * 4096,
    json.dumps({"verb": "resume", "reason": "r" * 4050}).encode(),
    json.dumps({"verb": "note", "reason": "r" * 4050}).encode(),
    json.dumps({f"key{n}": n for n in range(300)}).encode(),
]
RIGHTS = ["cutover.>", "$JS.API.INFO", "$JS.API.STREAM.INFO.*", f"$JS.API.STREAM.MSG.GET.{STREAM}"]
RIGHTS += [f"$JS.API.CONSUMER.CREATE.{STREAM}.>", "$JS.FC.>", "_INBOX.>"]


def resize(url: str, user: str, password: str, max_bytes: int) -> None:
    """What an administrator does, or whoever made the stream so small; the stream is made where it is missing."""

    async def resized() -> None:
        client = await connect(url, user=user, password=password)
        try:
            await prepare(client)
            info = await client.js.stream_info(STREAM)
            await client.js.update_stream(info.config.evolve(max_bytes=max_bytes))
        finally:
            await client.close()

    in_a_loop_of_its_own(resized())


def state_of(url: str, user: str, password: str) -> tuple[int, int]:
    """Bytes that are used, and the limit."""

    async def asked() -> tuple[int, int]:
        client = await connect(url, user=user, password=password)
        try:
            info = await find_info(client)
            assert info
            return info["state"]["bytes"], info["config"]["max_bytes"]
        finally:
            await client.close()

    return in_a_loop_of_its_own(asked())


def flood(address: str, subject: bytes, count: int = FLOOD) -> None:
    """Returns once the server has read all of it; what has no room in the stream is dropped."""
    wire = Wire(address)
    for first in range(0, count, 500):
        wire.send(b"".join(hpub(subject, b"", BODIES[n % len(BODIES)]) for n in range(first, first + 500)))
    wire.close()


def address_of(night: Night) -> str:
    server = night.nats()
    return server.url.replace("://", f"://{server.user}:{server.password}@")


@contextmanager
def a_small_night(cluster: Cluster, folder: Path, **changes: object) -> Iterator[Night]:
    """In the middle of Downtime, on a stream of 8 MiB."""
    with a_night(cluster, folder, **changes) as night:
        night.stall(STEP)
        night.start("--auto")
        night.wait_for_step(STEP)
        server = night.nats()
        resize(server.url, server.user, server.password, SMALL_BYTES)
        yield night


@pytest.mark.parametrize(
    "subject", [pytest.param("cutover.cmd", marks=pytest.mark.soak), "cutover.cmd.mallory", "cutover.evt.night"]
)
def test_a_flood_that_fills_the_stream_in_the_middle_of_downtime_ends_no_run_and_takes_no_event(
    cluster: Cluster, tmp_path: Path, subject: str
) -> None:
    """Found: no event fitted any more, exit code 1 with production closed; and nobody's `advance` either."""
    with a_small_night(cluster, tmp_path) as night:
        before = night.recorded()
        flood(address_of(night), subject.encode())
        night.release()
        assert night.exit_code(120) == 0, night.output[-4000:]
        assert "stream_limit_raised" in night.output
        assert "Traceback" not in night.output
        journal = night.journal()
        assert [each.envelope.id for each in journal][: len(before)] == [each.envelope.id for each in before]
        assert_completed(night)


def test_an_advance_reaches_a_run_whose_stream_was_full(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path, gates=["cutover"]) as night:
        night.start()
        night.wait_for(facts.GateReached, gate="cutover")
        server = night.nats()
        resize(server.url, server.user, server.password, SMALL_BYTES)
        flooding = threading.Thread(target=flood, args=(address_of(night), b"cutover.cmd"))
        flooding.start()
        answer = night.cli("send", "advance")
        flooding.join()
        assert answer.returncode == 0, answer.stderr
        assert_completed(night)
        used, limit = state_of(night.nats().url, server.user, server.password)
        assert limit > SMALL_BYTES
        assert used < limit


def test_where_the_limit_cannot_be_raised_the_run_waits_says_why_and_goes_on_once_there_is_room(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A NATS of the team's, whose user may not STREAM.UPDATE."""
    permissions = json.dumps({"publish": RIGHTS, "subscribe": ["_INBOX.>", "cutover.svc.>", "$SRV.>"]})
    users = f"[{{user: admin, password: admin}}, {{user: daemon, password: daemon, permissions: {permissions}}}]"
    (tmp_path / "bus").mkdir()
    port = free_port()
    monkeypatch.setenv("NATS_USER", "daemon")
    monkeypatch.setenv("NATS_PASSWORD", "daemon")
    settings = f"jetstream {{store_dir: js, sync_interval: always}}\nauthorization {{users: {users}}}\n"
    with configured_nats(tmp_path / "bus", settings) as url:
        resize(url, "admin", "admin", SMALL_BYTES)
        metrics = {"listen": f"127.0.0.1:{port}", "scraped_within": "0s"}
        with a_night(cluster, tmp_path, bus={"url": url}, metrics=metrics) as night:
            script = "data.run_script:data/010.sql"
            night.stall(script)
            night.start("--auto")
            until(lambda: "PgSleep" in [wait for _, wait in night.backends()], "the script stands still")
            flood(url.replace("://", "://daemon:daemon@"), b"cutover.cmd", 4000)
            night.release()
            until(lambda: "journal_waits" in night.output, f"it is said\n{night.output[-3000:]}")
            assert f"nats stream edit {STREAM} --max-bytes=" in night.output
            assert f"$JS.API.STREAM.UPDATE.{STREAM}" in night.output
            until(lambda: "cutover_journal_waits{" in scrape(port), "the metric is served")
            assert 'cutover_journal_waits{run="night"} 1.0' in scrape(port)
            assert 'cutover_stream_limit_bytes{run="night"} 8.388608e+06' in scrape(port)
            until(lambda: "journal_away" in night.output, "it goes on waiting", 60)
            assert night.daemons[-1].poll() is None
            resize(url, "admin", "admin", 1 << 30)
            assert night.exit_code(120) == 0, night.output[-4000:]
            assert "journal_goes_on" in night.output
            assert night.systems() == {"worker.new", "api.new", "door.door"}


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())

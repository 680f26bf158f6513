"""Smoke tests that misbehave, and HTTP as services answer it while they come up."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from cutoverd.daemon.host import children
from cutoverd.daemon.systems import http
from cutoverd.daemon.systems.exec import ExecCheck, Site
from cutoverd.daemon.systems.http import HttpCheck
from cutoverd.daemon.systems.samples import ExecSample
from cutoverd.states.errors import CheckFailed, TimedOut
from cutoverd.states.ports import AttemptId, Direction

ATTEMPT_ID = AttemptId("r1", 1, "smoke.check:login", Direction.FORWARD, "e1")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(run="r1", epoch=1, folder=tmp_path / "state", directory=tmp_path)


def python(site: Site, program: str, within_seconds: float = 30) -> ExecCheck:
    return ExecCheck([sys.executable, "-I", "-S", "-c", program], site, within_seconds)


async def test_a_failed_smoke_test_shows_its_exit_code_and_the_end_of_what_it_said(site: Site) -> None:
    with pytest.raises(CheckFailed, match=r"exited 3, expected 0; it said: .*2 rows are gone") as failed:
        await python(site, "import sys; print('2 rows are gone'); sys.exit(3)").prove(ATTEMPT_ID)
    assert failed.value.evidence["exit"] == 3
    assert failed.value.evidence["output"] == "2 rows are gone"


async def test_a_smoke_test_that_passes_is_told_the_run_and_leaves_its_command_as_evidence(site: Site) -> None:
    check = python(site, "import os; assert os.environ['CUTOVERD_RUN'] == 'r1'")
    evidence = await check.prove(ATTEMPT_ID)
    assert evidence["command"] == check.command
    assert evidence["exit"] == 0


async def test_a_smoke_test_that_is_not_there_is_named(site: Site) -> None:
    with pytest.raises(CheckFailed, match=r"\[\./missing, -v\] exited 127.*cannot run \./missing: No such file"):
        await ExecCheck(["./missing", "-v"], site).prove(ATTEMPT_ID)


async def test_a_smoke_test_that_hangs_is_ended_with_all_that_it_began(site: Site) -> None:
    check = python(site, f"{LEAVES_ONE_BEHIND}; time.sleep(60)", within_seconds=0.7)
    with pytest.raises(TimedOut, match=r"did not end within 0\.7 s") as late:
        await check.prove(ATTEMPT_ID)
    assert late.value.hint
    await gone(site.directory / "left")


async def test_a_smoke_test_that_ignores_every_kind_word_is_ended_all_the_same(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "GRACE_SECONDS", 0.3)
    deaf = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; time.sleep(60)"
    with pytest.raises(TimedOut):
        await python(site, deaf, within_seconds=0.5).prove(ATTEMPT_ID)
    assert await children.end_orphans(site.folder) == []


async def test_what_a_smoke_test_left_in_the_background_ends_with_it(site: Site) -> None:
    await python(site, LEAVES_ONE_BEHIND).prove(ATTEMPT_ID)
    await gone(site.directory / "left")


async def test_a_cancelled_smoke_test_is_ended_with_all_that_it_began(site: Site) -> None:
    checking = asyncio.create_task(python(site, f"{LEAVES_ONE_BEHIND}; time.sleep(60)").prove(ATTEMPT_ID))
    await until((site.directory / "left").exists)
    checking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checking
    await gone(site.directory / "left")


async def test_a_smoke_test_that_floods_its_output_leaves_only_the_end_of_it(site: Site) -> None:
    flood = "import os, sys; [os.write(1, b'x' * 1000000) for _ in range(200)]; print('the end'); sys.exit(1)"
    before_kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckFailed, match="the end") as failed:
        await python(site, flood).prove(ATTEMPT_ID)
    assert 1000 < len(failed.value.evidence["output"]) <= 2048
    assert len(str(failed.value)) < 1000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kilobytes < 50_000


async def test_a_smoke_test_that_kills_its_parent_fails_and_the_daemon_lives(site: Site) -> None:
    """Started without anything between, the parent it kills is the daemon."""
    kills = "import os, signal, time; assert os.getppid() != int(open('daemon').read()); os.kill(os.getppid(), signal.SIGKILL)"
    (site.directory / "daemon").write_text(str(os.getpid()))
    check = python(site, f"{kills}; open('left', 'w').write(str(os.getpid())); time.sleep(60)")
    with pytest.raises(CheckFailed, match="exited -9"):
        await check.prove(ATTEMPT_ID)
    left = site.directory / "left"
    if left.exists():  # it may have been ended before it wrote
        await gone(left)


async def test_a_smoke_test_that_kills_its_group_fails_and_the_daemon_lives(site: Site) -> None:
    with pytest.raises(CheckFailed, match="exited -9"):
        await python(site, "import os, signal; os.killpg(0, signal.SIGKILL)").prove(ATTEMPT_ID)
    assert await children.end_orphans(site.folder) == []


async def test_a_smoke_test_that_dies_by_a_signal_fails(site: Site) -> None:
    with pytest.raises(CheckFailed, match="exited 137"):
        await python(site, "import os; os.kill(os.getpid(), 9)").prove(ATTEMPT_ID)


LEAVES_ONE_BEHIND = (
    "import os, subprocess, sys, time\n"
    "left = subprocess.Popen([sys.executable, '-I', '-S', '-c', 'import time; time.sleep(60)'], start_new_session=True)\n"
    "open('part', 'w').write(str(left.pid)); os.rename('part', 'left')"
)


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(answer: Answer, port: int = 0) -> AsyncIterator[str]:
    server = await asyncio.start_server(answer, "127.0.0.1", port)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


def says(status: str, body: str = "", *headers: str, requests: list[str] | None = None) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        if requests is not None:
            requests.append(request)
        head = "\r\n".join([f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers])
        writer.write(f"{head}\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    return answer


async def test_a_healthy_answer_is_evidence() -> None:
    async with listening(says("200 OK", '{"db": "up"}')) as url:
        evidence = await HttpCheck(f"{url}/health?deep=1", contains='"up"').prove(ATTEMPT_ID)
    assert evidence == {
        "url": f"{url}/health?deep=1",
        "status": 200,
        "attempts": 1,
        "seconds": evidence["seconds"],
    }


async def test_a_service_that_answers_503_at_first_is_asked_again() -> None:
    answers = [says("503 Starting"), says("503 Starting"), says("200 OK")]

    async def comes_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answers.pop(0)(reader, writer)

    async with listening(comes_up) as url:
        assert (await HttpCheck(url).prove(ATTEMPT_ID))["attempts"] == 3


async def test_a_service_that_does_not_listen_yet_is_asked_again() -> None:
    async with listening(says("200 OK")) as url:
        port = int(url.rpartition(":")[2])
    checking = asyncio.create_task(HttpCheck(url).prove(ATTEMPT_ID))
    await asyncio.sleep(0.3)  # so that at least one attempt finds nobody
    async with listening(says("200 OK"), port):
        assert (await checking)["attempts"] > 1


@pytest.mark.parametrize(
    ("answer", "check", "reason"),
    [
        (says("500 Oops", "stack trace"), {}, r"saw status 500, body 'stack trace', expected status 200;"),
        (says("302 Found", "", "location: /login"), {}, r"saw status 302"),
        (says("200 OK"), {"status": 401}, r"saw status 200, body '', expected status 401"),
        (says("200 OK", "db: down"), {"contains": "up"}, r"saw status 200, but body 'db: down', expected .* a body with 'up'"),
        (says("oops"), {}, r"saw RemoteProtocolError"),
    ],
)
async def test_a_wrong_answer_fails_with_what_was_seen_and_expected(
    answer: Answer, check: dict[str, object], reason: str
) -> None:
    async with listening(answer) as url:
        with pytest.raises(CheckFailed, match=reason) as failed:
            await HttpCheck(f"{url}/health", within_seconds=0.3, **check).prove(ATTEMPT_ID)  # type: ignore[arg-type]
    assert f"GET {url}/health" in str(failed.value)
    assert failed.value.hint
    assert json.dumps(failed.value.evidence)


async def test_nobody_listening_fails_with_the_url_and_the_reason() -> None:
    async with listening(says("200 OK")) as url:
        pass
    with pytest.raises(CheckFailed, match=f"GET {url}: saw ConnectError: .*expected status 200"):
        await HttpCheck(url, within_seconds=0.3).prove(ATTEMPT_ID)


async def test_a_service_that_accepts_and_never_answers_fails_within_its_time() -> None:
    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    began = time.monotonic()
    async with listening(silent) as url:
        with pytest.raises(CheckFailed, match=r"saw no answer within 1\.0 s"):
            await HttpCheck(url, within_seconds=0.5).prove(ATTEMPT_ID)
        ended.set()
    assert time.monotonic() - began < 3


async def test_the_last_attempt_is_given_time_enough_not_to_hide_what_is_wrong() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        await says("503 Starting")(reader, writer)

    async with listening(slow) as url:
        with pytest.raises(CheckFailed, match="saw status 503"):
            await HttpCheck(url, within_seconds=0.5).prove(ATTEMPT_ID)


async def test_a_body_that_never_ends_is_read_only_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BODY_BYTES_MAX", 100_000)

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhealthy")
        with suppress(ConnectionError):
            while True:
                writer.write(b"x" * 10_000)
                await writer.drain()
        writer.close()

    async with listening(endless) as url:
        assert (await HttpCheck(url, contains="healthy").prove(ATTEMPT_ID))["status"] == 200


async def test_a_password_in_the_url_is_used_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    requests: list[str] = []
    async with listening(says("500 Oops", requests=requests)) as url:
        check = HttpCheck(url.replace("://", "://alice:sword%40fish@"), within_seconds=0.3)
        with pytest.raises(CheckFailed, match="status 500") as failed:
            await check.prove(ATTEMPT_ID)
    assert "Authorization: Basic YWxpY2U6c3dvcmRAZmlzaA==" in requests[0]  # alice:sword@fish
    shown = f"{failed.value} {failed.value.hint} {failed.value.evidence} {check} {caplog.text}"
    assert "sword" not in shown
    assert "alice" not in shown


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with listening(says("200 OK")) as url:
        assert (await HttpCheck(url, within_seconds=0.5).prove(ATTEMPT_ID))["status"] == 200


async def gone(pid_file: Path) -> None:
    pid = int(pid_file.read_text())  # noqa: ASYNC240 - a few bytes
    await until(lambda: children.birth(pid) is None)


async def until(true: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        await asyncio.sleep(0.02)


PRINTS_SECRETS = "import os; print(os.environ.get('PGPASSWORD'), os.environ.get('API_TOKEN')); "


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    monkeypatch.setenv("API_TOKEN", "t0ken-42")


@pytest.mark.usefixtures("secrets")
async def test_a_command_gets_no_secret_of_the_daemon(site: Site) -> None:
    """Found: each command inherited PGPASSWORD, and what one printed of it stayed in the journal."""
    with pytest.raises(CheckFailed) as failed:
        await python(site, PRINTS_SECRETS + "raise SystemExit(1)").prove(ATTEMPT_ID)
    assert failed.value.evidence["output"] == "None t0ken-42"


@pytest.mark.usefixtures("secrets")
async def test_what_is_passed_by_name_is_there_and_masked_in_what_is_recorded(site: Site) -> None:
    passing = site.passing(["PGPASSWORD", "API_TOKEN"])
    with pytest.raises(CheckFailed, match=r"it said: \*{8} \*{8}$") as failed:
        await python(passing, PRINTS_SECRETS + "raise SystemExit(1)").prove(ATTEMPT_ID)
    assert failed.value.evidence["output"] == "******** ********"
    hangs = PRINTS_SECRETS + "import sys, time; sys.stdout.flush(); time.sleep(60)"
    with pytest.raises(TimedOut) as late:
        await python(passing, hangs, within_seconds=2).prove(ATTEMPT_ID)
    assert late.value.evidence["stdout"] == "******** ********\n"


@pytest.mark.usefixtures("secrets")
async def test_a_sample_that_prints_a_secret_records_none(site: Site) -> None:
    passing = site.passing(["API_TOKEN"])
    prints = [sys.executable, "-I", "-S", "-c", "import os; print(os.environ['API_TOKEN'])"]
    sample = await ExecSample(prints, passing, wants_number=True).sample(ATTEMPT_ID, 20)
    assert sample.saw == "expected a number, saw the first line '********'"
    failing = [*prints[:-1], f"{prints[-1]}; raise SystemExit(1)"]
    assert (await ExecSample(failing, passing).sample(ATTEMPT_ID, 20)).saw.endswith("it said: ********")

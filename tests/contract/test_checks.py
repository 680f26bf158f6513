"""The contract of `Checks`, on the one in memory, on real commands and on a real HTTP server."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import pytest

from cutoverd.daemon.systems.checks import ChecksByKind
from cutoverd.daemon.systems.exec import ExecCheck, Site
from cutoverd.daemon.systems.http import HttpCheck
from cutoverd.daemon.systems.memory import MemoryChecks
from cutoverd.states.errors import CheckFailed, StepError
from cutoverd.states.ports import AttemptId, Direction
from cutoverd.states.ports_systems import Checks

ATTEMPT_ID = AttemptId("r1", 1, "smoke.check:login", Direction.FORWARD, "e1")


class Rig(Protocol):
    """Names: good passes, bad fails, slow never ends by itself; each is there as health check and as smoke test."""

    checks: Checks

    def asked(self) -> list[str]: ...


class InMemory:
    def __init__(self, folder: Path) -> None:
        self.checks = MemoryChecks(["good", "bad", "slow"], ["good", "bad", "slow"])
        self.checks.failing.add("bad")
        self.checks.hanging.add("slow")

    def asked(self) -> list[str]:
        return [name for _, name in self.checks.asked]


class ByCommands:
    def __init__(self, folder: Path) -> None:
        self._asked = folder / "asked"
        site = Site(run="r1", epoch=1, folder=folder / "state", directory=folder)
        ends = {"good": "pass", "bad": "sys.exit('two rows are gone')", "slow": "time.sleep(60)"}
        kinds = {name: ExecCheck(self._program(name, end), site, within_seconds=30) for name, end in ends.items()}
        self.checks: Checks = ChecksByKind(kinds, kinds)

    def _program(self, name: str, end: str) -> list[str]:
        return [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys, time; print({name!r}, file=open('asked', 'a'), flush=True); {end}",
        ]

    def asked(self) -> list[str]:
        return self._asked.read_text().splitlines() if self._asked.exists() else []


class ByHttp:
    def __init__(self, folder: Path) -> None:
        rig = self
        self._asked: list[str] = []

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                rig._asked.append(self.path.strip("/"))
                if self.path == "/slow":
                    rig._ended.wait(20)
                self.send_response(500 if self.path == "/bad" else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{self._server.server_port}"
        within = {"good": 30.0, "bad": 0.0, "slow": 30.0}
        kinds = {name: HttpCheck(f"{url}/{name}", within_seconds=seconds or 0.3) for name, seconds in within.items()}
        self.checks: Checks = ChecksByKind(kinds, kinds)

    def asked(self) -> list[str]:
        return self._asked

    def close(self) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(params=[InMemory, ByCommands, ByHttp])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    made = request.param(tmp_path)
    yield made
    if isinstance(made, ByHttp):
        await asyncio.to_thread(made.close)


@pytest.mark.parametrize("kind", ["prove_health", "smoke"])
async def test_a_check_that_passes_leaves_evidence_in_json(rig: Rig, kind: str) -> None:
    evidence = await getattr(rig.checks, kind)(ATTEMPT_ID, "good")
    assert evidence["seconds"] >= 0
    assert json.loads(json.dumps(dict(evidence))) == evidence
    assert rig.asked() == ["good"]


@pytest.mark.parametrize("kind", ["prove_health", "smoke"])
async def test_a_check_that_fails_says_what_was_expected_and_what_to_do(rig: Rig, kind: str) -> None:
    with pytest.raises(CheckFailed, match="expected") as failed:
        await getattr(rig.checks, kind)(ATTEMPT_ID, "bad")
    assert failed.value.hint
    assert failed.value.evidence


async def test_a_check_that_is_not_in_the_plan_is_refused_with_those_that_are(rig: Rig) -> None:
    with pytest.raises(StepError, match="no health check named goood, expected one of: good, bad, slow"):
        await rig.checks.prove_health(ATTEMPT_ID, "goood")
    with pytest.raises(StepError, match="no smoke test named goood, expected one of: good, bad, slow"):
        await rig.checks.smoke(ATTEMPT_ID, "goood")


async def test_a_check_can_be_cancelled(rig: Rig) -> None:
    checking = asyncio.create_task(rig.checks.smoke(ATTEMPT_ID, "slow"))
    end = time.monotonic() + 10
    while rig.asked() != ["slow"]:
        assert time.monotonic() < end, f"asked {rig.asked()}"
        await asyncio.sleep(0.02)
    began = time.monotonic()
    checking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checking
    assert time.monotonic() - began < 3

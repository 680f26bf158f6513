"""The example's control script and door, as cutoverd drives them: exit codes, one process each, no lie about what runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.paths import FLIGHTS

from cutoverd.daemon.embedded.loopback import free_port
from cutoverd.daemon.host.procfs import Process, wait_gone

NO_DATABASE = "postgresql://flights_app@127.0.0.1:1/flights"  # nobody listens there: the service starts all the same
UP_SECONDS = 10


class Example:
    """A copy of the example without its data, and what was started from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "flights"
        shutil.copytree(FLIGHTS, self.folder, ignore=shutil.ignore_patterns("data", "__pycache__"))
        self.run = folder / "run"
        self.witness = folder / "witness"
        self.port = free_port()
        self.door_port = free_port()

    def break_it(self, where: str) -> None:
        shutil.copytree(FLIGHTS / "break" / where, self.folder, dirs_exist_ok=True)

    def ctl(self, verb: str, version: str = "old", *more: str) -> subprocess.CompletedProcess[str]:
        words = ["app/ctl.py", verb, "--version", version, "--pidfile", str(self.pidfile(version)), *more]
        return self.python(*words, *(["--port", str(self.port), "--url", NO_DATABASE] if verb == "start" else []))

    def lb(self, verb: str) -> int:
        return self.python("app/lb.py", verb, "--state-file", str(self.run / "door")).returncode

    def python(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "EXAMPLE_WITNESS": str(self.witness)}
        return subprocess.run(
            [sys.executable, *words], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    def pidfile(self, version: str) -> Path:
        return self.run / f"api.{version}.pid"

    def process(self, version: str = "old") -> Process:
        found = Process.find(json.loads(self.pidfile(version).read_text())["pid"])
        assert found, "the process that the pid file names is gone"
        return found


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Example]:
    made = Example(tmp_path)
    yield made
    for version in ("old", "new", "test"):
        made.ctl("stop", version, "--kill")
        assert made.ctl("status", version).returncode == 3


@pytest.fixture
def door(example: Example) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Serves the door at `example.door_port`, in front of `example.port`."""
    served: list[subprocess.Popen[bytes]] = []
    port = example.door_port

    def serve() -> subprocess.Popen[bytes]:
        words = ["serve", "--state-file", "run/door", "--pidfile", "run/door.pid", "--port", str(port)]
        words = ["app/lb.py", *[w.replace("run/", f"{example.run}/") for w in words], "--target", f"127.0.0.1:{example.port}"]
        served.append(subprocess.Popen([sys.executable, *words], cwd=example.folder))
        assert until(lambda: accepts(port)), "the door did not come up"
        return served[-1]

    yield serve
    for process in served:
        process.terminate()
        process.wait(UP_SECONDS)


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(true: Callable[[], bool], seconds: float = UP_SECONDS) -> bool:
    deadline = time.monotonic() + seconds
    while not (so := true()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return so


def ask(port: int) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def test_a_started_service_listens_and_a_stopped_one_does_not(example: Example) -> None:
    assert example.ctl("status").returncode == 3
    assert example.ctl("start").returncode == 0
    assert accepts(example.port)
    assert example.ctl("status").returncode == 0
    process = example.process()
    assert example.ctl("stop").returncode == 0
    assert not process.is_alive()
    assert not accepts(example.port)
    assert example.ctl("status").returncode == 3


def test_health_fails_without_the_database(example: Example) -> None:
    example.ctl("start")
    status, answer = ask(example.port)
    assert (status, answer["status"], answer["version"]) == (503, "no database", "old")


def test_a_second_start_starts_no_second_process(example: Example) -> None:
    example.ctl("start")
    first = example.process()
    assert example.ctl("start").returncode == 0
    assert example.process() == first
    assert example.ctl("stop").returncode == 0
    assert example.ctl("stop").returncode == 0, "stopping what is stopped is fine"


def test_starts_at_the_same_time_start_one_process(example: Example) -> None:
    words = [sys.executable, "app/ctl.py", "start", "--version", "old", "--pidfile", str(example.pidfile("old"))]
    words += ["--port", str(example.port), "--url", NO_DATABASE]
    starts = [subprocess.Popen(words, cwd=example.folder, stdout=subprocess.DEVNULL) for _ in range(6)]
    assert [start.wait(30) for start in starts] == [0] * 6
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    holding = [found for pid in pids if (found := Process.find(pid)) and found.has_open(example.pidfile("old"))]
    assert holding == [example.process()]


def test_a_killed_service_is_stopped_though_its_pid_file_is_there(example: Example) -> None:
    example.ctl("start")
    process = example.process()
    process.send(signal.SIGKILL)
    assert not wait_gone([process], 10)
    assert example.pidfile("old").exists()
    assert example.ctl("status").returncode == 3
    assert example.ctl("start").returncode == 0
    assert example.process() != process


def test_a_foreign_process_with_the_recorded_pid_is_not_taken_for_the_service_nor_ended(example: Example) -> None:
    example.run.mkdir()
    foreign = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        example.pidfile("old").write_text(json.dumps({"pid": foreign.pid, "listening": True}))
        assert example.ctl("status").returncode == 3
        assert example.ctl("stop").returncode == 0
        assert foreign.poll() is None
    finally:
        foreign.communicate(b"\n", timeout=10)


def test_a_stop_during_the_start_leaves_nothing_running(example: Example) -> None:
    words = [sys.executable, "app/ctl.py", "start", "--version", "old", "--pidfile", str(example.pidfile("old"))]
    start = subprocess.Popen(
        [*words, "--port", str(example.port), "--url", NO_DATABASE],
        cwd=example.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert until(lambda: example.pidfile("old").exists())
    start.kill()
    start.wait(10)
    assert example.ctl("stop").returncode == 0
    assert example.ctl("status").returncode == 3
    assert not accepts(example.port)


def test_a_port_that_is_taken_is_a_failed_start(example: Example) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        example.port = taken.getsockname()[1]
        failed = example.ctl("start")
    assert failed.returncode == 1
    assert "Address already in use" in failed.stderr
    assert example.ctl("status").returncode == 3


def test_the_witness_has_a_line_for_each_command(example: Example) -> None:
    for verb in ("start", "status", "stop"):
        example.ctl(verb, "test")
    for verb in ("close", "status", "open"):
        example.lb(verb)
    commands = ["start api test", "status api test", "stop api test", "close door", "status door", "open door"]
    assert example.witness.read_text().splitlines() == commands


@pytest.mark.long
def test_the_broken_old_service_does_not_stop_and_goes_on_serving(example: Example) -> None:
    example.break_it("service")
    example.ctl("start")
    process = example.process()
    stopped = example.ctl("stop")
    assert (stopped.returncode, process.is_alive(), accepts(example.port)) == (1, True, True)
    assert f"still runs 10 s after SIGTERM: pid {process.pid}" in stopped.stderr
    assert example.ctl("status").returncode == 0
    assert example.ctl("stop", "old", "--kill").returncode == 0


def test_the_broken_new_service_does_not_start_and_its_test_instance_does(example: Example) -> None:
    example.break_it("cutover")
    assert example.ctl("start", "test").returncode == 0
    assert example.ctl("stop", "test").returncode == 0
    failed = example.ctl("start", "new")
    assert failed.returncode == 1
    assert "did not start" in failed.stderr
    assert "JSONDecodeError" in failed.stderr
    assert example.ctl("status", "new").returncode == 3


def test_the_door_forwards_while_open_and_refuses_while_closed(
    example: Example, door: Callable[[], subprocess.Popen[bytes]]
) -> None:
    example.ctl("start")
    door()
    port = example.door_port
    assert (example.lb("status"), ask(port)[1]["version"]) == (0, "old")
    assert (example.lb("close"), example.lb("status")) == (0, 3)
    assert ask(port) == (503, {"status": "closed"})
    assert (example.lb("open"), example.lb("status")) == (0, 0)
    assert ask(port)[1]["version"] == "old"


def test_a_closed_door_stays_closed_when_it_is_served_anew(example: Example, door: Callable[[], subprocess.Popen[bytes]]) -> None:
    example.lb("close")
    first = door()
    first.kill()
    first.wait(10)
    door()
    assert ask(example.door_port) == (503, {"status": "closed"})


def test_an_open_door_without_a_service_says_so(example: Example, door: Callable[[], subprocess.Popen[bytes]]) -> None:
    door()
    assert ask(example.door_port) == (503, {"status": "nobody serves"})

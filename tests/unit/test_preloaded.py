"""What is forked from a preloaded process is what `python -m cutoverd.daemon` is: one suite over both."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import preloaded
from support.cases import COMMON
from support.night import until

from cutoverd.daemon.engine.exit_codes import Exit

Start = Callable[..., preloaded.Process]


def executed(words: list[str], out: Path) -> preloaded.Process:
    command = [sys.executable, "-m", "cutoverd.daemon", *words]
    with out.open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def forked(words: list[str], out: Path) -> preloaded.Process:
    with out.open("ab") as log:
        return preloaded.start(words, log, log, new_session=True)


@pytest.fixture(params=[executed, forked])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    started: list[preloaded.Process] = []

    def begin(*words: str) -> preloaded.Process:
        started.append(request.param(list(words), tmp_path / "out"))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait(10)


@pytest.fixture
def waiting(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[preloaded.Process]:
    """A command that has begun: it has reached a bus, which says nothing. Its environment and its folder say by which plan."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUTOVERD_PLAN", "plan.yaml")
    plan = tmp_path / "plan.yaml"
    shutil.copytree(COMMON, tmp_path, dirs_exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as bus:
        bus.settimeout(20)
        tools, url = "client_tools: ${TOOLS}", f"nats://127.0.0.1:{bus.getsockname()[1]}"
        plan.write_text(plan.read_text().replace(tools, f"bus: {{url: '{url}'}}").replace("${PORT}", "1"))
        process = start("send", "advance")
        with bus.accept()[0]:
            yield process


def test_it_prints_and_ends_by_its_code(start: Start, tmp_path: Path) -> None:
    for words, code, says in [(["--version"], 0, "cutoverd "), (["run", "none.yaml"], 2, "none.yaml: cannot be read")]:
        process = start(*words)
        assert (process.wait(20), process.poll(), process.returncode) == (code, code, code)
        assert says in (tmp_path / "out").read_text()


def test_it_has_a_session_and_files_of_its_own(waiting: preloaded.Process, tmp_path: Path) -> None:
    """Sockets: both ends by which its loop is woken, and the bus. Of the process that it was forked from it has none."""
    pid, out = waiting.pid, str(tmp_path / "out")
    assert os.getsid(pid) == pid
    files = {name: os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
    assert (files["0"], files["1"], files["2"]) == ("/dev/null", out, out)
    kinds = Counter(file.partition(":")[0] for file in files.values())
    assert (kinds["socket"], kinds["pipe"]) == (3, 0), files


# not SIGINT: where tests run in the background of a script they ignore it, and so does whatever they start
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_signal_is_its_own(waiting: preloaded.Process, number: signal.Signals) -> None:
    assert waiting.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(0.05)
    waiting.send_signal(number)
    assert waiting.wait(20) == (-9 if number is signal.SIGKILL else Exit.UNFINISHED)
    waiting.kill()  # of one that has ended: nothing


def test_threads_that_ask_at_once_all_get_its_end(waiting: preloaded.Process) -> None:
    """Found by the soak, whose supervisors and whose disturber asked for the same daemon."""
    with ThreadPoolExecutor(8) as threads:
        asking = [threads.submit(waiting.wait, 20) for _ in range(8)]
        waiting.send_signal(signal.SIGTERM)
        assert {each.result() for each in asking} == {Exit.UNFINISHED}


def test_a_pid_is_nobody_elses_until_its_end_was_met(waiting: preloaded.Process) -> None:
    """Found: a daemon that ended by itself was gone at once, and a signal for it had nobody to go to, or somebody else."""
    waiting.send_signal(signal.SIGTERM)
    until(lambda: Path(f"/proc/{waiting.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z", "it has ended")
    os.kill(waiting.pid, signal.SIGCONT)
    assert waiting.poll() == Exit.UNFINISHED
    until(lambda: not Path(f"/proc/{waiting.pid}").exists(), "nothing of it is left")

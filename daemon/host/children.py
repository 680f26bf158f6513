"""Child processes of which none can be missed: not by a time-out, not by a cancel, not by the death of this daemon.

A child records itself in `folder`/children before it becomes the command (launcher.py), so that a later daemon finds and ends
what this one left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cutoverd.daemon.host import launcher
from cutoverd.daemon.host.cancellation import run_to_completion
from cutoverd.daemon.host.launcher import birth
from cutoverd.daemon.host.output import Drained, Filed, Output
from cutoverd.daemon.host.polling import Polling
from cutoverd.daemon.host.private_files import write_private
from cutoverd.states.errors import NotLeader, StepError, TimedOut

OUTPUT_BYTES_MAX = 64 * 1024
GRACE_SECONDS = 3.0  # between interrupt, TERM and KILL
LEFT_BEHIND_SECONDS = 1.0  # for the output of a process that the command left behind
_POLL_SECONDS = 0.05
_LAUNCH = [sys.executable, "-I", "-S", launcher.__file__]


@dataclass(frozen=True)
class Completed:
    """How a child ended by itself: 127 and a word on stderr if there was no such command; negative: by that signal."""

    returncode: int
    stdout_tail: str
    stderr_tail: str


@dataclass(frozen=True)
class Child:
    """One process as its record tells it."""

    pid: int
    birth: str | None
    epoch: int
    step: str
    command: str  # the program alone: arguments are nobody's business
    token: str
    group: bool
    interrupt: int


async def run(
    argv: Sequence[str],
    *,
    folder: Path,
    epoch: int,
    step: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_seconds: float,
    output_bytes_max: int = OUTPUT_BYTES_MAX,
    interrupt: signal.Signals = signal.SIGINT,
    group: bool = True,
) -> Completed:
    """Run a command to its end; the last `output_bytes_max` of each of its outputs are kept.

    With `group`, whatever it leaves behind ends with it. Without, what it starts (an application, say) is left alone, and
    its outputs are files, so that such an application may go on writing. Its standard input is empty.
    Raises `TimedOut` with evidence {"stdout", "stderr"} and lets `CancelledError` through, the child ended and gone in both
    cases; `NotLeader` if a higher epoch has ended the orphans of this one; `StepError` if it cannot be started.
    """
    records = _records(folder)
    token = secrets.token_hex(8)
    outputs = [_output(records / f"{token}.{name}", output_bytes_max, group) for name in ("stdout", "stderr")]
    record = {"step": step, "command": argv[0], "token": token, "group": group, "interrupt": int(interrupt)}
    environment = {**(os.environ if env is None else env), launcher.TOKEN: token}
    starting = asyncio.ensure_future(_start(argv, records, epoch, record, outputs, cwd, environment))
    returncode = None
    try:
        process, _ = await asyncio.shield(starting)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):  # wait_for would lose a cancel that comes as the child ends
                returncode = await process.wait()
    finally:
        stdout, stderr = await run_to_completion(_finish(starting, records, outputs))
    if returncode is None:
        evidence = {"stdout": stdout, "stderr": stderr}
        raise TimedOut(f"{argv[0]} did not end within {timeout_seconds:g} s and was ended", evidence=evidence)
    if returncode == launcher.REFUSED and launcher.fence(str(records)) > epoch:
        raise NotLeader(f"epoch {epoch} may start no {argv[0]}: a daemon of epoch {launcher.fence(str(records))} took over")
    return Completed(returncode, stdout, stderr)


async def _start(
    argv: Sequence[str],
    records: Path,
    epoch: int,
    record: Mapping[str, Any],
    outputs: Sequence[Output],
    cwd: Path | None,
    env: Mapping[str, str],
) -> tuple[asyncio.subprocess.Process, Child]:
    launched = [*_LAUNCH, str(records), str(os.getpid()), str(epoch), json.dumps(record), *argv]
    stdout, stderr = (output.sink for output in outputs)
    try:
        # A session of its own in any case: what the terminal says to us is not said to a child.
        process = await asyncio.create_subprocess_exec(
            *launched, stdin=asyncio.subprocess.DEVNULL, stdout=stdout, stderr=stderr, cwd=cwd, env=env, start_new_session=True
        )
    except OSError as error:
        raise StepError(f"cannot start {argv[0]} in {cwd or Path.cwd()}: {error.strerror}") from error
    for output in outputs:
        await output.begin()
    return process, Child(pid=process.pid, birth=birth(process.pid), epoch=epoch, **record)


async def _finish(
    starting: asyncio.Future[tuple[asyncio.subprocess.Process, Child]], records: Path, outputs: Sequence[Output]
) -> list[str]:
    """End what still runs, reap it, remove its record; the tails of its outputs."""
    try:
        process, child = await starting
        await _end(child)
        await process.wait()
        for record in (f"{child.pid}.json", f"{child.pid}.json{launcher.UNFINISHED}"):  # the second: ended while it was written
            (records / record).unlink(missing_ok=True)
    finally:
        tails = [await output.end() for output in outputs]
    return tails


async def end_orphans(folder: Path, older_than_epoch: int | None = None) -> list[Child]:
    """End the recorded children (of epochs below `older_than_epoch`, or all), and return those that were found alive.

    From then on no child of those epochs can begin. Raises `StepError` if one survives SIGKILL.
    """
    records = _records(folder)
    if older_than_epoch is not None:
        _raise_fence(records, older_than_epoch)
    found = []
    for path in sorted(records.glob("*.json")):
        child = _read(path)
        if child and (older_than_epoch is None or child.epoch < older_than_epoch):
            if await _end(child):
                found.append(child)
            path.unlink(missing_ok=True)
    return found


def fenced_epoch(folder: Path) -> int:
    """No child of a lower epoch may begin; 0 if none was ever fenced."""
    return launcher.fence(str(_records(folder)))


def _output(path: Path, tail_bytes: int, drained: bool) -> Output:
    return Drained(tail_bytes, LEFT_BEHIND_SECONDS) if drained else Filed(path, tail_bytes)


def _records(folder: Path) -> Path:
    records = folder / "children"
    records.mkdir(mode=0o700, parents=True, exist_ok=True)
    return records


def _raise_fence(records: Path, epoch: int) -> None:
    write_private(records / launcher.FENCE, str(max(epoch, launcher.fence(str(records)))))


def _read(path: Path) -> Child | None:
    try:
        return Child(**json.loads(path.read_text()))
    except FileNotFoundError:  # ended and removed while we looked
        return None


async def _end(child: Child) -> bool:
    """Interrupt, TERM, KILL, each awaited; whether there was anything to end."""
    if not _processes(child):
        return False
    for number in (child.interrupt, signal.SIGTERM, signal.SIGKILL):
        if not (alive := await _signal(child, number)):
            return True
    raise StepError(
        f"{child.command} (pid {', '.join(map(str, alive))}) of step {child.step} did not end, not even by SIGKILL",
        hint="it waits inside the system, for a disk or the network; look what it waits for",
    )


async def _signal(child: Child, number: int) -> list[int]:
    """Signal each process once, those that appear meanwhile too; the pids that live after GRACE_SECONDS."""
    signalled: set[int] = set()
    polling = Polling(GRACE_SECONDS, pause_seconds=_POLL_SECONDS)
    while alive := _processes(child):
        for pid in set(alive) - signalled:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        signalled.update(alive)
        if polling.is_over:
            break
        await polling.pause()
    return alive


def _processes(child: Child) -> list[int]:
    """The pids to end, the command's own first: what it left in its session is known by the token in its environment."""
    command = [child.pid] if birth(child.pid) == child.birth and child.birth else []
    return command + (_descendants(child) if child.group else [])


def _descendants(child: Child) -> list[int]:
    token = f"{launcher.TOKEN}={child.token}".encode()
    return [pid for pid in _all_pids() if pid != child.pid and token in _environment(pid) and birth(pid)]


def _all_pids() -> list[int]:
    """None where there is no /proc: there a descendant ends with the command or not at all."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()] if os.path.isdir("/proc/self") else []


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it ended, or is another user's and then none of ours
        return []

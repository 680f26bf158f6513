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
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cutoverd.daemon.host import launcher
from cutoverd.daemon.host.cancellation import run_to_completion
from cutoverd.daemon.host.launcher import birth
from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.host.output import Drained, Filed, Output
from cutoverd.daemon.host.polling import Polling
from cutoverd.daemon.host.private_files import find_private, make_private_folder, remove_private, write_private
from cutoverd.daemon.host.procfs import all_pids, read_environment
from cutoverd.states.errors import NotLeader, StepError, TimedOut

log = Logger(__name__)

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


class NotStarted(StepError):
    """the command was not started, so nothing of it was done"""


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
    cases; `NotLeader` if a higher epoch has ended the orphans of this one; `NotStarted` if it cannot be started.
    """
    records = _records(folder)
    token = secrets.token_hex(8)
    outputs = [_output(records / f"{token}.{name}", output_bytes_max, group) for name in ("stdout", "stderr")]
    record = {"step": step, "command": argv[0], "token": token, "group": group, "interrupt": int(interrupt)}
    environment = {**(os.environ if env is None else env), launcher.TOKEN: token}
    starting = asyncio.ensure_future(_start(argv, records, epoch, record, outputs, cwd, environment))
    returncode, was_begun = None, True
    try:
        process, _ = await asyncio.shield(starting)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):  # wait_for would lose a cancel that comes as the child ends
                returncode = await process.wait()
                was_begun = _was_begun(returncode, records, process.pid)
    finally:
        stdout, stderr = await run_to_completion(_finish(starting, records, outputs))
    if returncode is None:
        evidence = {"stdout": stdout, "stderr": stderr}
        raise TimedOut(f"{argv[0]} did not end within {timeout_seconds:g} s and was ended", evidence=evidence)
    if returncode == launcher.REFUSED or not was_begun:
        _check_not_fenced(records, epoch, argv[0])
    if not was_begun:
        raise _not_begun(argv[0], returncode, records, stderr)
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
        raise NotStarted(f"cannot start {argv[0]} in {cwd or Path.cwd()}: {error.strerror}") from error
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
        _raise_fence(folder, older_than_epoch)
    found = []
    for path in sorted(records.glob("*.json")):
        child = _read(path)
        if child is None:
            _check_is_not_alive(path)
        elif older_than_epoch is not None and child.epoch >= older_than_epoch:
            continue
        elif not _is_of_earlier_boot(child) and await _end(child):
            found.append(child)
        remove_private(path)
    return found


def fenced_epoch(folder: Path) -> int:
    """No child of a lower epoch may begin; 0 if none was ever fenced, or, with a line in the log, if the file does not say it."""
    records = _records(folder)
    try:
        return launcher.fence(str(records))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        log.warning("epoch_file_not_read", path=str(records / launcher.FENCE), reason=reason, doing="asks ledger and journal")
        return 0


def _output(path: Path, tail_bytes: int, drained: bool) -> Output:
    return Drained(tail_bytes, LEFT_BEHIND_SECONDS) if drained else Filed(path, tail_bytes)


def _records(folder: Path) -> Path:
    return make_private_folder(folder / "children")


def _raise_fence(folder: Path, epoch: int) -> None:
    write_private(_records(folder) / launcher.FENCE, str(max(epoch, fenced_epoch(folder))))


def _was_begun(returncode: int, records: Path, pid: int) -> bool:
    """By its record, whatever the code: that may be the launcher's own, which never is 0. Where all are gone nobody knows."""
    return returncode == 0 or (records / f"{pid}.json").exists() or not (returncode == launcher.REFUSED or records.is_dir())


def _check_not_fenced(records: Path, epoch: int, program: str) -> None:
    """Why a child did not begin; returns where it did, and ended with that very code."""
    try:
        fenced = launcher.fence(str(records))
    except (OSError, ValueError) as error:
        raise StepError(
            f"no {program} was started: {records / launcher.FENCE} does not say which epoch may: {error}",
            hint="start the daemon again: it writes that file anew, from ledger and journal",
        ) from error
    if fenced > epoch:
        raise NotLeader(f"epoch {epoch} may start no {program}: a daemon of epoch {fenced} took over")


def _not_begun(program: str, returncode: int, records: Path, stderr: str) -> NotStarted:
    """It became no command, and so its code is none of a command's; on a full disk a file of its output says nothing."""
    if returncode != launcher.REFUSED:
        return NotStarted(
            ": ".join(filter(None, (f"{program} was not started: what starts it ended with {returncode}", stderr.strip()))),
            hint=f"nothing of it was done; {' '.join(_LAUNCH)} has to run here and to leave a record in {records}",
        )
    return NotStarted(
        ": ".join(filter(None, (f"{program} was not started: its record in {records} cannot be written", stderr.strip()))),
        hint=f"nothing of it was done; make room on the disk of {records}, where this user has to be able to write",
    )


def _read(path: Path) -> Child | None:
    """None if it ended and was removed while we looked, or if that is no record."""
    return find_private(path, _parse)


def _parse(content: bytes) -> Child:
    child = Child(**json.loads(content))
    signal.Signals(child.interrupt)
    kinds = {"pid": int, "birth": str | None, "epoch": int, "interrupt": int, "group": bool}
    if not all(isinstance(getattr(child, field.name), kinds.get(field.name, str)) for field in fields(child)):
        raise TypeError("no record of a child")
    return child


def _is_of_earlier_boot(child: Child) -> bool:
    """Nothing of it can be alive, and its pid is another's by now."""
    now = (birth(os.getpid()) or "").rpartition(" ")[0]
    return os.path.exists("/proc/self/stat") and bool(child.birth) and str(child.birth).rpartition(" ")[0] != now


def _check_is_not_alive(path: Path) -> None:
    """What a record does not tell any more is asked of the process that its name tells; raises `StepError` if that lives."""
    pid = int(path.stem) if path.stem.isdecimal() and len(path.stem) < 10 else 0
    if path.exists() and pid and f"\0{launcher.TOKEN}=".encode() in read_environment(pid):
        raise StepError(
            f"{path}, the record of a child, cannot be read, and process {pid} may be that child",
            hint="end it, then start the daemon again: what it does must not go on beside what the run does",
        )


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
    token = f"\0{launcher.TOKEN}={child.token}\0".encode()
    return [pid for pid in all_pids() if pid != child.pid and token in read_environment(pid) and birth(pid)]

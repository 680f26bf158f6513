"""The processes of one PostgreSQL cluster: begun, awaited, stopped and, if need be, killed to the last one."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cutoverd.daemon.embedded import shared_memory
from cutoverd.daemon.embedded.errors import DidNotStart, DidNotStop, tail
from cutoverd.daemon.embedded.initdb import server_environment
from cutoverd.daemon.embedded.unprivileged import leash
from cutoverd.daemon.host.polling import Polling
from cutoverd.daemon.host.private_files import open_private
from cutoverd.daemon.host.procfs import POLL_SECONDS, Process, kill_all, wait_gone

KILL_SECONDS = 10
# SIGINT ends the sessions and writes a checkpoint; SIGQUIT is as a crash, but pid file and shared memory are removed.
STOP = ((signal.SIGINT, 20), (signal.SIGQUIT, 10))
# Lines of postmaster.pid, counted from nought.
PID, SHARED_MEMORY, STATUS = 0, 6, 7


@dataclass
class Postmaster:
    """The server of the cluster in `data`, by whomever it was started."""

    data: Path
    log: Path
    _child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def find(self) -> Process | None:
        """The main process, if it is there."""
        with contextlib.suppress(ValueError, IndexError):
            process = Process.find(int(self._pid_file()[PID]))
            return process if process and self._owns(process) else None
        return None

    def start(self, command: Sequence[str], timeout_seconds: float) -> None:
        """Run the server and wait until it accepts sessions; raises `DidNotStart` with the tail of its log."""
        with open_private(self.log) as log:
            begun = log.tell()
            self._child = subprocess.Popen(
                [*command[:-1], *_leash(), command[-1], "-D", str(self.data.resolve())],
                cwd=self.data.parent.resolve(),
                env=server_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in a terminal is for us: we stop the server when its users are done
            )
        try:
            self._await_ready(self._child, begun, timeout_seconds)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """In order, or by force if that takes too long; fine if it does not run. Raises `DidNotStop`."""
        for number, seconds in STOP:
            if running := self.find():
                running.send(number)
                wait_gone([running], seconds)
        self.kill()

    def kill(self) -> None:
        """SIGKILL all of the cluster's processes; raises `DidNotStop` if one stays."""
        if self._child:
            self._child.kill()
            self._child.wait(KILL_SECONDS)
            self._child = None
        elif running := self.find():
            kill_all([running], KILL_SECONDS)
        # Its children come after it: a postmaster alive would have more of them.
        if left := kill_all(filter(self._owns, Process.all()), KILL_SECONDS):
            raise DidNotStop(f"processes {[p.pid for p in left]} of the PostgreSQL in {self.data} are still there after SIGKILL")

    def release_shared_memory(self) -> None:
        """What a kill leaves and the next start would take over; for a cluster that is not started again."""
        with contextlib.suppress(ValueError, IndexError):
            key, identifier = self._pid_file()[SHARED_MEMORY].split()
            shared_memory.release(int(key), int(identifier))

    def _await_ready(self, child: subprocess.Popen[bytes], log_start: int, timeout_seconds: float) -> None:
        polling = Polling(timeout_seconds, pause_seconds=POLL_SECONDS)
        while not self._is_ready(child.pid):
            if child.poll() is not None:
                raise DidNotStart(f"PostgreSQL ended at once (exit {child.returncode}); {tail(self.log, log_start)}")
            if polling.is_over:
                raise DidNotStart(f"PostgreSQL was not ready after {timeout_seconds} s; {tail(self.log, log_start)}")
            polling.pause_blocking()

    def _is_ready(self, pid: int) -> bool:
        lines = self._pid_file()
        return len(lines) > STATUS and lines[PID] == str(pid) and lines[STATUS].strip() == "ready"

    def _pid_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _owns(self, process: Process) -> bool:
        """Known by its working directory: a child whose postmaster is dead has lost its parent, but not that."""
        return process.name == "postgres" and process.works_in(self.data)


def _leash() -> tuple[str, ...]:
    # The kernel watches the thread, not the process, that started the server: only the main one lives long enough.
    return leash() if threading.current_thread() is threading.main_thread() else ()

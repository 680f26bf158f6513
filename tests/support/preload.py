"""`cutoverd`, imported once and started as often as it is asked for: `preload.py FD`, at the other end of `preloaded.py`.

Each start is a fork: a process of its own with a pid, an environment, a session and files of its own, that dies by itself.
Only this process is its parent, so it says how each of them ended, on the socket that came with the request, and keeps its pid
until the other end has read that and is closed: a signal that comes late goes nowhere, and to nobody else.
"""

from __future__ import annotations

import gc
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from importlib import import_module
from typing import Any

from cutoverd import daemon, events, states

REQUEST_BYTES = 1 << 17
RECORD_BYTES = 8  # a pid, or an exit code, or minus the signal
PEEK = os.WEXITED | os.WNOHANG | os.WNOWAIT
FILES = 4  # stdin, stdout, stderr, and where the pid and the status go


def import_everything() -> None:
    """Every module but those that begin something when they are imported."""
    for package in (events, states, daemon):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
    gc.collect()
    gc.freeze()  # else each child would copy what it looks at


def serve(requests: socket.socket) -> None:
    """Until the test session at the other end is gone."""
    running: dict[int, int] = {}  # pids, by where to say how it ended
    ended: dict[int, int] = {}  # those of which it was said
    woken, wake = os.pipe2(os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    while True:
        ready, _, _ = select.select([requests, woken, *ended], [], [])
        if woken in ready:
            os.read(woken, REQUEST_BYTES)
            ended |= _report_ended(running)
        for report in ended.keys() & set(ready):
            os.waitpid(ended.pop(report), 0)
            os.close(report)
        if requests in ready:
            request, files, _, _ = socket.recv_fds(requests, REQUEST_BYTES, FILES)
            if not request:
                return
            _start(json.loads(request), files, running, requests)


def _start(request: dict[str, Any], files: list[int], running: dict[int, int], requests: socket.socket) -> None:
    assert threading.active_count() == 1, "a fork has no threads but ours"
    *standard, report = files
    if not (pid := os.fork()):
        requests.detach()
        _become(request, standard)
    running[report] = pid
    os.write(report, _record(pid))
    for file in standard:
        os.close(file)


def _become(request: dict[str, Any], standard: list[int]) -> None:
    """What `python -m cutoverd.daemon WORDS` is once it has imported everything; it never returns."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if request["new_session"]:
        os.setsid()
    for number, file in enumerate(standard):
        os.dup2(file, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv = ["cutoverd", *request["words"]]
    runpy.run_module("cutoverd.daemon", run_name="__main__", alter_sys=True)
    sys.exit()


def _report_ended(running: dict[int, int]) -> dict[int, int]:
    """Those that have ended meanwhile; who had asked for one may be gone."""
    ended = {report: pid for report, pid in running.items() if os.waitid(os.P_PID, pid, PEEK)}
    for report, pid in ended.items():
        del running[report]
        how = os.waitid(os.P_PID, pid, PEEK)
        with suppress(BrokenPipeError):
            os.write(report, _record(how.si_status if how.si_code == os.CLD_EXITED else -how.si_status))
    return ended


def _record(number: int) -> bytes:
    return number.to_bytes(RECORD_BYTES, sys.byteorder, signed=True)


if __name__ == "__main__":
    end = socket.socket(fileno=int(sys.argv[1]))
    import_everything()
    serve(end)

"""Starts, stops and shows one version of one service.

    python app/ctl.py start  --service api --version old --pidfile F --port N --url postgresql://…
    python app/ctl.py stop   --service api --version old --pidfile F [--kill]
    python app/ctl.py status --service api --version old --pidfile F

Exit codes as LSB has them: start and stop 0 (also if it already is so) or 1; status 0 running, 3 stopped, 4 not known.
`start` returns once the service listens, or 1 once it is seen that it will not. What it prints is in F.log.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pidfile
import witness

SERVER = Path(__file__).with_name("server.py")
START_SECONDS = 10
STOP_SECONDS = 10
RUNNING, FAILED, STOPPED, UNKNOWN = 0, 1, 3, 4


def start(given: argparse.Namespace) -> int:
    given.pidfile.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + START_SECONDS
    while (lock := pidfile.lock(given.pidfile)) is None:
        # Somebody runs, or only looked at the file at this very moment.
        if pidfile.settled(given.pidfile, START_SECONDS):
            return _say(given, "already runs", 0)
        if time.monotonic() > deadline:
            return _say(given, f"is neither up nor down after {START_SECONDS} s", FAILED)
    _spawn(given, lock)
    os.close(lock)
    if pidfile.settled(given.pidfile, START_SECONDS):
        return _say(given, "runs", 0)
    return _say(given, f"did not start:\n{_log(given).read_text()[-1000:]}", FAILED)


def _spawn(given: argparse.Namespace, lock: int) -> None:
    words = {"service": given.service, "version": given.version, "port": given.port, "url": given.url, "lock": lock}
    with _log(given).open("wb") as log:
        subprocess.Popen(
            [sys.executable, str(SERVER), *(word for name, value in words.items() for word in (f"--{name}", str(value)))],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=[lock],
        )


def stop(given: argparse.Namespace) -> int:
    number = signal.SIGKILL if given.kill else signal.SIGTERM
    deadline = time.monotonic() + START_SECONDS
    while (process := pidfile.holder(given.pidfile)) == {} and time.monotonic() < deadline:
        time.sleep(pidfile.POLL_SECONDS)  # it is only just starting and has not said its pid
    if process is None:
        return _say(given, "is already stopped", 0)
    if not process:
        return _say(given, f"has not said its pid in {START_SECONDS} s", FAILED)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process["pid"], number)
    if pidfile.released(given.pidfile, STOP_SECONDS):
        return _say(given, "stopped", 0)
    return _say(given, f"still runs {STOP_SECONDS} s after {number.name}: pid {process['pid']}; see {_log(given)}", FAILED)


def status(given: argparse.Namespace) -> int:
    running = pidfile.settled(given.pidfile, START_SECONDS)
    if running is None:
        return _say(given, "is starting", UNKNOWN)
    return _say(given, "runs", RUNNING) if running else _say(given, "is stopped", STOPPED)


def _log(given: argparse.Namespace) -> Path:
    return given.pidfile.with_name(given.pidfile.name + ".log")


def _say(given: argparse.Namespace, what: str, code: int) -> int:
    print(f"{given.service} ({given.version}) {what}", file=sys.stderr if code == FAILED else sys.stdout)
    return code


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("verb", choices=["start", "stop", "status"])
    arguments.add_argument("--service", default="api")
    arguments.add_argument("--version", required=True, choices=["old", "new", "test"])
    arguments.add_argument("--pidfile", required=True, type=Path)
    arguments.add_argument("--port", type=int)
    arguments.add_argument("--url", help="of the database; no password: libpq finds that elsewhere")
    arguments.add_argument("--kill", action="store_true", help="stop by SIGKILL")
    given = arguments.parse_args()
    if given.verb == "start" and not (given.port and given.url):
        arguments.error("start needs --port and --url")
    witness.note(given.verb, given.service, given.version)
    return {"start": start, "stop": stop, "status": status}[given.verb](given)


if __name__ == "__main__":
    sys.exit(main())

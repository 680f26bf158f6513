"""A nats-server of our own, which outlives the daemon: commands can be sent while no daemon runs.

Exactly one per folder: the server inherits a locked descriptor of `server.lock`, and the kernel keeps that lock for as
long as the server lives, whatever becomes of those who started it. Two servers on one store would both acknowledge.

All that another process needs to find it again is written to `server.json` before it is started.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
import signal
import subprocess
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from cutoverd.daemon.embedded.errors import DidNotStart, DidNotStop, NotInstalled, ServerError, tail
from cutoverd.daemon.embedded.loopback import HOST, free_port, is_free
from cutoverd.daemon.embedded.nats_binary import program
from cutoverd.daemon.host.environment import without_secrets
from cutoverd.daemon.host.file_lock import is_locked, try_lock
from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.host.polling import Polling
from cutoverd.daemon.host.private_files import (
    find_private,
    make_private_folder,
    open_private,
    read_private,
    remove_private,
    write_private,
)
from cutoverd.daemon.host.procfs import POLL_SECONDS, Process

log = Logger(__name__)

READY_SECONDS = 30
ANSWER_SECONDS = 2
PORT_SECONDS = 3
SPAWN_SECONDS = 10
STOP = ((signal.SIGTERM, 15), (signal.SIGKILL, 10))
STARTS = 3  # another program may take the port between our look at it and the server's


@dataclass(frozen=True)
class NatsAddress:
    """Where the server of a folder is reached, now and after every start."""

    name: str
    port: int
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Nats:
    """A running server: `nats.connect(it.url, user=it.user, password=it.password)`."""

    url: str
    user: str
    password: str = field(repr=False)
    pid: int


async def ensure(folder: Path, timeout_seconds: float = READY_SECONDS) -> Nats:
    """The server of that folder, started if it does not run; the folder is made if need be.

    Raises `NotInstalled`, and `DidNotStart` with the tail of the server's log.
    """
    folder = _made(folder)
    polling = Polling(timeout_seconds, pause_seconds=POLL_SECONDS)
    begun, starts = _log_bytes(folder), 0
    while not (running := find(folder)) or not await _answers(folder):
        with try_lock(_lock_file(folder)) as descriptor:
            if descriptor is not None and (starts := starts + 1) <= STARTS:
                await _launch(folder, descriptor)
        if starts > STARTS or polling.is_over:
            raise DidNotStart(_diagnosis(folder, running, begun, timeout_seconds))
        await polling.pause()
    return running


def find(folder: Path) -> Nats | None:
    """The server of that folder if its process is there, whether it answers or not."""
    process, address = _process(folder), _recorded(folder)
    if not process or not address:
        return None
    return Nats(f"nats://{HOST}:{address.port}", address.user, address.password, process.pid)


async def keep(folder: Path, every_seconds: float = 1.0) -> None:
    """Start it again whenever it has died, until cancelled; what keeps it from starting (a full disk, say) may pass."""
    while True:
        try:
            if not find(folder):
                await ensure(folder)
        except (ServerError, OSError, subprocess.SubprocessError) as error:
            log.error("embedded_nats_not_started", reason=str(error))
        await asyncio.sleep(every_seconds)


async def stop(folder: Path) -> None:
    """Stop the server of that folder, by force if need be; fine if none runs. Raises `DidNotStop`."""
    for number, seconds in STOP:
        if await _is_stopped(folder, number, seconds):
            return
    raise DidNotStop(
        f"the nats-server of {folder} still holds {_lock_file(folder)} after SIGKILL: end that process, then try again"
    )


async def _is_stopped(folder: Path, number: signal.Signals, timeout_seconds: float) -> bool:
    polling, signalled = Polling(timeout_seconds, pause_seconds=POLL_SECONDS), None
    while is_locked(_lock_file(folder)):
        process = _process(folder)  # none yet, if it is just being started
        if process and process != signalled:
            process.send(number)
            signalled = process
        if polling.is_over:
            return False
        await polling.pause()
    return True


async def _launch(folder: Path, descriptor: int) -> None:
    server, detach = program(), shutil.which("setsid")
    if not detach:
        raise NotInstalled("`setsid` is not installed; it is part of util-linux")
    address = await _address(folder)
    _write_configuration(folder, address)
    remove_private(folder / "server.pid")
    write_private(folder / "server.json", json.dumps(asdict(address)))
    _spawn([detach, "--fork", str(server), "-c", str(folder / "server.conf")], folder, descriptor)


def _spawn(command: list[str], folder: Path, descriptor: int) -> None:
    with open_private(_log_file(folder)) as log:
        subprocess.run(
            command,
            cwd=folder,
            env=without_secrets(),  # it outlives us, and none of them is for it
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[descriptor],
            timeout=SPAWN_SECONDS,
            check=True,
        )


async def _address(folder: Path) -> NatsAddress:
    """As it was before, so that clients find the way back; another port only if a stranger sits on it."""
    recorded = _recorded(folder)
    if not recorded:
        return NatsAddress(f"cutoverd-{secrets.token_hex(8)}", free_port(), "cutoverd", secrets.token_urlsafe(24))
    polling = Polling(PORT_SECONDS, pause_seconds=POLL_SECONDS)
    while not is_free(recorded.port):  # a killed server's socket may be closed a little later than its lock
        if polling.is_over:
            return replace(recorded, port=free_port())
        await polling.pause()
    return recorded


def _write_configuration(folder: Path, address: NatsAddress) -> None:
    # JSON is valid NATS configuration, and quotes whatever a path may hold.
    settings = {
        "server_name": address.name,
        "listen": f"{HOST}:{address.port}",
        "pid_file": str(folder / "server.pid"),
        "authorization": {"user": address.user, "password": address.password},
        # docs/measured.md, "Synced before acknowledged"
        "jetstream": {"store_dir": str(folder / "store"), "sync_interval": "always"},
    }
    write_private(folder / "server.conf", json.dumps(settings, indent=2, ensure_ascii=False))


async def _answers(folder: Path) -> bool:
    """Whether the server at the recorded address says that it is ours; it does so once JetStream is there."""
    address = _recorded(folder)
    if not address:
        return False
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            greeting = await _greeting(address.port)
        return bool(json.loads(greeting.removeprefix(b"INFO "))["server_name"] == address.name)
    except (OSError, TimeoutError, ValueError, KeyError):
        return False


async def _greeting(port: int) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        return await reader.readline()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _process(folder: Path) -> Process | None:
    """The process that the server's pid file names, if it holds our lock: a pid alone may be anybody's by now."""
    lock = _lock_file(folder)
    try:
        named = Process.find(int(read_private(folder / "server.pid")))
    except (OSError, ValueError):
        return _holder(lock) if is_locked(lock) else None
    return named if named and named.has_open(lock) else None


def _holder(lock: Path) -> Process | None:
    """By the lock alone: the pid file may be empty, or gone. Those who start a server hold it too."""
    name = program().name[:15]  # the kernel keeps no more
    return next((process for process in Process.all() if process.name == name and process.has_open(lock)), None)


def _recorded(folder: Path) -> NatsAddress | None:
    """Where `server.json` does not say it, the configuration does, which has the same."""
    return find_private(folder / "server.json", _parse) or find_private(folder / "server.conf", _parse_configuration)


def _parse(content: bytes) -> NatsAddress:
    address = NatsAddress(**json.loads(content))
    if not (isinstance(address.port, int) and isinstance(address.name, str) and isinstance(address.password, str)):
        raise TypeError("no address of ours")
    return address


def _parse_configuration(content: bytes) -> NatsAddress:
    settings = json.loads(content)
    login, port = settings["authorization"], settings["listen"].rpartition(":")[2]
    return NatsAddress(str(settings["server_name"]), int(port), str(login["user"]), str(login["password"]))


def _diagnosis(folder: Path, running: Nats | None, begun: int, timeout_seconds: float) -> str:
    log = tail(_log_file(folder), begun)
    if running:
        where = f"nats-server (process {running.pid}) holds {folder}"
        return f"{where}, but did not answer at {running.url} in {timeout_seconds} s; {log}"
    if is_locked(_lock_file(folder)):
        return f"somebody holds {_lock_file(folder)}, but no nats-server came up in {timeout_seconds} s; {log}"
    return f"nats-server ended as soon as it was started, {STARTS} times; {log}"


def _made(folder: Path) -> Path:
    return make_private_folder(folder).absolute()


def _log_bytes(folder: Path) -> int:
    return _log_file(folder).stat().st_size if _log_file(folder).exists() else 0


def _log_file(folder: Path) -> Path:
    return folder / "server.log"


def _lock_file(folder: Path) -> Path:
    return folder / "server.lock"

"""Where the demonstration plays: a folder with a copy of the example, a server with its database, services that run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import as_file, files
from pathlib import Path
from string import Template

from cutoverd.daemon.demo.example import PRINTOPTIM, Example
from cutoverd.daemon.embedded import nats
from cutoverd.daemon.embedded.loopback import free_port
from cutoverd.daemon.embedded.postgres import Postgres
from cutoverd.daemon.plan.load import LoadedPlan, load
from cutoverd.daemon.plan.systems import Service, ServiceCommands

ROLE = "cutover"
RIGHTS = Path(__file__).with_name("rights.sql")
COMMAND_SECONDS = 120
MONITOR_SECONDS = 2.0
MONITOR_SECONDS_BROKEN = 60.0  # it is broken once Monitor was entered, and then a person has to come
LOADED_ROWS_PER_SECOND = 10_000  # at least, on a machine that has other things to do


class Break(StrEnum):
    """Where the demonstration may be broken on purpose."""

    PRECHECK = "precheck"
    SERVICE = "service"
    SCHEMA = "schema"
    DATA = "data"
    VALIDATE = "validate"
    SMOKE = "smoke"
    CUTOVER = "cutover"
    MONITOR = "monitor"


@dataclass
class Stage:
    """All that the demonstration has; everything lies in `folder`."""

    folder: Path
    example: Example
    broken: Break | None
    postgres: Postgres
    loaded: LoadedPlan
    door: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        """The copy of the example."""
        return self.folder / self.example.name

    @property
    def acknowledged(self) -> Path:
        """What clients were promised; there from the moment on in which they begin."""
        return self.folder / "acknowledged.jsonl"

    @property
    def door_url(self) -> str:
        return f"http://127.0.0.1:{json.loads((self.folder / 'ports.json').read_text())['DOOR_PORT']}"

    def open(self) -> None:
        """The old version runs, and clients are let in."""
        plan = self.loaded.plan
        for service in reversed(plan.services):
            self.call(service.old.start)
        ports = json.loads((self.folder / "ports.json").read_text())
        state, target = self.loaded.state_dir / "services" / "door", f"127.0.0.1:{ports['APP_PORT']}"
        serve = ["serve", "--state-file", str(state), "--port", str(ports["DOOR_PORT"]), "--target", target]
        self.door = subprocess.Popen(
            [sys.executable, "app/lb.py", *serve, "--pidfile", f"{state}.pid"], cwd=self.home, stdout=subprocess.DEVNULL
        )

    def call(self, words: list[str], *, check: bool = True) -> int:
        """A command of the plan, as the daemon runs it: in the plan's folder, no shell; its exit code.

        Raises `RuntimeError` with what it said if that is not 0, unless `check` is off.
        """
        done = subprocess.run(words, cwd=self.home, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(words[1:4])} exited {done.returncode}: {(done.stderr or done.stdout)[-1000:]}")
        return done.returncode

    def close(self) -> None:
        """End everything that the demonstration started, by what it has on record."""
        for commands in _versions(self.loaded.plan.services):
            self.call([*commands.stop, "--kill"], check=False)
        if self.door:
            self.door.terminate()
            self.door.wait(timeout=30)


def _versions(services: list[Service]) -> Iterator[ServiceCommands]:
    for service in services:
        yield from (commands for commands in (service.old, service.new, service.test) if commands)


@contextlib.contextmanager
def stage(
    folder: Path,
    broken: Break | None = None,
    *,
    gates: list[str] | None = None,
    operators: tuple[str, ...] = (),
    example: Example = PRINTOPTIM,
    rows: int | None = None,
) -> Iterator[Stage]:
    """Set it, and clear it: no process stays behind. The folder is made; who made it removes it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _copy_example(example, folder / example.name, broken)
    postgres = Postgres(folder / "postgres")
    with contextlib.ExitStack() as ends:
        ends.callback(postgres.remove)
        postgres.start()
        _load(postgres, example, folder / example.name, rows or example.rows)
        words = {"GATES": gates or _gates(broken), "OPERATORS": operators}
        loaded = _plan(folder, example, postgres, {key: f"[{', '.join(names)}]" for key, names in words.items()}, broken)
        set_up = Stage(folder, example, broken, postgres, loaded)
        ends.callback(_end_nats, loaded)
        ends.callback(set_up.close)
        set_up.open()
        yield set_up


def _end_nats(loaded: LoadedPlan) -> None:
    asyncio.run(nats.stop(loaded.state_dir / "nats"))


def _gates(broken: Break | None) -> list[str]:
    """One more gate where the new database is to be corrupted by another connection."""
    return ["downtime", *(["validate"] if broken is Break.VALIDATE else []), "cutover"]


def _copy_example(example: Example, target: Path, broken: Break | None) -> None:
    with as_file(files("cutoverd.examples")) as examples:
        source = examples / example.name
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        overlay = source / "break" / broken if broken else None
        if overlay and overlay.is_dir():
            shutil.copytree(overlay, target, dirs_exist_ok=True)


def _load(postgres: Postgres, example: Example, home: Path, rows: int | None) -> None:
    """Roles with passwords of their own, then the example's own loader."""
    for role in (ROLE, example.application, example.smoke):
        postgres.add_login(role)
    words = [postgres.url(), example.database, *(["--rows", str(rows)] if rows else [])]
    seconds = COMMAND_SECONDS + (rows or 0) / LOADED_ROWS_PER_SECOND
    loading = [sys.executable, "legacy/load.py", *words]
    loaded = subprocess.run(loading, cwd=home, timeout=seconds, capture_output=True, text=True, check=False)
    if loaded.returncode:
        raise RuntimeError(f"the old database was not made: {loaded.stderr.strip()[-1000:]}")
    with postgres.connect() as connection:
        connection.execute(Template(RIGHTS.read_text()).substitute(owner=example.owner).encode())


def _plan(folder: Path, example: Example, postgres: Postgres, lists: Mapping[str, str], broken: Break | None) -> LoadedPlan:
    """The example's plan with the addresses of this stage."""
    ports = dict(zip(example.ports, _free_ports(len(example.ports)), strict=True))
    (folder / "ports.json").write_text(json.dumps(ports))
    path = folder / example.name / "plan.yaml"
    words = {
        "RUN": example.name.value,
        "STATE_DIR": str(folder / "state"),
        "URL": postgres.url(example.database, ROLE),
        "APP_URL": postgres.url(example.database, example.application),
        "SMOKE_URL": postgres.url(example.database, example.smoke),
        "TOOLS": str(postgres.bin_dir),
        "PYTHON": sys.executable,
        "MONITOR": f"{(MONITOR_SECONDS_BROKEN if broken is Break.MONITOR else MONITOR_SECONDS):g}s",
        **lists,
        **{name: str(port) for name, port in ports.items()},
    }
    path.write_text(Template(path.read_text()).substitute(words))
    return load(path)


def _free_ports(count: int) -> list[int]:
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return sorted(ports)

"""The plan file as models. What it says is checked here; reading it, with file and line of a mistake, is planfile.py."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from cutoverd.daemon.durations import Seconds
from cutoverd.events.subjects import is_token
from cutoverd.states import WAY

NOT_BUILT_YET = {
    "systemd", "haproxy", "prometheus", "confiture", "pgbouncer", "dns", "operators", "dashboards", "queries", "checks", "every",
}  # fmt: skip


class Part(BaseModel):
    """The base of all parts of a plan: nothing unknown, nothing changed later."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _kinds_that_exist(cls, given: Any) -> Any:
        for key in sorted(NOT_BUILT_YET & given.keys()) if isinstance(given, dict) else ():
            raise ValueError(f"`{key}` is not built yet")
        return given


LONGEST_RUN_NAME = 40  # `cutoverd/<run>/<epoch>` names our sessions, and PostgreSQL cuts that at 63 bytes


def _run_name(name: str) -> str:
    if not is_token(name) or len(name) > LONGEST_RUN_NAME:
        raise ValueError(f"a run's name has only letters, digits, '-' and '_', and at most {LONGEST_RUN_NAME} of them")
    return name


def _gate(name: str) -> str:
    known = [state.name for state in WAY[1:]]
    if name not in known:
        raise ValueError(f"a gate is the name of the state it stands before: {', '.join(known)}")
    return name


def _database_url(url: str) -> str:
    try:
        found = conninfo_to_dict(url)
    except ProgrammingError as error:
        # its own words may hold half of a password
        raise ValueError("libpq cannot read it: postgresql://role@host:port/DATABASE, or key=value pairs") from error
    if {"password", "sslpassword"} & found.keys():
        raise ValueError("a plan holds no password: leave it to PGPASSFILE, PGPASSWORD or a libpq service")
    if any(not port.isdigit() for port in str(found.get("port") or "0").split(",")):  # what a '/' in a password leads to
        raise ValueError("its port is no number: postgresql://role@host:port/DATABASE")
    if not found.get("dbname"):
        raise ValueError("it names no database: postgresql://role@host:port/DATABASE")
    return url


def _without_secret(url: str) -> str:
    if urlsplit(url).username is not None:
        raise ValueError("a plan holds no user and password, they would be on record: let a `command` ask")
    return url


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a moment needs its time zone: 2026-12-05T22:00:00Z")
    return moment.astimezone(UTC)


def _words(given: Any) -> Any:
    if not isinstance(given, list):
        raise ValueError(f"a command is a list of words, no shell line: [{', '.join(str(given).split())}]")
    return given


Words = Annotated[list[str], BeforeValidator(_words), Field(min_length=1)]


class Window(Part):
    """When `advance` past the first gate counts; `budget`, how long all of it should take, goes on record."""

    opens: Annotated[datetime, AfterValidator(_aware)] | None = None
    budget: Seconds | None = None


class Database(Part):
    url: Annotated[str, AfterValidator(_database_url)]


class Bus(Part):
    """A NATS of the team's; without it the daemon keeps one of its own in state_dir."""

    url: str
    credentials: Path | None = None
    monitoring: str | None = None  # http://host:8222: only there a server tells whether it syncs before it acknowledges


class Metrics(Part):
    listen: str = Field(pattern=r"^[^\s:]+:\d{1,5}$")


class Http(Part):
    url: Annotated[str, Field(pattern=r"^https?://"), AfterValidator(_without_secret)]
    status: int = 200
    contains: str | None = None
    within: Seconds | None = None


class Check(Part):
    """A proof from outside: `http` or `command`, exactly one."""

    name: str | None = None
    http: Http | None = None
    command: Words | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Check:
        if (self.http is None) == (self.command is None):
            raise ValueError("a check is either `http: {url, status}` or `command: [word, …]`")
        return self

    @property
    def title(self) -> str:
        return self.name or (f"http {self.http.url}" if self.http else " ".join(self.command or ()))[:120]


class Commands(Part):
    """A service by three commands; status exits 0 when it runs and 3 when it does not."""

    start: Words
    stop: Words
    status: Words


class Service(Part):
    name: str = Field(min_length=1)
    old: Commands
    new: Commands | None = None
    test: Commands | None = None


class Door(Part):
    """A door between clients and services; status exits 0 when it is open and 3 when it is closed."""

    name: str = "traffic"
    close: Words
    open: Words
    status: Words


class Backup(Part):
    directory: Path = Path("backups")
    jobs: int = Field(default=2, ge=1, le=64)


class Schema(Part):
    files: list[str] = Field(min_length=1)


class Script(Part):
    file: str
    probe: str | None = None  # one boolean, "already done": for a file that cannot run in a transaction


def _script(given: Any) -> Any:
    return {"file": given} if isinstance(given, str) else given


class Data(Part):
    scripts: list[Annotated[Script, BeforeValidator(_script)]] = Field(min_length=1)


class Comparison(Part):
    name: str
    old: str
    new: str
    key: list[str] = Field(min_length=1)


class Validate(Part):
    scripts: list[str] = Field(default_factory=list)
    compare: list[Comparison] = Field(default_factory=list)
    waive: dict[str, str] = Field(default_factory=dict)


class Monitor(Part):
    duration: Seconds = Field(default=0.0, alias="for")


class Timeouts(Part):
    """How long each kind of wait may last."""

    step: Seconds = 4 * 3600.0  # any step
    fence: Seconds = 60.0  # until nobody is in the database
    service: Seconds = 60.0  # until a status says what a start or stop was for
    command: Seconds = 30.0  # of a service or a door
    http: Seconds = 30.0  # until a check passes
    smoke: Seconds = 600.0  # a smoke command


class Plan(Part):
    """One cutover."""

    run: Annotated[str, AfterValidator(_run_name)]
    state_dir: Path
    window: Window = Window()
    database: Database
    bus: Bus | None = None
    metrics: Metrics | None = None
    health: list[Check] = Field(min_length=1)
    services: list[Service] = Field(default_factory=list)
    backup: Backup = Backup()
    schema_: Schema = Field(alias="schema")
    data: Data
    validate_: Validate = Field(alias="validate")
    smoke: list[Check] = Field(min_length=1)
    traffic: list[Door] = Field(min_length=1)
    monitor: Monitor = Monitor()
    gates: list[Annotated[str, AfterValidator(_gate)]] = ["downtime", "cutover"]
    timeouts: Timeouts = Timeouts()
    client_tools: Path | None = None  # folder of psql, pg_dump and pg_restore; without it the PATH's

    @model_validator(mode="after")
    def _names_are_unique(self) -> Plan:
        for what, names in self._named().items():
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{what}: {', '.join(twice)} is there twice; give each its own `name`")
        return self

    @model_validator(mode="after")
    def _a_window_has_a_gate(self) -> Plan:
        if self.window.opens and "downtime" not in self.gates:
            raise ValueError("window.opens holds back `advance`, so `gates` must name downtime")
        return self

    def _named(self) -> dict[str, list[str]]:
        return {
            "services": [service.name for service in self.services],
            "traffic": [door.name for door in self.traffic],
            "health": [check.title for check in self.health],
            "smoke": [check.title for check in self.smoke],
            "comparisons": [comparison.name for comparison in self.validate_.compare],
        }

    def items(self) -> dict[str, list[str]]:
        """What steps are made once per: kind → names, in the plan's order; scripts are added by planfile.py."""
        services = self.services
        return {
            **self._named(),
            "tested_services": [service.name for service in services if service.test],
            "new_services": [service.name for service in services if service.new],
        }

"""The parts of a plan as models: what may be said, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from cutoverd.daemon.plan.bus_url import BusUrl
from cutoverd.daemon.plan.durations import Seconds
from cutoverd.daemon.plan.values import DatabaseUrl, HttpUrl, LoginUrl, Moment, StateName, Words

NOT_BUILT_YET = {
    "systemd", "haproxy", "prometheus", "pgbouncer", "dns",
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


class Window(Part):
    """When `advance` past the first gate counts; `budget`, how long all of it should take, and `states`, each of them."""

    opens: Moment | None = None
    budget: Seconds | None = None
    states: dict[StateName, Seconds] = Field(default_factory=dict)


class Database(Part):
    url: DatabaseUrl


class Bus(Part):
    """A NATS of the team's; without it the daemon keeps one of its own in state_dir."""

    url: BusUrl
    credentials: Path | None = None  # else NATS_USER and NATS_PASSWORD, if they are set
    monitoring: HttpUrl | None = None  # http://host:8222: only there a server tells whether it syncs before it acknowledges


class Metrics(Part):
    """`scraped_within`: how old the last scrape may be in PreCheck, and how long one is waited for; 0s: none is asked for."""

    listen: str = Field(pattern=r"^[^\s:]+:\d{1,5}$")
    scraped_within: Seconds = 120.0


class Http(Part):
    url: HttpUrl
    status: int = 200
    contains: str | None = None
    within: Seconds | None = None


class Login(Part):
    """A session in production as the application opens it; libpq finds the password."""

    url: LoginUrl
    within: Seconds | None = None


class Check(Part):
    """A proof from outside: `http`, `command` or `login`, exactly one."""

    name: str | None = None
    http: Http | None = None
    command: Words | None = None
    login: Login | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Check:
        if [self.http, self.command, self.login].count(None) != 2:
            raise ValueError("a check is either `http: {url, status}` or `command: [word, …]` or `login: {url}`")
        return self

    @property
    def title(self) -> str:
        if self.login:
            return self.name or f"login {self.login.url}"[:120]
        return self.name or (f"http {self.http.url}" if self.http else " ".join(self.command or ()))[:120]


class Commands(Part):
    """A service by three commands; status exits 0 when it runs and 3 when it does not; `health`: what it has to answer then."""

    start: Words
    stop: Words
    status: Words
    health: list[Check] = Field(default_factory=list)


class Service(Part):
    name: str = Field(min_length=1)
    old: Commands
    new: Commands | None = None
    test: Commands | None = None

    @model_validator(mode="after")
    def _old_is_proven_by_the_plans_health(self) -> Service:
        if self.old.health:
            raise ValueError(
                "`health` of a service is for `new` and `test`; what runs today is proven by the plan's own `health`"
            )
        return self


class Door(Part):
    """A door between clients and services; status exits 0 when it is open and 3 when it is closed."""

    name: str = "traffic"
    close: Words
    open: Words
    status: Words


class Backup(Part):
    directory: Path = Path("backups")
    jobs: int = Field(default=2, ge=1, le=64)


class Confiture(Part):
    """An environment of a confiture project; `directory` is where its db/ lies."""

    environment: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
    directory: Path = Path(".")


class Schema(Part):
    """`files`, or what `confiture` builds: exactly one."""

    files: list[str] = Field(default_factory=list)
    confiture: Confiture | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Schema:
        if bool(self.files) == bool(self.confiture):
            raise ValueError("a schema is either `files: [db/0_schema/**/*.sql]` or `confiture: {environment: production}`")
        return self


class Script(Part):
    file: str
    probe: str | None = None  # one boolean, "already done": for a file that cannot run in a transaction


def _script(given: Any) -> Any:
    return {"file": given} if isinstance(given, str) else given


class Data(Part):
    scripts: list[Annotated[Script, BeforeValidator(_script, json_schema_input_type=str | Script)]] = Field(min_length=1)


class Comparison(Part):
    name: str
    old: str
    new: str
    key: list[str] = Field(min_length=1)


class Query(Part):
    """A question that the application asks, in the words of each schema; timed on both."""

    name: str = Field(min_length=1)
    old: str
    new: str
    no_slower_than: float = Field(default=1.5, gt=0)  # times as long as on old
    same_rows: bool = True  # both have to give as many rows


class Grants(Part):
    """`waive`: reasons by role, by object (schema.name), or by "role on object"."""

    waive: dict[str, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)


class Validate(Part):
    scripts: list[str] = Field(default_factory=list)
    compare: list[Comparison] = Field(default_factory=list)
    waive: dict[str, str] = Field(default_factory=dict)
    queries: list[Query] = Field(default_factory=list)
    grants: Grants = Grants()


class Timeouts(Part):
    """How long each kind of wait may last."""

    step: Seconds = 4 * 3600.0  # any step
    fence: Seconds = 60.0  # until nobody is in the database
    service: Seconds = 60.0  # until a status says what a start or stop was for
    command: Seconds = 30.0  # of a service or a door
    http: Seconds = 30.0  # until a check passes
    smoke: Seconds = 600.0  # a smoke command
    query: Seconds = 30.0  # a named query, each time it is asked
    sample: Seconds = Field(default=10.0, gt=0)  # one check of Monitor, once

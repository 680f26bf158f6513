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

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _kinds_that_exist(cls, given: Any) -> Any:
        for key in sorted(NOT_BUILT_YET & given.keys()) if isinstance(given, dict) else ():
            raise ValueError(f"`{key}` is not built yet")
        return given


class Window(Part):
    """When `advance` past the first gate counts; `budget`, how long all of it should take, and `states`, each of them."""

    opens: Moment | None = None
    """`advance` past the gate before Downtime counts from then on; with its time zone."""
    budget: Seconds | None = None
    """How long the night should take, from leaving PreCheck to Monitor: PreCheck fails if what it measured is longer."""
    states: dict[StateName, Seconds] = Field(default_factory=dict)
    """How long each state should take, by its name; for the board and its alerts."""


class Database(Part):
    url: DatabaseUrl
    """postgresql://role@host:port/DATABASE, without a password: libpq finds it."""


class Bus(Part):
    """A NATS of the team's; without it the daemon keeps one of its own in state_dir."""

    url: BusUrl
    """nats://host:port, without a password."""
    credentials: Path | None = None
    """A credentials file, relative to the plan's folder; else NATS_USER and NATS_PASSWORD, if they are set."""
    monitoring: HttpUrl | None = None
    """http://host:8222: only there a server tells whether it syncs before it acknowledges."""


class Metrics(Part):
    """`scraped_within`: how old the last scrape may be in PreCheck, and how long one is waited for; 0s: none is asked for."""

    listen: str = Field(pattern=r"^[^\s:]+:\d{1,5}$")
    """host:port that is scraped."""
    scraped_within: Seconds = 120.0
    """How old the last scrape may be in PreCheck; 0s asks for none."""


class Http(Part):
    url: HttpUrl
    """What is asked by GET."""
    status: int = 200
    """The status that is right."""
    contains: str | None = None
    """Text that has to be in the body."""
    within: Seconds | None = None
    """How long it is asked again until it passes; else timeouts.http."""


class Login(Part):
    """A session in production as the application opens it; libpq finds the password."""

    url: LoginUrl
    """postgresql://role@host:port/DATABASE or service=NAME, as the application has it."""
    within: Seconds | None = None
    """How long it is tried; else timeouts.http."""


class Check(Part):
    """A proof from outside: `http`, `command` or `login`, exactly one."""

    name: str | None = None
    """What it is called; else what it asks."""
    http: Http | None = None
    """A page that has to answer."""
    command: Words | None = None
    """Words of a command that has to exit 0."""
    login: Login | None = None
    """A session that has to open."""

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
    """Begins it and returns: it does not serve."""
    stop: Words
    """Ends it and returns."""
    status: Words
    """Exits 0 while it runs and 3 while it does not; anything else is no answer."""
    health: list[Check] = Field(default_factory=list)
    """What it has to answer once it runs."""


class Service(Part):
    name: str = Field(min_length=1)
    """What it is called."""
    old: Commands
    """The version of today."""
    new: Commands | None = None
    """The version on the new database; left out: it has none."""
    test: Commands | None = None
    """The new version out of reach of clients, for Smoke."""

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
    """What it is called."""
    close: Words
    """Keeps clients out and returns."""
    open: Words
    """Lets clients in and returns."""
    status: Words
    """Exits 0 while it is open and 3 while it is closed; anything else is no answer."""


class Backup(Part):
    directory: Path = Path("backups")
    """Where the dumps are written, relative to the plan's folder; room for two."""
    jobs: int = Field(default=2, ge=1, le=64)
    """How many tables are dumped or restored at once."""


class Confiture(Part):
    """An environment of a confiture project; `directory` is where its db/ lies."""

    environment: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
    """Which one is built."""
    directory: Path = Path(".")
    """Where its db/ lies, relative to the plan's folder."""


class Schema(Part):
    """`files`, or what `confiture` builds: exactly one."""

    files: list[str] = Field(default_factory=list)
    """Patterns relative to the plan's folder, run in this order as the database's owner, all in one transaction."""
    confiture: Confiture | None = None
    """A project whose schema is built in PreCheck."""

    @model_validator(mode="after")
    def _one_kind(self) -> Schema:
        if bool(self.files) == bool(self.confiture):
            raise ValueError("a schema is either `files: [db/0_schema/**/*.sql]` or `confiture: {environment: production}`")
        return self


class Script(Part):
    file: str
    """A pattern relative to the plan's folder."""
    probe: str | None = None
    """A query that gives one boolean, "already done": for a file that cannot run in a transaction."""


def _script(given: Any) -> Any:
    return {"file": given} if isinstance(given, str) else given


class Data(Part):
    scripts: list[Annotated[Script, BeforeValidator(_script, json_schema_input_type=str | Script)]] = Field(min_length=1)
    """Patterns relative to the plan's folder, run in this order as the database's owner, each file a transaction."""


class Comparison(Part):
    name: str
    """What it is called; a step of Validate has this name."""
    old: str
    """A query that is asked of the old database."""
    new: str
    """A query that is asked of the new one; it has to give the same rows, in the same columns."""
    key: list[str] = Field(min_length=1)
    """Columns of the result that tell one row from another: by them a row that differs is named."""


class Query(Part):
    """A question that the application asks, in the words of each schema; timed on both."""

    name: str = Field(min_length=1)
    """What it is called."""
    old: str
    """The question in the words of the old schema."""
    new: str
    """The question in the words of the new one."""
    no_slower_than: float = Field(default=1.5, gt=0)
    """How many times as long as on old it may take."""
    same_rows: bool = True
    """Whether both have to give as many rows."""


class Grants(Part):
    """`waive`: reasons by role, by object (schema.name), or by "role on object"."""

    waive: dict[str, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    """Why a right may be gone: by role, by object (schema.name), or by `role on object`."""


class Validate(Part):
    scripts: list[str] = Field(default_factory=list)
    """Patterns of SQL files whose results have a text column `check` and a boolean column `ok`; they can write nothing."""
    compare: list[Comparison] = Field(default_factory=list)
    """Queries that have to give the same on old and new; every table of old is read by one, or waived."""
    waive: dict[str, str] = Field(default_factory=dict)
    """Why nobody needs the rows of a table, by schema.table."""
    queries: list[Query] = Field(default_factory=list)
    """Questions of the application that may not have become slow."""
    grants: Grants = Grants()
    """Rights that may be gone."""


class Timeouts(Part):
    """How long each kind of wait may last."""

    step: Seconds = 4 * 3600.0
    """Any step."""
    fence: Seconds = 60.0
    """Until nobody is in the database any more."""
    service: Seconds = 60.0
    """Until a status says what a start or stop was for."""
    command: Seconds = 30.0
    """A command of a service or a door."""
    http: Seconds = 30.0
    """Until a check passes."""
    smoke: Seconds = 600.0
    """A smoke command."""
    query: Seconds = 30.0
    """A named query, each time it is asked."""
    sample: Seconds = Field(default=10.0, gt=0)
    """One check of Monitor, once."""

"""What is outside the database: services, the doors to them, and checks of them."""

from __future__ import annotations

from pydantic import Field, model_validator

from cutoverd.daemon.plan.base import Part
from cutoverd.daemon.plan.durations import Seconds
from cutoverd.daemon.plan.fields import CommandLine, HttpUrl, LoginUrl, VariableName


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


class CheckSection(Part):
    """A proof from outside: `http`, `command` or `login`, exactly one."""

    name: str | None = None
    """What it is called; else what it asks."""
    http: Http | None = None
    """A page that has to answer."""
    command: CommandLine | None = None
    """Words of a command that has to exit 0."""
    login: Login | None = None
    """A session that has to open."""
    env: list[VariableName] = Field(default_factory=list)
    """Secrets of the daemon's environment that its command gets, by name."""

    @model_validator(mode="after")
    def _one_kind(self) -> CheckSection:
        if self.env and not self.command:
            raise ValueError("`env` names what a `command` gets of the environment, and here is none")
        if [self.http, self.command, self.login].count(None) != 2:
            raise ValueError("a check is either `http: {url, status}` or `command: [word, …]` or `login: {url}`")
        return self

    @property
    def title(self) -> str:
        if self.login:
            return self.name or f"login {self.login.url}"[:120]
        return self.name or (f"http {self.http.url}" if self.http else " ".join(self.command or ()))[:120]


class ServiceCommands(Part):
    """A service by three commands; status exits 0 when it runs and 3 when it does not; `health`: what it has to answer then."""

    start: CommandLine
    """Begins it and returns: it does not serve."""
    stop: CommandLine
    """Ends it and returns."""
    status: CommandLine
    """Exits 0 while it runs and 3 while it does not; anything else is no answer."""
    env: list[VariableName] = Field(default_factory=list)
    """Secrets of the daemon's environment that its commands get, by name."""
    health: list[CheckSection] = Field(default_factory=list)
    """What it has to answer once it runs."""


class Service(Part):
    name: str = Field(min_length=1)
    """What it is called."""
    old: ServiceCommands
    """The version of today."""
    new: ServiceCommands | None = None
    """The version on the new database; left out: it has none."""
    test: ServiceCommands | None = None
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
    close: CommandLine
    """Keeps clients out and returns."""
    open: CommandLine
    """Lets clients in and returns."""
    status: CommandLine
    """Exits 0 while it is open and 3 while it is closed; anything else is no answer."""
    env: list[VariableName] = Field(default_factory=list)
    """Secrets of the daemon's environment that its commands get, by name."""

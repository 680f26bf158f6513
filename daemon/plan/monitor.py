"""What a plan says of Monitor: how long, how often, and which checks with which thresholds."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from cutoverd.daemon.plan.base import Part
from cutoverd.daemon.plan.durations import Seconds
from cutoverd.daemon.plan.fields import CommandLine, HttpUrl, VariableName

LEAST_EVERY_SECONDS = 0.1
SERVICE_FOR_SECONDS = 60.0  # a new version that is started again by hand within it is no breach
Threshold = Annotated[float, Field(allow_inf_nan=False)]


def _pattern(text: str) -> str:
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise ValueError(f"it is no regular expression: {error}") from error
    if groups > 1:
        raise ValueError(f"it has {groups} groups, and the number is the first; make the others (?:…)")
    return text


class Page(Part):
    """GET `url`; `number`: a regular expression that finds the number in the body, without it the body is the number."""

    url: HttpUrl
    """What is asked by GET."""
    status: int = 200
    """The status that is right."""
    contains: str | None = None
    """Text that has to be in the body."""
    number: Annotated[str, AfterValidator(_pattern)] | None = None
    """A regular expression whose first group is the number; without it the body is."""


class WatchedCheck(Part):
    """One check: `http`, `sql` or `command`; with `above` or `below` it gives a number that may not be beyond."""

    name: str = Field(min_length=1, max_length=120)
    """What it is called."""
    http: Page | None = None
    """A page."""
    sql: Annotated[str, Field(min_length=1)] | None = None
    """A query on production, which can write nothing."""
    command: CommandLine | None = None
    """Words of a command."""
    env: list[VariableName] = Field(default_factory=list)
    """Secrets of the daemon's environment that its command gets, by name."""
    above: Threshold | None = None
    """A number beyond it is bad."""
    below: Threshold | None = None
    """A number under it is bad."""
    duration: Seconds = Field(default=120.0, alias="for")
    """How long it has to be bad to be a breach, which holds the run."""

    @model_validator(mode="after")
    def _one_kind(self) -> WatchedCheck:
        if [self.http, self.sql, self.command].count(None) != 2:
            raise ValueError("a check is one of `http: {url}`, `sql: SELECT …` and `command: [word, …]`")
        if self.env and not self.command:
            raise ValueError("`env` names what a `command` gets of the environment, and here is none")
        if self.http and self.http.number and not self.has_threshold:
            raise ValueError("`number` finds a number, and `above` or `below` says what is too much or too little of it")
        if self.above is not None and self.below is not None and self.below > self.above:
            raise ValueError(f"no number is good that may be neither above {self.above:g} nor below {self.below:g}")
        return self

    @property
    def has_threshold(self) -> bool:
        return self.above is not None or self.below is not None


def of_service(name: str) -> str:
    """The check that every plan has for each new version."""
    return f"service {name} runs"


class MonitorSection(Part):
    """`for`: how long; `every`: the pause between two rounds of the checks."""

    duration: Seconds = Field(default=0.0, alias="for")
    """How long production is watched."""
    every: Seconds = 15.0
    """The pause between two rounds of the checks."""
    checks: list[WatchedCheck] = Field(default_factory=list)
    """What is asked in each round."""

    @model_validator(mode="after")
    def _is_long_enough(self) -> MonitorSection:
        if self.every < LEAST_EVERY_SECONDS:
            raise ValueError(f"every: at least {LEAST_EVERY_SECONDS * 1000:g}ms, else nothing but checks would run")
        for check in self.checks:
            if check.duration > self.duration:
                raise ValueError(
                    f"check {check.name!r} could never be breached: it has to be bad for {check.duration:g} s, and Monitor "
                    f"lasts {self.duration:g} s; give one of them another `for`"
                )
        return self

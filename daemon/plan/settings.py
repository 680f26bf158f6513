"""What surrounds a cutover: its window, the database, the bus, the metrics, the dumps, the time-outs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from cutoverd.daemon.plan.base import Part
from cutoverd.daemon.plan.bus_url import BusUrl
from cutoverd.daemon.plan.durations import Seconds
from cutoverd.daemon.plan.fields import DatabaseUrl, FilePath, HttpUrl, StateName, Timestamp


class Window(Part):
    """When `advance` past the first gate counts; `budget`, how long all of it should take, and `states`, each of them."""

    opens: Timestamp | None = None
    """`advance` past the gate before Downtime counts from then on; with its time zone."""
    budget: Seconds | None = None
    """How long the night should take, from leaving PreCheck to Monitor: PreCheck fails if what it measured is longer."""
    states: dict[StateName, Seconds] = Field(default_factory=dict)
    """How long each state should take, by its name: for the board, its alerts, and the end that is foretold."""
    on_overrun: Literal["rollback", "hold"] | None = None
    """What follows if the window would end after `budget` while a rollback still ends in time; without it that is only said."""


class DatabaseSection(Part):
    url: DatabaseUrl
    """postgresql://role@host:port/DATABASE, without a password: libpq finds it."""


class Bus(Part):
    """A NATS of the team's; without it the daemon keeps one of its own in state_dir."""

    url: BusUrl
    """nats://host:port, without a password."""
    credentials: FilePath | None = None
    """A credentials file, relative to the plan's folder; else NATS_USER and NATS_PASSWORD, if they are set."""
    monitoring: HttpUrl | None = None
    """http://host:8222: only there a server tells whether it syncs before it acknowledges."""


class Metrics(Part):
    """`scraped_within`: how old the last scrape may be in PreCheck, and how long one is waited for; 0s: none is asked for."""

    listen: str = Field(pattern=r"^[^\s:]+:\d{1,5}$")
    """host:port that is scraped."""
    scraped_within: Seconds = 120.0
    """How old the last scrape may be in PreCheck; 0s asks for none."""


class Backup(Part):
    directory: FilePath = Path("backups")
    """Where the dumps are written, relative to the plan's folder; room for two."""
    jobs: int = Field(default=2, ge=1, le=64)
    """How many tables are dumped or restored at once."""
    leave_out: dict[str, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    """Why a table, view, type or function is not restored to prove the backup: by its name as SQL writes it, `public.geo` or
    `public.f(integer)`. It is dumped all the same; what depends on it is left out with it."""
    restore: list[str] = Field(default_factory=list)
    """A command of your own that restores CUTOVERD_DUMP into the empty database CUTOVERD_DATABASE: as a superuser, say."""


class RehearsalSection(Part):
    database: DatabaseUrl | None = None
    """A copy of production that you make and give away (snapshot of the volume, promoted standby), without a password: the window
    is rehearsed on it, and it has its name and its rows again afterwards. On another server its durations are shown, and count
    for nothing."""
    skip: Annotated[str, Field(min_length=1)] | None = None
    """Why the window is not rehearsed: then data scripts and validations run in it for the first time."""
    max_age: Seconds = 7 * 86400.0
    """How old a rehearsal of the same catalog, SQL files and plan may be that PreCheck is content with."""
    here_up_to: Annotated[int, Field(ge=0)] = 50
    """GiB: where none is on record, PreCheck rehearses a production up to this size itself; a larger one wants one on record, or
    `database`."""

    @model_validator(mode="after")
    def _it_is_made_or_left_out(self) -> RehearsalSection:
        if self.skip and self.database:
            raise ValueError("`skip` leaves the rehearsal out, and `database` says where it is made: one of the two")
        return self


class TimeoutsSection(Part):
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

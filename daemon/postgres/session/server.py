"""How every session of ours reaches the server: who it is, and what it must never leave behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cutoverd.daemon.host.environment import for_libpq
from cutoverd.daemon.postgres.session import pins
from cutoverd.daemon.postgres.session.connect import Connection
from cutoverd.daemon.postgres.session.names import LEDGER, Names, TrialNames
from cutoverd.daemon.postgres.session.pinned import connect_pinned, pin
from cutoverd.daemon.postgres.session.service_file import ServiceSettings, read_service

CONNECT_SECONDS = 10


@lru_cache(maxsize=8)  # each session asks
def _production(url: str) -> str:
    return str(conninfo_to_dict(url)["dbname"])


@dataclass(frozen=True)
class Server:
    """One cluster as the daemon of one run and epoch sees it."""

    url: str  # of production, never with a password; of the environment libpq adds how we log in (PGPASSFILE, PGSSL*, …)
    run: str
    epoch: int
    folder: Path  # of this run, in state_dir: wrapper scripts, dumps, differing keys
    bin_dir: Path | None = None  # of psql, pg_dump, pg_restore; None: the PATH's
    home: str = LEDGER  # where sessions go that are about no database in particular
    read_only: bool = False  # its sessions can write nothing
    reach_seconds: float = 30.0  # a server that crashed recovers meanwhile; the way back must not fail because of it
    on_trial: bool = False  # its four names are those around a copy of production: the scratch database
    is_given: bool = False  # or one that the team has made: then `url` is its address

    @property
    def names(self) -> Names:
        name = _production(self.url)
        if self.is_given:
            return TrialNames(name)
        return Names(name).of_trial if self.on_trial else Names(name)

    def of_copy(self, url: str = "") -> Server:
        """The copy that the window is rehearsed on: that which the team has made, at `url`, or the scratch database."""
        return replace(self, url=url or self.url, on_trial=True, is_given=bool(url))

    @property
    def url_key(self) -> str:
        """Of the plan, for whoever has to mend it."""
        return "rehearsal.database" if self.is_given else "database.url"

    def worded(self, text: str) -> str:
        """What is said of the server of `database.url`, of this one."""
        return text.replace("database.url", self.url_key)

    @property
    def place(self) -> str:
        """Its database and where that is, for people."""
        given = conninfo_to_dict(self.url)
        where = f"{given.get('host') or given.get('hostaddr') or 'the local socket'}:{given.get('port') or 5432}"
        return f"{self.names.production} on {where if not given.get('service') else 'service ' + str(given['service'])}"

    @property
    def application_name(self) -> str:
        return f"cutoverd/{self.run}/{self.epoch}"

    def tool(self, name: str) -> str:
        return str(self.bin_dir / name) if self.bin_dir else name

    async def connect(
        self,
        database: str = "",
        *,
        settings: Mapping[str, str] | None = None,
        of_plan: bool = False,
        application_name: str = "",
        connect_seconds: int = CONNECT_SECONDS,
    ) -> Connection:
        """A session on `database`, at home without one, in autocommit; raises psycopg.Error.

        `of_plan`: for SQL of the plan, as a session of the database's owner has it. `settings` go before what is pinned.
        """
        database = database or self.home
        return await connect_pinned(
            self._address(database, application_name or self.application_name, connect_seconds),
            self._pins(database, settings or {}, of_plan=of_plan),
            as_owner_of=self.whose_settings(database) if of_plan else (),
        )

    async def pin_again(self, connection: Connection) -> None:
        """As `connect` has pinned a session of ours at home; raises psycopg.Error."""
        await pin(connection, self._pins(self.home, {}, of_plan=False))

    def _pins(self, database: str, settings: Mapping[str, str], *, of_plan: bool) -> dict[str, str]:
        only_reads = self.read_only or database == self.names.previous  # fenced old, to which nobody writes
        return {**(pins.OF_PLAN if of_plan else pins.OURS), **settings, **({pins.READ_ONLY: "on"} if only_reads else {})}

    def conninfo(self, database: str, settings: Mapping[str, str]) -> str:
        """For `-d` of psql and its like: a libpq service would beat what only their environment says, the database too."""
        address = self._address(database, self.application_name, CONNECT_SECONDS)
        if not pins.may_hold_secrets(settings):
            return make_conninfo(address, options=pins.at_start(settings))
        given = {name: value for name, value in conninfo_to_dict(address).items() if name not in ("service", "options")}
        return make_conninfo("", **{**self._service().others, **given})

    def _service(self) -> ServiceSettings:
        name = conninfo_to_dict(self.url).get("service")
        return read_service(str(name)) if name else ServiceSettings()

    def whose_settings(self, database: str) -> tuple[str, ...]:
        """Where it is read what owner and database have set, the first that is there: a copy has only what our role may set.

        Found: in the rehearsal files ran without what the owner has set in production's database, and the window with it.
        """
        if self.on_trial and not self.is_given:
            return (_production(self.url),)
        names = self.names
        return (database,) if database == names.production else (names.previous, names.production)

    def _address(self, database: str, application_name: str, connect_seconds: int) -> str:
        return make_conninfo(self.url, dbname=database, application_name=application_name, connect_timeout=connect_seconds)

    def environment(self, settings: Mapping[str, str] | None = None) -> dict[str, str]:
        """Of a libpq child: secrets stay where libpq finds them; where it goes its arguments say alone.

        `settings` are here, and with them what a service says, if they may hold a secret: every user of the machine reads the
        arguments of a process. Found: PostgREST's `app.jwt_secret` stood there.
        """
        ours = {**for_libpq(), "PGCLIENTENCODING": "UTF8"}
        if not settings or not pins.may_hold_secrets(settings):
            return ours
        return {**ours, **self._service().variables, "PGCLIENTENCODING": "UTF8", "PGOPTIONS": pins.at_start(settings)}

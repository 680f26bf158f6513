"""Values of a plan that mean something: each is checked here, and says what would be right."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, BeforeValidator, Field

from cutoverd.daemon.postgres.session.names import LONGEST_PRODUCTION_NAME
from cutoverd.events.subjects import is_token
from cutoverd.states import WAY
from cutoverd.states.rollback import Rollback

LONGEST_FILE_NAME, LONGEST_PATH = 255, 3000  # Linux has 4096 for all, our own names in it included
LONGEST_ROLE_NAME_BYTES = 63
LONGEST_HOST = 253
LEAST_PORT, LARGEST_PORT, LONGEST_NUMBER = 1, 65535, 20
VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")
LONGEST_RUN_NAME = 40  # `cutoverd/<run>/<epoch>` names our sessions, cut at 63 bytes: docs/measured.md, "Names"


def _run_name(name: str) -> str:
    if not is_token(name) or len(name) > LONGEST_RUN_NAME:
        raise ValueError(f"a run's name has only letters, digits, '-' and '_', and at most {LONGEST_RUN_NAME} of them")
    return name


def _role_name(name: str) -> str:
    if not name or len(name.encode()) > LONGEST_ROLE_NAME_BYTES or not name.isprintable():
        raise ValueError(f"a role's name is printable and has 1 to {LONGEST_ROLE_NAME_BYTES} bytes, as \\du of psql shows it")
    return name


def _gate(name: str) -> str:
    known = [state.name for state in WAY[1:]]
    if name not in known:
        raise ValueError(f"a gate is the name of the state it stands before: {', '.join(known)}")
    return name


def _state(name: str) -> str:
    known = [*(state.name for state in WAY), Rollback.name]
    if name not in known:
        raise ValueError(f"there is no such state; there are {', '.join(known)}")
    return name


def _database_url(url: str) -> str:
    name = str(_libpq(url).get("dbname") or "")
    if not name:
        raise ValueError("it names no database: postgresql://role@host:port/DATABASE")
    if (length := len(name.encode())) > LONGEST_PRODUCTION_NAME:
        raise ValueError(
            f"the name of its database has {length} bytes, and may have {LONGEST_PRODUCTION_NAME}: `_previous` is put after it, "
            "and PostgreSQL cuts at 63; rename the database first"
        )
    return url


def _login_url(url: str) -> str:
    found = _libpq(url)
    if not found.get("service") and not (found.get("dbname") and found.get("user")):
        raise ValueError("it names no role or no database: postgresql://role@host:port/DATABASE, or service=NAME")
    return url


# what libpq hides itself (PQconndefaults calls them passwords), be it older or newer than ours
SECRETS = {"password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret"}


def _libpq(url: str) -> dict[str, Any]:
    """What libpq reads in it; raises ValueError where it cannot, or where a password is."""
    try:
        found = conninfo_to_dict(url)
    except ProgrammingError as error:
        # its own words may hold half of a password
        raise ValueError("libpq cannot read it: postgresql://role@host:port/DATABASE, or key=value pairs") from error
    if SECRETS & found.keys():
        raise ValueError("a plan holds no password: leave it to PGPASSFILE, PGPASSWORD or a libpq service")
    if not all(_is_port(port) for port in str(found.get("port") or LEAST_PORT).split(",")):  # what a '/' in a password leads to
        raise ValueError(f"its port is no number from {LEAST_PORT} to {LARGEST_PORT}: postgresql://role@host:port/DATABASE")
    return dict(found)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER and LEAST_PORT <= int(text) <= LARGEST_PORT


def _http(url: str) -> str:
    try:
        urlsplit(url)
    except ValueError:  # a bracket that is not closed
        url = ""
    if not url.startswith(("http://", "https://")):
        raise ValueError("it is no address that can be asked by HTTP: http://host:8080/path")
    return url


def _without_secret(url: str) -> str:
    if urlsplit(url).username is not None:
        raise ValueError("a plan holds no user and password, they would be on record: let a `command` ask")
    return url


def _can_be_asked(url: str) -> str:
    """Its own words may hold half of a password, so none is repeated."""
    try:
        port = urlsplit(url).port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("its port is no number from 1 to 65535: http://host:8080/path")
    if not host_of(url):
        raise ValueError(
            "its host is no name that can be looked up: letters, digits, '-' and '.', at most 63 between two dots: http://host:8080/path"
        )
    return url


# most addresses: what is to be known of them costs no client, which is 25 ms of each start of a command
PLAIN_URL = re.compile(
    r"https?://(?P<host>[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z][a-z0-9-]{0,61}[a-z0-9])*|127\.0\.0\.1)(:\d{1,5})?(/[\w.~/=&-]*)?",
    re.ASCII,
)


def host_of(url: str) -> str:
    """As it is looked up; "" where it cannot be."""
    plain = PLAIN_URL.fullmatch(url)
    if plain and len(plain["host"]) <= LONGEST_HOST and "xn--" not in url and not plain["host"].isdigit():
        return plain["host"]
    import httpx

    try:
        asked = httpx.URL(url)
        encoded = asked.raw_host.decode("ascii")
        encoded.encode("idna")  # as the resolver does
        return encoded if asked.host else ""  # decoded, which may fail as well
    except (ValueError, httpx.InvalidURL):
        return ""


def _operator(name: str) -> str:
    if not is_token(name):
        raise ValueError(
            "an operator's name has only letters, digits, '-' and '_': it is the end of the subject cutover.cmd.<operator>"
        )
    return name


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a moment needs its time zone: 2026-12-05T22:00:00Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # of a year that UTC does not have
        raise ValueError("a moment lies in the years from 1 to 9999, in UTC too") from None


def _path(path: Path) -> Path:
    """As the system takes it; raises ValueError, where it would raise OSError later."""
    longest = max((len(os.fsencode(part)) for part in path.parts), default=0)
    if longest > LONGEST_FILE_NAME or len(os.fsencode(path)) > LONGEST_PATH:
        raise ValueError(
            f"a path has at most {LONGEST_PATH} bytes, and {LONGEST_FILE_NAME} between two slashes: no file can be called that"
        )
    return path


def _command_line(given: Any) -> Any:
    if not isinstance(given, list):
        raise ValueError(f"a command is a list of words, no shell line: [{', '.join(str(given).split())}]")
    return given


def _variable(name: str) -> str:
    if not VARIABLE.fullmatch(name):
        raise ValueError(
            "the name of a variable of the environment has letters, digits and '_': [API_TOKEN]; its value is no plan's"
        )
    return name


CommandLine = Annotated[list[str], BeforeValidator(_command_line), Field(min_length=1)]
VariableName = Annotated[str, AfterValidator(_variable)]
RoleName = Annotated[str, AfterValidator(_role_name)]
RunName = Annotated[str, AfterValidator(_run_name)]
FilePath = Annotated[Path, AfterValidator(_path)]
Gate = Annotated[str, AfterValidator(_gate)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
LoginUrl = Annotated[str, AfterValidator(_login_url)]
HttpUrl = Annotated[
    str,
    Field(json_schema_extra={"pattern": r"^https?://"}),  # for editors: pydantic's own words for it would not say what is right
    AfterValidator(_http),
    AfterValidator(_without_secret),
    AfterValidator(_can_be_asked),
]
OperatorName = Annotated[str, AfterValidator(_operator)]
StateName = Annotated[str, AfterValidator(_state)]
Timestamp = Annotated[datetime, AfterValidator(_aware)]

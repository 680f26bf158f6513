"""What programs of others get of this daemon's environment: all but its secrets, and those that the plan passes by name.

What they print is kept in a journal that nobody can delete from, so the secrets that are known here are masked in it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from urllib.parse import quote

# what libpq and NATS take from the environment; PGPASSFILE is a path, and whoever may read that file may read it without it
OF_NATS = ("NATS_USER", "NATS_PASSWORD", "NATS_TOKEN", "NATS_NKEY", "NATS_CREDS")
SECRETS = ("PGPASSWORD", *OF_NATS)
# Where a session goes, as whom and how its values are read: the plan alone says so. What is left to the environment is how a
# login is proved and protected (PGPASSFILE, PGSSL*, PGREQUIREAUTH, …), and the file of the service that a plan names.
NOT_FOR_LIBPQ = (
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGDATABASE",
    "PGUSER",
    "PGSERVICE",
    "PGOPTIONS",
    "PGAPPNAME",
    "PGCONNECT_TIMEOUT",
    "PGCLIENTENCODING",
    "PGTARGETSESSIONATTRS",
    "PGLOADBALANCEHOSTS",
    "PGTZ",
    "PGDATESTYLE",
    "PGGEQO",
)
_set_aside: dict[str, str] = {}
MASK = "********"
SHORTEST = 4  # characters: to mask less would spoil the text, and tell the secret


def set_aside_for_libpq() -> None:
    """In this process, before the first session: libpq reads the environment itself. The plan's commands still get it.

    Found: PGHOSTADDR took every session to another server than `database.url` names.
    """
    _set_aside.update(drop_for_libpq())


def drop_for_libpq() -> dict[str, str]:
    """What was taken out of this process's environment."""
    return {name: os.environ.pop(name) for name in NOT_FOR_LIBPQ if name in os.environ}


def for_libpq() -> dict[str, str]:
    """The environment of a program that is told its server by its arguments: what ours would say of it is not there.

    Of our secrets it has libpq's alone. Found: a file could read the journal's password by `\\getenv`.
    """
    return {name: value for name, value in os.environ.items() if name not in NOT_FOR_LIBPQ and name not in OF_NATS}


def as_given() -> dict[str, str]:
    """The environment as this process got it."""
    return {**_set_aside, **os.environ}


def without_secrets(passed: Collection[str] = ()) -> dict[str, str]:
    """The environment of a program, with the secrets that are passed by name."""
    return {name: value for name, value in as_given().items() if name not in SECRETS or name in passed}


def withheld(passed: Collection[str] = ()) -> list[str]:
    """Names of what `without_secrets` leaves out."""
    return [name for name in SECRETS if name in os.environ and name not in passed]


def masked(output: str, passed: Collection[str] = ()) -> str:
    """The end of an output without our secrets, and without what was passed by name; one that was cut in half is masked too."""
    for secret in sorted(set(_secrets(passed)), key=len, reverse=True):
        output = output.replace(secret, MASK)
        if half := next((n for n in range(len(secret) - 1, SHORTEST - 1, -1) if output.startswith(secret[-n:])), 0):
            output = MASK + output[half:]
    return output


def _secrets(passed: Collection[str]) -> Iterator[str]:
    names = {*SECRETS, *passed} - ({"NATS_USER"} if "NATS_PASSWORD" in os.environ else set())  # alone it is a token
    for value in (os.environ.get(name, "") for name in names):
        if len(value) >= SHORTEST:
            yield from (value, quote(value, safe=""), repr(value)[1:-1])

"""What a libpq service says, for a program that is not to read it itself: a service goes before what the environment says."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from psycopg.pq import Conninfo
from psycopg.pq.misc import ConninfoOption

NOWHERE = frozenset({"service", "servicefile", "sslpassword"})  # not passed on; the last is a secret that no variable takes


@dataclass(frozen=True)
class ServiceSettings:
    """Parameters of a connection: those that a variable of libpq's says, by its name, and the others."""

    variables: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)


def read_service(name: str) -> ServiceSettings:
    """As libpq reads it, wherever its file is."""
    without = {option.keyword: option.val for option in Conninfo.get_defaults()}
    found = ServiceSettings()
    for option in _defaults_with(name):
        keyword, value = option.keyword.decode(), option.val
        if value is not None and value != without.get(option.keyword) and keyword not in NOWHERE:
            into, key = (found.variables, option.envvar.decode()) if option.envvar else (found.others, keyword)
            into[key] = value.decode()
    return found


def _defaults_with(service: str) -> list[ConninfoOption]:
    """There is no other way to ask libpq; at once, so that no session of ours begins meanwhile."""
    before = os.environ.get("PGSERVICE")
    os.environ["PGSERVICE"] = service
    try:
        return Conninfo.get_defaults()
    finally:
        del os.environ["PGSERVICE"]
        os.environ.update({"PGSERVICE": before} if before is not None else {})

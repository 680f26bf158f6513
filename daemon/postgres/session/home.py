"""Where whoever only asks is let in: on a server that may have no ledger, or lack the database that the plan names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import psycopg

from cutoverd.daemon.postgres.session.reach import primary_message
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.unreached import hint_for
from cutoverd.states.errors import StepError


class NoSession(StepError):
    """no session on the server could be had"""


async def find_home(server: Server, homes: Sequence[str]) -> Server:
    """The same server, at home in the first of these databases that lets us in; raises `NoSession` with every refusal."""
    refused, words = dict[str, list[str]](), list[str]()  # what was said: of which databases
    for home in homes:
        try:
            async with await server.connect(home):
                return replace(server, home=home)
        except psycopg.Error as error:
            refused.setdefault(primary_message(error), []).append(home)
            words.append(str(error))
    reasons = "; ".join(f"{', '.join(homes)}: {reason}" for reason, homes in refused.items())
    raise NoSession(f"no session could be had: {reasons}", hint=server.worded(hint_for(words, server.url)))

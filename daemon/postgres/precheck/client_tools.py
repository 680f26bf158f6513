"""Whether PostgreSQL's own programs are there and fit the server: found before the window, and not by a dump that refuses."""

from __future__ import annotations

import re
from collections.abc import Mapping

from cutoverd.daemon.host import children
from cutoverd.daemon.host.launcher import NOT_FOUND
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.states.errors import StepError

TOOLS = ("psql", "pg_dump", "pg_restore")
SECONDS = 20.0
SETS_TRANSACTION_TIMEOUT = 17  # from then on a restore begins with it, and an older server refuses it
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
ADVICE = "install the client programs of PostgreSQL {0}, or give their folder as `client_tools`"


async def check_tools(server: Server, major: int, *, step: str) -> tuple[list[str], list[str]]:
    """Reasons and warnings; `major`: of the server, 18 say."""
    found = {tool: await _version(server, tool, step) for tool in TOOLS}
    missing = [f"{where}: {ADVICE.format(major)}" for where in found.values() if isinstance(where, str)]
    versions = {tool: version for tool, version in found.items() if isinstance(version, int)}
    return [*missing, *_unfit(versions, major)], _worth_knowing(versions, major)


async def _version(server: Server, tool: str, step: str) -> int | str:
    """Its major version, or why nobody knows it."""
    program = server.tool(tool)
    asked = [program, "--version"]
    try:
        ended = await children.run(asked, folder=server.folder, epoch=server.epoch, step=step, timeout_seconds=SECONDS)
    except StepError as error:
        return f"{program} could not be asked for its version ({error})"
    if ended.returncode == NOT_FOUND:
        return f"there is no {program}"
    version = _VERSION.search(ended.stdout_tail)
    return int(version[1]) if version else f"{program} does not say its version (it ended with {ended.returncode})"


def _unfit(versions: Mapping[str, int], major: int) -> list[str]:
    dump, restore = versions.get("pg_dump", major), versions.get("pg_restore", major)
    reasons = []
    if dump < major:
        reasons.append(f"pg_dump is of PostgreSQL {dump} and dumps no newer server, and this one is of {major}")
    if restore < dump:
        reasons.append(f"pg_restore is of PostgreSQL {restore} and reads no dump of pg_dump {dump}")
    if restore >= SETS_TRANSACTION_TIMEOUT > major:
        reasons.append(f"pg_restore is of PostgreSQL {restore} and sets transaction_timeout, which {major} does not know")
    return [f"{reason}: {ADVICE.format(major)}" for reason in reasons]


def _worth_knowing(versions: Mapping[str, int], major: int) -> list[str]:
    if (psql := versions.get("psql", major)) >= major:
        return []
    return [f"psql is of PostgreSQL {psql}, older than the server ({major}): commands of a newer psql in the files fail"]

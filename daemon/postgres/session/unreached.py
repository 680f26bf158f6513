"""What helps where no session could be had, from the words of libpq and the server: such an error has no SQLSTATE.

The server's own words may be in its language; what is not known here gets `GENERAL_HINT`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable

from psycopg.conninfo import conninfo_to_dict

GENERAL_HINT = "look whether the server runs and lets our role in"
_LOGIN = "give the password of {0} in PGPASSFILE (mode 600), PGPASSWORD or the libpq service; a wrong one there comes first"
_TLS = "the server does not offer what {source:sslmode} asks for: set ssl=on there, or mend sslmode"
# the first that matches; {0} is what was found in the words, {source:KEYWORD} where libpq had that parameter from
HINTS: tuple[tuple[str, str], ...] = (
    (
        r'definition of service "(.+?)" not found',
        "put a section [{0}] into the file that PGSERVICEFILE names, or ~/.pg_service.conf",
    ),
    (r'service file "(.+?)" not found', "PGSERVICEFILE names {0}, which is not there: mend PGSERVICEFILE"),
    (r'in service file "(.+?)", line (\d+)', "mend {0}, line {1}"),
    (r'invalid "?(\w+)"? value:', "mend {0} in {source:0}"),
    (r"invalid port number|could not match \d+ port numbers", "mend the port in {source:port}"),
    (
        r"failed to resolve host '(.+?)'|could not translate host name \"(.+?)\"",
        "mend the host in {source:host}, or its name in DNS",
    ),
    (
        r"Connection refused",
        "start the server, or mend host and port in {source:host}; it has to listen there (listen_addresses)",
    ),
    (r'on socket "(.+?)/\.s\.PGSQL', "start the server, or mend the host in {source:host}: no server listens in {0}"),
    (r"timeout expired|[Tt]imed out", "no answer: look at host and port in {source:host}, and at the firewall between"),
    (r"server does not support SSL|SSL was required", _TLS),
    (r'root certificate file "(.+?)"', "put the authority's certificate at {0}, or name it in PGSSLROOTCERT"),
    (r"certificate", "mend the certificates that PGSSLROOTCERT, PGSSLCERT and PGSSLKEY name, or sslmode in {source:sslmode}"),
    (r"channel binding", "mend channel_binding in {source:channel_binding}, or let the server ask for scram-sha-256 over TLS"),
    (r"GSSAPI encryption", "get a ticket (kinit), or mend gssencmode in {source:gssencmode}"),
    (
        r"authentication method .* requirement failed|auth method",
        "mend require_auth in {source:require_auth}, or the method in pg_hba.conf",
    ),
    (r'password authentication failed for user "(.+?)"', _LOGIN),
    (r"no password supplied", _LOGIN.format("our role")),
    (
        r"no pg_hba\.conf entry for (.+?)(?:, no encryption|, SSL|$)",
        "let it in by a line in pg_hba.conf for {0}, then reload the server",
    ),
    (
        r'(?:Peer|Ident) authentication failed for user "(.+?)"',
        "pg_hba.conf lets {0} in by its operating system user: run as that, or mend it",
    ),
    (r'role "(.+?)" does not exist', "CREATE ROLE {0}, or mend the role in {source:user}"),
    (r'database "(.+?)" does not exist', "mend the database's name in database.url"),
    (
        r"not (?:currently|yet) accepting connections|starting up|shutting down|in recovery",
        "wait until the server is up, then again",
    ),
    (
        r"read-only|hot standby",
        "name the primary in {source:host}, or mend target_session_attrs in {source:target_session_attrs}",
    ),
    (r"too many (?:connections|clients)|connection slots", "end sessions that nobody needs, or raise the limit that is named"),
    (r'(?:invalid value for|unrecognized configuration) parameter "(.+?)"', "mend {0} in options of {source:options}"),
)


def hint_for(words: Iterable[str], url: str) -> str:
    """Of what was said to one attempt or to several, each help once."""
    hints = [hint for each in words if (hint := _hint(each, url))]
    return "; ".join(dict.fromkeys(hints)) or GENERAL_HINT


def _hint(words: str, url: str) -> str:
    for pattern, hint in HINTS:
        if found := re.search(pattern, words):
            return _filled(hint, [group for group in found.groups() if group], lambda keyword: _source(keyword, url))
    return ""


def _filled(hint: str, groups: list[str], source: Callable[[str], str]) -> str:
    """`{0}` by what was found, `{source:port}` by where that comes from."""

    def fill(placeholder: re.Match[str]) -> str:
        name, _, keyword = placeholder[1].partition(":")
        if name != "source":
            return groups[int(name)]
        return source(groups[int(keyword)] if keyword.isdigit() else keyword)

    return re.sub(r"\{(.+?)\}", fill, hint)


def _source(keyword: str, url: str) -> str:
    """Where libpq has a parameter from, as it looks: the plan, the service, the environment."""
    given = conninfo_to_dict(url)
    variable = f"PG{keyword.replace('_', '').upper()}"
    if keyword in given:
        return "database.url"
    if os.environ.get(variable):
        return f"{variable}={os.environ[variable]}"
    return f"database.url, or in the service {given['service']}" if "service" in given else "database.url"

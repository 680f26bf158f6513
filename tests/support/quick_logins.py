"""Passwords that cost nothing to prove: one round of hashing instead of 4,096, which client and server both work through.

A small night logs in some 150 times, and spent a sixth of its time on that. The way of proving it is the same; how many rounds
there are stands in the verifier, so PostgreSQL 15, which has no `scram_iterations` yet, takes it as well.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64encode
from collections.abc import Iterable

from psycopg import sql

from cutoverd.daemon.embedded.passfile import Passfile
from cutoverd.daemon.embedded.postgres import Postgres


def make_quick(server: Postgres, roles: Iterable[str]) -> None:
    """The passwords stay what they are."""
    passwords = Passfile(server.folder / "passfile").passwords()
    with server.connect() as connection:
        for role in roles:
            verifier = sql.Literal(scram_verifier(passwords[role]))
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), verifier))


def quick_login(server: Postgres, role: str) -> sql.Composed:
    """What makes a role that logs in, with the password that the addresses of `server` find."""
    verifier = sql.Literal(scram_verifier(Passfile(server.folder / "passfile").password(role)))
    return sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), verifier)


def scram_verifier(password: str) -> str:
    """RFC 5802 with one iteration, as PostgreSQL stores it."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 1)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    return f"SCRAM-SHA-256$1:{_text(salt)}${_text(stored)}:{_text(hmac.digest(salted, b'Server Key', 'sha256'))}"


def _text(key: bytes) -> str:
    return b64encode(key).decode()

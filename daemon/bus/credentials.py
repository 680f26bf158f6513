"""Who we are to a NATS of the team's: by a file of credentials, or by what the environment says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cutoverd.daemon.engine.errors import ServerRefused

PARTS = (b"BEGIN NATS USER JWT", b"BEGIN USER NKEY SEED")
HINT = "let the plan's bus.credentials name a file as `nsc generate creds` writes it, that this user may read"


def login(credentials: Path | None) -> dict[str, Any]:
    """For `connect`; without a file a user alone is a token: so the `nats` program has it, too. Raises `ServerRefused`."""
    if credentials:
        _check(credentials)
        return {"credentials_file": str(credentials)}
    user, password = os.environ.get("NATS_USER"), os.environ.get("NATS_PASSWORD")
    if user and password:
        return {"user": user, "password": password}
    return {"token": user} if user else {}


def _check(file: Path) -> None:
    """nats-py would look for what is missing in it without end: docs/measured.md, "What nats-py leaves undone"."""
    try:
        held = file.read_bytes()
    except OSError as error:
        raise ServerRefused(f"{file} cannot be read: {error.strerror}", hint=HINT) from error
    if missing := [part.decode() for part in PARTS if part not in held]:
        raise ServerRefused(f"{file} holds no NATS credentials: there is no {' and no '.join(missing)} in it", hint=HINT)

"""Passwords of an embedded PostgreSQL, in libpq's own file (mode 600): never in an address, an argument or a log."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from cutoverd.daemon.embedded.errors import ServerError
from cutoverd.daemon.embedded.loopback import HOST
from cutoverd.daemon.host.private_files import UnusableFile, read_private, write_private


@dataclass(frozen=True)
class Passfile:
    """One line per role: host:port:database:role:password."""

    path: Path

    def passwords(self) -> dict[str, str]:
        """By role; raises `ServerError` if the file is none of ours: what the cluster was made with would be lost."""
        try:
            return dict(line.split(":")[3:5] for line in read_private(self.path).decode().splitlines())
        except FileNotFoundError:
            return {}
        except (ValueError, UnusableFile) as error:
            raise ServerError(
                f"{self.path} holds no passwords of ours ({error}): give the demonstration another folder"
            ) from error

    def password(self, role: str) -> str:
        """The role's password; a random one is made, and kept before it is returned, for a role that has none yet."""
        known = self.passwords()
        if role not in known:
            known[role] = secrets.token_urlsafe(24)
            write_private(self.path, "".join(f"{HOST}:*:*:{name}:{password}\n" for name, password in known.items()))
        return known[role]

"""A check by logging in to production, as the application does: its password stays where libpq finds it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from cutoverd.daemon.postgres.session.connect import connect
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.reach import primary_message
from cutoverd.states.errors import CheckFailed
from cutoverd.states.ports import AttemptId, Evidence

ASK_SECONDS = 5.0  # one attempt; libpq takes no less than two
PAUSE_SECONDS = 0.25  # between two


@dataclass(frozen=True)
class LoginCheck:
    """A session opens, and is in production."""

    url: str  # libpq's, never with a password
    production: str
    within_seconds: float = 30  # a pooler needs a moment
    application_name: str = "cutoverd"

    async def prove(self, attempt_id: AttemptId) -> Evidence:
        """{"user", "database", "seconds", "attempts"}; raises `CheckFailed` with what was seen last."""
        began, attempts = time.monotonic(), 0
        while True:
            attempts += 1
            result = await self._log_in()
            result |= {"seconds": round(time.monotonic() - began, 3), "attempts": attempts}
            if "seen" not in result:
                return result
            if time.monotonic() - began + PAUSE_SECONDS >= self.within_seconds:
                raise self._failed(result)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _log_in(self) -> dict[str, Any]:
        """{"user", "database"}, and {"seen": in words} if it is not as it should be."""
        url = make_conninfo(self.url, connect_timeout=int(ASK_SECONDS), application_name=self.application_name)
        try:
            async with asyncio.timeout(ASK_SECONDS), await connect(url) as conn:
                row = await fetch_one(conn, "SELECT current_user::text, current_database()::text")
        except TimeoutError:
            return {"seen": f"no answer within {ASK_SECONDS:g} s"}
        except psycopg.Error as error:
            return {"seen": primary_message(error)}
        user, database = row or ("", "")
        if database != self.production:
            return {"user": user, "database": database, "seen": f"a session in {database}, not in {self.production}"}
        return {"user": user, "database": database}

    def _failed(self, result: dict[str, Any]) -> CheckFailed:
        return CheckFailed(
            f"login {self.url}: saw {result['seen']}, expected a session in {self.production};"
            f" tried {result['attempts']} times in {result['seconds']:.1f} s",
            hint="look at its grants, its password in PGPASSFILE or the libpq service, and pg_hba.conf",
            evidence={"login": self.url, **result},
        )

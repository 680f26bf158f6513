"""What a server's state and settings do to a night: what makes it impossible, and what a person should know of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.reach import Connection

SESSIONS = 12  # as many as a run with a dump by two jobs has open at once, those that it has now among them, and some
SESSIONS_BESIDE = 4  # more, for each check of Validate beside the first: two that read, and at times two that watch them
LONG_MINUTES = 5


@dataclass(frozen=True)
class AtOnce:
    """What a run does side by side, by its plan."""

    checks: int = 1  # of Validate
    dump_jobs: int = 2

    @property
    def sessions(self) -> int:
        return SESSIONS + SESSIONS_BESIDE * (self.checks - 1) + self.dump_jobs - 2

    @property
    def inside(self) -> int:
        """Of them in production itself: who leads a dump, its jobs, beside them its snapshot or checks; and one to spare."""
        return 1 + self.dump_jobs + self.checks + 1


ALONE = AtOnce()

ServerQuestion = tuple[str, str]  # a query that is asked with production's oid, and what a row of its answer means

IMPOSSIBLE: Sequence[ServerQuestion] = (
    (
        "SELECT 1 WHERE pg_is_in_recovery()",
        "the server is a standby, where nothing can be changed: give database.url the address of its primary",
    ),
    (
        "SELECT 1 FROM pg_settings WHERE name = 'track_counts' AND reset_val = 'off'",
        "track_counts is off, so nothing could prove that old is unchanged: ALTER SYSTEM SET track_counts = on, and reload",
    ),
    (
        "SELECT n, %(sessions)s FROM (SELECT current_setting('max_connections')::int"
        " - current_setting('superuser_reserved_connections')::int"
        " - coalesce(current_setting('reserved_connections', true), '0')::int"
        " - (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL AND pid <> pg_backend_pid()"
        " AND NOT starts_with(application_name, rtrim(current_setting('application_name'), '0123456789')))) AS free (n)"
        " WHERE n < %(sessions)s",
        "only {0} connections are free and a run needs up to {1}: end some, or raise max_connections",
    ),
    (
        "SELECT rolname, rolconnlimit, %(sessions)s FROM pg_roles WHERE rolname = current_user AND rolconnlimit >= 0"
        " AND rolconnlimit < %(sessions)s",
        "role {0} may have {1} connections and a run needs up to {2}: ALTER ROLE {0} CONNECTION LIMIT -1",
    ),
    (
        "SELECT format('%%I', datname), datconnlimit, others, %(inside)s FROM pg_database, (SELECT count(*) FROM pg_stat_activity"
        " WHERE datid = %(oid)s AND backend_type = 'client backend' AND NOT starts_with(application_name, 'cutoverd')) n (others)"
        " WHERE oid = %(oid)s AND datconnlimit >= 0 AND datconnlimit - others < %(inside)s"
        " AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)",
        "{0} may have {1} connections, others have {2} of them, and a run needs {3}, for its dump and the checks beside it:"
        " ALTER DATABASE {0} CONNECTION LIMIT … to as many more",
    ),
)
TO_KNOW: Sequence[ServerQuestion] = (
    (
        "SELECT CASE WHEN setrole <> 0 THEN format('ROLE %%I', pg_get_userbyid(setrole)) ELSE '' END || CASE WHEN setrole <> 0"
        " AND setdatabase <> 0 THEN ' IN ' ELSE '' END || CASE WHEN setdatabase <> 0 THEN (SELECT format('DATABASE %%I', datname)"
        " FROM pg_database WHERE oid = setdatabase) WHEN setrole = 0 THEN 'ROLE ALL' ELSE '' END FROM pg_db_role_setting"
        " WHERE setdatabase IN (0, %(oid)s) AND 'track_counts=off' = ANY (setconfig)",
        "track_counts is off for {0}, so what its sessions write is not counted, and nobody would know whether a"
        " rollback loses rows: ALTER {0} RESET track_counts",
    ),
    (
        "SELECT current_user FROM pg_roles WHERE rolname = current_user AND rolsuper",
        "role {0} is a superuser, whom no fence keeps out and no missing right stops: make one of its own for database.url,"
        " as docs/operations.md has it",
    ),
    (
        "SELECT pid, usename, application_name, (extract(epoch FROM now() - xact_start) / 60)::int FROM pg_stat_activity"
        " WHERE datid = %(oid)s AND pid <> pg_backend_pid() AND xact_start < now() - make_interval(mins => %(minutes)s)"
        " AND backend_type = 'client backend' ORDER BY xact_start",
        "a transaction of {1} ({2}, pid {0}) is open for {3} minutes: the fence ends it and its work is lost; see whose it is",
    ),
    (
        "SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off' ORDER BY 1",
        "{0} is off: if the machine crashes in the night old and new may both be damaged; switch it on",
    ),
    (
        "SELECT current_setting('synchronous_standby_names') WHERE current_setting('synchronous_standby_names') <> ''"
        " AND NOT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))",
        "synchronous_standby_names is {0} and no standby is synchronous: commits wait; start one, or take the setting back",
    ),
    (
        "SELECT last_failed_wal FROM pg_stat_archiver WHERE last_failed_time > coalesce(last_archived_time, '-infinity')"
        " AND current_setting('archive_mode') <> 'off'",
        "WAL {0} could not be archived, so pg_wal grows, and the night writes much: mend archive_command",
    ),
    (
        "SELECT subname FROM pg_subscription WHERE subdbid = %(oid)s AND NOT subenabled",
        "subscription {0} is disabled and stays with old, a clone has none: note its CREATE SUBSCRIPTION if new is to have it",
    ),
    (
        "SELECT application_name, coalesce(host(client_addr), 'local') FROM pg_stat_replication",
        "standby {0} ({1}) follows: its readers are not fenced, they see the names change hands; tell them, or stop it",
    ),
)


async def found(conn: Connection, findings: Sequence[ServerQuestion], oid: int, *, at_once: AtOnce = ALONE) -> AsyncIterator[str]:
    """In words, those that are true of the server now."""
    asked = {"oid": oid, "sessions": at_once.sessions, "inside": at_once.inside, "minutes": LONG_MINUTES}
    for query, says in findings:
        for row in await fetch_all(conn, query.encode(), asked):
            yield says.format(*row)

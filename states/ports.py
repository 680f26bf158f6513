"""What the states need of PostgreSQL. Adapters in daemon/ implement these, and fakes pass the same contract tests.

`ports_systems.py` has what they need of the rest of the world.

Every method that changes the world takes an `AttemptId`, the identity of the attempt; adapters write it into the ledger in the
same transaction as the effect, or put it on the session that does the work, so that a later daemon can find both.

Cancelling the task that awaits a method is how a step is interrupted: the adapter ends what it began on the server and on
this machine (child processes, backends), proves it gone, and lets `CancelledError` through.

Errors: `StepError` and its subclasses (states/errors.py). A lost connection whose effect cannot be known is `OutcomeUnknown`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

Evidence = Mapping[str, Any]  # JSON: what was observed, in the words of the events; never a secret


class Direction(StrEnum):
    """Which way a step is taken."""

    FORWARD = "forward"
    BACK = "back"


class Found(StrEnum):
    """A probe's answer to: is the effect of the forward step there, now?"""

    PRESENT = "present"
    ABSENT = "absent"
    UNKNOWN = "unknown"


class Version(StrEnum):
    """Which commands of a service are meant."""

    OLD = "old"
    NEW = "new"
    TEST = "test"


@dataclass(frozen=True)
class AttemptId:
    """The identity of one attempt at one step."""

    run: str
    epoch: int  # of the daemon that acts; a higher one fences it
    step: str  # "data.run_script:001_flights.sql"
    direction: Direction
    event_id: str  # of the StepStarted that announced it


@dataclass(frozen=True)
class Probed:
    """A probe's answer and what it saw."""

    found: Found
    evidence: Evidence


class Databases(Protocol):
    """The four names (DESIGN 3): production, next, previous, closed. All effects are recorded in the ledger."""

    async def check_fit(self, attempt_id: AttemptId) -> Evidence:
        """The server and our role can do it, and no name is left over; raises `Unfit` with every reason found."""

    async def keep_found(self, attempt_id: AttemptId, found: Evidence) -> None:
        """What a step found before the window is in the ledger too, by the step: a way back without the journal needs it."""

    async def make_placeholder(self, attempt_id: AttemptId) -> Evidence: ...

    async def drop_placeholder(self, attempt_id: AttemptId) -> Evidence:
        """For `abort` only; a placeholder that is not there is fine."""

    async def fence(self, attempt_id: AttemptId) -> Evidence:
        """Nobody is in old and nobody can get in: production → previous, closed → production. Then CHECKPOINT."""

    async def lift_fence(self, attempt_id: AttemptId) -> Evidence:
        """Old has the production name again, with its row, settings and ACL as they were. Fine from any half-way point."""

    async def record_position(self, attempt_id: AttemptId) -> Evidence:
        """{"lsn", "counters": {...}, "stats_reset"} of fenced old, from the ledger database."""

    async def build_new(self, attempt_id: AttemptId) -> Evidence:
        """new = a file copy of old with all that a copy loses, owner-only, carrying fence and step_log."""

    async def keep_new(self, attempt_id: AttemptId) -> Evidence:
        """The way back of `build_new`: new, if it is there, stays as `next`, closed; {"left_over": [...]}."""

    async def open_old(self, attempt_id: AttemptId, *, again: bool = False) -> Evidence:
        """Old accepts connections of the daemon alone, read-only. `again`: to be compared, since its counters prove nothing."""

    async def close_old(self, attempt_id: AttemptId) -> Evidence: ...

    async def check_unchanged(self, attempt_id: AttemptId, position: Evidence) -> Evidence:
        """Nothing was written to old since `position`; raises `CheckFailed`, or `Unproven` if counters cannot tell."""

    async def exchange(self, attempt_id: AttemptId) -> Evidence:
        """new takes the production name and accepts connections, in one transaction.

        It proves that nobody is in old, nothing is prepared there, and nothing was written since it was opened; raises
        `CheckFailed`, or `Unproven` if counters cannot tell.
        """

    async def admit_clients(self, attempt_id: AttemptId, shared: Sequence[str] = ()) -> Evidence:
        """Who was kept out of new since the exchange gets in again: {"written", "differs", "roles", …} or {"withheld": false}.

        `written`: tables that were written until then, counted with nobody in; `outsiders`: who may have written besides the
        smoke tests, `shared` (as for `count_writes`) among them: what they wrote counts on. Raises `CheckFailed` if somebody who
        could log in before could not; then nobody is let in.
        """

    async def count_writes(self, attempt_id: AttemptId, shared: Sequence[str] = ()) -> Evidence:
        """{"writes": "none" | "some" | "unknown", "reason", "tables"} of new since the exchange, or since clients were admitted.

        `shared`: roles by which others write than the smoke tests: then each row may be theirs. With "none" new stays
        closed, so that it stays true; else it has the access that it had, as where `TimedOut` says that somebody does not leave.
        """

    async def check_logins(self, attempt_id: AttemptId) -> Evidence:
        """Whoever could connect to production before the fence can now: {"roles", "warnings"}; raises `CheckFailed`."""

    async def exchange_back(self, attempt_id: AttemptId) -> Evidence:
        """The fence on new, then the names the other way round; new is kept as `next`, closed. Fine if nothing was exchanged."""

    async def written(self, attempt_id: AttemptId) -> Evidence:
        """{"tables": {"schema.table": {"inserted", "updated", "deleted"}}} of new since it was opened to clients."""

    async def leftovers(self) -> Evidence:
        """{"databases": [names of this run that are not production]}."""


class Scripts(Protocol):
    """SQL files through psql, each call one transaction with its ledger row."""

    async def check_files(self) -> Evidence:
        """The schema and data files can be run in a transaction of ours; raises `CheckFailed` naming file and line."""

    async def apply_schema(self, attempt_id: AttemptId, sha256: str) -> Evidence:
        """All schema files, in order, on new; {"files": n, "already_done": bool}.

        `sha256`: of the schema that PreCheck built and tried; "" if none is built.
        """

    async def run_script(self, attempt_id: AttemptId, name: str) -> Evidence:
        """One data script on new."""

    async def probe_script(self, attempt_id: AttemptId, name: str) -> Probed:
        """Whether a data script has done its work: from the ledger, or by the plan's probe if it cannot be in a transaction."""


class Validation(Protocol):
    """What proves that new holds what old held."""

    async def check_script(self, attempt_id: AttemptId, name: str) -> Evidence: ...

    async def compare(self, attempt_id: AttemptId, name: str) -> Evidence:
        """{"rows_old", "rows_new", "differing": 0}.

        Raises `CheckFailed` with evidence {"missing", "extra", "changed": counts, "keys": the first, "file", "sha256"}.
        """

    async def check_coverage(self, attempt_id: AttemptId) -> Evidence:
        """Every table of old is read by a comparison or waived by name (asked of the server by EXPLAIN)."""

    async def check_invariants(self, attempt_id: AttemptId) -> Evidence: ...

    async def check_grants(self, attempt_id: AttemptId) -> Evidence:
        """What a role could do in old it can do in new, unless the plan waives it: {"roles", "grants", "waived", "warnings"}."""

    async def check_query(self, attempt_id: AttemptId, name: str) -> Evidence:
        """A named query is one query that old can be asked, and is, once: {"columns", "old_ms"}, or a warning if it is late."""

    async def time_query(self, attempt_id: AttemptId, name: str) -> Evidence:
        """A named query of the plan, timed on old and on new: {"old_ms", "new_ms", "ratio", "allowed", "rows_old", "rows_new"}.

        Raises `CheckFailed`, with both timings, where new is slower than the plan allows. If old is late, new is judged alone.
        """

    async def set_sequences(self, attempt_id: AttemptId) -> Evidence: ...

    async def analyze(self, attempt_id: AttemptId) -> Evidence: ...


class Backups(Protocol):
    """Dumps that count only once they were restored."""

    async def check_room(self, attempt_id: AttemptId, dumped_bytes: int | None, *, rehearses: bool = False) -> Evidence:
        """Backup directory and server have room, as far as can be seen from here; raises `Unfit`.

        `dumped_bytes`: the size of a dump that was taken, if one was; `rehearses`: before the window, on a copy of its own."""

    async def check_dumpable(self, attempt_id: AttemptId) -> Evidence:
        """Our role may read what is dumped and restore it, and the copy will be what the window works on, as far as the catalog
        tells: {"warnings", "left_out"}; raises `Unfit` with every reason, the object and the statement in it."""

    async def prove(self, attempt_id: AttemptId) -> Evidence:
        """Dump production, restore it into a copy, compare counts under the dump's snapshot; the copy is kept:
        {"file", "bytes", "tables", "rows", "parts"}."""

    async def find_rehearsal(self, attempt_id: AttemptId) -> Evidence:
        """A rehearsal of the same catalog, files and plan: {"identity", "on_record": {"at", "made_by", "seconds", …} or None}, or
        {"skipped"} of a plan without one; {"place", "is_elsewhere"}: the copy that the team has made, and whether it is on
        another server than production's. With `says`, in words: when and by whom it was made, or what one that is made here
        will take. Raises `Unfit` where one has to be on record and is not, or that copy is not fit."""

    async def record_rehearsal(
        self, attempt_id: AttemptId, identity: str, seconds: Mapping[str, float], parts: Mapping[str, float]
    ) -> Evidence:
        """It found nothing wrong: {"identity"}; `seconds`: by rehearsed step; `parts`: of the proof of the backup before it."""

    async def check_rehearsal(self, attempt_id: AttemptId, identity: str) -> Evidence:
        """Production's catalog is still that which was rehearsed under this identity, and that is on record and not too old:
        {"age_seconds"}; raises `Unfit`."""

    async def take_copy(self, attempt_id: AttemptId) -> None:
        """Before a step is taken on the copy: no older daemon acts there any more, and it is not production. Cheap the second
        time; raises `Unfit`, `NotLeader`."""

    async def reset_copy(self, attempt_id: AttemptId) -> Evidence:
        """What a rehearsal left around the copy is gone, and the copy is as it was restored: {"dropped": [names]}; of one that
        the team has made also {"copy": what it held}."""

    async def check_copy(self, attempt_id: AttemptId, proven: Evidence) -> Evidence:
        """The copy is as it was when it was restored, by what `prove` gave, or `reset_copy`; raises `CheckFailed`."""

    async def clear(self, attempt_id: AttemptId) -> Evidence:
        """The way back of `prove`: nothing of one that was killed is left; {"removed": [names]}."""

    async def start(self, attempt_id: AttemptId) -> Evidence:
        """Begin the final dump of fenced old beside the run; `finish` awaits it."""

    async def finish(self, attempt_id: AttemptId) -> Evidence:
        """Await the final dump; take it now if the daemon that began it is gone."""

    async def end(self, attempt_id: AttemptId) -> Evidence:
        """End a dump that is under way and remove its unfinished file."""

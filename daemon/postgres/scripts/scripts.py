"""SQL files through psql: schema and data scripts, each step one transaction with its ledger row.

psql's exit code proves nothing. A step is done when its row in new's ledger is finished, read on a fresh connection once the
backend is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cutoverd.daemon.confiture.source_map import Origins
from cutoverd.daemon.host.children import Completed
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.precheck import sql_files
from cutoverd.daemon.postgres.scripts import nontransactional, psql_errors
from cutoverd.daemon.postgres.scripts.psql import Psql, Wrapper, assign, environment
from cutoverd.daemon.postgres.session import pins
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.of_owner import settings_of_owner
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.daemon.sqltext.file_reader import Judge
from cutoverd.daemon.sqltext.lint import ScriptLint, runs_without_transaction
from cutoverd.daemon.sqltext.lint import finding_lines as lines_of
from cutoverd.daemon.sqltext.rules import LintFinding
from cutoverd.states.errors import CheckFailed, OutcomeUnknown, StepError, TimedOut
from cutoverd.states.ports import AttemptId, Direction, Evidence, Found, Probed
from cutoverd.states.precheck import PreCheck

OWNER = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
TIMEOUT_SECONDS = 4 * 3600.0


@dataclass(frozen=True)
class DataScript:
    """A data script of the plan; `probe`, one boolean ("already done"), if it cannot be in a transaction."""

    name: str
    file: Path
    probe: str | None = None


class Builder(Protocol):
    """Makes the one schema file out of its sources."""

    async def build(self, step: str) -> Evidence: ...

    async def ensure(self, step: str, sha256: str = "") -> None:
        """It is there as it was built; with a `sha256`, as that one."""

    def sources(self) -> list[str]:
        """What it was built from, in order."""


class PsqlScripts:
    """`Scripts` of states/ports.py; files are absolute, `\\i` in them is relative to `cwd`."""

    def __init__(
        self,
        server: Server,
        schema_files: Sequence[Path],
        data_scripts: Sequence[DataScript],
        *,
        cwd: Path,
        timeout_seconds: float = TIMEOUT_SECONDS,
        builder: Builder | None = None,
        others: Sequence[Path] = (),
    ) -> None:
        """With a `builder` the one schema file is what it builds; `others` are SQL files that psql does not run."""
        self._server = server
        self._schema_files = [file.absolute() for file in schema_files]
        self._scripts = {script.name: script for script in data_scripts}
        self._cwd = cwd.absolute()
        self._timeout_seconds = timeout_seconds
        self._builder = builder
        self._others = others

    async def check_files(self) -> Evidence:
        """{"files": n, "warnings": […]}; raises `CheckFailed` with evidence {"findings": ["file:line: what: what to do", …]}.

        A schema that is built is built here; then {"schema": what was built, out of what} as well.
        """
        built = await self._builder.build(str(PreCheck.check_files)) if self._builder else {}
        reading = await asyncio.to_thread(self._read)
        await self._judge(reading)
        warnings = {"warnings": lines_of(reading.warnings)} if reading.warnings else {}
        if reading.findings:
            findings = lines_of(reading.findings)
            raise CheckFailed(
                f"{len(findings)} line(s) of the SQL files cannot be run: {'; '.join(findings[:5])}",
                hint="change the files, then `abort` and start a run with a name of its own",
                evidence={"findings": findings, **warnings},
            )
        return {"files": len(self._schema_files) + len(self._scripts) + len(reading.included_by), **built, **warnings}

    async def _judge(self, reading: ScriptLint) -> None:
        """What the server has to say; if it cannot be asked, what is wrong without it is told first."""
        try:
            await sql_files.judge(self._server, reading)
        except StepError:
            if not reading.findings:
                raise
        reading.findings, reading.warnings = self._at_source(reading.findings), self._at_source(reading.warnings)

    def _at_source(self, findings: list[LintFinding]) -> list[LintFinding]:
        origins = self._origins()
        return [origins.finding(finding) for finding in findings] if origins else findings

    def find_statements(self, judge: Judge) -> list[str]:
        """What `judge` finds wrong with the statements of all files, `file:line: problem: advice`; for a thread."""
        reading = ScriptLint(self._cwd, judge=judge)
        for file in self._schema_files:  # one psql runs them all
            reading.read(file)
        for script in self._scripts.values():
            reading.begin()
            reading.read(script.file.absolute(), in_transaction=not runs_without_transaction(script.file))
        origins = self._origins()
        found = [origins.finding(finding) if origins else finding for finding in reading.findings if finding.file.exists()]
        return [line.removeprefix(f"{self._cwd}/") for line in lines_of(found)]

    def _read(self) -> ScriptLint:
        # of the daemon that will run them: `check` may be asked elsewhere
        known = None if self._server.read_only else frozenset(environment(self._server))
        reading = ScriptLint(self._cwd, production=self._server.names.production, environment=known)
        for file in self._schema_files:  # one psql runs them all
            if runs_without_transaction(file):
                advice = "schema files are one transaction; make it a data script with a probe"
                reading.findings.append(LintFinding(file, 1, "no-transaction", advice))
            reading.read(file)
        for script in self._scripts.values():
            without = runs_without_transaction(script.file)
            reading.findings.extend(_probe_findings(script, without))
            reading.begin()
            reading.read(script.file.absolute(), in_transaction=not without)
        for file in self._others:
            reading.read_text(file)
        return reading

    def _origins(self) -> Origins | None:
        return Origins(self._schema_files[0], self._builder.sources()) if self._builder else None

    async def apply_schema(self, attempt_id: AttemptId, sha256: str = "") -> Evidence:
        """All schema files on new as production's owner, one transaction; as `run_script`, of all files.

        `sha256`: of the built schema that PreCheck tried; raises `CheckFailed` if it is another one now.
        """
        if self._builder:
            await self._builder.ensure(attempt_id.step, sha256)
        return await self._run(attempt_id, self._schema_files)

    async def run_script(self, attempt_id: AttemptId, name: str) -> Evidence:
        """One data script on new; {"files": 1, "rows": that it wrote, "bytes": of new afterwards, "already_done", "seconds"}.

        Rows and bytes are not known of one that runs without a transaction.

        Raises `StepError` with the line that psql names, or if it needs a probe and the plan gives none.
        """
        script = self._scripts[name]
        if not runs_without_transaction(script.file):
            return await self._run(attempt_id, [script.file.absolute()])
        if script.probe is None:
            raise StepError(f"{script.file} runs without a transaction and the plan gives no probe for it")
        psql = await self._psql(self._server.names.next)
        return await nontransactional.run(psql, attempt_id, script.file.absolute(), script.probe)

    async def probe_script(self, attempt_id: AttemptId, name: str) -> Probed:
        """From the ledger, or by the script's probe; unknown if new cannot be asked or an attempt got half-way."""
        script = self._scripts[name]
        if script.probe is not None and runs_without_transaction(script.file):
            return await nontransactional.probe(self._server, script.probe)
        try:
            row = await self._row(attempt_id)
        except StepError as error:
            return Probed(Found.UNKNOWN, {"error": str(error)})
        if row is None:
            return Probed(Found.ABSENT, {"ledger": "no row"})
        found = Found.PRESENT if row.finished else Found.UNKNOWN
        return Probed(found, {"ledger": "finished" if row.finished else "committed, but not finished", **row.evidence})

    async def _run(self, attempt_id: AttemptId, files: Sequence[Path]) -> Evidence:
        if (row := await self._row(attempt_id)) and row.finished:
            return {**row.evidence, "already_done": True}
        started = time.monotonic()
        completed, wrapper = None, _script(files)
        psql = await self._psql(self._server.names.next)
        with contextlib.suppress(TimedOut):
            completed = await psql.run(wrapper, step=attempt_id.step, variables=_variables(attempt_id, {"files": len(files)}))
        if not ((row := await self._settled(attempt_id)) and row.finished):
            raise await self._failed(completed, wrapper, psql.role)
        already_done = row.event_id != attempt_id.event_id
        return {**row.evidence, "already_done": already_done, "seconds": round(time.monotonic() - started, 3)}

    async def _failed(self, completed: Completed | None, wrapper: Wrapper, owner: str) -> StepError:
        if completed is None:
            return TimedOut(f"psql did not end within {self._timeout_seconds:g} s; it was ended and nothing of it was kept")
        return await self._to_error(completed, wrapper, owner)

    async def _to_error(self, completed: Completed, wrapper: Wrapper, owner: str) -> StepError:
        then = psql_errors.what_then(self._server)
        error = psql_errors.psql_failure(completed, await asyncio.to_thread(self._read), wrapper, owner=owner, then=then)
        origins = self._origins()
        return origins.error(error) if origins else error

    async def _row(self, attempt_id: AttemptId) -> ledger.StepRecord | None:
        new, run = self._server.names.next, attempt_id.run
        return await ledger.read(self._server, attempt_id.step, Direction.FORWARD, database=new, run=run)

    async def _settled(self, attempt_id: AttemptId) -> ledger.StepRecord | None:
        """The row once psql's backend is gone; a server that crashes while we read is asked again once."""
        try:
            return await self._row(attempt_id)
        except OutcomeUnknown:
            return await self._row(attempt_id)

    async def _psql(self, database: str) -> Psql:
        """As the owner, with what he and the database have set, but for what is pinned."""
        async with session(self._server, database) as conn:
            (owner,) = await fetch_one(conn, OWNER) or ("",)
            of_owner = await settings_of_owner(conn, self._server.whose_settings(database))
            pinned = {**pins.since(conn.info.server_version), **pins.OF_PLAN, "role": owner}
        return Psql(self._server, database, {**of_owner, **pinned}, self._cwd, self._timeout_seconds)


def _script(files: Sequence[Path]) -> Wrapper:
    wrapper = Wrapper()
    wrapper.ours("begin.sql")
    wrapper.ours("enter.sql")
    wrapper.add("\\if :cutoverd_mine\n")
    _add_files(wrapper, files)
    wrapper.ours("finish.sql")
    wrapper.add("\\endif\n")
    return wrapper


def _add_files(wrapper: Wrapper, files: Sequence[Path]) -> None:
    for file in files:
        wrapper.add(assign("cutoverd_file", str(file)))
        wrapper.include(file)
        wrapper.ours("between.sql")
    wrapper.all_included()
    wrapper.ours("constraints.sql")


def _variables(attempt_id: AttemptId, evidence: Evidence) -> dict[str, str]:
    return {
        "cutoverd_run": attempt_id.run,
        "cutoverd_step": attempt_id.step,
        "cutoverd_direction": attempt_id.direction.value,
        "cutoverd_epoch": str(attempt_id.epoch),
        "cutoverd_event": attempt_id.event_id,
        "cutoverd_evidence": json.dumps(evidence),
    }


def _probe_findings(script: DataScript, without: bool) -> list[LintFinding]:
    if without and script.probe is None:
        return [LintFinding(script.file, 1, "no-transaction", "such a file needs a probe in the plan")]
    if script.probe is not None and not without:
        advice = "say `-- cutoverd: no-transaction` in its first lines, or take the probe away"
        return [LintFinding(script.file, 1, "a probe, but a file that runs in a transaction", advice)]
    return []

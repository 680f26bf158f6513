"""Services, doors and checks by commands: lists of arguments, run in the plan's folder, never by a shell."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cutoverd.daemon.host import children
from cutoverd.daemon.host.environment import masked, without_secrets
from cutoverd.daemon.systems import exec_shim
from cutoverd.daemon.systems.switch import last_output
from cutoverd.states.errors import CheckFailed, OutcomeUnknown, TimedOut
from cutoverd.states.ports import AttemptId, Evidence

OUTPUT_BYTES_MAX = 2048  # of each output, its end
STATUS_YES, STATUS_NO = 0, 3  # as LSB has it for `status`; 1 is what a script that crashes says, too
COMMAND_APART = [sys.executable, "-I", "-S", exec_shim.__file__]


@dataclass(frozen=True)
class Site:
    """Where commands run, and for whom."""

    run: str
    epoch: int
    folder: Path  # of this run, in state_dir: each child is recorded there
    directory: Path  # of the plan: "./importer" is found there
    passed: Sequence[str] = ()  # secrets of our environment that its commands get, by name

    async def call(self, command: Sequence[str], step: str, seconds: float, *, group: bool) -> dict[str, Any]:
        """{"exit", "output" if it said anything, masked}; raises `TimedOut`. With `group` all that it began ends with it."""
        ended = await self.run_to_its_end(command, step, seconds, group=group)
        output = "\n".join(filter(None, (self.masked(ended.stdout_tail).strip(), self.masked(ended.stderr_tail).strip())))
        return {"exit": ended.returncode, **({"output": output} if output else {})}

    async def run_to_its_end(
        self, command: Sequence[str], step: str, seconds: float, *, group: bool, output_bytes_max: int = OUTPUT_BYTES_MAX
    ) -> children.Completed:
        """As `call`, with both outputs apart, and as they are."""
        try:
            return await children.run(
                command,
                folder=self.folder,
                epoch=self.epoch,
                step=step,
                cwd=self.directory,
                env={**without_secrets(self.passed), "CUTOVERD_RUN": self.run},
                timeout_seconds=seconds,
                output_bytes_max=output_bytes_max,
                group=group,
            )
        except TimedOut as late:
            late.evidence = {name: self.masked(str(output)) for name, output in late.evidence.items()}
            raise

    def masked(self, output: str) -> str:
        """As it may be recorded."""
        return masked(output, self.passed)

    def passing(self, names: Sequence[str]) -> Site:
        """The same for commands that get these."""
        return replace(self, passed=tuple(names))


@dataclass(frozen=True)
class ExecService:
    """A service: `status` exits 0 while it runs and 3 while it does not; `start` and `stop` return, they do not serve."""

    start_command: Sequence[str]
    stop_command: Sequence[str]
    status_command: Sequence[str]
    site: Site

    @property
    def unit(self) -> Sequence[str]:
        return self.status_command

    async def status(self, seconds: float) -> bool:
        return await _status(self.site, self.status_command, seconds, "it runs", "it is stopped")

    async def start(self, attempt_id: AttemptId, seconds: float) -> Evidence:
        return await _ask(self.site, self.start_command, attempt_id, seconds)

    async def stop(self, attempt_id: AttemptId, seconds: float) -> Evidence:
        return await _ask(self.site, self.stop_command, attempt_id, seconds)


@dataclass(frozen=True)
class ExecDoor:
    """A door: `status` exits 0 while it is open and 3 while it is closed."""

    open_command: Sequence[str]
    close_command: Sequence[str]
    status_command: Sequence[str]
    site: Site

    async def status(self, seconds: float) -> bool:
        return await _status(self.site, self.status_command, seconds, "it is open", "it is closed")

    async def open(self, attempt_id: AttemptId, seconds: float) -> Evidence:
        return await _ask(self.site, self.open_command, attempt_id, seconds)

    async def close(self, attempt_id: AttemptId, seconds: float) -> Evidence:
        return await _ask(self.site, self.close_command, attempt_id, seconds)


@dataclass(frozen=True)
class ExecCheck:
    """A check: exit 0 passes. Whatever it began ends with it, and it may kill its parent without reaching the daemon."""

    command: Sequence[str]
    site: Site
    within_seconds: float = 600

    async def prove(self, attempt_id: AttemptId) -> Evidence:
        """{"command", "exit", "seconds"}; raises `CheckFailed` with {"output": the end of what it said}, or `TimedOut`."""
        began = time.monotonic()
        evidence: dict[str, Any] = {"command": list(self.command)}
        try:
            ended = await self.site.call([*COMMAND_APART, *self.command], attempt_id.step, self.within_seconds, group=True)
        except TimedOut as late:
            raise TimedOut(
                f"{format_command(self.command)} did not end within {self.within_seconds:g} s,"
                " and was ended with all that it began",
                hint="run it by hand and see what it waits for; if it only needs longer, raise its time-out in the plan",
                evidence={**evidence, **late.evidence},
            ) from late
        evidence |= {"exit": ended["exit"], "seconds": round(time.monotonic() - began, 3)}
        if ended["exit"] != 0:
            raise CheckFailed(
                f"{format_command(self.command)} exited {ended['exit']}, expected 0{last_output(ended)}",
                hint=f"run it by hand in {self.site.directory} and see why",
                evidence={**ended, **evidence},
            )
        return evidence


def format_command(command: Sequence[str]) -> str:
    """A command as errors show it; not to be pasted into a shell."""
    return f"[{', '.join(command)}]"


async def _status(site: Site, command: Sequence[str], seconds: float, yes: str, no: str) -> bool:
    hint = f"let {format_command(command)} exit {STATUS_YES} while {yes} and {STATUS_NO} while {no}, within its time-out"
    try:
        ended = await site.call(command, "status", seconds, group=True)
    except children.NotStarted as error:  # nobody was asked
        raise OutcomeUnknown(str(error), hint=error.hint or hint, evidence={"command": list(command)}) from error
    except TimedOut as late:
        evidence = {"command": list(command), **late.evidence}
        raise OutcomeUnknown(
            f"{format_command(command)} gave no answer within {seconds:g} s", hint=hint, evidence=evidence
        ) from late
    if ended["exit"] in (STATUS_YES, STATUS_NO):
        return bool(ended["exit"] == STATUS_YES)
    raise OutcomeUnknown(
        f"{format_command(command)} exited {ended['exit']},"
        f" expected {STATUS_YES} ({yes}) or {STATUS_NO} ({no}){last_output(ended)}",
        hint=hint,
        evidence={"command": list(command), **ended},
    )


async def _ask(site: Site, command: Sequence[str], attempt_id: AttemptId, seconds: float) -> Evidence:
    """What it leaves behind stays: an application, a maintenance page."""
    try:
        ended = await site.call(command, attempt_id.step, seconds, group=False)
    except TimedOut as late:
        return {"command": list(command), "exit": None, **late.evidence}
    return {"command": list(command), **ended} if ended["exit"] else {"command": list(command), "exit": 0}

"""A run goes through with the plan and the files it began with: RunStarted has their hashes, and they are looked at again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.host.private_files import find_private, write_private
from cutoverd.daemon.plan.files import relative
from cutoverd.daemon.plan.load import LIST, ORDER, BadPlan, LoadedPlan, load
from cutoverd.daemon.plan.programs import named_programs, other_words
from cutoverd.events import facts
from cutoverd.states import STUCK, WAY
from cutoverd.states.errors import StepError
from cutoverd.states.rollback import Rollback
from cutoverd.states.run import Run

log = Logger(__name__)

LARGEST_LIST_BYTES = 24 * 1024  # a message has 64 KiB; a longer list stands in the event by its hash
WAY_BACK = (Rollback.name, STUCK)
READ_LAST = max(ORDER.index(state.name) for state in WAY if state.reads_files)  # from the next on no SQL file is read
NAMED_MAX = 20


class PlanChanged(StepError):
    """the plan is not the one that this run began with"""

    hint = "put back what was there, or `abort`/`rollback` with the old plan and start a new run with a name of its own"


IN_PRECHECK = "`abort` it, then start a run with a name of its own; or put back what was there, then `retry`"


def frozen(loaded: LoadedPlan, production: str) -> facts.RunStarted:
    """What the run goes through, whatever happens to the plan's files later; raises `PlanChanged` if some are gone by now."""
    if loaded.gone:
        raise PlanChanged(
            f"run {loaded.plan.run} has not begun, and its plan names files that are gone: {'; '.join(loaded.gone)}"
        )
    plan, files = loaded.plan, _hashes(loaded)
    listed = _listed(files)
    write_private(loaded.run_dir / LIST, listed)
    return facts.RunStarted(
        plan_sha256=loaded.sha256,
        files=files if len(listed) <= LARGEST_LIST_BYTES else {},
        files_sha256=hashlib.sha256(listed).hexdigest(),
        items=loaded.items(),
        gates=list(plan.gates),
        opens=plan.window.opens,
        budget_seconds=plan.window.budget,
        state_budgets=plan.window.states,
        watch_seconds=plan.monitor.duration,
        operators=list(plan.operators),
        production=production,
        version=version("cutoverd"),
        rehearses=plan.rehearsal.skip is None,
        validate_jobs=plan.validate_.jobs,
        on_overrun=plan.window.on_overrun or "",
    )


def check_frozen(loaded: LoadedPlan, run: Run) -> None:
    """The plan and every file that is still to be run are those that RunStarted froze; raises `PlanChanged`, naming what is not.

    A file that was run and will not be again is somebody's to edit, while a watch of two days lasts say: only the log tells
    of it. The way back runs no script, and a program that a person mended is what it may need: there only the plan counts.
    """
    try:
        _check_frozen(loaded, run)
    except PlanChanged as error:
        if run.state == ORDER[0]:  # nothing was touched, so a daemon of any plan may `abort`: see runtime/leadership.py
            error.hint = IN_PRECHECK
        raise


def _check_frozen(loaded: LoadedPlan, run: Run) -> None:
    changed = [] if loaded.sha256 == run.frozen.plan_sha256 else [str(loaded.path)]
    if run.state not in WAY_BACK:
        hashes, state_words = _hashes(loaded, run.state), other_words(loaded.plan, loaded.folder)
        changed_files = [each for each in _changed(hashes, run, loaded.run_dir / LIST) if each not in state_words - hashes.keys()]
        counts, past = _apart(changed_files, loaded, run.state)
        changed += counts
        if past:
            log.warning("files_differ_from_those_that_were_run", run=run.name, state=run.state, files=past[:NAMED_MAX])
    if changed:
        raise PlanChanged(f"run {run.name} began with other contents of: {', '.join(changed)}")


def _apart(changed: list[str], loaded: LoadedPlan, state: str) -> tuple[list[str], list[str]]:
    """Those that count in this state, and those that no step will read again.

    What one was that is gone can be told of what the plan names by its path alone; as long as scripts are run it counts.
    """
    if state in ORDER[: READ_LAST + 1]:
        past = loaded.files().keys() - loaded.files_from(state).keys()
    else:
        still = [*loaded.kept_files, *named_programs(loaded.plan, loaded.folder)]
        past = {*changed} - {relative(file, loaded.folder) for file in still} - {*loaded.plan.freeze}
    return [name for name in changed if name not in past], [name for name in changed if name in past]


def check_anew(path: Path, run: Run) -> None:
    """As `check_frozen`, of the plan as it lies there now: what a daemon that is started now would find. Raises `PlanChanged`."""
    try:
        loaded = load(path)
    except BadPlan as error:
        raise PlanChanged(
            f"run {run.name} began with another plan than is there now, which cannot be used: {error}", hint=IN_PRECHECK
        ) from error
    check_frozen(loaded, run)


class StillFrozen:
    """Asked before a file is run: a script that was edited while a gate waited is not the one that PreCheck tried."""

    def __init__(self, loaded: LoadedPlan) -> None:
        self._loaded = loaded
        self._stamps: dict[str, tuple[int, int, int]] = {}

    def __call__(self, run: Run) -> None:
        """Raises `PlanChanged`. Only files whose inode, size or time has moved since the last call are a reason to read."""
        stamps = read_stamps(self._loaded)
        if stamps != self._stamps:
            check_frozen(self._loaded, run)
        self._stamps = stamps


def read_stamps(loaded: LoadedPlan) -> dict[str, tuple[int, int, int]]:
    """(inode, bytes, time in ns) of each file that the plan names: whoever writes one, with what was in it even, moves them."""
    return {name: _stamp(path) for name, path in loaded.files().items()}


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        stat = path.stat()
    except OSError:
        return (0, 0, 0)
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _changed(hashes: Mapping[str, str], run: Run, kept: Path) -> list[str]:
    then: Mapping[str, str] | None = run.frozen.files
    if not then and run.frozen.files_sha256:
        if hashlib.sha256(_listed(hashes)).hexdigest() == run.frozen.files_sha256:
            return []
        then = _kept(kept, run.frozen.files_sha256)
    if then is None:
        raise PlanChanged(
            f"run {run.name} began with other contents of: one of {len(hashes)} files "
            f"({kept}, which would tell which, is gone or changed)"
        )
    return [path for path in sorted({*hashes, *then}) if hashes.get(path) != then.get(path)]


def _kept(path: Path, sha256: str) -> Mapping[str, str] | None:
    """The list, if it is still the one whose hash is on record."""
    return find_private(path, lambda listed: dict(json.loads(listed)) if hashlib.sha256(listed).hexdigest() == sha256 else None)


def _listed(files: Mapping[str, str]) -> bytes:
    return json.dumps(files, sort_keys=True, separators=(",", ":")).encode()


def _hashes(loaded: LoadedPlan, state: str = ORDER[0]) -> dict[str, str]:
    try:
        return loaded.hashes(state)
    except OSError as error:
        raise PlanChanged(f"{error.filename} cannot be read: {error.strerror}") from error

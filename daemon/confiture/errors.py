"""What confiture says when it builds nothing, as an error with what was seen, where, and what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cutoverd.daemon.host.children import Completed
from cutoverd.daemon.host.launcher import NOT_FOUND
from cutoverd.states.errors import CheckFailed

_SHOWN_MAX = 5
_SHOWN_CHARS = 500
_MEANINGS = {  # exit code → what it means, what to do; docs/measured.md, "Exit codes of confiture"
    1: ("the build failed", "mend the sources"),
    2: ("it does not know these options", "install the version that `pip install 'cutoverd[confiture]'` brings"),
    3: ("it could not connect", "a build needs no database: look for --dump or a hook in the environment"),
    4: ("the schema cannot be built", "mend the sources"),
    5: ("the configuration is wrong", "look at {environment} and at the folders it includes"),
    6: ("another confiture holds its lock", "wait until it has ended"),
    7: ("its look at git failed", "run it by hand in {directory} and see why"),
    NOT_FOUND: ("it is not installed", "pip install 'cutoverd[confiture]', into the environment that runs cutoverd"),
}
_TO_MEND = {1, 3, 4, 5}  # what has to change then is frozen with the run
_ANEW = "`abort`, and start a run with a name of its own"


def failed(ended: Completed, environment: str, directory: Path) -> CheckFailed:
    """For an exit code that is not 0."""
    report = _parse_report(ended.stdout_tail)
    meaning, advice = _MEANINGS.get(ended.returncode, (f"it ended with {ended.returncode}", "run it by hand in {directory}"))
    text = "; ".join([*_duplicates(report), _message(report) or ended.stderr_tail.strip()[-_SHOWN_CHARS:]])
    where = {"environment": directory / "db" / "environments" / f"{environment}.yaml", "directory": directory}
    then = _ANEW if ended.returncode in _TO_MEND else "then `retry`"
    return CheckFailed(
        f"confiture build --env {environment} in {directory}: {meaning}{f': {text}' if text else ''}",
        hint=f"{advice.format(**where)}, {then}",
        evidence={"exit": ended.returncode, "duplicates": report.get("duplicates") or [], "said": text},
    )


def unreadable(answer: str, environment: str, directory: Path) -> CheckFailed:
    """For exit code 0 without what was asked for."""
    return CheckFailed(
        f"confiture build --env {environment} in {directory}: it ended with 0, but made no schema and list of files;"
        f" it said: {' '.join(answer.split())[:_SHOWN_CHARS] or 'nothing'}",
        hint=f"install the version that `pip install 'cutoverd[confiture]'` brings, run it by hand in {directory}, then `retry`",
        evidence={"exit": 0, "said": answer[-_SHOWN_CHARS:]},
    )


def _parse_report(stdout: str) -> Mapping[str, Any]:
    try:
        return dict(json.loads(stdout))
    except (ValueError, TypeError):
        return {}


def _message(report: Mapping[str, Any]) -> str:
    error = report.get("error") or ""
    text = error.get("message", "") if isinstance(error, dict) else str(error)
    return " ".join(text.split())


def _duplicates(report: Mapping[str, Any]) -> Iterator[str]:
    for duplicate in (report.get("duplicates") or [])[:_SHOWN_MAX]:
        places = " and ".join(f"{definition['file']}:{definition['line']}" for definition in duplicate["definitions"])
        yield f"{duplicate['kind']} {duplicate['identity']} is defined in {places}"

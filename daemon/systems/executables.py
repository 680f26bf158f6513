"""Whether the programs of commands are there and may be run: found where the children will look, without running any."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cutoverd.daemon.host import environment
from cutoverd.daemon.systems.first_line import cannot_begin, may_be_executed, places, search_path
from cutoverd.states.errors import Unfit
from cutoverd.states.ports import Evidence

Named = Sequence[tuple[str, Sequence[str]]]  # by the plan's key


def check_programs(commands: Named, directory: Path, passed: Named = ()) -> Evidence:
    """{"programs": how many, "warnings": [what the commands do not get of our environment]}.

    `passed`: variables that they get by name. Raises `Unfit` with a reason for each program, and for each variable that is not
    there, with the plan's keys that name it.
    """
    keys: dict[str, list[str]] = {}
    for key, words in commands:
        keys.setdefault(words[0], []).append(key)
    if reasons := [*_wrong(keys.items(), directory), *_missing(passed)]:
        hint = "mend it, or the plan's word for it, then `retry`; a changed plan is a new run"
        raise Unfit("; ".join(reasons), hint=hint, evidence={"reasons": reasons})
    return {"programs": len(keys), **_withheld(passed)}


def _missing(passed: Named) -> Iterator[str]:
    for key, names in passed:
        if missing := [name for name in names if name not in environment.as_given()]:
            yield f"{key}.env: this daemon's environment has no {', '.join(missing)}"


def _withheld(passed: Named) -> dict[str, list[str]]:
    named = {name for _, names in passed for name in names}
    if not (names := environment.withheld(named)):
        return {}
    passes = f"`env: [{names[0]}]` beside a command passes one"
    return {"warnings": [f"{', '.join(names)}: secrets of this daemon, which no command of the plan gets; {passes}"]}


def _wrong(keys: Iterable[tuple[str, Sequence[str]]], directory: Path) -> Iterator[str]:
    for program, named_by in keys:
        if wrong := _cannot_be_run(program, directory):
            yield f"{', '.join(named_by)}: {wrong}"


def _cannot_be_run(program: str, directory: Path) -> str:
    """Why, or "". A word with a slash is a path; that, and a relative folder of the PATH, is found from where commands run."""
    found = [file for file in places(program, directory) if file.is_file()]
    if not found and "/" in program:
        return f"no program {program}: there is no file {directory / program}"
    if not (runnable := [file for file in found if may_be_executed(file)]):
        return _not_runnable(program, found)
    wrong = [cannot_begin(file, directory) for file in runnable]
    return "" if "" in wrong else f"program {program} cannot be run: {wrong[0]}"


def _not_runnable(program: str, found: Sequence[Path]) -> str:
    if found:
        return f"program {program} may not be executed: chmod +x {found[0]}"
    return f"no program {program} on the PATH ({search_path()})"

"""The sources of a confiture project: its environment file, and every SQL file below the folders that this includes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from cutoverd.daemon.plan.bounded_yaml import compose, construct, read_source, text_of
from cutoverd.daemon.plan.files import odd_name
from cutoverd.daemon.plan.migration import ConfitureSection

ENVIRONMENTS = Path("db") / "environments"
KEY = "schema.confiture"
UNREADABLE = (yaml.YAMLError, OSError, TypeError, KeyError, ValueError)


def environment_file(given: ConfitureSection, folder: Path) -> Path:
    return folder / given.directory / ENVIRONMENTS / f"{given.environment}.yaml"


def built_schema(run_dir: Path, given: ConfitureSection) -> Path:
    """Where PreCheck builds it; a check that only looks has a folder of its own."""
    return run_dir / "confiture" / f"{given.environment}.sql"


def sources(given: ConfitureSection, folder: Path) -> list[Path]:
    """As they lie there now: one that was added since is among them, one that is gone is not."""
    file = environment_file(given, folder)
    try:
        included = [folder / given.directory / path for path in _included(file)]
    except UNREADABLE:  # it is no longer what a run began with: its hash tells
        included = []
    found = {each for path in included for each in ([path] if path.is_file() else path.rglob("*.sql")) if each.is_file()}
    return [file, *sorted(found)]


def mistakes(given: ConfitureSection, folder: Path) -> Iterator[str]:
    """What keeps the sources from being found; confiture itself says the rest in PreCheck."""
    file = environment_file(given, folder)
    if not file.is_file():
        known = sorted(each.stem for each in file.parent.glob("*.yaml"))
        there = f"there are {', '.join(known)}" if known else "there is none"
        yield f"{KEY}.environment: {given.environment!r} has no {file}; {there}"
        return
    try:
        if not list(_included(file)):
            yield f"{KEY}: {file} names no folder; let its include_dirs name the sources of the schema"
        yield from (f"{KEY}: {each}: {wrong}" for each in sources(given, folder) if (wrong := odd_name(each)))
    except UNREADABLE as error:
        yield f"{KEY}: {file} cannot be read: {error}"


def _included(file: Path) -> Iterator[str]:
    text = text_of(read_source(file))
    compose(text)
    read: Any = construct(text) or {}
    if not isinstance(read, dict):
        raise TypeError(f"it is no mapping but {type(read).__name__}; it needs `include_dirs: [db/0_schema]`")
    for entry in read.get("include_dirs") or []:
        yield str(entry["path"] if isinstance(entry, dict) else entry)

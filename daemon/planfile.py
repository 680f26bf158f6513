"""Reading a plan: from YAML to models, with file, line, key and the value seen of every mistake; its files found and hashed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cutoverd.daemon.plan import Plan, Script
from cutoverd.daemon.postgres.refused import Reading

LARGEST_ITEMS_BYTES = 24 * 1024


class BadPlan(Exception):
    """the plan cannot be used; every mistake found, a line each"""


@dataclass(frozen=True)
class LoadedPlan:
    """A plan, where it lies, and the files it names."""

    path: Path
    plan: Plan
    source: bytes
    schema_files: tuple[Path, ...]
    data_scripts: tuple[tuple[str, Path, str | None], ...]  # name, file, probe
    validation_scripts: tuple[tuple[str, Path], ...]

    @property
    def folder(self) -> Path:
        """What the plan's paths are relative to."""
        return self.path.parent

    @property
    def state_dir(self) -> Path:
        return self.folder / self.plan.state_dir

    @property
    def run_dir(self) -> Path:
        """What this run keeps on this machine."""
        return self.state_dir / "runs" / self.plan.run

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.source).hexdigest()

    def items(self) -> dict[str, list[str]]:
        return {
            **self.plan.items(),
            "data_scripts": [name for name, _, _ in self.data_scripts],
            "validation_scripts": [name for name, _ in self.validation_scripts],
        }

    def files(self) -> dict[str, Path]:
        """Every file that the plan names, and those that its scripts include, by their paths as the plan sees them."""
        files = [*self.schema_files, *(file for _, file, _ in self.data_scripts), *(file for _, file in self.validation_scripts)]
        files += [*self._included, *_programs(self.plan, self.folder)]
        return {_relative(file, self.folder): file for file in files}

    @cached_property
    def _included(self) -> list[Path]:
        """By `\\i` and `\\ir`, at any depth; one that is missing is a finding of PreCheck."""
        reading = Reading(self.folder)
        for file in (*self.schema_files, *(file for _, file, _ in self.data_scripts)):
            reading.read(file)
        return [file for file in reading.included_by if file.is_file()]

    def hashes(self) -> dict[str, str]:
        """sha256 of each of them; raises OSError."""
        return {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in self.files().items()}


def load(path: Path) -> LoadedPlan:
    """The plan in a file; raises `BadPlan`."""
    path = path.resolve()
    source = _read(path)
    plan = _validated(path, source)
    found = _Files(path.parent)
    loaded = LoadedPlan(
        path,
        plan,
        source,
        tuple(found.all("schema.files", plan.schema_.files)),
        tuple(_scripts(found, plan.data.scripts, path.parent)),
        tuple((_relative(file, path.parent), file) for file in found.all("validate.scripts", plan.validate_.scripts)),
    )
    if mistakes := [*found.mistakes, *_too_many(loaded.items())]:
        raise BadPlan("\n".join(f"{path}: {line}" for line in mistakes))
    return loaded


def _too_many(items: dict[str, list[str]]) -> Iterator[str]:
    """The run's first event names each step: it has to fit a message."""
    sizes = {kind: len(json.dumps(names)) for kind, names in items.items()}
    if sum(sizes.values()) > LARGEST_ITEMS_BYTES:
        kind = max(sizes, key=lambda kind: sizes[kind])
        yield (
            f"{kind}: {len(items[kind])} names are too many for a run ({sizes[kind]} bytes, all kinds together may have "
            f"{LARGEST_ITEMS_BYTES}); for scripts: name one file that includes the others by \\ir"
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadPlan(f"{path}: cannot be read: {error.strerror}") from error


def _validated(path: Path, source: bytes) -> Plan:
    try:
        root = yaml.compose(source, yaml.SafeLoader)
        if twice := list(_twice(root)):
            raise BadPlan("\n".join(f"{path}:{line}" for line in twice))
        return Plan.model_validate(yaml.safe_load(source) or {})
    except yaml.YAMLError as error:
        raise BadPlan(f"{path}: not YAML: {error}") from error
    except ValidationError as error:
        raise BadPlan("\n".join(f"{path}:{line}" for line in _mistakes(root, error))) from error


def _twice(node: yaml.Node | None, within: tuple[yaml.Node, ...] = ()) -> Iterator[str]:
    """Keys that a mapping has twice: YAML would take the last and say nothing."""
    if node in within:  # an alias of what it is part of
        return
    parts: list[yaml.Node] = node.value if isinstance(node, yaml.SequenceNode) else []
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.value in first:
                yield f"{line}: {key.value} is there twice, first in line {first[key.value]}; keep one"
            first.setdefault(key.value, line)
        parts = [value for _, value in node.value]
    for part in parts:
        yield from _twice(part, (*within, *([node] if node else [])))


def _mistakes(root: yaml.Node | None, error: ValidationError) -> Iterator[str]:
    for mistake in error.errors(include_url=False):
        where = tuple(part for part in mistake["loc"] if part != "function-before[_script(), Script]")
        key = ".".join(str(part) for part in where) or "the plan"
        seen = "" if mistake["type"] == "missing" or isinstance(mistake["input"], dict) else f": saw {_shown(mistake['input'])}"
        right = mistake["msg"].removeprefix("Value error, ")
        yield f"{_line(root, where)}: {key}{seen}; {_in_words(mistake['type'], right)}"


_SECRET = re.compile(r"://[^@]*:.*@|password", re.IGNORECASE | re.DOTALL)


def _shown(value: Any) -> str:
    """The value as the plan has it; nothing of one that may hold a password, wherever its parts begin and end."""
    shown = repr(value)
    return "what may hold a password" if _SECRET.search(shown) else shown


def _in_words(kind: str, message: str) -> str:
    return {"missing": "it is missing", "extra_forbidden": "there is no such key"}.get(kind, message)


def _line(node: yaml.Node | None, where: tuple[Any, ...]) -> int:
    """The line of the deepest part of `where` that the file has."""
    line = node.start_mark.line + 1 if node else 1
    for part in where:
        found = _child(node, part)
        if found is None:
            return line
        mark, node = found
        line = mark.start_mark.line + 1
    return line


def _child(node: yaml.Node | None, part: Any) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


class _Files:
    """Patterns of a plan made into files; what no pattern finds, or two do, is remembered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mistakes: list[str] = []
        self._found: dict[tuple[str, Path], str] = {}  # the pattern that named a file first

    def all(self, key: str, patterns: list[str]) -> Iterator[Path]:
        for pattern in patterns:
            files = self._files(key, pattern)
            for file in files:
                self._check(key, pattern, file)
            yield from files

    def _files(self, key: str, pattern: str) -> list[Path]:
        try:
            files = sorted(file for file in self._glob(pattern) if file.is_file())
        except (ValueError, IndexError) as error:
            self.mistakes.append(f"{key}: {pattern!r} is no pattern for files: {str(error).lower()}")
            return []
        if not files:
            self.mistakes.append(f"{key}: {pattern!r} names no file in {self.folder}")
        return files

    def _check(self, key: str, pattern: str, file: Path) -> None:
        first = self._found.setdefault((key, file.resolve()), pattern)
        if first is not pattern:
            name = _relative(file, self.folder)
            self.mistakes.append(f"{key}: {name} is named by {first!r} and by {pattern!r}; it would run twice, name it once")
        try:
            file.open("rb").close()
        except OSError as error:
            self.mistakes.append(f"{key}: {_relative(file, self.folder)} cannot be read: {error.strerror}")

    def _glob(self, pattern: str) -> Iterator[Path]:
        if Path(pattern).is_absolute():
            return Path("/").glob(pattern.lstrip("/"))
        return self.folder.glob(pattern)


def _scripts(found: _Files, scripts: list[Script], folder: Path) -> Iterator[tuple[str, Path, str | None]]:
    for script in scripts:
        for file in found.all("data.scripts", [script.file]):
            yield _relative(file, folder), file, script.probe


def _relative(file: Path, folder: Path) -> str:
    return str(file.relative_to(folder)) if file.is_relative_to(folder) else str(file)


def _programs(plan: Plan, folder: Path) -> list[Path]:
    """The files of the plan's folder that its commands name."""
    commands = [
        *(words for check in (*plan.health, *plan.smoke) if (words := check.command)),
        *(words for door in plan.traffic for words in (door.close, door.open, door.status)),
        *(words for service in plan.services for words in _words(service)),
    ]
    named = {folder / word for words in commands for word in words if word and not word.startswith("-")}
    return sorted(file for file in named if file.is_file() and file.is_relative_to(folder))


def _words(service: Any) -> Iterator[list[str]]:
    for commands in (service.old, service.new, service.test):
        if commands:
            yield from (commands.start, commands.stop, commands.status)

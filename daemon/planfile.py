"""Reading a plan: from YAML to models, with file, line, key and the value seen of every mistake; its files found and hashed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cutoverd.daemon.plan import Plan, Script


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

    def hashes(self) -> dict[str, str]:
        """sha256 of every file that the plan names, by its path as the plan sees it."""
        files = [*self.schema_files, *(file for _, file, _ in self.data_scripts), *(file for _, file in self.validation_scripts)]
        named = [*files, *_programs(self.plan, self.folder)]
        return {_relative(file, self.folder): hashlib.sha256(file.read_bytes()).hexdigest() for file in named}


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
    if found.missing:
        raise BadPlan("\n".join(f"{path}: {line}" for line in found.missing))
    return loaded


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadPlan(f"{path}: cannot be read: {error.strerror}") from error


def _validated(path: Path, source: bytes) -> Plan:
    try:
        root = yaml.compose(source, yaml.SafeLoader)
        return Plan.model_validate(yaml.safe_load(source) or {})
    except yaml.YAMLError as error:
        raise BadPlan(f"{path}: not YAML: {error}") from error
    except ValidationError as error:
        raise BadPlan("\n".join(f"{path}:{line}" for line in _mistakes(root, error))) from error


def _mistakes(root: yaml.Node | None, error: ValidationError) -> Iterator[str]:
    for mistake in error.errors(include_url=False):
        where = tuple(part for part in mistake["loc"] if part != "function-before[_script(), Script]")
        key = ".".join(str(part) for part in where) or "the plan"
        seen = "" if mistake["type"] == "missing" or isinstance(mistake["input"], dict) else f": saw {_shown(mistake['input'])}"
        right = mistake["msg"].removeprefix("Value error, ")
        yield f"{_line(root, where)}: {key}{seen}; {_in_words(mistake['type'], right)}"


_SECRET = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*@|(?<=password=)\S+")


def _shown(value: Any) -> str:
    """The value as the plan has it, without what may be a password."""
    return _SECRET.sub("…@", repr(value))


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
    """Patterns of a plan made into files; what no pattern finds is remembered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.missing: list[str] = []

    def all(self, key: str, patterns: list[str]) -> Iterator[Path]:
        for pattern in patterns:
            files = sorted(file for file in self._glob(pattern) if file.is_file())
            if not files:
                self.missing.append(f"{key}: {pattern!r} names no file in {self.folder}")
            yield from files

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

"""Reading a plan: from YAML to models, with file, line, key and the value seen of every mistake; its files found and hashed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path

import yaml
from pydantic import ValidationError

from cutoverd.daemon.host.environment import as_given
from cutoverd.daemon.host.printable import one_line
from cutoverd.daemon.host.trusted_folder import find_distrust
from cutoverd.daemon.plan.bounded_yaml import compose, construct, read_source, text_of
from cutoverd.daemon.plan.confiture import built_schema, sources
from cutoverd.daemon.plan.confiture import mistakes as mistakes_of
from cutoverd.daemon.plan.diagnostics import line_of, mistakes, no_words, not_yaml, twice, unfilled
from cutoverd.daemon.plan.files import Files, odd_name, relative, scripts
from cutoverd.daemon.plan.left_out import left_to_environment
from cutoverd.daemon.plan.model import Plan
from cutoverd.daemon.plan.programs import programs
from cutoverd.daemon.sqltext.regular_file import is_regular, open_regular, real_path
from cutoverd.states import WAY
from cutoverd.states.data import Data
from cutoverd.states.schema import Schema
from cutoverd.states.validate import Validate

MOST_MISTAKES = 50
LARGEST_ITEMS_BYTES = 24 * 1024
ORDER = [state.name for state in WAY]
LIST = "files.json"  # the hashes of what a run began with, in its folder


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
    kept_files: tuple[Path, ...] = ()  # by the plan's word
    gone: tuple[str, ...] = ()  # files that the plan names and that are not there or cannot be read, a line each

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
    def has_begun(self) -> bool:
        """Whether this machine's state_dir knows a run of this name."""
        return (self.run_dir / LIST).exists()

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
        return self.files_from(ORDER[0])

    def files_from(self, state: str) -> dict[str, Path]:
        """Those of `files` that a step of this state or of a later one on the way there may read or run."""
        read_in = self._read_in
        still = ORDER[ORDER.index(state) :] if state in ORDER else []
        files = [file for reader, files in read_in.items() if reader in still for file in files]
        return {relative(file, self.folder): file for file in [*files, *self.kept_files, *programs(self.plan, self.folder)]}

    @property
    def _read_in(self) -> dict[str, list[Path]]:
        """The SQL files, with what they include, by the state that runs them."""
        return {
            Schema.name: [*self.schema_sources, *self._included[Schema.name]],
            Data.name: [*self._data_files, *self._included[Data.name]],
            Validate.name: [file for _, file in self.validation_scripts],
        }

    def rehearsed_sha256(self) -> str:
        """Of what a rehearsal depends on: the SQL files, in their order, and what the plan says of them and of the checks.

        Not of `run`, `window`, `operators`, services, the traffic switch or `validate.jobs`: it takes one check after the other.
        Nor of `client_tools`: a folder is no version, and PreCheck of each run asks the programs for theirs.
        """
        files = [
            (state, relative(file, self.folder), _sha256(file, must=False))
            for state, files in self._read_in.items()
            for file in files
        ]
        parts = {"schema_": True, "data": True, "validate_": True, "backup": {"leave_out", "restore"}, "smoke": {"roles"}}
        parts["timeouts"] = {"step", "query"}  # of the rest nothing runs out on a copy that nobody uses
        plan = self.plan.model_dump(mode="json", include=parts, exclude={"validate_": {"jobs"}})  # type: ignore[arg-type]
        return hashlib.sha256(json.dumps([files, plan], sort_keys=True).encode()).hexdigest()

    @property
    def schema_sources(self) -> list[Path]:
        """The schema files; of one that confiture builds, what it is built from."""
        confiture = self.plan.schema_.confiture
        return sources(confiture, self.folder) if confiture else list(self.schema_files)

    @property
    def _data_files(self) -> list[Path]:
        return [file for _, file, _ in self.data_scripts]

    @cached_property
    def _included(self) -> dict[str, list[Path]]:
        """By `\\i`, `\\ir` and `\\copy`, at any depth, by the state that runs them; a missing one is a finding of PreCheck."""
        sql = [file for file in self.schema_sources if file.suffix != ".yaml"]
        return {
            Schema.name: _included_by([sql], self.folder),
            Data.name: _included_by([[f] for f in self._data_files], self.folder),
        }

    def hashes(self, state: str = ORDER[0]) -> dict[str, str]:
        """sha256 of each of `files`; raises OSError, but for one that no step from this state on reads: that has none."""
        still = self.files_from(state)
        return {name: _sha256(file, must=name in still) for name, file in self.files().items()}


def _sha256(file: Path, *, must: bool) -> str:
    try:
        with open_regular(file) as opened:  # what is copied from may be large
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        if must:
            raise
        return ""


def _included_by(groups: Iterable[Sequence[Path]], folder: Path) -> list[Path]:
    """Of files by the psql that runs them; not a file of data that they write themselves."""
    from cutoverd.daemon.sqltext.lint import ScriptLint  # its patterns cost a start 0.05 s, and most commands read no script

    reading = ScriptLint(folder)
    for files in groups:
        reading.begin()
        for file in files:
            reading.read(file)
    data = [file for file in reading.data_files if file not in reading.written]
    return [file for file in dict.fromkeys([*reading.included_by, *data]) if is_regular(file)]


def load(path: Path, *, whole: bool = False) -> LoadedPlan:
    """The plan in a file; raises `BadPlan`.

    Files that are gone are refused before a run of the plan has begun, and always where it has to be `whole`: later the
    state tells whether anybody will read them again (freeze.py). So is a server that the environment alone names.
    """
    path = real_path(path)
    if why := odd_name(path):
        raise _bad(path, [f"1: the path of the plan: {why}"])
    source = _read(path)
    plan = _validated(path, source)
    found = Files(path.parent)
    loaded = LoadedPlan(
        path,
        plan,
        source,
        (*found.all("schema.files", plan.schema_.files), *_built(plan, found)),
        tuple(scripts(found, plan.data.scripts, path.parent)),
        tuple((relative(file, path.parent), file) for file in found.all("validate.scripts", plan.validate_.scripts)),
        tuple(found.all("freeze", plan.freeze)),
    )
    early = [*found.gone, *_left_to_environment(plan, found)] if whole or not loaded.has_begun else []
    if wrong := [*found.mistakes, *early, *_too_many(loaded.items()), *_distrusted(loaded, found)]:
        root = compose(text_of(source))
        raise _bad(path, (f"{_line_of(root, found.places.get(line))} {line}" for line in wrong))
    return replace(loaded, gone=tuple(found.gone))


def _distrusted(loaded: LoadedPlan, found: Files) -> Iterator[str]:
    """What lies in state_dir is believed: nobody else may write there."""
    inside = (loaded.state_dir / "nats", loaded.run_dir.parent, loaded.run_dir, loaded.run_dir / "children")
    if why := find_distrust(loaded.state_dir) or next(filter(None, (find_distrust(each, sticky=True) for each in inside)), ""):
        found.places[f"state_dir: {why}"] = "state_dir", str(loaded.plan.state_dir)
        yield f"state_dir: {why}"


def _left_to_environment(plan: Plan, found: Files) -> Iterator[str]:
    for key, url in {"database.url": plan.database.url, "rehearsal.database": plan.rehearsal.database}.items():
        for why in left_to_environment(url, as_given()) if url else ():
            line = f"{key}: {why}"
            found.places[line] = key, str(url)
            yield line


def _line_of(root: yaml.Node | None, place: tuple[str, str] | None) -> str:
    return f"{line_of(root, *place)}:" if place else ""


def _built(plan: Plan, found: Files) -> Iterator[Path]:
    """Where the file will be that confiture builds in PreCheck."""
    if confiture := plan.schema_.confiture:
        wrong = list(mistakes_of(confiture, found.folder))
        found.gone.extend(wrong)
        found.places |= {line: (line.partition(": ")[0], "") for line in wrong}
        yield built_schema(found.folder / plan.state_dir / "runs" / plan.run, confiture)


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
        return read_source(path)
    except OSError as error:
        raise _bad(path, [f" cannot be read: {error.strerror}"]) from error


def _validated(path: Path, source: bytes) -> Plan:
    try:
        text = text_of(source)
        root = compose(text)
        if wrong := [*no_words(root), *twice(root), *dict.fromkeys(unfilled(root))]:
            raise _bad(path, wrong)
        return Plan.model_validate(construct(text) or {})
    except yaml.YAMLError as error:
        raise _bad(path, [not_yaml(error)]) from error
    except ValidationError as error:
        raise _bad(path, mistakes(root, error)) from error


def _bad(path: Path, wrong: Iterable[str]) -> BadPlan:
    """A line for each, and for the first of many: what the plan says in them may be anything."""
    lines = [one_line(f"{path}:{line}") for line in islice(wrong, MOST_MISTAKES + 1)]
    more = [f"{path}: … and more; mend these first"] if len(lines) > MOST_MISTAKES else []
    return BadPlan("\n".join([*lines[:MOST_MISTAKES], *more]))

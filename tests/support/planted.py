"""An example of deploy/examples whose plan or files a user got wrong: planted in a copy of its own, and taken by `rehearse`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from string import Template
from typing import Any

import yaml
from support import preloaded
from support.migrated import Example
from support.production import catalogs, dump
from support.servers import Cluster, Clusters, in_a_loop_of_its_own

from cutoverd.daemon.demo import environment
from cutoverd.daemon.postgres.ledger import ledger

Edit = Callable[[Path], None]  # of a copy of the example, whose plan is filled in
REHEARSED = "precheck.rehearse:"
SECONDS = 300
KEPT = {"daemon.lock", "epoch", "confiture", "differences"}
EVENT = re.compile(r"^(?=\d\d:\d\d:\d\d |not fit|fit)", re.MULTILINE)  # or the last words
FAILED = re.compile(r"\d\d:\d\d:\d\d ✖ (?P<step>.+?)  (?P<text>.*)", re.DOTALL)


@dataclass(frozen=True)
class Mistake:
    """One that a user makes, and each step that has to find it, with words that have to be in what it says.

    `built`: with the schema that the plan says, which confiture takes seconds to build; else its files, one by one.
    `production`: SQL that a superuser runs in the old database first, and `undone` afterwards.
    """

    name: str
    edits: Sequence[Edit]
    found: Mapping[str, Sequence[str]] = field(default_factory=dict)
    exit: int = 5
    says: Sequence[str] = ()  # anywhere: of a plan that is not read at all, say
    production: str = ""
    undone: str = ""
    built: bool = False


@dataclass
class Planted:
    """The old database of one example, made once; every mistake has a copy of the files, and a `state_dir`, of its own."""

    cluster: Cluster
    example: Example
    folder: Path
    numbers: Iterator[int] = field(default_factory=count)

    @classmethod
    @contextmanager
    def made(
        cls, clusters: Clusters, major: str, folder: Path, example: Example, *loaded: Any, then: str = ""
    ) -> Iterator[Planted]:
        """On a server as if it were new; `loaded` goes to the example's loader, `then` is SQL on the old database."""
        cluster = clusters.fresh(major, folder)
        try:
            for role in (f"{example.name}_app", f"{example.name}_smoke"):
                cluster.postgres.add_login(role)
            loader = example.loader()
            loader.create(cluster.superuser_url())
            loader.load(cluster.superuser_url(example.name), *loaded)
            cluster.execute(then or "SELECT", example.name)
            cluster.execute(Template(environment.RIGHTS.read_text()).substitute(owner=f"{example.name}_owner"))
            in_a_loop_of_its_own(ledger.prepare(cluster.server(dbname=example.name)))  # else the first rehearsal makes it
            yield cls(cluster, example, folder)
        finally:
            clusters.clean(major)

    def rehearse(self, *edits: Edit) -> subprocess.CompletedProcess[str]:
        """`cutoverd rehearse` of a copy with these edits."""
        home = self.folder / f"copy-{next(self.numbers)}"
        shutil.copytree(self.example.folder, home, ignore=shutil.ignore_patterns("__pycache__", "data", "break"))
        given = {
            "RUN": self.example.name,
            "STATE_DIR": home / "state",
            "PYTHON": sys.executable,
            "TOOLS": self.cluster.bin_dir,
            "URL": self.cluster.url(self.example.name),
            **{
                f"{key}_URL": self.cluster.url(self.example.name, f"{self.example.name}_{key.lower()}")
                for key in ("APP", "SMOKE")
            },
        }
        (home / "plan.yaml").write_text(self.example.filled_in(**given))
        for edit in edits:
            edit(home)
        return preloaded.run(["rehearse", str(home / "plan.yaml")], SECONDS)

    def production(self, query: str) -> None:
        self.cluster.execute(query or "SELECT", self.example.name)

    def fingerprint(self) -> dict[str, Any]:
        """What a rehearsal may not change: production to the byte, and every catalog that the databases of a server share."""
        return {"content": dump(self.cluster, self.example.name), **catalogs(self.cluster, [self.example.name])}

    def left_over(self) -> list[object]:
        """Sessions of ours, and files of the copies' `state_dir` that no person wants: `KEPT` are locks, and what errors name."""
        sessions = self.cluster.execute("SELECT datname, query FROM pg_stat_activity WHERE application_name LIKE 'cutoverd/%'")
        files = [path for path in self.folder.glob("copy-*/state/**/*") if path.is_file() and path.stat().st_size]
        return [*sessions, *(path for path in files if not KEPT & {path.name, path.parent.name})]


def failures(output: str) -> dict[str, str]:
    """What failed, and what is said of it; a step of the rehearsal by its name in the window."""
    matches = (FAILED.match(each) for each in EVENT.split(output))
    return {match["step"].removeprefix(REHEARSED): match["text"] for match in matches if match}


# --- how files and plan are got wrong


def replaced(file: str, old: str, new: str) -> Edit:
    def edit(home: Path) -> None:
        text = (home / file).read_text()
        assert text.count(old) == 1, f"{file} has {text.count(old)} times {old!r}"
        (home / file).write_text(text.replace(old, new))

    return edit


def added(file: str, text: str, encoding: str = "utf-8") -> Edit:
    """At the end of a file that may be there."""

    def edit(home: Path) -> None:
        before = (home / file).read_bytes() if (home / file).exists() else b""
        (home / file).write_bytes(before + text.encode(encoding))

    return edit


def planned(change: Callable[[dict[str, Any]], Any]) -> Edit:
    def edit(home: Path) -> None:
        plan = yaml.safe_load((home / "plan.yaml").read_text())
        change(plan)
        (home / "plan.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))

    return edit


def compared(name: str, side: str, old: str, new: str) -> Edit:
    """A comparison whose `side` has `new` where it had `old`."""
    return _named("compare", name, side, old, new)


def queried(name: str, side: str, old: str, new: str) -> Edit:
    return _named("queries", name, side, old, new)


def unbuilt(home: Path) -> None:
    """The schema files as they are, which confiture would make one of."""
    planned(lambda plan: plan.update(schema={"files": ["db/0_schema/**/*.sql"]}))(home)


def _named(kind: str, name: str, side: str, old: str, new: str) -> Edit:
    def change(plan: dict[str, Any]) -> None:
        [each] = [each for each in plan["validate"][kind] if each["name"] == name]
        assert each[side].count(old) == 1, each[side]
        each[side] = each[side].replace(old, new)

    return planned(change)

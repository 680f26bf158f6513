"""confiture puts the schema together, in PreCheck and into the run's folder; what it made is a schema file like any other."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cutoverd.daemon.confiture.errors import failed, unreadable
from cutoverd.daemon.host import children
from cutoverd.daemon.host.environment import without_secrets
from cutoverd.daemon.host.private_files import find_private, make_private_folder, write_private
from cutoverd.daemon.sqltext.regular_file import read_regular, real_path
from cutoverd.states.errors import CheckFailed
from cutoverd.states.ports import Evidence

BUILD_SECONDS = 300.0
ANSWER_BYTES_MAX = 8 << 20  # the list of files is one JSON document
RECORD = "built.json"
PROGRAM = "confiture"


@dataclass(frozen=True)
class Confiture:
    """One environment of one confiture project, built into `target`.

    `frozen` gives the sources that the run began with; a file that is not among them may not get into the schema.
    """

    environment: str
    directory: Path
    target: Path
    frozen: Callable[[], Collection[Path]]
    folder: Path  # of this run: each child is recorded there
    epoch: int

    async def build(self, step: str) -> Evidence:
        """{"schema": {"environment", "file", "sha256", "sources": [path, …]}}; raises `CheckFailed`, `TimedOut`."""
        sources = self._listed(await self._ask(step, "--list-files"))
        self._check_frozen(sources)
        make_private_folder(self.target.parent)
        built = self.target.with_suffix(".part")
        answer = await self._ask(step, "--show-hash", "--fail-on-duplicates", "--output", str(built))
        if not built.exists():
            raise unreadable(answer, self.environment, self.directory)
        record = {"environment": self.environment, "file": str(self.target), "sha256": _sha256(built), "sources": sources}
        write_private(self._record_file, json.dumps(record))
        built.replace(self.target)
        return {"schema": record}

    async def ensure(self, step: str, sha256: str = "") -> None:
        """The file is there as it was built; one that is missing or changed is built again from the frozen sources.

        With the `sha256` of what was tried before, it is that; raises `CheckFailed`: another confiture builds another schema.
        """
        if not (self.target.exists() and self._record().get("sha256") == _sha256(self.target)):
            await self.build(step)
        if sha256 and sha256 != (now := _sha256(self.target)):
            raise CheckFailed(
                f"PreCheck tried a schema with the hash {sha256[:12]}, and confiture builds {now[:12]} from the same sources now",
                hint="look for another version of confiture; a new run tries what it builds",
                evidence={"tried": sha256, "built": now},
            )

    def sources(self) -> list[str]:
        """What the file was built from, in order; nothing if it was not."""
        return list(self._record().get("sources", []))

    def _record(self) -> Mapping[str, Any]:
        return find_private(self._record_file, lambda content: dict(json.loads(content))) or {}

    @property
    def _record_file(self) -> Path:
        return self.target.with_name(RECORD)

    async def _ask(self, step: str, *options: str) -> str:
        """What it printed. No address of a database is given: a build reads files alone."""
        argv = [_program(), "build", "--env", self.environment, "--format", "json", *options]
        ended = await children.run(
            argv,
            folder=self.folder,
            epoch=self.epoch,
            step=step,
            cwd=self.directory,
            env={**without_secrets(), "SOURCE_DATE_EPOCH": "0", "NO_COLOR": "1"},  # the same sources, the same file to the byte
            timeout_seconds=BUILD_SECONDS,
            output_bytes_max=ANSWER_BYTES_MAX,
        )
        if ended.returncode != 0:
            raise failed(ended, self.environment, self.directory)
        return ended.stdout_tail

    def _listed(self, answer: str) -> list[str]:
        try:
            return [str(file["path"]) for file in json.loads(answer)["files"]]
        except (ValueError, KeyError, TypeError) as error:
            raise unreadable(answer, self.environment, self.directory) from error

    def _check_frozen(self, sources: list[str]) -> None:
        frozen = {real_path(file) for file in self.frozen()}
        if strange := [name for name in sources if real_path(self.directory / name) not in frozen]:
            raise CheckFailed(
                f"confiture takes {len(strange)} file(s) that this run did not freeze: {', '.join(strange[:5])}",
                hint="give each the suffix .sql and put it below a folder of include_dirs, then start a new run",
                evidence={"files": strange},
            )


def _program() -> str:
    """The one that was installed beside us, or the PATH's."""
    beside = Path(sys.executable).parent / PROGRAM
    return str(beside) if beside.exists() else shutil.which(PROGRAM) or PROGRAM


def _sha256(file: Path) -> str:
    return hashlib.sha256(read_regular(file)).hexdigest()

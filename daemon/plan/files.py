"""Patterns of a plan made into files."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

from cutoverd.daemon.plan.migration import Script
from cutoverd.daemon.sqltext.regular_file import open_regular, real_path


class Files:
    """Patterns of a plan made into files; what no pattern finds, or two do, is remembered.

    `gone`: what a run that has begun may have had, and its state says whether it still needs it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mistakes: list[str] = []
        self.gone: list[str] = []
        self.places: dict[str, tuple[str, str]] = {}  # of each of them: the key, and the pattern that the plan has there
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
        except (ValueError, IndexError, OSError) as error:
            self._note(self.mistakes, key, pattern, f"{pattern!r} is no pattern for files: {_reason(error)}")
            return []
        if not files:
            self._note(self.gone, key, pattern, f"{pattern!r} names no file in {self.folder}")
        return files

    def _check(self, key: str, pattern: str, file: Path) -> None:
        first = self._found.setdefault((key, real_path(file)), pattern)
        if first is not pattern:
            name = relative(file, self.folder)
            twice = f"{name} is named by {first!r} and by {pattern!r}; it would run twice, name it once"
            self._note(self.mistakes, key, pattern, twice)
        if wrong := odd_name(file):
            self._note(self.mistakes, key, pattern, f"{pattern!r} names {relative(file, self.folder)}: {wrong}")
        try:
            open_regular(file).close()
        except OSError as error:
            self._note(self.gone, key, pattern, f"{relative(file, self.folder)} cannot be read: {error.strerror}")

    def _note(self, kept: list[str], key: str, pattern: str, says: str) -> None:
        kept.append(f"{key}: {says}")
        self.places[kept[-1]] = key, pattern

    def _glob(self, pattern: str) -> Iterator[Path]:
        if any("**" in part and part != "**" for part in Path(pattern).parts):  # from 3.13 on Python takes that for `*`
            raise ValueError("`**` stands alone, between two slashes: schema/**/*.sql")
        if Path(pattern).is_absolute():
            return Path("/").glob(pattern.lstrip("/"))
        return self.folder.glob(pattern)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).lower()


def odd_name(file: Path) -> str:
    """What keeps a name out of events and of psql, which are UTF-8 and have it in one line; "" if nothing does."""
    categories = {unicodedata.category(each) for each in str(file)}
    if "Cs" in categories:
        return "its name is not UTF-8; rename it"
    return "its name has a control character; rename it" if "Cc" in categories else ""


def scripts(found: Files, scripts: list[Script], folder: Path) -> Iterator[tuple[str, Path, str | None]]:
    for script in scripts:
        for file in found.all("data.scripts", [script.file]):
            yield relative(file, folder), file, script.probe


def relative(file: Path, folder: Path) -> str:
    return str(file.relative_to(folder)) if file.is_relative_to(folder) else str(file)

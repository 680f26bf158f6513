"""The four names of one production database (DESIGN 3)."""

from __future__ import annotations

from dataclasses import dataclass

LEDGER = "cutoverd"  # the daemon's own database, and the schema in it and in new
LONGEST_PRODUCTION_NAME = 54  # bytes; `_previous` takes nine of 63: docs/measured.md, "Names"
LONGEST_COPY_NAME = 61  # of one that the team has made: `_n` and its like take two


@dataclass(frozen=True)
class Names:
    """Production's name and the three that are made from it."""

    production: str

    @property
    def next(self) -> str:
        return f"{self.production}_next"

    @property
    def previous(self) -> str:
        return f"{self.production}_previous"

    @property
    def closed(self) -> str:
        return f"{self.production}_closed"

    @property
    def build_prefix(self) -> str:
        return f"{self.production}_b"

    def build(self, epoch: int) -> str:
        return f"{self.build_prefix}{epoch}"

    @property
    def scratch(self) -> str:
        return f"{self.production}_try"

    @property
    def of_trial(self) -> TrialNames:
        return TrialNames(self.scratch)

    @property
    def all(self) -> tuple[str, ...]:
        return (self.production, self.next, self.previous, self.closed)

    @property
    def made(self) -> tuple[str, ...]:
        """All that a run gives to databases, those of its rehearsal too; but for its builds, which are numbered."""
        return (self.next, self.previous, self.closed, self.scratch, *self.of_trial.made)


class TrialNames(Names):
    """The same four around a copy of production: 54 bytes and `_try` leave room for five more. One trial, so one build."""

    @property
    def next(self) -> str:
        return f"{self.production}_n"

    @property
    def previous(self) -> str:
        return f"{self.production}_p"

    @property
    def closed(self) -> str:
        return f"{self.production}_c"

    def build(self, epoch: int) -> str:
        return self.build_prefix

    @property
    def made(self) -> tuple[str, ...]:
        return (self.next, self.previous, self.closed, self.build_prefix)

"""What has to be true of the new database."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cutoverd.daemon.plan.base import Part
from cutoverd.daemon.plan.durations import Seconds

MOST_JOBS = 8  # two sessions each, and two more that watch them


class ComparisonSection(Part):
    name: str
    """What it is called; a step of Validate has this name."""
    old: str
    """A query that is asked of the old database."""
    new: str
    """A query that is asked of the new one; it has to give the same rows, in the same columns."""
    key: list[str] = Field(min_length=1)
    """Columns of the result that tell one row from another: by them a row that differs is named."""


class QuerySection(Part):
    """A question that the application asks, in the words of each schema; timed on both."""

    name: str = Field(min_length=1)
    """What it is called."""
    old: str
    """The question in the words of the old schema."""
    new: str
    """The question in the words of the new one."""
    no_slower_than: float = Field(default=1.5, gt=0)
    """How many times as long as on old it may take."""
    same_rows: bool = True
    """Whether both have to give as many rows."""


class Grants(Part):
    """`waive`: reasons by role, by object (schema.name), or by "role on object"."""

    waive: dict[str, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    """Why a right may be gone: by role, by object (schema.name), or by `role on object`."""


class Invariants(Part):
    """`waive`: reasons by the name that a finding has."""

    waive: dict[str, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    """Why it need not hold in new: by `constraint on schema.table`, by schema.table or by schema.sequence, as it is named."""


class ValidateSection(Part):
    scripts: list[str] = Field(default_factory=list)
    """Patterns of SQL files whose results have a text column `check` and a boolean column `ok`; they can write nothing."""
    compare: list[ComparisonSection] = Field(default_factory=list)
    """Queries that have to give the same on old and new; every table of old is read by one, or waived."""
    waive: dict[str, str] = Field(default_factory=dict)
    """Why nobody needs the rows of a table, by schema.table."""
    queries: list[QuerySection] = Field(default_factory=list)
    """Questions of the application that may not have become slow."""
    grants: Grants = Grants()
    """Rights that may be gone."""
    jobs: int = Field(default=2, ge=1, le=MOST_JOBS)
    """How many comparisons and validation scripts are asked at once, 1 to 8: the work is the server's."""
    collect: Seconds = 120.0
    """How long it is asked what else is wrong once something has failed; then the run turns back. 0: not at all."""
    invariants: Invariants = Invariants()
    """What need not hold in new: a constraint that is not enforced, a sequence that has come to its end."""

"""Who may connect to the new database between the swap and the opening, and what may be given up of what is written then."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from cutoverd.daemon.plan.base import Part
from cutoverd.daemon.plan.fields import RoleName
from cutoverd.daemon.plan.systems import CheckSection

Reason = Annotated[str, Field(min_length=1)]


class SmokeSection(Part):
    """Checks of the new version before any client sees it: a list of them, or the list under `tests`."""

    tests: list[CheckSection] = Field(min_length=1)
    """The checks, in their order."""
    roles: list[RoleName] | None = None
    """Roles of the tests and of services in test mode: until clients are let in nobody else may connect to the new database.

    Left out: whoever may connect to production can write to it from the swap on, and a failure then holds the run if rows were
    written."""


def _with_tests(given: Any) -> Any:
    return {"tests": given} if isinstance(given, list) else given


Smoke = Annotated[SmokeSection, BeforeValidator(_with_tests, json_schema_input_type=list[CheckSection] | SmokeSection)]


class CutoverSection(Part):
    """What a rollback from Smoke or Cutover may give up without asking."""

    disposable: dict[str, Reason] = Field(default_factory=dict)
    """Tables of the new database (schema.name) that a starting service writes by nature, each with the reason."""

"""The base of all parts of a plan."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

NOT_BUILT_YET = {"systemd", "haproxy", "prometheus", "pgbouncer", "dns"}


class Part(BaseModel):
    """The base of all parts of a plan: nothing unknown, nothing changed later."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _kinds_that_exist(cls, given: Any) -> Any:
        for key in sorted(NOT_BUILT_YET & given.keys()) if isinstance(given, dict) else ():
            raise ValueError(f"`{key}` is not built yet")
        return given

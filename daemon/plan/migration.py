"""What makes the new schema, and what moves the rows into it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from cutoverd.daemon.plan.base import Part
from cutoverd.daemon.plan.fields import FilePath


class ConfitureSection(Part):
    """An environment of a confiture project; `directory` is where its db/ lies."""

    environment: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
    """Which one is built."""
    directory: FilePath = Path(".")
    """Where its db/ lies, relative to the plan's folder."""


class SchemaSection(Part):
    """`files`, or what `confiture` builds: exactly one."""

    files: list[str] = Field(default_factory=list)
    """Patterns relative to the plan's folder, run in this order as the database's owner, all in one transaction."""
    confiture: ConfitureSection | None = None
    """A project whose schema is built in PreCheck."""

    @model_validator(mode="after")
    def _one_kind(self) -> SchemaSection:
        if bool(self.files) == bool(self.confiture):
            raise ValueError("a schema is either `files: [db/0_schema/**/*.sql]` or `confiture: {environment: production}`")
        return self


class Script(Part):
    file: str
    """A pattern relative to the plan's folder."""
    probe: str | None = None
    """A query that gives one boolean, "already done": for a file that cannot run in a transaction."""


def _script(given: Any) -> Any:
    return {"file": given} if isinstance(given, str) else given


class DataSection(Part):
    scripts: list[Annotated[Script, BeforeValidator(_script, json_schema_input_type=str | Script)]] = Field(min_length=1)
    """Patterns relative to the plan's folder, run in this order as the database's owner, each file a transaction."""

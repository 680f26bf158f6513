"""What every event is: a value that can be written, with its type on the wire."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


def _as_json(value: Any) -> Any:
    match value:
        case str():
            return value.encode(errors="backslashreplace").decode()
        case float() if not math.isfinite(value):
            return str(value)
        case Mapping():
            return {_as_json(key): _as_json(item) for key, item in value.items()}
        case list() | tuple():
            return [_as_json(item) for item in value]
        case _:
            return value


class Event(BaseModel):
    """The base of all events; `TYPES` maps the type on the wire to the class."""

    # each is built when one of it comes: a command that sends meets three of forty
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _that_can_be_written(cls, given: Any) -> Any:
        """A name of a file that is no UTF-8, or a float that is no number, must not keep an event out of the journal."""
        return _as_json(given)

    @classmethod
    def wire_type(cls) -> str:
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

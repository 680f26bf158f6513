"""Find a part of the plan by its name, or say which names there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from cutoverd.states.errors import StepError

T = TypeVar("T")


def named(parts: Mapping[str, T], name: str, what: str) -> T:
    """The part of that name; `what` says in the error what it is: "service". Raises `StepError` if there is none."""
    if name in parts:
        return parts[name]
    known = ", ".join(parts) or "none"
    raise StepError(f"no {what} named {name}, expected one of: {known}", hint="a run goes on only with the plan it began with")

"""The guards of the table: the two rules about what clients may have written. Pure; `decide` and `next_action` ask them.

In the machine they stand by name, as conditions: a model that it drives brings a method of each name.
"""

from __future__ import annotations

from typing import Protocol


class Exposed(Protocol):
    """Who knows whether going back may cost what clients wrote: a run."""

    @property
    def may_lose_writes(self) -> bool: ...


class Consent(Protocol):
    """What was accepted, and why: by a command, or by the transition that it led to."""

    @property
    def accept_loss(self) -> bool: ...
    @property
    def reason(self) -> str: ...


def nothing_written(run: Exposed) -> bool:
    """nobody could write to new yet, or it was counted and nothing was written"""
    return not run.may_lose_writes


def loss_accepted(run: Exposed, consent: Consent) -> bool:
    """nothing was written to new, or `accept_loss` was given with a reason"""
    return nothing_written(run) or (consent.accept_loss and bool(consent.reason))

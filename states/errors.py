"""What can go wrong in a step, in words for the person who reads them at three in the morning.

Each class's docstring is its message when none is given. `hint` says what to do next.
"""

from __future__ import annotations

from typing import Any


class StepError(Exception):
    """the step failed"""

    hint = ""

    def __init__(self, message: str = "", *, hint: str = "", evidence: dict[str, Any] | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.hint = hint or type(self).hint
        self.evidence = evidence or {}


class Unfit(StepError):
    """the server, the role or a database is not as it has to be; nothing was touched"""


class CheckFailed(StepError):
    """a check, a validation or a comparison found something wrong"""


class ServerFailed(StepError):
    """somebody ended the session or the server, or it had none to give; that says nothing of what it was doing"""


class TimedOut(StepError):
    """the step did not end within its time-out"""

    hint = "look at what it waits for; a plan that gives it more time is a new run"


class NotLeader(StepError):
    """another daemon has taken this run; this one must stop"""

    hint = "`cutoverd status` shows who drives it; nothing is left to be done here"


class OutcomeUnknown(StepError):
    """whether the effect happened cannot be known yet: never a failure, never a success; probe it again"""


class Unproven(OutcomeUnknown):
    """what would prove it is gone, and asking again brings nothing: something else has to prove it"""


def format_error(error: BaseException) -> str:
    """`TimeoutError: no answer`, and the words alone of an error whose words are for people; of a group, its members in turn."""
    return "; ".join(format_reasons(error))


def format_reasons(error: BaseException) -> list[str]:
    """Each error by its class and message; of a group, which is how tasks fail, those of all its members in order."""
    if isinstance(error, BaseExceptionGroup):
        return [reason for member in error.exceptions for reason in format_reasons(member)]
    if isinstance(error, StepError):
        return [str(error)]
    return [f"{type(error).__name__}: {error}".removesuffix(": ")]

"""What all commands share: the plan they are given, and how they end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from cutoverd.daemon.embedded.errors import ServerError
from cutoverd.daemon.engine.errors import BusError
from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.daemon.host.printable import continued, one_line, printable
from cutoverd.daemon.plan.load import BadPlan, LoadedPlan, load
from cutoverd.daemon.runtime.daemon_lock import AlreadyDriven
from cutoverd.daemon.terminal.unbreakable import mute
from cutoverd.events.codec import Corrupt
from cutoverd.states.decide import allowed_verbs
from cutoverd.states.errors import NotLeader, StepError
from cutoverd.states.run import Run

PlanArgument = Annotated[Path, typer.Argument(help="The plan file (YAML).", envvar="CUTOVERD_PLAN")]
PlanOption = Annotated[Path, typer.Option("--plan", "-p", help="The plan file of the run.", envvar="CUTOVERD_PLAN")]
FORM = "text, or json for programs."
T = TypeVar("T")


class OutputFormat(StrEnum):
    """How a reply is written."""

    TEXT = "text"
    JSON = "json"


def loaded(plan: Path, *, whole: bool = False) -> LoadedPlan:
    """The plan, or its mistakes and `typer.Exit` with the code for them."""
    try:
        return load(plan, whole=whole)
    except BadPlan as error:
        complain(str(error))
        raise typer.Exit(Exit.USAGE) from None
    except KeyboardInterrupt:
        complain("cutoverd: stopped before anything was begun")
        raise typer.Exit(Exit.UNFINISHED) from None


def ended(work: Coroutine[Any, Any, T], *, stopped: str = "the run goes on when it is started again") -> T:
    """The result, or a clear word and `typer.Exit` with the code for it."""
    try:
        return asyncio.run(_cancel_on_signal(work))
    except (BusError, StepError, ServerError, AlreadyDriven, Corrupt, OSError) as error:
        hint = getattr(error, "hint", "")
        text = continued(format_os_error(error), "  ")
        complain(f"cutoverd: {text}" + (f"\n  → {continued(hint, '    ')}" if hint and hint not in str(error) else ""))
        is_driven = isinstance(error, (NotLeader, AlreadyDriven))
        raise typer.Exit(Exit.SUPERSEDED if is_driven else Exit.ERROR) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        complain(f"cutoverd: stopped; {stopped}")
        raise typer.Exit(Exit.UNFINISHED) from None


def format_os_error(error: Exception) -> str:
    """Without the number of an error of the system, which tells nobody anything."""
    if not (isinstance(error, OSError) and error.errno and error.strerror):
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


def say(text: str, *, unread: Exit = Exit.COMPLETED) -> None:
    """On stdout, what others wrote in it made printable.

    Once nobody reads it any more there is nothing left to do: raises `typer.Exit` with `unread`. What could not be written for
    another reason, a full disk say, is an error.
    """
    try:
        typer.echo(printable(text))
    except BrokenPipeError:
        mute(sys.stdout)
        raise typer.Exit(unread) from None
    except OSError as error:
        mute(sys.stdout)
        complain(f"cutoverd: standard output cannot be written: {error.strerror}")
        raise typer.Exit(Exit.ERROR) from None


def say_on(line: str) -> None:
    """A line of what is being done; nobody reads it any more: that ends no way back."""
    try:
        typer.echo(one_line(line))
    except OSError:
        mute(sys.stdout)


def confirmed(given: LoadedPlan, confirm: str | None, what: str) -> None:
    """The run's name was said, as an option or at the terminal; else `typer.Exit` with the code for it."""
    run = given.plan.run
    typed = confirm
    if typed is None and sys.stdin.isatty():
        typed = str(typer.prompt(f"Type {run} {what}", default="", show_default=False))
    if typed != run:
        refuse(f"saw {typed!r}, expected the run's name" if typed else "nobody confirmed", f"--confirm {run}; nothing was done")


def refuse(why: str, hint: str) -> NoReturn:
    """What was asked for in a wrong way: raises `typer.Exit` with the code for it."""
    complain(f"cutoverd: {why}\n  → {hint}")
    raise typer.Exit(Exit.USAGE)


def paragraphs(text: str) -> str:
    """For `help`, which would break each line once more."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def complain(text: str) -> None:
    """On stderr; what cannot be said changes nothing."""
    try:
        typer.echo(printable(text), err=True)
    except OSError:
        mute(sys.stderr)


def next_words(run: Run) -> str:
    """What may be done, for the end of a reply."""
    return f"ended: {run.state}" if run.is_over else f"next: {', '.join(allowed_verbs(run)) or '`cutoverd run` starts it'}"


async def _cancel_on_signal(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.create_task(work)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task


@contextmanager
def stdout_descriptor() -> Iterator[int]:
    """Or nowhere, if whoever started us has closed it."""
    if sys.stdout:
        sys.stdout.flush()
        yield sys.stdout.fileno()
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    yield nowhere
    os.close(nowhere)

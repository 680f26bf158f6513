"""The command `cutoverd`."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Coroutine
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TextIO, TypeVar, cast

import structlog
import typer
from pydantic import ValidationError

from cutoverd.daemon import desk
from cutoverd.daemon.app import AlreadyDriven, drive
from cutoverd.daemon.bus.errors import BusError
from cutoverd.daemon.demo.show import show
from cutoverd.daemon.demo.stage import Break
from cutoverd.daemon.embedded.errors import ServerError
from cutoverd.daemon.exits import Exit
from cutoverd.daemon.face.lines import line
from cutoverd.daemon.face.metrics import RunMetrics, served
from cutoverd.daemon.face.terminal import Unbreakable, mute
from cutoverd.daemon.plan.loaded import BadPlan, LoadedPlan, load
from cutoverd.events.codec import Corrupt, Recorded
from cutoverd.events.commands import Command, Verb, in_words
from cutoverd.events.facts import CommandRejected
from cutoverd.events.subjects import commands_of
from cutoverd.states.errors import StepError
from cutoverd.states.run import Run

CODES = """Exit codes: 0 completed, 1 error, 2 usage or plan, 3 rolled back, 4 stuck, 5 aborted (or PreCheck failed with --auto),
6 left unfinished (held, or stopped: start it again)."""

app = typer.Typer(
    help=f"Move a production PostgreSQL database to a new schema, and back.\n\n{CODES}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
PlanArgument = Annotated[Path, typer.Argument(help="The plan file (YAML).", envvar="CUTOVERD_PLAN")]
PlanOption = Annotated[Path, typer.Option("--plan", "-p", help="The plan file of the run.", envvar="CUTOVERD_PLAN")]
T = TypeVar("T")


class Form(StrEnum):
    """How `status` is written."""

    TEXT = "text"
    JSON = "json"


@app.command(help=f"Drive the run of a plan: start it, or go on where it stands.\n\n{CODES}")
def run(
    plan: PlanArgument,
    auto: Annotated[bool, typer.Option("--auto", help="Pass gates without asking; end where a person would be needed.")] = False,
) -> None:
    loaded = _loaded(plan)
    metrics = RunMetrics(loaded.plan.run, version("cutoverd"))
    listen = loaded.plan.metrics.listen if loaded.plan.metrics else None
    try:
        with served(metrics, listen):
            raise typer.Exit(_ended(drive(loaded, auto=auto, observers=[metrics, _print])))
    except (OSError, OverflowError) as error:
        typer.echo(f"cutoverd: metrics.listen {listen}: {error}", err=True)
        raise typer.Exit(Exit.ERROR) from None


@app.command(help="Say something to a run and wait until a daemon has handled it. Verbs: " + ", ".join(Verb) + ".")
def send(
    verb: Annotated[Verb, typer.Argument(help="What to say.")],
    plan: PlanOption = Path("plan.yaml"),
    reason: Annotated[str, typer.Option(help="Why; it goes on record. `note`, and `rollback --accept-loss`, need one.")] = "",
    now: Annotated[bool, typer.Option("--now", help="hold: cancel the running step.")] = False,
    accept_loss: Annotated[bool, typer.Option("--accept-loss", help="rollback: give up what clients wrote since.")] = False,
    operator: Annotated[str | None, typer.Option("--as", help="Your name on the bus.", envvar="CUTOVERD_OPERATOR")] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the answer.")] = 30.0,
) -> None:
    loaded = _loaded(plan)
    try:
        command = Command(verb=verb, run=loaded.plan.run, reason=reason, now=now, accept_loss=accept_loss)
        commands_of(operator)
    except ValueError as error:
        raise typer.BadParameter(in_words(error) if isinstance(error, ValidationError) else str(error)) from None
    receipt = _ended(desk.send(loaded, command, operator, wait))
    if receipt.answer is None:
        typer.echo(f"kept at {receipt.seq}; no daemon has handled it in {wait:g} s: it counts when one starts")
        raise typer.Exit(Exit.UNFINISHED)
    typer.echo(line(Run(loaded.plan.run), receipt.answer))
    raise typer.Exit(Exit.ERROR if isinstance(receipt.answer.event, CommandRejected) else Exit.COMPLETED)


@app.command(help="How a run stands, from its journal alone.")
def status(
    plan: PlanOption = Path("plan.yaml"),
    form: Annotated[Form, typer.Option("--format", "-f")] = Form.TEXT,
) -> None:
    told = _ended(desk.look(_loaded(plan)))
    if form is Form.JSON:
        typer.echo(json.dumps(told, indent=2))
    elif told:
        typer.echo("\n".join(f"{name:>17}  {_plain(value)}" for name, value in told.items() if value not in ("", [], {})))
    if not told:
        typer.echo("this run has not started", err=True)
        raise typer.Exit(Exit.ERROR)


@app.command(help="Watch a whole run: a PostgreSQL, a NATS and a year of flights of its own; it leaves nothing behind.")
def demo(
    broken: Annotated[Break | None, typer.Option("--break", help="Break it there, and see the way back.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Play it here, and keep the folder.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary folder.")] = False,
) -> None:
    try:
        code = show(broken, folder, keep, typer.echo)
    except (BusError, StepError, ServerError, RuntimeError) as error:
        typer.echo(f"cutoverd: {error}", err=True)
        raise typer.Exit(Exit.ERROR) from None
    raise typer.Exit(code)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number:g}" for name, number in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _print(run: Run, recorded: Recorded) -> None:
    """A night must not end because nobody reads what it prints; the journal has it all."""
    try:
        typer.echo(line(run, recorded))
    except OSError:
        mute(sys.stdout)


def _loaded(plan: Path) -> LoadedPlan:
    try:
        return load(plan)
    except BadPlan as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(Exit.USAGE) from None


def _ended(work: Coroutine[Any, Any, T]) -> T:
    """The result, or a clear word and the exit code."""
    try:
        return asyncio.run(_until_told_to_stop(work))
    except (BusError, StepError, ServerError, AlreadyDriven, Corrupt, OSError) as error:
        hint = getattr(error, "hint", "")
        typer.echo(f"cutoverd: {error}" + (f"\n  → {hint}" if hint and hint not in str(error) else ""), err=True)
        raise typer.Exit(Exit.ERROR) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        typer.echo("cutoverd: stopped; the run goes on when it is started again", err=True)
        raise typer.Exit(Exit.UNFINISHED) from None


async def _until_told_to_stop(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.create_task(work)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task


def main() -> None:
    """The entry point."""
    # a traceback with local variables would show what is in them
    console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", Unbreakable(sys.stderr))),
        processors=[structlog.processors.TimeStamper("iso"), structlog.processors.add_log_level, console],
    )
    app()

"""`cutoverd status`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from cutoverd.daemon.cli.common import FORM, OutputFormat, PlanOption, complain, ended, loaded, say
from cutoverd.daemon.control import observe
from cutoverd.daemon.control.liveness import driven
from cutoverd.daemon.control.observe import Observation
from cutoverd.daemon.engine.exit_codes import Exit, exit_of
from cutoverd.daemon.host.printable import continued, json_text
from cutoverd.daemon.views.monitor_checks import checks_of
from cutoverd.states import ENDS, STATES, STUCK
from cutoverd.states.run import Run

app = typer.Typer(add_completion=False)
MORE = f"{'│':>18} "  # of a text with several lines
GATE, HELD, FAILED = "gate", "held", "failed"
MOMENTS = (*STATES, STUCK, *ENDS, GATE, HELD, FAILED)
WAIT = """Wait until the run is over, Stuck, or PreCheck has failed (5), and exit as `cutoverd run --auto` would."""
UNTIL = f"With --wait: until the run has come to that ({', '.join(MOMENTS)}: in PreCheck); exits 0 if it has."


@app.command(help="How a run stands, from its journal alone: no daemon is needed. `next` is what may be said.")
def status(
    plan: PlanOption = Path("plan.yaml"),
    form: Annotated[OutputFormat, typer.Option("--format", "-f", help=FORM)] = OutputFormat.TEXT,
    wait: Annotated[bool, typer.Option("--wait", help=WAIT)] = False,
    until: Annotated[str | None, typer.Option("--until", help=UNTIL)] = None,
    timeout: Annotated[float | None, typer.Option("--timeout", help="With --wait: seconds; after them it exits with 6.")] = None,
) -> None:
    _check_options(wait, until, timeout)
    given = loaded(plan)
    if wait:
        observation, is_so = ended(observe.wait_until(given, lambda observation: _has_come(observation, until), timeout))
    else:
        observation, is_so = ended(observe.read_run(given)), False
    document = observation.status_document()
    daemon = {"daemon": ended(driven(given, observation))} if document else {}
    code = _code(observation, until, is_so) if wait else Exit.COMPLETED if observation.run.plan else Exit.ERROR
    _print_document(document | daemon | checks_of(document, given.run_dir), form, code)
    raise typer.Exit(code)


def _check_options(wait: bool, until: str | None, timeout: float | None) -> None:
    if until is not None and until not in MOMENTS:
        raise typer.BadParameter(f"--until: saw {until!r}; it is one of {', '.join(MOMENTS)}")
    if not wait and (until or timeout is not None):
        raise typer.BadParameter("--until and --timeout belong to --wait")


def _has_come(observation: Observation, until: str | None) -> bool:
    """A state counts once it was entered, even if the run has gone on."""
    run = observation.run
    if until is None:
        return run.is_stuck or (run.failed_in_place and run.held is None)
    if until in _NOW:
        return _NOW[until](run)
    return any(state == until for state, _ in observation.timeline.entered)


_NOW: dict[str, Callable[[Run], bool]] = {
    GATE: lambda run: run.gate is not None,
    HELD: lambda run: run.held is not None,
    FAILED: lambda run: run.failed_in_place,
}


def _code(observation: Observation, until: str | None, is_so: bool) -> Exit:
    if not is_so:
        return Exit.UNFINISHED
    if until is None:
        return exit_of(observation.run)
    if _has_come(observation, until):
        return Exit.COMPLETED
    return exit_of(observation.run) or Exit.ERROR  # completed, and never came there


def _print_document(document: dict[str, Any], form: OutputFormat, code: Exit) -> None:
    if form is OutputFormat.JSON:
        say(json_text(document, indent=2), unread=code)
    elif document:
        shown = {name: continued(_plain(value), MORE) for name, value in document.items() if value not in ("", [], {}, None)}
        say("\n".join(f"{name:>17}  {text}" for name, text in shown.items()), unread=code)
    if not document:
        complain("this run has not started")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        if "says" in value:
            return str(value["says"])
        return ", ".join(f"{name} {_part(part)}" for name, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _part(part: Any) -> str:
    if not isinstance(part, dict):
        return f"{part:g}" if isinstance(part, float) else str(part)
    if "saw" in part:
        return f"{'ok' if part['ok'] else 'bad'} ({part['saw']})"
    return "/".join(f"{number:g} {what}" for what, number in part.items() if number)

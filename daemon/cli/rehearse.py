"""`cutoverd rehearse`."""

from __future__ import annotations

import shlex
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from cutoverd.daemon.cli.common import PlanArgument, ended, loaded, paragraphs, say, stdout_descriptor
from cutoverd.daemon.control import rehearse as rehearsal
from cutoverd.daemon.control.rehearsal_steps import Finding, Rehearsal
from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.daemon.host.printable import continued, json_text, one_line, printable
from cutoverd.daemon.progress import Progress, format_limit, format_seconds
from cutoverd.daemon.terminal.event_printer import EventPrinter, TextFormat
from cutoverd.daemon.terminal.nonblocking import NonBlockingWriter
from cutoverd.daemon.views.event_lines import FAILED, RUNNING, WARNING
from cutoverd.daemon.views.hints import by_hint, without_commands
from cutoverd.daemon.views.rehearsal_state import window_step
from cutoverd.states.errors import NotLeader, StepError
from cutoverd.states.run import StepKey

T = TypeVar("T")
app = typer.Typer(add_completion=False)
STOPPED = "what it made is dropped; if it was killed, `cutoverd rehearse --drop PLAN` does that"
STAYS = "what it made stays: `cutoverd rehearse --drop PLAN` drops it, and so does the next rehearsal without --again"
DROPPED = "dropped: nothing that is on record of a rehearsal is left"
MORE = "      │ "  # of a text with several lines
MOST_NAMED = 40  # of what was not looked at
HELP = """Take the window on a copy of production, on any day and without a run: backup, restore and count, then every schema
file, data script, validation and comparison, the swap and the rollback, by the functions that take them in the window.

Production is read, nothing else; services, the traffic switch and smoke tests are left alone. What it takes of disk and time is
said before it begins. At its end: all that is wrong, what was not looked at because of it, and what to do now. A data script or
a schema file that fails hides what comes after it; a validation that fails hides nothing.

On a large database take --keep: once a file is mended, --again rehearses on the copy that was kept, from the clone on,
without another backup and restore.

One that found nothing wrong is on record: PreCheck of the same files, plan and catalog does not make another for
rehearsal.max_age (7 days).

Exit codes: 0 fit, 1 it could not be made, 2 usage or plan, 5 something is wrong, 6 stopped, 7 another daemon or rehearsal of
this state_dir is at work."""
KEEP = "Keep the databases of the copy, to look at them and for --again; where they are is said at the end."
AGAIN = """Rehearse on the copy that --keep has left, from the clone on; while something is wrong it is kept once more.
Refused if the catalog, or that copy, has changed since, or if it is older than rehearsal.max_age: then begin anew."""
DROP = "Drop what an earlier one has kept, or left when it was killed, and put a copy of your own back; rehearse nothing."
GONE = "With --drop: a copy of your own (rehearsal.database) whose server is gone for good is forgotten."


@app.command(help=paragraphs(HELP))
def rehearse(
    plan: PlanArgument,
    keep: Annotated[bool, typer.Option("--keep", help=KEEP)] = False,
    again: Annotated[bool, typer.Option("--again", help=paragraphs(AGAIN))] = False,
    drop: Annotated[bool, typer.Option("--drop", help=DROP)] = False,
    gone: Annotated[bool, typer.Option("--gone", help=GONE)] = False,
) -> None:
    if drop and (keep or again):
        raise typer.BadParameter(f"--{'keep' if keep else 'again'} and --drop exclude each other: --drop rehearses nothing")
    if gone and not drop:
        raise typer.BadParameter("--gone belongs to --drop: it forgets a copy whose server is gone for good")
    given = loaded(plan, whole=True)
    if drop:
        warnings = ended(_without_run(rehearsal.drop(given, is_gone=gone)), stopped="begin `cutoverd rehearse --drop PLAN` again")
        say("\n".join([*(f"{WARNING} {one_line(each)}" for each in warnings), DROPPED]))
        raise typer.Exit(Exit.COMPLETED)
    with stdout_descriptor() as fd, NonBlockingWriter(fd) as out:
        shown = EventPrinter(out, TextFormat())
        work = rehearsal.rehearse(
            given, keep=keep, again=again, observers=[shown], tell=lambda progress: out.write(format_progress(progress))
        )
        done = ended(_without_run(work), stopped=STAYS if keep or again else STOPPED)
    code = exit_code(done)
    of_plan = given.plan.rehearsal
    end = format_end(done, plan, max_age_seconds=of_plan.max_age, is_given=of_plan.database is not None)
    say("\n".join(end), unread=code)
    raise typer.Exit(code)


def exit_code(done: Rehearsal) -> Exit:
    """`ABORTED` where something is known to be wrong; `ERROR` where nothing is, and it was not taken to its end."""
    if done.is_wrong:
        return Exit.ABORTED
    return Exit.ERROR if done.failed or done.ended or done.not_dropped else Exit.COMPLETED


async def _without_run(work: Coroutine[Any, Any, T]) -> T:
    """What helps, without what only a run can be told."""
    try:
        return await work
    except NotLeader as error:
        error.hint = "another `cutoverd rehearse` of this database has begun, on another machine say: this one has ended"
        raise
    except StepError as error:
        error.hint = without_commands(error.hint)
        raise


def format_progress(progress: Progress) -> str:
    """A line of a step that takes long, as of one that has ended."""
    name = one_line(name_of(StepKey.of(progress.step)))
    far = one_line(progress.far) or "how far it is nobody can tell"
    return printable(f"{datetime.now(UTC):%H:%M:%S} {RUNNING} {name}  {format_seconds(progress.seconds)} by now  {far}\n")


def format_end(done: Rehearsal, plan: Path, *, max_age_seconds: float, is_given: bool = False) -> Iterator[str]:
    """All that is wrong, what was not looked at, where the copy is, and what now, in one sentence.

    `is_given`: the copy is one that the team has made.
    """
    file = shlex.quote(str(plan))  # what is said to be typed can be pasted
    yield ""
    if done.failed:
        what = "things are" if len(done.failed) > 1 else "thing is"
        yield (
            f"not fit: {len(done.failed)} {what} wrong"
            if done.is_wrong
            else f"not rehearsed: {len(done.failed)} {what} in the way"
        )
    yield from _wrong(done.failed)
    if done.ended:
        yield f"it could not be made: {continued(done.ended.reason, MORE)}"
    if done.revoked:
        yield "an earlier rehearsal of these files, this plan and this catalog found nothing wrong: it counts no more"
    if done.failed and done.recorded:
        yield "what was taken on the copy went well, and is on record: a run need not rehearse it"
    yield from _not_checked(done)
    yield from _kept(done, file, is_given=is_given)
    if done.failed:
        what = "all of them" if len(done.failed) > 1 else "it"
        then = (
            f"`cutoverd rehearse --again {file}`, on the copy that is kept"
            if done.is_for_again
            else f"`cutoverd rehearse {file}` again"
        )
        yield f"→ see to {what}, then {then}: production is untouched"
        return
    if done.ended:
        yield f"→ {continued(done.ended.hint, MORE)}: production is untouched"
        return
    yield f"fit: {done.done} steps in {format_seconds(done.seconds)}, the window was taken on the copy and back"
    unless = "unless a file, the plan or the catalog changes"
    yield f"→ `cutoverd run {file}` within {format_age(max_age_seconds)} does not rehearse again, {unless}"


def _wrong(failed: list[Finding]) -> Iterator[str]:
    """What helps is said once, behind all that it helps."""
    for hint, findings in by_hint(failed, lambda finding: finding.hint):
        for finding in findings:
            yield f"  {FAILED} {one_line(name_of(finding.key))}  {continued(finding.reason, MORE)}"
            if finding.keys:
                yield f"      keys: {json_text(finding.keys)}"
        if hint:
            yield f"      → {continued(hint, MORE)}"


def _not_checked(done: Rehearsal) -> Iterator[str]:
    if done.not_checked and done.hidden_by:
        because = one_line(name_of(done.hidden_by))
        ended = done.ended and done.ended.key == done.hidden_by
        yield f"not looked at, because {because} {'was not ended' if ended else 'has failed'}: {len(done.not_checked)} steps"
        yield from (f"  {WARNING} {one_line(name_of(key))}" for key in done.not_checked[:MOST_NAMED])
    if (more := len(done.not_checked) - MOST_NAMED) > 0:
        yield f"  {WARNING} and {more} more"


def _kept(done: Rehearsal, file: str, *, is_given: bool) -> Iterator[str]:
    if done.not_dropped:
        yield f"{'your copy is not put back' if is_given else 'the copy is not dropped'}: {one_line(done.not_dropped)}"
    if done.not_opened:
        yield f"kept, but nobody is let in: {one_line(done.not_opened)}"
    for each in done.kept:
        yield f"kept: {each.name}, {each.what}: psql '{each.url}'"
    if done.kept or done.not_opened or done.not_dropped:
        them = "it" if len(done.kept) == 1 else "them"
        does = "puts your copy back, and drops what was made beside it" if is_given else f"drops {them}"
        yield f"→ `cutoverd rehearse --drop {file}` {does}; so does the next rehearsal without --again"


def name_of(key: StepKey) -> str:
    """Of a step that was taken on the copy its name in the window."""
    return window_step(key) if key.of_window != key else str(key)


def format_age(seconds: float) -> str:
    """`7 days`, `12 hours`, or as any other time."""
    for length, unit in ((86400, "day"), (3600, "hour")):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g} {unit}{'s' if seconds > length else ''}"
    return format_limit(seconds)

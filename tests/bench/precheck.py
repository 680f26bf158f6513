"""PreCheck with the rehearsal and without: the same example, the two in turn, each on a server of its own.

Without it the backup is proven all the same: made, restored and counted. The rehearsal adds the window itself, on that copy.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median

from cutoverd.daemon.control import send
from cutoverd.daemon.demo.environment import ROLE, Stage, stage
from cutoverd.daemon.demo.example import EXAMPLES, Example
from cutoverd.daemon.plan.load import load
from cutoverd.daemon.runtime.drive import drive
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.events import facts
from cutoverd.events.commands import Command, Verb

REPETITIONS = 3
SKIPPED = "\nrehearsal: {skip: measured without}\n"
GATE = "downtime"  # where PreCheck is done; the run is ended there
WAYS = {"rehearsed": "", "skipped": SKIPPED}


def main() -> None:
    """Each example, each repetition, with and without; then the medians."""
    for example in EXAMPLES.values():
        taken: dict[str, list[float]] = {way: [] for way in WAYS}
        for repetition in range(1, REPETITIONS + 1):
            for way, addition in WAYS.items():
                whole, steps = seconds(example, addition)
                taken[way].append(whole)
                longest = ", ".join(f"{step} {each:.2f}" for step, each in steps.most_common(4))
                print(f"{example.name} {repetition}, {way:>9}: PreCheck {whole:6.2f} s; {longest}")
        ratio = median(mine / other for mine, other in zip(taken["rehearsed"], taken["skipped"], strict=True))
        medians = ", ".join(f"{way} {median(each):.2f} s" for way, each in taken.items())
        print(f"{example.name}: {medians}, ratio {ratio:.2f}")


def seconds(example: Example, addition: str = "") -> tuple[float, Counter[str]]:
    """Of PreCheck, with these lines at the end of the plan; and of its steps, the same step for several items summed."""
    with (
        tempfile.TemporaryDirectory(prefix="cutoverd-bench-") as folder,
        stage(Path(folder) / "night", gates=[GATE], example=example) as night,
    ):
        path = night.loaded.path
        path.write_text(path.read_text() + addition)
        night.loaded = load(path)
        return asyncio.run(_until_gate(night))


async def _until_gate(night: Stage) -> tuple[float, Counter[str]]:
    timeline, steps, reached = Timeline(), Counter[str](), asyncio.Event()
    whole = 0.0

    def observe(run: object, recorded: object) -> None:
        nonlocal whole
        timeline.apply(recorded)  # type: ignore[arg-type]
        event = recorded.event  # type: ignore[attr-defined]
        if isinstance(event, facts.StepSucceeded) and not reached.is_set():
            steps[event.step.partition(":")[0]] += event.seconds
        if isinstance(event, facts.GateReached):
            whole = timeline.state_seconds(timeline.last_at)["precheck"]
            reached.set()

    driving = asyncio.create_task(drive(night.loaded, observers=[observe]))
    waiting = asyncio.create_task(reached.wait())
    await asyncio.wait([driving, waiting], return_when=asyncio.FIRST_COMPLETED)
    if not reached.is_set():
        waiting.cancel()
        raise RuntimeError(f"PreCheck did not reach its gate: {await driving}")
    await send.send(night.loaded, Command(verb=Verb.ABORT, reason="measured"), ROLE, 60)
    await driving
    return whole, steps

"""The runbook by hand (runbook.sh) against cutoverd: the same server and the same data, state by state, and the way back of each.

By hand nothing is restored, compared row by row or sampled: what cutoverd does beyond the runbook is in its seconds too.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cutoverd.daemon.control import send
from cutoverd.daemon.demo.environment import ROLE, Stage, stage
from cutoverd.daemon.demo.example import EXAMPLES, Example
from cutoverd.daemon.runtime.drive import drive
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.events import facts
from cutoverd.events.commands import Command, Verb

REPETITIONS = 2
SCRIPT = Path(__file__).with_suffix(".sh")
WINDOW = ("downtime", "schema", "data", "validate", "smoke", "cutover")
ROWS = ("precheck", *WINDOW, "rollback")
TURN = "monitor"  # from its gate cutoverd goes back: everything before is done


def main() -> None:
    """Each example, each repetition: there and back by hand, then there and back by cutoverd."""
    for example in EXAMPLES.values():
        for repetition in range(1, REPETITIONS + 1):
            with (
                tempfile.TemporaryDirectory(prefix="cutoverd-bench-") as folder,
                stage(Path(folder) / "night", gates=["downtime", TURN], example=example) as night,
            ):
                by_hand, ours = _by_hand(night), asyncio.run(_by_cutoverd(night))
            _print(example, repetition, by_hand, ours)


def _print(example: Example, repetition: int, by_hand: dict[str, float], ours: dict[str, float]) -> None:
    print(f"{example.name} {repetition}:   by hand  cutoverd  ratio")
    sums = {"window": (sum(by_hand[row] for row in WINDOW), sum(ours[row] for row in WINDOW))}
    for row, (theirs, our) in {**{row: (by_hand[row], ours[row]) for row in ROWS}, **sums}.items():
        print(f"  {row:>10}  {theirs:8.2f}  {our:8.2f}  {our / theirs:5.2f}")


def _by_hand(night: Stage) -> dict[str, float]:
    spoken: dict[str, float] = {}
    for way in ("there", "back"):
        done = subprocess.run(
            [str(SCRIPT), way], cwd=night.home, env=_environment(night), capture_output=True, text=True, timeout=3600, check=False
        )
        if done.returncode:
            raise RuntimeError(f"runbook.sh {way} exited {done.returncode}: {done.stderr[-2000:]}")
        spoken |= {state: float(seconds) for state, seconds in map(str.split, done.stdout.splitlines())}
    return spoken


def _environment(night: Stage) -> dict[str, str]:
    plan, example, home = night.loaded.plan, night.example, night.home
    there = list(reversed(plan.services))
    return {
        **os.environ,
        "PATH": f"{night.postgres.bin_dir}:{os.environ['PATH']}",
        "URL": night.postgres.url(example.database),
        "ADMIN_URL": night.postgres.url("postgres"),
        "DATABASE": example.database,
        "OWNER": example.owner,
        "FOLDER": str(night.folder),
        "STOP": _shell([*(each.old.stop for each in plan.services), *(each.new.stop for each in plan.services if each.new)]),
        "START_OLD": _shell([each.old.start for each in there]),
        "START_NEW": _shell([each.new.start for each in there if each.new]),
        "CLOSE": _shell([door.close for door in plan.traffic]),
        "OPEN": _shell([door.open for door in plan.traffic]),
        "HEALTH": _shell([["curl", "-sSf", "-o", os.devnull, check.http.url] for check in plan.health if check.http]),
        "SMOKE": _smoke(night),
        "SCHEMA": _files(home, "db/0_schema/**/*.sql"),
        "DATA": "\n".join(str(file) for _, file, _ in night.loaded.data_scripts),
        "VALIDATION": _files(home, "db/migrations/validation/*.sql"),
    }


def _shell(commands: Sequence[Sequence[str]]) -> str:
    return " && ".join(f"{shlex.join(words)} > /dev/null" for words in commands)


def _smoke(night: Stage) -> str:
    """The plan's own smoke tests, asked of the new version itself: by hand there is no test mode."""
    api = next(each for each in night.loaded.plan.services if each.test and each.new)
    assert api.test
    assert api.new
    test, new = (commands.start[commands.start.index("--port") + 1] for commands in (api.test, api.new))
    commands = [check.command for check in night.loaded.plan.smoke.tests if check.command]
    return _shell([[word.replace(f":{test}", f":{new}") for word in words] for words in commands])


def _files(home: Path, pattern: str) -> str:
    return "\n".join(str(file) for file in sorted(home.glob(pattern)))


async def _by_cutoverd(night: Stage) -> dict[str, float]:
    timeline, gates = Timeline(), asyncio.Queue[str]()

    def observe(run: object, recorded: object) -> None:
        timeline.apply(recorded)  # type: ignore[arg-type]
        if isinstance(event := recorded.event, facts.GateReached):  # type: ignore[attr-defined]
            gates.put_nowait(event.gate)

    driving = asyncio.create_task(drive(night.loaded, observers=[observe]))
    speaking = asyncio.create_task(_speak(night, gates))
    done, _ = await asyncio.wait([driving, speaking], return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()
    return timeline.state_seconds(timeline.last_at)


async def _speak(night: Stage, gates: asyncio.Queue[str]) -> None:
    """`advance`, then `rollback` once everything is done."""
    while True:
        turned = await gates.get() == TURN
        command = Command(verb=Verb.ROLLBACK if turned else Verb.ADVANCE, reason="measured", accept_loss=turned)
        await send.send(night.loaded, command, ROLE, 60)
        if turned:
            return

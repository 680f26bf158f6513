"""Child processes: their ends, their outputs, and that nothing of them stays behind."""

import asyncio
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.found_files import CONTENTS, EVERYTHING, put

from cutoverd.daemon.host import children, launcher
from cutoverd.states.errors import NotLeader, StepError, TimedOut


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


async def run(argv, folder, **changes):
    given = {"folder": folder, "epoch": 1, "step": "data.load", "timeout_seconds": 20, **changes}
    return await children.run(argv, **given)


async def appears(path: Path) -> str:
    deadline = time.monotonic() + 10
    while not (text := written(path)):
        assert time.monotonic() < deadline, f"{path} did not appear"
        await asyncio.sleep(0.02)
    return text


def written(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while launcher.birth(pid):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "children").iterdir())


async def test_a_command_ends_with_its_code_and_both_outputs(tmp_path):
    code = "import sys; print('said'); print('warned', file=sys.stderr); sys.exit(3)"
    assert await run(python(code), tmp_path) == children.Completed(3, "said\n", "warned\n")
    assert left(tmp_path) == []


@pytest.mark.parametrize("group", [True, False])
async def test_a_command_whose_record_cannot_be_written_is_not_taken_for_one_that_failed(tmp_path, group):
    """Found: on a full disk the launcher ended with 1 and a traceback, taken for the code of a command that never ran."""
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(
            StepError, match=r"^sh was not started: its record in .*children cannot be written: File too"
        ) as raised:
            await run(["sh", "-c", f"mkdir {tmp_path}/ran"], tmp_path, group=group)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert "nothing of it was done" in raised.value.hint
    assert (left(tmp_path), (tmp_path / "ran").exists()) == ([], False)


UNBECOME = {
    "the launcher's file is gone": (["/nowhere/launcher.py"], "ended with 2: .*can't open file '/nowhere/launcher.py'"),
    "it is killed before its record": (["-c", "import os; os.kill(os.getpid(), 9)"], "ended with -9$"),
    "it ends in a traceback": (["-c", "raise SystemError('none')"], "ended with 1: .*SystemError: none"),
}


@pytest.mark.parametrize("why", UNBECOME)
async def test_a_launcher_that_never_became_the_command_does_not_end_with_the_commands_code(tmp_path, monkeypatch, why):
    """Found: psql would have ended with 2, which says that its session was lost, and `status` with 1."""
    script, words = UNBECOME[why]
    monkeypatch.setattr(children, "_LAUNCH", [sys.executable, "-I", "-S", *script])
    with pytest.raises(children.NotStarted, match=rf"(?s)^sh was not started: what starts it {words}") as raised:
        await run(["sh", "-c", f"mkdir {tmp_path}/ran"], tmp_path)
    assert "nothing of it was done" in raised.value.hint
    assert (left(tmp_path), (tmp_path / "ran").exists()) == ([], False)


async def test_a_command_that_ends_with_the_code_of_the_launcher_keeps_it(tmp_path):
    assert (await run(["sh", "-c", "exit 125"], tmp_path)).returncode == launcher.REFUSED


async def test_the_record_names_process_step_and_epoch_while_it_runs(tmp_path):
    task = asyncio.create_task(
        run(python(f"open('{tmp_path}/up', 'w').write('1'); import time; time.sleep(60)"), tmp_path, epoch=7)
    )
    await appears(tmp_path / "up")
    child = children._read(next((tmp_path / "children").glob("*.json")))
    assert (child.epoch, child.step, child.birth) == (7, "data.load", launcher.birth(child.pid))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert launcher.birth(child.pid) is None
    assert left(tmp_path) == []


async def test_a_command_that_does_not_exist_ends_with_127_and_says_so(tmp_path):
    ended = await run(["./no-such-importer", "start"], tmp_path, cwd=tmp_path)
    assert (ended.returncode, ended.stderr_tail) == (127, "cannot run ./no-such-importer: No such file or directory\n")


async def test_a_folder_that_does_not_exist_is_a_step_error(tmp_path):
    with pytest.raises(StepError, match=r"cannot start ls in .*nowhere"):
        await run(["ls"], tmp_path, cwd=tmp_path / "nowhere")
    assert left(tmp_path) == []


async def test_a_timed_out_command_that_ignores_signals_is_killed(tmp_path):
    code = "import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (2, 15)]; print('deaf', flush=True); time.sleep(60)"
    with pytest.raises(TimedOut) as raised:
        await run(python(code), tmp_path, timeout_seconds=0.5)
    assert raised.value.evidence["stdout"] == "deaf\n"
    assert left(tmp_path) == []


async def test_an_interrupt_comes_first(tmp_path):
    code = f"""
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: (open('{tmp_path}/interrupted', 'w').write('1'), sys.exit(0)))
time.sleep(60)"""
    with pytest.raises(TimedOut):
        await run(python(code), tmp_path, timeout_seconds=0.5)
    assert (tmp_path / "interrupted").exists()


@pytest.mark.parametrize("group", [True, False])
async def test_a_flood_of_output_is_bounded_and_its_end_is_kept(tmp_path, group):
    code = "import sys; block = 'x' * 999 + '\\n'\nfor _ in range(60_000): sys.stdout.write(block)\nprint('the end')"
    ended = await run(python(code), tmp_path, group=group, output_bytes_max=1000)
    assert len(ended.stdout_tail) == 1000
    assert ended.stdout_tail.endswith("x\nthe end\n")
    assert left(tmp_path) == []


async def test_what_a_group_leaves_behind_ends_with_it(tmp_path):
    nested = f"import os, time; open('{tmp_path}/pid', 'w').write(str(os.getpid())); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {nested!r}], start_new_session=True)"
    await run(python(code + "; import time; time.sleep(0.5)"), tmp_path)
    assert await is_gone(int(await appears(tmp_path / "pid")))


async def test_an_application_started_without_a_group_lives_on_and_may_write(tmp_path):
    nested = f"""
import os, time
while not os.path.exists('{tmp_path}/ended'): time.sleep(0.02)
print('still writing', flush=True)
open('{tmp_path}/wrote', 'w').write(str(os.getpid()))
time.sleep(60)"""
    code = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {nested!r}]).pid)"
    ended = await run(python(code), tmp_path, group=False)
    application = int(ended.stdout_tail)
    try:
        assert await children.end_orphans(tmp_path) == []
        (tmp_path / "ended").touch()
        assert await appears(tmp_path / "wrote") == str(application)
        assert "still writing" in next((tmp_path / "children").glob("*.stdout")).read_text()
    finally:
        os.kill(application, signal.SIGKILL)


async def test_a_cancel_while_the_record_is_being_written_leaves_no_half_of_it(tmp_path, monkeypatch):
    """Found by a slow machine: the launcher was ended between the beginning and the end of its record."""
    half = "import os, sys, time; open(f'{sys.argv[1]}/{os.getpid()}.json.part', 'w').write('{'); time.sleep(60)"
    monkeypatch.setattr(children, "_LAUNCH", [sys.executable, "-I", "-S", "-c", half])
    task = asyncio.create_task(run(python(""), tmp_path))
    async with asyncio.timeout(30):
        while not list(tmp_path.glob("children/*.json.part")):
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left(tmp_path) == []


async def test_a_cancel_while_the_child_starts_leaves_nothing(tmp_path):
    for moment in (0, 0.001, 0.005, 0.01, 0.02, 0.04):
        task = asyncio.create_task(run(python("import time; time.sleep(60)"), tmp_path))
        await asyncio.sleep(moment)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert left(tmp_path) == [], moment


async def test_a_second_cancel_does_not_leave_the_child_alone(tmp_path):
    code = f"import signal, time; signal.signal(2, signal.SIG_IGN); open('{tmp_path}/up', 'w').write('1'); time.sleep(60)"
    task = asyncio.create_task(run(python(code), tmp_path))
    await appears(tmp_path / "up")
    child = children._read(next((tmp_path / "children").glob("*.json")))
    task.cancel()
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert launcher.birth(child.pid) is None


async def test_no_child_of_an_older_epoch_begins_once_its_orphans_were_ended(tmp_path):
    await children.end_orphans(tmp_path, older_than_epoch=2)
    with pytest.raises(NotLeader, match="epoch 1 may start no"):
        await run(python(f"open('{tmp_path}/ran', 'w')"), tmp_path, epoch=1)
    assert not (tmp_path / "ran").exists()
    assert (await run(python("pass"), tmp_path, epoch=2)).returncode == 0


async def test_a_command_dies_of_a_broken_pipe_as_it_would_anywhere(tmp_path):
    ended = await run(python("import signal; print(signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN)"), tmp_path)
    plain = await run(["sh", "-c", "yes | head -1; echo done"], tmp_path)
    assert plain.stdout_tail == "y\ndone\n"
    assert plain.stderr_tail == ""
    assert ended.returncode == 0


def test_where_there_is_no_proc_ps_tells_births_apart():
    birth = launcher.birth_by_ps(os.getpid())
    assert birth
    assert birth == launcher.birth_by_ps(os.getpid())
    assert launcher.birth_by_ps(2**22 + 1) is None


@pytest.mark.parametrize("what", EVERYTHING)
async def test_a_record_that_cannot_be_read_stops_no_later_daemon(tmp_path, what):
    """Found: a power cut left an empty one, and every later daemon ended in a traceback."""
    put(tmp_path / "children" / "4194400.json", what)
    assert await children.end_orphans(tmp_path, older_than_epoch=2) == []
    assert "4194400.json" not in left(tmp_path)
    assert children.fenced_epoch(tmp_path) == 2


async def test_a_record_that_cannot_be_read_of_a_child_that_lives_is_left_to_a_person(tmp_path):
    task = asyncio.create_task(run(["sleep", "60"], tmp_path))
    while not (records := list((tmp_path / "children").glob("*.json"))):
        await asyncio.sleep(0.02)
    [record], content = records, records[0].read_bytes()
    record.write_bytes(b"")
    with pytest.raises(StepError, match=rf"{record.name}, the record of a child, .* process {record.stem} may be that child"):
        await children.end_orphans(tmp_path, older_than_epoch=2)
    record.write_bytes(content)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_record_of_an_earlier_boot_is_not_believed(tmp_path, monkeypatch):
    """Its pid and its token are looked for nowhere: nothing of it can be alive."""
    folder = children._records(tmp_path)
    birth = f"0000-earlier {launcher.birth(os.getpid()).split()[1]}"
    record = {"birth": birth, "epoch": 1, "step": "s", "command": "c", "token": "t", "group": True, "interrupt": 2}
    (folder / f"{os.getpid()}.json").write_text(json.dumps({**record, "pid": os.getpid()}))
    monkeypatch.setattr(children, "_processes", lambda child: pytest.fail(f"looked for {child}"))
    assert await children.end_orphans(tmp_path, older_than_epoch=2) == []
    assert left(tmp_path) == ["epoch"]


@pytest.mark.parametrize("what", [*EVERYTHING, "too long"])
async def test_an_epoch_file_that_cannot_be_read_is_written_anew_and_nothing_begins_before(tmp_path, what):
    """Found: empty after a power cut, it ended every later daemon in a traceback."""
    file = children._records(tmp_path) / launcher.FENCE
    CONTENTS["too long"] = b"9" * 5000
    put(file, what)
    with capture_logs() as lines:
        assert children.fenced_epoch(tmp_path) == 0
    assert [(line["event"], line["path"]) for line in lines] == [("epoch_file_not_read", str(file))]
    with pytest.raises(StepError, match=rf"no true was started: {file} does not say which epoch may"):
        await run(["true"], tmp_path, epoch=5)
    await children.end_orphans(tmp_path, older_than_epoch=5)
    assert (await run(["true"], tmp_path, epoch=5)).returncode == 0


async def test_the_epoch_in_the_file_is_never_lowered(tmp_path):
    await children.end_orphans(tmp_path, older_than_epoch=9)
    await children.end_orphans(tmp_path, older_than_epoch=4)
    assert children.fenced_epoch(tmp_path) == 9

"""The disk is full in the middle of a rehearsal: it is named, what was made is given back, and with room it goes through.

What the server makes for the copy lies in a tablespace on a small disk: databases made from template0 lie where that does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.night import Night, a_night, until
from support.production import names, photograph
from support.servers import Cluster
from support.small_disk import SmallDisk, small_disk

from cutoverd.daemon.embedded.unprivileged import identity
from cutoverd.events import facts
from cutoverd.states.precheck import PreCheck

pytestmark = pytest.mark.parametrize("cluster", ["18"], indirect=True)
MIB = 1 << 20
# each 96 kB that do not compress
LINES = "SELECT string_agg(md5(n::text || k), '') FROM generate_series(1, {}) n, generate_series(1, 3000) k GROUP BY n"
LARGE = f"INSERT INTO store.log (line) {LINES.format(60)}"
LARGER = f"CREATE TABLE fleet.more AS {LINES.format(200)};\n"
FULL = re.compile(r"No space left on device|wrote only \d+ of 8192 bytes")  # the second where there is room for half a page
WAITS = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'cutoverd/%' AND wait_event = 'relation'"


@contextmanager
def copies_on(disk: SmallDisk, cluster: Cluster) -> Iterator[None]:
    """What is made from template0 while this lasts, and its clones."""
    folder = disk.folder / "space"
    folder.mkdir()
    if user := identity().user:
        os.chown(folder, user.pw_uid, user.pw_gid)
        disk.folder.chmod(0o755)
    cluster.execute(f"CREATE TABLESPACE small LOCATION '{folder}'")
    cluster.execute("ALTER DATABASE template0 SET TABLESPACE small")
    try:
        yield
    finally:
        disk.make_room()
        for (name,) in cluster.execute("SELECT datname FROM pg_database WHERE datname LIKE 'app\\_%'"):
            cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")
        cluster.execute("ALTER DATABASE template0 SET TABLESPACE pg_default")
        cluster.execute("DROP TABLESPACE small")


def size_of(cluster: Cluster, database: str) -> int:
    [(size,)] = cluster.execute(f"SELECT pg_database_size('{database}')")
    return int(size)


def assert_named_and_given_back(night: Night, output: str, step: str, used_before: int, disk: SmallDisk) -> None:
    assert f"✖ {step}  " in output, output
    assert FULL.search(output), output
    assert "make room on the disk" in output, output
    assert "Traceback" not in output
    assert_given_back(night, used_before, disk)


def assert_given_back(night: Night, used_before: int, disk: SmallDisk) -> None:
    assert names(night.cluster) == {"app"}
    assert photograph(night.cluster) == night.before
    night.cluster.execute("CHECKPOINT")
    assert disk.used_bytes() <= used_before + MIB


BUILD_NEW = "precheck.rehearse:schema.build_new"
# By the step that has too little: of what is made from template0 and of the copy, which the clone is as large as.
# What template0 gives is written in holes until a checkpoint fills them, so of the restore only the rows count for sure.
# Found: there was room for all of it in the holes' place, and the disk was full a step later, where no checkpoint came by.
ROOM = {
    "precheck.prove_backup": lambda empty, copy: (copy - empty) // 2,
    BUILD_NEW: lambda empty, copy: copy + empty + copy // 2,
    "precheck.rehearse:data.run_script:data/020.sql": lambda empty, copy: copy + empty + copy + 8 * MIB,
}


def rehearse_with_little(night: Night, disk: SmallDisk, room_bytes: int) -> str:
    """What it says where that is all that can be written once the dump has begun."""
    night.stall("precheck.prove_backup")
    night.begin("rehearse", str(night.plan_file))
    leave_little(night, disk, room_bytes)
    assert night.exit_code() == 5, night.output
    return night.output


def leave_little(night: Night, disk: SmallDisk, room_bytes: int) -> None:
    """Once the dump has begun, which stands still: before, room is looked for."""
    until(lambda: night.cluster.execute(WAITS), f"the dump waits\n{night.output[-3000:]}")
    disk.leave(room_bytes)
    night.release()


def assert_goes_through_with_room(night: Night, disk: SmallDisk) -> None:
    disk.make_room()
    done = night.main("rehearse", str(night.plan_file))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.soak
@pytest.mark.parametrize("step", ROOM)
def test_a_disk_of_the_server_that_is_full_in_the_rehearsal(cluster: Cluster, tmp_path: Path, step: str) -> None:
    with small_disk(tmp_path / "small") as disk, a_night(cluster, tmp_path, rehearsal={}) as night, copies_on(disk, cluster):
        cluster.execute(LARGE, "app")
        script = night.folder / "data/020.sql"
        script.write_text(LARGER + script.read_text())
        night.before = photograph(cluster)
        used = disk.used_bytes()
        output = rehearse_with_little(night, disk, ROOM[step](size_of(cluster, "template0"), size_of(cluster, "app")))
        assert_named_and_given_back(night, output, step, used, disk)
        assert_goes_through_with_room(night, disk)


@pytest.mark.long
@pytest.mark.parametrize("then", ["retry", "abort"])
def test_a_disk_that_is_full_in_the_precheck_of_a_run(cluster: Cluster, tmp_path: Path, then: str) -> None:
    """It waits for room, and `retry` goes on with the copy that there is; `abort` gives all of it back on the full disk."""
    with small_disk(tmp_path / "small") as disk, a_night(cluster, tmp_path, rehearsal={}) as night, copies_on(disk, cluster):
        cluster.execute(LARGE, "app")
        night.before, used = photograph(cluster), disk.used_bytes()
        night.stall("precheck.prove_backup")
        night.start()
        leave_little(night, disk, ROOM[BUILD_NEW](size_of(cluster, "template0"), size_of(cluster, "app")))
        failed = night.wait_for(facts.StepFailed)
        assert (failed.step, "make room on the disk" in failed.hint) == (BUILD_NEW, True), failed
        assert photograph(cluster) == night.before
        if then == "retry":
            disk.make_room()
        assert night.cli("send", then).returncode == 0
        if then == "retry":
            night.wait_for(facts.GateReached, gate="downtime")
            assert [event.step for event in night.events(facts.StepSucceeded)].count(str(PreCheck.prove_backup)) == 1
            assert night.cli("send", "abort").returncode == 0
        assert night.exit_code() == 5
        assert_given_back(night, used, disk)


@pytest.mark.long
def test_a_disk_that_is_full_before_a_checkpoint_takes_no_room_for_good(cluster: Cluster, tmp_path: Path) -> None:
    """Found: each drop makes a checkpoint, and the first failed by the pages of what was to be dropped after it."""
    with small_disk(tmp_path / "small") as disk, a_night(cluster, tmp_path, rehearsal={}) as night, copies_on(disk, cluster):
        cluster.execute(LARGE, "app")
        night.before = photograph(cluster)
        used = disk.used_bytes()
        output = rehearse_with_little(night, disk, size_of(cluster, "app") + size_of(cluster, "template0") // 2)
        assert "checkpoint request failed" in output
        assert_given_back(night, used, disk)


@pytest.mark.soak
def test_a_disk_of_the_backups_that_is_full_in_the_dump(cluster: Cluster, tmp_path: Path) -> None:
    with small_disk(tmp_path / "backups") as disk, a_night(cluster, tmp_path, rehearsal={}) as night:
        cluster.execute(LARGE, "app")
        night.before = photograph(cluster)
        used = disk.used_bytes()
        output = rehearse_with_little(night, disk, MIB)
        assert_named_and_given_back(night, output, "precheck.prove_backup", used, disk)
        assert str(tmp_path / "backups") in output, "the disk that has no room"
        assert_goes_through_with_room(night, disk)

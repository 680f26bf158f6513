"""A copy that the team has made, by major versions: refused where production has another, and all of it with both on 15."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from support.copies import restore_on
from support.night import OLD, Night, a_night
from support.production import ATTRIBUTES, all_names, furnish, names, photograph
from support.servers import Cluster, running_clusters

from cutoverd.events import facts
from cutoverd.states.precheck import PreCheck

OTHER = {15: "18", 18: "15"}


@contextmanager
def another_server(major: str, folder: Path) -> Iterator[Cluster]:
    (folder / "other").mkdir()
    with running_clusters() as others:
        yield others.fresh(major, folder / "other")


@pytest.mark.both_versions
def test_a_copy_on_another_major_version_is_refused_by_all_who_ask_before_anything_is_touched(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Furnished as production is: a dump of the newer one is nothing that the older could read."""
    with another_server(OTHER[cluster.major], tmp_path) as other, a_night(cluster, tmp_path, rehearsal={}) as night:
        furnish(other)
        other.execute(OLD, "app")
        night.write_plan(rehearsal={"database": other.url()})
        copy = photograph(other)
        refusal = (
            f"rehearsal.database (app on 127.0.0.1:{other.port}): its server is PostgreSQL {other.major} and production's is"
            f" {cluster.major}: make it on the same major version"
        )
        for words in (["check"], ["rehearse"], ["rehearse", "--keep"]):
            done = night.main(*words, str(night.plan_file))
            assert (done.returncode, refusal in done.stdout) == (5, True), done.stdout + done.stderr
            assert (photograph(other), all_names(other), names(cluster)) == (copy, {"app"}, {"app"})
        night.start()
        failed = night.wait_for(facts.StepFailed)
        assert (failed.step, failed.reason) == (str(PreCheck.find_rehearsal), refusal)
        assert (photograph(other), all_names(other), names(cluster)) == (copy, {"app"}, {"app"})
        assert night.cli("send", "abort").returncode == 0
        assert night.exit_code() == 5
        assert (photograph(other), all_names(other)) == (copy, {"app"})
        assert (photograph(cluster), names(cluster)) == (night.before, {"app"})


@pytest.mark.long
@pytest.mark.parametrize("cluster", ["15"], indirect=True)
def test_with_both_servers_on_15_a_copy_is_rehearsed_on_kept_taken_again_and_given_back(cluster: Cluster, tmp_path: Path) -> None:
    """Found: that `--drop` drops the copy itself, which it never does, was said of it as of one that we have restored."""
    with another_server("15", tmp_path) as other, a_night(cluster, tmp_path, rehearsal={}) as night:
        other.execute(ATTRIBUTES)
        restore_on(other, cluster)
        copy, script = photograph(other), night.folder / "data/020.sql"
        night.write_plan(rehearsal={"database": other.url()})
        mended = script.read_text()
        script.write_text("INSERT INTO fleet.tally (machines) SELECT 1 / 0;")
        output = rehearsed(night, 5, "--keep")
        assert "020.sql:1: division by zero" in output
        assert f"--drop {night.plan_file}` puts your copy back, and drops what was made beside it; so does " in output
        assert names(other) == {"app", "app_p", "app_n"}
        script.write_text(mended)
        output = rehearsed(night, 0, "--again", "--keep")
        assert ": no backup is taken or restored" in output
        kept = dict(re.findall(r"^kept: (\S+), .*: psql '(.*)'", output, re.MULTILINE))
        assert kept.keys() == {"app", "app_n"} == names(other)
        with psycopg.connect(kept["app_n"]) as conn:
            assert conn.execute("SELECT machines FROM fleet.tally").fetchall() == [(500,)]
        rehearsed(night, 0, "--drop")
        assert (names(other), photograph(other)) == ({"app"}, copy)
        rehearsed(night, 0)
        assert (names(other), photograph(other)) == ({"app"}, copy)
        assert (names(cluster), photograph(cluster)) == ({"app"}, night.before)


def rehearsed(night: Night, code: int, *options: str) -> str:
    done = night.main("rehearse", *options, str(night.plan_file))
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout

"""A copy that the team has made, by the versions of its server and of production's: another major one is refused, 15 and 15 goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.night import OLD, a_night
from support.production import all_names, furnish, names, photograph
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

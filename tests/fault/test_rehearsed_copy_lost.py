"""The server of a copy that the team has made dies in the middle of its rehearsal: the copy is known until it is as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.copies import a_copy_elsewhere
from support.night import Night, a_night, until
from support.production import names, photograph
from support.servers import Cluster

ASLEEP = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'cutoverd/%' AND wait_event = 'PgSleep'"
ON_RECORD = "SELECT evidence ->> 'url' FROM cutoverd.found WHERE run = 'rehearsal.app/try'"
HALF_WAY = {"app_p", "app_n", "app"}  # the last is the placeholder's
SECONDS = 150  # a server that is away is asked for half a minute, more than once


def assert_half_way(night: Night, copy: Cluster, output: str) -> None:
    """It is said which copy is, and production's ledger knows it."""
    assert night.cluster.execute(ON_RECORD, "cutoverd") == [(copy.url(),)], output
    assert f"app on 127.0.0.1:{copy.port}" in output, output
    assert "of a rehearsal is left" not in output
    assert "Traceback" not in output


@pytest.mark.parametrize("cluster", ["18"], indirect=True)
@pytest.mark.soak
@pytest.mark.parametrize("words", [[], ["--drop"]], ids=["by the next", "by drop"])
def test_a_copy_whose_server_dies_in_a_data_script_gets_its_name_and_rows_back(
    cluster: Cluster, tmp_path: Path, words: list[str]
) -> None:
    """Found: its record was thrown away with the server away, and nobody knew any more that app there was called app_p."""
    with a_night(cluster, tmp_path, rehearsal={}) as night, a_copy_elsewhere(cluster, tmp_path) as other:
        other.execute("CHECKPOINT")  # else a crash moves its sequences
        copy = photograph(other)
        night.write_plan(rehearsal={"database": other.url()})
        other.execute("ALTER ROLE app_user SET night.data_010 = 'on'")
        night.begin("rehearse", str(night.plan_file))
        until(lambda: other.execute(ASLEEP), f"the data script runs on the copy\n{night.output[-3000:]}")
        assert names(other) == HALF_WAY
        before = len(night.output)
        other.kill()
        assert night.exit_code(SECONDS) == 1, night.output
        assert_half_way(night, other, night.output[before:])
        assert "`cutoverd rehearse --drop" in night.output[before:], night.output
        away = night.main("rehearse", "--drop", str(night.plan_file), seconds=SECONDS)
        assert away.returncode == 1, away.stdout + away.stderr
        assert_half_way(night, other, away.stdout + away.stderr)
        other.start()
        other.execute("ALTER ROLE app_user RESET night.data_010")
        done = night.main("rehearse", *words, str(night.plan_file), seconds=SECONDS)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (names(other), photograph(other)) == ({"app"}, copy)
        assert cluster.execute(ON_RECORD, "cutoverd") == []
        assert (names(cluster), photograph(cluster)) == ({"app"}, night.before)

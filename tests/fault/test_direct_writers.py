"""Clients that never ask the traffic switch: they reconnect in a loop and write wherever production's name leads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.clients import Crowd, crowd
from support.night import Night, a_night, stalled_at, until
from support.servers import Cluster

from cutoverd.events import facts

pytestmark = [pytest.mark.long, pytest.mark.parametrize("cluster", ["18"], indirect=True)]
FEW = {"reconnecting": 3, "connecting_slowly": 1, "pooled": 1}
FAILS = {"smoke": "smoke api test", "cutover": "start api new"}
BEFORE = {"smoke": {}, "cutover": {"nothing": True}}


def a_plan(night: Night, named: bool) -> dict[str, object]:
    return {"smoke": {"roles": ["smoke"], "tests": night.plan["smoke"]}} if named else {}


def lines_in_production(night: Night) -> set[str]:
    return {line for (line,) in night.cluster.execute("SELECT line FROM store.log", "app")}


def missing(night: Night, clients: Crowd) -> list[str]:
    return sorted(set(clients.acknowledged) - lines_in_production(night))


@pytest.mark.parametrize("named", [True, False], ids=["roles named", "nobody named"])
@pytest.mark.parametrize("failing", ["smoke", pytest.param("cutover", marks=pytest.mark.soak)])
def test_no_acknowledged_write_is_rolled_back_without_accept_loss(
    cluster: Cluster, tmp_path: Path, failing: str, named: bool
) -> None:
    """Found: 581 and 993 acknowledged rows were left in the new database by rollbacks that nobody had confirmed."""
    cluster.execute("DROP ROLE IF EXISTS smoke; CREATE ROLE smoke LOGIN")
    with a_night(cluster, tmp_path) as night, crowd(cluster, **FEW) as clients:
        night.write_plan(**a_plan(night, named))
        night.knob(FAILS[failing], exit=1, **BEFORE[failing])
        night.start("--auto")
        code = night.exit_code(120)
        exposed = failing == "cutover" or not named
        assert code == (6 if exposed else 3), night.output[-3000:]
        if exposed:
            clients.wait_until_all_write(20)
            held = night.events(facts.RunHeld)[-1]
            assert "store.log: " in held.reason
            assert held.reason.endswith("`rollback` needs accept_loss")
    assert missing(night, clients) == []


@pytest.mark.parametrize("step", [pytest.param("smoke.smoke_test:page", marks=pytest.mark.soak), "cutover.start_service:api"])
def test_a_takeover_in_the_middle_of_the_count_gives_nothing_up_either(cluster: Cluster, tmp_path: Path, step: str) -> None:
    """New is closed then, until the next daemon has counted: a superuser who does not leave keeps the first one from it."""
    with stalled_at(step, cluster, tmp_path) as night, crowd(cluster, **FEW) as clients:
        clients.wait_until_all_write(20)
        with cluster.superuser("app") as superuser:
            superuser.execute("SELECT 1")
            night.cli("send", "fail", "--reason", "stop")
            until(lambda: not cluster.execute("SELECT FROM pg_database WHERE datname = 'app' AND datallowconn"), "it is closed")
            night.kill()
            assert not night.events(facts.RunHeld)
        night.take_over()
        until(lambda: night.events(facts.RunHeld), f"held\n{night.output[-2000:]}")
        clients.wait_until_all_write(20)
    assert missing(night, clients) == []


@pytest.mark.soak  # without clients: test_an_admission_that_was_killed_half_way_is_made_again
def test_a_takeover_in_the_middle_of_the_admission_admits_everybody_once_more(cluster: Cluster, tmp_path: Path) -> None:
    cluster.execute("DROP ROLE IF EXISTS smoke; CREATE ROLE smoke LOGIN")
    with a_night(cluster, tmp_path) as night, crowd(cluster, **FEW) as clients:
        night.write_plan(**a_plan(night, named=True))
        night.stall("cutover.admit_clients")
        night.start("--auto")
        night.wait_for_step("cutover.admit_clients")
        until(lambda: not cluster.execute("SELECT FROM pg_database WHERE datname = 'app' AND datallowconn"), "it is closed")
        night.kill()
        night.take_over("--auto")
        assert night.exit_code(120) == 0, night.output[-3000:]
        clients.wait_until_all_write(20)
    assert missing(night, clients) == []


def test_what_was_held_goes_back_once_the_loss_is_accepted(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path, gates=[]) as night, crowd(cluster, **FEW) as clients:
        night.knob(FAILS["smoke"], exit=1)
        night.start()
        until(lambda: night.events(facts.RunHeld), f"held\n{night.output[-2000:]}")
        refused = night.cli("send", "rollback", "--format", "json")
        assert json.loads(refused.stdout)["refused"], refused
        assert night.cli("send", "rollback", "--accept-loss", "--reason", "worse").returncode == 0
        assert night.exit_code(120) == 3
    cluster.execute("ALTER DATABASE app_next ALLOW_CONNECTIONS true")
    given_up = {line for (line,) in cluster.execute("SELECT line FROM store.log", "app_next")}
    assert set(missing(night, clients)) <= given_up

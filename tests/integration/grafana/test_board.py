"""Every panel, annotation and alert, asked of a real Prometheus that scraped a night, answers what the night's journal says."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from support.aftermath import assert_completed
from support.night import a_night
from support.paths import GRAFANA
from support.prometheus import Prometheus, program, watching
from support.servers import Clusters

from cutoverd.daemon.control.observe import read_run
from cutoverd.daemon.embedded.loopback import free_port
from cutoverd.daemon.metrics.run_metrics import ALL_STATES, RunMetrics
from cutoverd.daemon.plan.load import load
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.events import facts
from cutoverd.events.codec import Recorded
from cutoverd.states.evolve import evolve
from cutoverd.states.run import Run

BOARD = json.loads((GRAFANA / "dashboards" / "cutoverd.json").read_text(encoding="utf-8"))
INTERVAL_SECONDS = 0.2
ONLY_DURING = ("cutover_step_elapsed", "cutover_step_progress", "cutover_check_")  # nothing runs at the end
CHECK = {"name": "machines", "sql": "SELECT count(*) FROM fleet.machine", "below": 1, "for": "1s"}


@dataclass
class Watched:
    """A night that is over, and the Prometheus that saw it."""

    prometheus: Prometheus
    journal: list[Recorded]

    @property
    def start(self) -> float:
        return self.journal[0].envelope.time.timestamp()

    @property
    def last_scrape(self) -> float:
        """Series end with the daemon: there is nothing to ask for afterwards."""
        [points] = self.prometheus.over("timestamp(cutover_state_index)", self.start, self.start + 600, INTERVAL_SECONDS)
        return points[-1][1]

    def value(self, expr: str) -> float:
        [(_, value)] = self.prometheus.instant(expr, self.last_scrape)
        return value

    @property
    def succeeded(self) -> list[facts.StepSucceeded]:
        return [each.event for each in self.journal if isinstance(each.event, facts.StepSucceeded)]

    @property
    def moved(self) -> list[tuple[facts.Transitioned, float]]:
        """Each transition, and its time in seconds since the epoch."""
        return [(e.event, e.envelope.time.timestamp()) for e in self.journal if isinstance(e.event, facts.Transitioned)]


@pytest.fixture(scope="module")
def watched(clusters: Clusters, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    program("prometheus")  # skipped before anything is started
    folder, port = tmp_path_factory.mktemp("watched"), free_port()
    plan = {"metrics": {"listen": f"127.0.0.1:{port}"}, "window": {"budget": "10m", "states": {"data": "5m"}}}
    cluster = clusters.fresh("18", folder)
    with (
        a_night(cluster, folder, **plan, monitor={"for": "5s", "every": "200ms", "checks": [CHECK]}) as night,
        watching(f"127.0.0.1:{port}", folder / "prometheus", "200ms") as prometheus,
    ):
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        assert night.cli("send", "resume", "--as", "alice").returncode == 1
        assert night.cli("send", "advance", "--as", "alice").returncode == 0
        night.wait_for(facts.GateReached, gate="cutover")
        assert night.cli("send", "advance", "--as", "bob").returncode == 0
        assert_completed(night)
        yield Watched(prometheus, night.journal())
    clusters.clean("18")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_demo_is_on_the_board_as_its_journal_tells_it(tmp_path: Path) -> None:
    """printoptim under its clients, scraped from outside."""
    program("prometheus")
    home = tmp_path / "demo"
    command = [sys.executable, "-m", "cutoverd.daemon", "demo", "--rows", "10000", "--folder", str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        output = [next(line for line in demo.stdout if "run started on printoptim" in line)]
        port = json.loads((home / "ports.json").read_text())["METRICS_PORT"]
        with watching(f"127.0.0.1:{port}", tmp_path / "prometheus", "1s") as prometheus:
            output += demo.stdout.readlines()
            assert (demo.wait(60), output[-1]) == (0, "Completed\n"), "".join(output)
            watched = Watched(prometheus, read_journal(home))
            assert_on_the_board(watched, "printoptim")


def read_journal(home: Path) -> list[Recorded]:
    """What lies in the stream that the demo left in its folder, read as `history` does; nothing is left running."""
    journal: list[Recorded] = []
    asyncio.run(read_run(load(home / "printoptim" / "plan.yaml"), lambda _, recorded: journal.append(recorded)))
    return journal


def assert_on_the_board(watched: Watched, run: str) -> None:
    timeline, end = Timeline(), watched.journal[-1].envelope.time
    for each in watched.journal:
        timeline.apply(each)
    empty = {
        title: expr
        for title, exprs in panels().items()
        for expr in exprs
        if not any(name in expr for name in ONLY_DURING)
        and not watched.prometheus.instant(expr.replace("$run", run), watched.last_scrape)
    }
    assert empty == {}
    assert watched.value("cutover_state_index") == ALL_STATES.index("completed")
    assert watched.value("cutover_downtime_seconds") == pytest.approx(timeline.downtime_seconds(end), abs=0.001)
    compared = {
        done.step.partition(":")[2]: done.evidence["rows_old"]
        for done in watched.succeeded
        if done.step.startswith("validate.compare:")
    }
    rows = watched.prometheus.instant('cutover_comparison_rows{side="old"}', watched.last_scrape)
    assert {labels["comparison"]: value for labels, value in rows} == compared
    assert len(compared) > 30


def panels() -> dict[str, list[str]]:
    """What each asks, by its title."""
    asked = {panel["title"]: [target["expr"] for target in panel.get("targets", [])] for panel in BOARD["panels"]}
    return {title: exprs for title, exprs in asked.items() if exprs}


def of_the_night(expr: str) -> str:
    return expr.replace("$run", "night")


@pytest.mark.long
def test_no_panel_is_empty(watched: Watched) -> None:
    for expr in (of_the_night(expr) for exprs in panels().values() for expr in exprs):
        if any(name in expr for name in ONLY_DURING):
            assert watched.prometheus.over(expr, watched.start, watched.last_scrape, INTERVAL_SECONDS)
        else:
            assert watched.prometheus.instant(expr, watched.last_scrape), expr


def test_the_last_state_is_seen_although_the_daemon_ends_with_it(watched: Watched) -> None:
    assert watched.value("cutover_state_index") == ALL_STATES.index("completed")


def test_the_states_are_those_of_the_journal_at_their_times(watched: Watched) -> None:
    [points] = watched.prometheus.over("cutover_state_index", watched.start, watched.last_scrape, INTERVAL_SECONDS)
    drawn = [(ALL_STATES[int(index)], next(at for at, _ in run)) for index, run in groupby(points, lambda point: point[1])]
    entered = {"precheck": watched.start, **{move.target: at for move, at in watched.moved}}
    assert [state for state, _ in drawn] == [state for state in entered if state in dict(drawn)], "in their order"
    late = {state: at - entered[state] for state, at in drawn[1:]}
    assert all(-INTERVAL_SECONDS <= seconds < 5 for seconds in late.values()), late
    lasting = [state for state, following in pairwise(entered) if entered[following] - entered[state] > 2]
    assert {"precheck", "monitor"} <= set(lasting) <= set(dict(drawn))


def test_times_are_those_of_the_journal(watched: Watched) -> None:
    timeline, end = Timeline(), watched.journal[-1].envelope.time
    for each in watched.journal:
        timeline.apply(each)
    assert watched.value("cutover_downtime_seconds") == pytest.approx(timeline.downtime_seconds(end), abs=0.001)
    assert watched.value("cutover_window_seconds") == pytest.approx(timeline.window_seconds(end), abs=0.001)
    assert watched.value('cutover_state_duration_seconds{state="data"}') == pytest.approx(timeline.state_seconds(end)["data"])
    assert watched.value("cutover_window_budget_seconds") == 600
    assert watched.value("cutover_state_budget_seconds") == 300


def test_steps_took_what_their_events_say(watched: Watched) -> None:
    sums = watched.prometheus.instant("sum by (step) (cutover_step_duration_seconds_sum)", watched.last_scrape)
    journal: dict[str, float] = {}
    for done in watched.succeeded:
        journal[done.step] = journal.get(done.step, 0.0) + done.seconds
    assert {labels["step"]: value for labels, value in sums} == pytest.approx(journal)


def test_the_running_step_and_the_checks_were_seen_while_they_were_there(watched: Watched) -> None:
    def over(expr: str) -> list[float]:
        return [value for points in _points(watched, expr) for _, value in points]

    assert set(over('cutover_check_value{check="machines"}')) == {500}
    assert set(over('cutover_check_ok{check="machines"}')) == {1}
    watch = 'step="monitor.watch"'  # the one step that lasts longer than the daemon looks apart
    ratio, elapsed = over(f"cutover_step_progress_ratio{{{watch}}}"), over(f"cutover_step_elapsed_seconds{{{watch}}}")
    assert ratio == sorted(ratio)
    assert 0 <= ratio[0] <= ratio[-1] <= 1
    [ended] = [done for done in watched.succeeded if done.step == "monitor.watch"]
    assert 0 <= max(elapsed) <= ended.seconds + 1


def _points(watched: Watched, expr: str) -> list[list[tuple[float, float]]]:
    return watched.prometheus.over(expr, watched.start, watched.last_scrape, INTERVAL_SECONDS)


def test_the_proof_is_that_of_the_journal(watched: Watched) -> None:
    rows = watched.prometheus.instant('cutover_comparison_rows{comparison="machines"}', watched.last_scrape)
    assert {labels["side"]: value for labels, value in rows} == {"old": 500, "new": 500}
    assert watched.value("sum(cutover_comparison_differences)") == 0
    assert watched.value("min(cutover_validation_ok)") == 1
    validated = {done.step for done in watched.succeeded if done.step.startswith("validate.")}
    assert watched.value("count(cutover_validation_ok)") == len(validated)


def test_annotations_stand_at_the_time_of_their_events(watched: Watched) -> None:
    transitions, commands = (of_the_night(each["expr"]) for each in BOARD["annotations"]["list"])
    moved = {(move.source, move.target): at * 1000 for move, at in watched.moved}
    marks = watched.prometheus.instant(transitions, watched.last_scrape)
    assert {(labels["source"], labels["target"]): value for labels, value in marks} == pytest.approx(moved, rel=1e-12)
    answers = watched.prometheus.instant(commands, watched.last_scrape)
    assert {(labels["verb"], labels["by"], labels["outcome"]) for labels, _ in answers} == {
        ("advance", "alice", "accepted"),
        ("advance", "bob", "accepted"),
        ("resume", "alice", "rejected"),
    }


def test_the_alerts_pass_the_tests_of_promtool() -> None:
    for words in (["check", "rules", "cutoverd.rules.yaml"], ["test", "rules", "cutoverd.test.yaml"]):
        done = subprocess.run([program("promtool"), *words], cwd=GRAFANA / "alerts", capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_served_is_sound_to_promtool(watched: Watched) -> None:
    metrics, run = RunMetrics("night", "1"), Run("night")
    for each in watched.journal:
        run = evolve(run, each)
        metrics(run, each)
    command = [program("promtool"), "check", "metrics"]
    done = subprocess.run(command, input=generate_latest(metrics.registry), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr

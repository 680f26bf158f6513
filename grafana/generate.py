"""The board, made from the table of states: `python grafana/generate.py` writes dashboards/cutoverd.json anew.

Every panel asks for one run (`$run`). What it asks is proven against a real Prometheus in tests/integration.
"""

from __future__ import annotations

from pathlib import Path
from string import ascii_uppercase

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from cutoverd.daemon.metrics.run_metrics import ALL_STATES

TARGET = Path(__file__).parent / "dashboards" / "cutoverd.json"
SOURCE = shapes.DataSourceRef(type_val="prometheus", uid="${datasource}")
RUN = '{run="$run"}'
COLORS = {
    "precheck": "blue",
    "downtime": "orange",
    "schema": "purple",
    "data": "purple",
    "validate": "yellow",
    "smoke": "yellow",
    "cutover": "orange",
    "monitor": "green",
    "rollback": "red",
    "stuck": "dark-red",
    "completed": "dark-green",
    "rolledback": "semi-dark-red",
    "aborted": "gray",
}
YES = {"0": ("no", "text"), "1": ("yes", "orange")}
PASSED = {"0": ("failed", "red"), "1": ("passed", "green")}


def query(expr: str, legend: str = "") -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expr).legend_format(legend).range().datasource(SOURCE)


def now(expr: str, legend: str = "") -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expr).legend_format(legend).instant().datasource(SOURCE)


def rows(expr: str) -> prometheus.Dataquery:
    return now(expr).format(PromQueryFormat.TABLE)


def texts(values: dict[str, tuple[str, str]]) -> list[models.ValueMapping]:
    return [
        models.ValueMap(
            {value: models.ValueMappingResult(text, color, index=at) for at, (value, (text, color)) in enumerate(values.items())}
        )
    ]


def states() -> list[models.ValueMapping]:
    return texts({str(index): (state, COLORS[state]) for index, state in enumerate(ALL_STATES)})


def limits(*steps: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    bounds = [models.Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(bounds)


def one(title: str, says: str, *queries: prometheus.Dataquery, unit: str = "none", width: int = 3) -> stat.Panel:
    """A single value."""
    last = common.ReduceDataOptions().calcs(["lastNotNull"])
    panel = stat.Panel().title(title).description(says).datasource(SOURCE).unit(unit).height(4).span(width).reduce_options(last)
    return panel.graph_mode(shapes.BigValueGraphMode.NONE).targets(list(queries))


def listed(title: str, says: str, expr: str, hidden: list[str], value: str, height: int = 8) -> table.Panel:
    """A row per series; the labels are its columns."""
    tidy = models.DataTransformerConfig(
        id_val="organize",
        options={
            "excludeByName": dict.fromkeys(["Time", "__name__", "run", "instance", "job", *hidden], True),
            "renameByName": {"Value": value},
        },
    )
    panel = table.Panel().title(title).description(says).datasource(SOURCE).height(height).span(12)
    return panel.with_target(rows(expr)).with_transformation(tidy)


def at_a_glance(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Now"))
    state = one("State", "Where the run is", now(f"cutover_state_index{RUN}"), width=4).mappings(states())
    board.with_panel(state.color_mode(shapes.BigValueColorMode.BACKGROUND).thresholds(limits((None, "text"))))
    running = f"topk(1, cutover_step_elapsed_seconds{RUN})"
    board.with_panel(
        one("Current step", "What is being done, and for how long", now(running, "{{step}} {{direction}}"), unit="s", width=8)
        .text_mode(shapes.BigValueTextMode.VALUE_AND_NAME)
        .no_value("none")
    )
    board.with_panel(
        one("Steps done", "Of the state the run is in", now(f"cutover_steps_done{RUN}", "done"), now(f"cutover_steps{RUN}", "of"))
    )
    for title, says, metric in (
        ("Waits for an operator", "A gate was reached and `advance` was not said", "cutover_waiting_for_operator"),
        ("Held", "No further step is started", "cutover_held"),
    ):
        board.with_panel(one(title, says, now(f"{metric}{RUN}")).mappings(texts(YES)))
    last = now(f"time() - cutover_last_event_timestamp_seconds{RUN}")
    board.with_panel(one("Last event", "How long ago the daemon wrote its last event", last, unit="s"))
    rehearsed = now(f"cutover_rehearsal{RUN}", "{{how}} {{reason}}")
    says = "here: in PreCheck of this run; on record: before it; skipped: why the plan leaves it out"
    panel = one("Rehearsal of the window", says, rehearsed, width=24).height(3).no_value("not known yet")
    board.with_panel(panel.text_mode(shapes.BigValueTextMode.NAME))


def the_way(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("The way"))
    way = statetimeline.Panel().title("States").description("The run over time").datasource(SOURCE).height(6).span(24)
    board.with_panel(way.with_target(query(f"cutover_state_index{RUN}", "state")).mappings(states()).row_height(0.9))


def against_the_budget(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Time"))
    curve = timeseries.Panel().title("Downtime and window against the budget").datasource(SOURCE).unit("s").height(8).span(12)
    curve.description("Downtime: clients are kept out. Window: since PreCheck was left. The budget is the plan's.")
    for expr, legend in (
        (f"cutover_downtime_seconds{RUN}", "downtime"),
        (f"cutover_window_seconds{RUN}", "window"),
        (f"cutover_window_budget_seconds{RUN}", "budget"),
    ):
        curve.with_target(query(expr, legend))
    board.with_panel(curve)
    spent = bargauge.Panel().title("Time in each state").description("Seconds, all visits together").datasource(SOURCE).unit("s")
    spent.height(8).span(12).orientation(shapes.VizOrientation.HORIZONTAL)
    board.with_panel(spent.with_target(now(f"cutover_state_duration_seconds{RUN}", "{{state}}")))


def how_far(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Progress and checks"))
    progress = timeseries.Panel().title("How far the running step is").datasource(SOURCE).unit("percentunit").height(8).span(12)
    progress.description("Where the server, a dump's folder or a comparison tells; nothing where nobody does.").min(0).max(1)
    board.with_panel(progress.with_target(query(f"cutover_step_progress_ratio{RUN}", "{{step}}")))
    checks = timeseries.Panel().title("Checks of Monitor").description("Their last numbers").datasource(SOURCE).height(8).span(8)
    board.with_panel(checks.with_target(query(f"cutover_check_value{RUN}", "{{check}}")))
    good = one("Checks that are good", "1 while a check of Monitor is good", now(f"cutover_check_ok{RUN}", "{{check}}"), width=4)
    board.with_panel(good.height(8).mappings(texts({"0": ("bad", "red"), "1": ("good", "green")})))


def the_proof(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Proof"))
    verdicts = listed("Validation", "Each part of Validate, as it ended last", f"cutover_validation_ok{RUN}", [], "passed")
    board.with_panel(verdicts.override_by_name("passed", [models.DynamicConfigValue("mappings", texts(PASSED))]))
    board.with_panel(
        listed("Comparisons", "Rows on each side, from row by row comparison", f"cutover_comparison_rows{RUN}", [], "rows")
    )
    found = f"cutover_comparison_differences{RUN}"
    board.with_panel(
        listed("Differences", "Rows that are missing, extra or changed; all should be 0", found, [], "rows").thresholds(
            limits((None, "green"), (1, "red"))
        )
    )
    board.with_panel(listed("Checks", "Of validation scripts", f"cutover_validation_checks{RUN}", [], "checks"))


def the_steps(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Steps and words"))
    seconds = f"sum by (step, direction, outcome) (cutover_step_duration_seconds_sum{RUN})"
    board.with_panel(listed("Steps", "Seconds that each took", seconds, [], "seconds", height=10))
    spoken = f"sum by (verb, outcome) (cutover_commands_total{RUN})"
    board.with_panel(listed("Commands", "What operators said, and what came of it", spoken, [], "times", height=10))


def annotation(name: str, metric: str, title: str, text: str, color: str) -> dashboard.AnnotationQuery:
    """Times are read from the metric's value, so that no API token is needed to write them."""
    marks = dashboard.AnnotationQuery().name(name).datasource(SOURCE).enable(True).icon_color(color).expr(f"{metric}{RUN} * 1000")
    return marks.use_value_for_time(True).title_format(title).text_format(text).step("5s")


def board() -> dashboard.Dashboard:
    made = dashboard.Dashboard("cutoverd").uid("cutoverd").tags(["cutoverd", "postgresql"]).refresh("5s").time("now-1h", "now")
    made.description("One cutover: where it is, how long it takes against its budget, what was proven, who said what.")
    made.tooltip(models.DashboardCursorSync.CROSSHAIR).readonly()
    made.with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    runs = dashboard.QueryVariable("run").label("Run").datasource(SOURCE).query("label_values(cutover_state_index, run)")
    made.with_variable(runs.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_DESC))
    made.annotation(
        annotation("Transitions", "cutover_transition_timestamp_seconds", "{{source}} → {{target}}", "{{trigger}} {{by}}", "blue")
    )
    made.annotation(annotation("Commands", "cutover_command_timestamp_seconds", "{{verb}}: {{outcome}}", "{{by}}", "orange"))
    for part in (at_a_glance, the_way, against_the_budget, how_far, the_proof, the_steps):
        part(made)
    return made


def document() -> str:
    """The file's text: panels and their queries numbered in their order."""
    made = board().build()
    for number, panel in enumerate(made.panels or [], start=1):
        panel.id_val = number
        for letter, target in zip(ascii_uppercase, getattr(panel, "targets", None) or [], strict=False):
            target.ref_id = letter
    return JSONEncoder(sort_keys=True, indent=2).encode(made) + "\n"


if __name__ == "__main__":
    TARGET.write_text(document(), encoding="utf-8")

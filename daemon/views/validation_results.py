"""What Validate found, from the events alone: checks of scripts, and comparisons of old with new."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric

from cutoverd.events import facts
from cutoverd.events.codec import Recorded
from cutoverd.states.run import StepKey
from cutoverd.states.validate import Validate

DIFFERENCES = ("missing", "extra", "changed")


@dataclass
class ValidationResults:
    """The last verdict on each script and each comparison."""

    checks: dict[str, dict[str, int]] = field(default_factory=dict)  # script → outcome → how many
    rows: dict[str, dict[str, int]] = field(default_factory=dict)  # comparison → side → rows
    differences: dict[str, dict[str, int]] = field(default_factory=dict)  # comparison → kind → rows
    ok: dict[tuple[str, str], bool] = field(default_factory=dict)  # by kind of step and its item

    def apply(self, recorded: Recorded) -> None:
        event = recorded.event
        if isinstance(event, facts.StepSucceeded | facts.StepFailed) and StepKey.of(event.step).state == Validate.name:
            self._judge(StepKey.of(event.step), event.evidence, isinstance(event, facts.StepSucceeded))

    def _judge(self, key: StepKey, evidence: dict[str, Any], ok: bool) -> None:
        self.ok[key.step, key.item] = ok
        if key.definition is Validate.check_script and "checks" in evidence:
            failed = int(evidence.get("failed_count", len(evidence.get("failed", ()))))
            self.checks[key.item] = {"passed": int(evidence["checks"]) - failed, "failed": failed}
        if key.definition is Validate.compare and (ok or DIFFERENCES[0] in evidence):
            self.rows[key.item] = {side: int(evidence[f"rows_{side}"]) for side in ("old", "new") if f"rows_{side}" in evidence}
            self.differences[key.item] = {kind: int(evidence.get(kind, 0)) for kind in DIFFERENCES}

    def families(self, run: str) -> Iterator[Metric]:
        ok = GaugeMetricFamily("cutover_validation_ok", "1 if this part of Validate passed", labels=["run", "step", "item"])
        for (step, item), passed in self.ok.items():
            ok.add_metric([run, step, item], float(passed))
        yield ok
        yield _counts("cutover_validation_checks", "Checks of a validation script", run, "script", "outcome", self.checks)
        yield _counts("cutover_comparison_rows", "Rows that were compared", run, "comparison", "side", self.rows)
        yield _counts("cutover_comparison_differences", "Rows that differ", run, "comparison", "kind", self.differences)


def _counts(name: str, says: str, run: str, whose: str, which: str, counts: dict[str, dict[str, int]]) -> Metric:
    family = GaugeMetricFamily(name, says, labels=["run", whose, which])
    for item, by_kind in counts.items():
        for kind, count in by_kind.items():
            family.add_metric([run, item, kind], count)
    return family

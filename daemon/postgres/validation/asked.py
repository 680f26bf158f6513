"""What a plan lets Validate ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cutoverd.daemon.postgres.compare.compare import Comparison
from cutoverd.daemon.postgres.validation.query_timing import TimedQuery


@dataclass(frozen=True)
class ValidationPlan:
    """Comparisons, named queries and validation scripts of a plan."""

    comparisons: Sequence[Comparison]
    queries: Sequence[TimedQuery]
    scripts: Mapping[str, Path]
    waive_grants: Mapping[str, str] = field(default_factory=dict)
    waive_invariants: Mapping[str, str] = field(default_factory=dict)

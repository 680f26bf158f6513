"""Which dumps are a run's own, by their names."""

from __future__ import annotations

from pathlib import Path

from cutoverd.daemon.postgres.backup import dump

MOMENT = "20260101T000000.000000Z"


def test_a_run_named_like_a_kind_of_dump_is_not_taken_for_that_dump(tmp_path: Path) -> None:
    """Found: the dumps of run `night-final` were among `night-final-*`, and the final dump of run `night` was believed done."""
    for name in (f"night-final-final-{MOMENT}", f"night-before-before-{MOMENT}.1.part"):
        (tmp_path / name).mkdir()
    assert dump.finished(tmp_path, "night", "final") is None
    assert dump.remove_unfinished(tmp_path, "night", "before", 9) == []
    assert dump.finished(tmp_path, "night-final", "final") == dump.Dump(tmp_path / f"night-final-final-{MOMENT}")

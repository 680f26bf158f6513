"""Names that files may have and events may not, and folders that others can write in: told with the plan, by their line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from unit.plan.test_plan_file import PLAN

from cutoverd.daemon.host.trusted_folder import find_distrust
from cutoverd.daemon.plan.load import BadPlan, load


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    for name in ("schema/1.sql", "data/1.sql"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("SELECT 1;\n")
    (tmp_path / "plan.yaml").write_text(PLAN)
    return tmp_path / "plan.yaml"


def refusal(plan: Path) -> str:
    with pytest.raises(BadPlan) as refused:
        load(plan)
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "shown", "why"),
    [
        (b"\xff.sql", r"\udcff.sql", "its name is not UTF-8"),
        (b"a\n\x1bb.sql", r"a\n\x1bb.sql", "its name has a control character"),
    ],
)
def test_a_script_whose_name_no_event_can_have(plan: Path, name: bytes, shown: str, why: str) -> None:
    """Found: it was on record under another name than the run asked for."""
    (plan.parent / "data" / os.fsdecode(name)).write_text("SELECT 1;\n")
    assert refusal(plan) == f"{plan}:10: data.scripts: 'data/*.sql' names data/{shown}: {why}; rename it"


def test_a_plan_in_a_folder_whose_name_is_not_utf_8(plan: Path) -> None:
    folder = plan.parent.rename(plan.parent.with_name(os.fsdecode(b"\xff")))
    assert "the path of the plan: its name is not UTF-8; rename it" in refusal(folder / "plan.yaml")


@pytest.mark.parametrize("of", ["state", "state/runs", "state/runs/night-1", "state/runs/night-1/children", "state/nats"])
def test_a_folder_of_the_run_in_which_others_can_write_is_refused(plan: Path, of: str) -> None:
    (plan.parent / of).mkdir(parents=True)
    (plan.parent / of).chmod(0o777)
    assert refusal(plan).startswith(f"{plan}:2: state_dir: others can write in {plan.parent / of} (mode 0777), and ")
    (plan.parent / of).chmod(0o755)
    load(plan)


def test_a_folder_for_all_as_state_dir_is_refused_though_nobody_can_remove_what_is_ours(plan: Path) -> None:
    (plan.parent / "state").mkdir()
    (plan.parent / "state").chmod(0o1777)
    assert "others can write in" in refusal(plan)


def test_a_link_is_followed_where_it_leads_to_a_folder_of_ours(plan: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o700)
    (plan.parent / "state").symlink_to(tmp_path / "disk")
    load(plan)
    (tmp_path / "disk").chmod(0o777)
    assert f"others can write in {plan.parent / 'state'} (mode 0777)" in refusal(plan)


def test_a_link_that_leads_nowhere_is_named(plan: Path) -> None:
    (plan.parent / "state").symlink_to("nowhere")
    assert refusal(plan) == f"{plan}:2: state_dir: {plan.parent / 'state'} is a link that leads nowhere: remove it"


@pytest.mark.parametrize(("mode", "trusted"), [(0o775, True), (0o770, True), (0o777, False)])
def test_a_group_of_the_owner_alone_may_write(tmp_path: Path, mode: int, trusted: bool) -> None:
    tmp_path.chmod(mode)
    assert find_distrust(tmp_path) is not trusted


def test_a_folder_of_somebody_else_is_told_with_whose_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 4242)
    if tmp_path.stat().st_uid == 0:
        assert find_distrust(tmp_path) == "", "root may change everything anyway"
        os.chown(tmp_path, 12345, 12345)
    assert "belongs to " in find_distrust(tmp_path)
